"""How every command says that it cannot write."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["writing"]


@contextmanager
def writing(directory: Path, *, trying: bool = False) -> Iterator[None]:
    """Name the place where the system refuses to write: it does not say so of a full disk.

    With ``trying`` that is found out at once.
    """
    from auditor.errors import InputError

    try:
        if trying:
            _try_to_write(directory)
        yield
    except OSError as error:
        if error.errno in (None, errno.EPIPE):  # of the network, of the terminal
            raise
        place = error.filename or directory
        raise InputError(f"{place}: cannot be written: {error.strerror or error}") from error


def _try_to_write(directory: Path) -> None:
    """Fail before an hour of inference, not after it."""
    nearest = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder", str(nearest))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(directory)) from None
