"""A file of its own: read where it is a regular one, and known again when it changes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["Stamp", "read_file", "stamp", "stamp_of"]

Stamp = tuple[int, int, int]
"""A file's size in bytes and its times of change, in nanoseconds."""

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""So that a pipe is opened although nobody writes to it; Windows has none by name."""


def read_file(path: Path) -> bytes:
    """Return what is in a file.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file: a pipe would be waited for without end.
    """
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file")
        return file.read()


def stamp(path: Path) -> Stamp | None:
    """Return how a file looks; None where there is none."""
    try:
        return stamp_of(path.stat())
    except OSError:
        return None


def stamp_of(status: os.stat_result) -> Stamp:
    """Return how a file looks by its status."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | _AT_ONCE)
