"""Which part of the package rests on which: what is below knows nothing of what is above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import auditor

ROOT = Path(auditor.__file__).parent
TOP = {"graph", "runner", "render", "standalone", "cli"}
ABOVE = {
    "data": TOP | {"store", "models", "engine", "overlap", "evidence"},
    "store": TOP | {"data", "models", "engine", "overlap", "evidence"},
    "models": TOP | {"efficiency", "engine", "overlap", "evidence"},
    "engine": TOP | {"overlap", "evidence"},
    "overlap": TOP | {"evidence"},
    "evidence": TOP,
    "render": {"data", "store", "models", "overlap", "evidence", "graph", "runner", "cli"},
}


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of the package that the modules of one import when they run."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = [
            n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE" in ast.dump(n.test)
        ]
        left_out = {id(n) for block in for_types for n in ast.walk(block)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and id(node) not in left_out:
                first, _, part = (node.module or "").partition(".")
                if first == "auditor":
                    yield path.name, part.partition(".")[0]


@pytest.mark.parametrize("folder", ABOVE)
def test_what_is_below_imports_nothing_above(folder: str) -> None:
    found = set(imported(folder))
    assert found
    assert [(module, part) for module, part in found if part in ABOVE[folder]] == []
