from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from auditor.cli import main

Done = CompletedProcess[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a terminal of 100 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def cli(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """``auditor …`` in this process: fast, as libraries are imported once."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return CompletedProcess(arguments, status, out, err)

    return run


@pytest.fixture
def process(here: Path) -> Callable[..., Done]:
    """``auditor …`` in a process of its own."""

    def run(*arguments: str, **environment: str) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "auditor", *arguments],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environment},
        )

    return run


@pytest.fixture
def without_torch(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Environment in which torch, torchvision and timm cannot be imported."""
    folder = tmp_path_factory.mktemp("stubs")
    for name in ("torch", "torchvision", "timm"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} was imported')\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def good(here: Path, saved: Callable[..., Path]) -> str:
    """Saved predictions of a good model."""
    return saved({"cat": {"cat": 290, "dog": 10}, "dog": {"cat": 8, "dog": 292}}, "good.csv").name


@pytest.fixture
def fraud(here: Path, saved: Callable[..., Path]) -> str:
    """Saved predictions of a model that misses fraud."""
    counts = {"genuine": {"genuine": 975, "fraud": 5}, "fraud": {"genuine": 18, "fraud": 2}}
    return saved(counts, "fraud.csv").name


@pytest.fixture
def few(here: Path, saved: Callable[..., Path]) -> str:
    """Saved predictions on too few images to tell."""
    return saved({"cat": {"cat": 9, "dog": 1}, "dog": {"dog": 10}}, "few.csv").name
