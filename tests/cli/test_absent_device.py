"""A device that is asked for and not there is said before any image is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any


def test_it_is_named_beside_those_that_are_there(
    cli: Callable[..., CompletedProcess[str]],
    here: Path,
    image_folder: Callable[..., Path],
    module: Callable[..., Any],
) -> None:
    image_folder("train", {"a": 3, "b": 3}, seed=1)
    image_folder("test", {"a": 3, "b": 3})
    flags = ("--module", f"{module()}:two", "--train", "train", "--test", "test")
    done = cli("run", *flags, "--device", "cuda:99", "--output", "out")
    assert done.returncode == 2
    assert 'There is no device "cuda:99" here; there is ' in done.stderr
    assert "cpu" in done.stderr
    assert "looking at" not in done.stderr
    assert list(here.glob("out/**/*.parquet")) == []
