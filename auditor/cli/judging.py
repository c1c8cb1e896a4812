"""What ``run`` and ``check`` share, and how every command says that it cannot write."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.config import Config, ConfigSource

__all__ = ["judge", "writing"]


def judge(config: Config, source: ConfigSource, *, gathering: bool) -> int:
    """Audit, write ``audit.json`` and the reports, print the verdict; return the exit status."""
    from auditor.cli.verdict import verdict
    from auditor.progress import Progress
    from auditor.runner import judge as judged

    with writing(config.output.directory, trying=True):
        found = judged(config, source, gathering=gathering, progress=Progress.on_stderr())
        written = found.write()
    say(verdict(found.audit, written))
    return found.audit.exit_status


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
