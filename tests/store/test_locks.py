"""Locks between processes, also where the file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from auditor.errors import NotWritten
from auditor.store import Store
from auditor.store.locks import held, held_if_free

TABLE = pa.table({"x": [1]})


@pytest.fixture(params=["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot lock, such as NFS without its lock daemon."""
    number = getattr(errno, request.param)

    def flock(file: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("without_locks")
def test_where_nothing_can_be_locked_nothing_is_held(tmp_path: Path) -> None:
    def fail() -> None:
        raise AssertionError("it waited")

    with held(tmp_path / "new" / "it.lock", fail), held(tmp_path / "new" / "it.lock", fail):
        pass
    with held_if_free(tmp_path / "it.lock") as free:
        assert not free


@pytest.mark.usefixtures("without_locks")
def test_evidence_is_stored_where_nothing_can_be_locked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.gathering(["k" * 64], lambda: None):
        store.save("test", "k" * 64, TABLE, {})
    assert Store(tmp_path).load("test", "k" * 64) == TABLE
    store.parts("train", "t" * 64).save(0, TABLE)
    assert store.prune() == []  # somebody may be at it
    assert store.parts("train", "t" * 64).numbers() == {0}


def test_another_failure_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(NotWritten, match=r"it\.lock: cannot be written"),
        held(tmp_path / "it.lock"),
    ):
        pass


def test_a_lock_file_that_cannot_be_made_is_not_waited_for() -> None:
    """As below /proc, where the system says that there is no such file, to everybody."""

    def fail() -> None:
        raise AssertionError("it waited")

    lock = Path("/proc/it.lock")
    with pytest.raises(NotWritten, match=r"it\.lock: cannot be written"), held(lock, fail):
        pass


HOLDING = """
import sys
from pathlib import Path
from auditor.store.locks import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_another_process_has_is_not_free_until_it_dies(tmp_path: Path) -> None:
    lock = tmp_path / "it.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with held_if_free(lock) as free:
            assert not free
        with held(lock, process.kill):
            assert process.wait() < 0
    with held_if_free(lock) as free:
        assert free
