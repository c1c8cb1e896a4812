"""What becomes of a verdict where nobody hears it: a full disk, a reader that has gone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.cli.survival import surviving
from auditor.progress import Progress

AUDITOR = f"{sys.executable} -m auditor"


def _status(command: str, here: Path) -> int:
    return subprocess.run(["bash", "-c", command], cwd=here, check=False, timeout=120).returncode


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("run --predictions good.csv 2>/dev/full", 0),
        ("run --predictions good.csv 2>&-", 0),
        ("run --predictions good.csv >&- 2>&-", 0),
        ("run --predictions fraud.csv 2>/dev/full", 1),
        ("run --predictions none.csv 2>/dev/full", 2),
        ("run --no-such-flag 2>/dev/full", 2),
        ("run --predictions few.csv 2>/dev/full", 3),
        ("run --predictions good.csv >/dev/full 2>&1", 2),
        ("check none.toml 2>/dev/full", 2),
        ("list >/dev/full 2>/dev/full", 2),
        ("list >/dev/null 2>/dev/full", 0),
    ],
)
def test_standard_error_that_takes_nothing_changes_no_status(
    here: Path, good: str, fraud: str, few: str, command: str, status: int
) -> None:
    assert _status(f"{AUDITOR} {command}", here) == status


def test_a_reader_that_has_gone_is_no_verdict(here: Path, good: str, fraud: str) -> None:
    for predictions in (good, fraud):
        command = f"(sleep 0.1; exec {AUDITOR} run --predictions {predictions} 2>&1) | true"
        assert _status(f"{command}; exit ${{PIPESTATUS[0]}}", here) == 141


def test_evidence_is_gathered_where_progress_cannot_be_told(
    here: Path, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    image_folder("test", {"a": 20, "b": 20})
    words = f"gather --module {module()}:two --test test --device cpu"
    path = f"PYTHONPATH={here / 'modules'}"
    assert _status(f"{path} {AUDITOR} {words} 2>/dev/full >/dev/null", here) == 0
    manifest = json.loads((here / "audit/evidence/manifest.json").read_text())
    assert "file" in manifest["evidence"]["test"]


def test_progress_goes_on_in_silence(tmp_path: Path) -> None:
    closed = (tmp_path / "closed").open("w")
    closed.close()
    with Path("/dev/full").open("w") as full:
        for stream in (full, closed):
            progress = Progress(stream)
            with progress.stage("looking", 2) as advance:
                advance(2)
            progress.say("done")


def test_where_no_process_can_be_had_the_work_is_done_in_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", none)
    assert surviving(lambda: 3) == 3
