"""A file of its own: read where it is a regular one, and known again when it changes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Stamp", "read_file", "stamp", "stamp_of", "status"]

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
    with _no_such_name(), open(path, "rb", buffering=0, opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file")
        return file.read()


def stamp(path: Path) -> Stamp | None:
    """Return how a file looks; None where there is none."""
    found = status(path)
    return None if found is None else stamp_of(found)


def status(path: Path) -> os.stat_result | None:
    """Return what the system says of a file without opening it; None where there is none."""
    try:
        with _no_such_name():
            return path.stat()
    except OSError:
        return None


def stamp_of(status: os.stat_result) -> Stamp:
    """Return how a file looks by its status."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def _no_such_name() -> Iterator[None]:
    """Say of a name that no file can have, with a NUL in it, what is said of a file's failures."""
    try:
        yield
    except ValueError as error:
        raise OSError(f"no such file: {error}") from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | _AT_ONCE)
