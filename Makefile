# Two commands, each enough by itself on a machine with Python 3.11+:
#   make demo   set up, then audit two freshly trained EfficientNets
#   make test   set up with the development group, then lint, types, tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types unit clean

demo: .venv/installed
	$(BIN)/auditor demo

test: lint types unit

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed-dev
	$(BIN)/mypy

unit: .venv/installed-dev
	$(BIN)/pytest

.venv/bin/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

.venv/installed: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install -qq --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install -qq --editable . --group dev
	touch $@ .venv/installed

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
