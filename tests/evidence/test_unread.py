"""What the system did not give is asked for again; what it gave and nobody can decode is not."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.check import Status
from auditor.record import Audit

Run = Callable[..., Audit]


@pytest.fixture
def data(image_folder: Callable[..., Path], counted: str) -> dict[str, Any]:
    """80 images, one of them cut off."""
    test = image_folder("test", {"cat": 40, "dog": 40})
    broken = test / "cat" / "0001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    return {"data": {"test": test}, "candidate": {"module": counted, "input_size": 16}}


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Let one image fail to be read, as on a mount that has gone; or let it be read again."""
    opened, failing = os.open, [False]

    def open(path: Any, *flags: Any, **how: Any) -> int:
        if failing[0] and Path(path).name == "0003.png":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path, *flags, **how)

    monkeypatch.setattr(os, "open", open)
    return lambda fails: failing.__setitem__(0, fails)


def lost(audit: Audit) -> list[str]:
    found = audit.check("unreadable-images").findings
    return [f.subject for f in found if f.status is not Status.PASS]


def test_what_can_be_read_again_is_looked_at_again(
    run: Run, data: dict[str, Any], stale: Callable[[bool], None], looked: Callable[[], int]
) -> None:
    stale(True)
    first = run(**data)
    whole = looked()
    assert {"cat/0001.png", "cat/0003.png", "dog/0003.png"} <= {*lost(first)}
    run(**data)
    assert looked() == 0  # it cannot be read yet
    stale(False)
    again = run(**data)
    assert 0 < looked() < whole / 2
    assert "cat/0001.png" in lost(again)
    assert not {"cat/0003.png", "dog/0003.png"} & {*lost(again)}
    run(**data)
    assert looked() == 0


def test_it_ends_as_if_nothing_had_been(
    run: Run, data: dict[str, Any], stale: Callable[[bool], None], tmp_path: Path
) -> None:
    stale(True)
    run(**data)
    stale(False)
    mended = run(**data).provenance.evidence
    undisturbed = run(**data, output={"directory": tmp_path / "other"}).provenance.evidence
    assert mended == undisturbed


def test_what_rested_on_less_does_not_come_back(
    run: Run, data: dict[str, Any], image_folder: Callable[..., Path], stale: Callable[[bool], None]
) -> None:
    """What is set aside is known by its inputs' keys, which an image that is read again keeps."""
    train = image_folder("train", {"cat": 5, "dog": 5}, seed=1)
    shutil.copy(data["data"]["test"] / "dog/0003.png", train / "dog/copy.png")
    data["data"]["train"] = train
    stale(True)
    for transforms in (True, False):
        found = run(**data, overlap={"transforms": transforms}).check("split-overlap")
        assert found.status is not Status.FAIL
    stale(False)
    for transforms in (False, True):
        found = run(**data, overlap={"transforms": transforms}).check("split-overlap")
        assert found.status is Status.FAIL, found.summary
