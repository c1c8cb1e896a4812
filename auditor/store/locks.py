"""Locks between processes that use one folder; the system lets go of a dead process's."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import NotWritten

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["held", "held_if_free"]

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What a file system without locks says, such as NFS without its lock daemon."""


@contextmanager
def held(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock; ``waiting`` is called once where another process has it.

    On a file system without locks nothing is held: files still appear whole, and work may be done
    twice.

    Raises
    ------
    NotWritten
        There can be no lock file.
    """
    from filelock import Timeout

    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = _acquired(path, wait=False)
        except Timeout:
            path.touch()  # filelock tries for ever to make one that cannot be made, as in /proc
            waiting()
            lock = _acquired(path, wait=True)
    except OSError as error:
        raise NotWritten(path, error) from error
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock unless another process does; yields whether it is held."""
    from filelock import Timeout

    try:
        lock = _acquired(path, wait=False)
    except Timeout:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _acquired(path: Path, *, wait: bool) -> BaseFileLock | None:
    """Return a lock that is held; None where the file system has none."""
    from filelock import FileLock

    lock = FileLock(path, fallback_to_soft=False)  # a file in its place would outlive its holder
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return lock
