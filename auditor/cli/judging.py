"""What ``run`` and ``check`` share: audit, write, render, and tell the verdict."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from auditor.config import Config, ConfigSource
    from auditor.graph import Graph
    from auditor.record import Audit

__all__ = ["judge", "writing"]


def judge(config: Config, source: ConfigSource, *, gathering: bool) -> int:
    """Audit, write ``audit.json`` and the reports, print the verdict; return the exit status."""
    from auditor.cli.verdict import verdict
    from auditor.progress import Progress
    from auditor.render import render
    from auditor.runner import judge as judged

    directory = config.output.directory
    with writing(directory, trying=True):
        audit, graph = judged(config, source, gathering=gathering, progress=Progress.on_stderr())
        directory.mkdir(parents=True, exist_ok=True)
        audit.write(directory / "audit.json")
        written = render(audit, directory, config.output.formats)
        written += _lists(directory, audit, graph)
    click.echo(verdict(audit, [*written, directory / "audit.json"]))
    return audit.exit_status


def _lists(directory: Path, audit: Audit, graph: Graph) -> list[Path]:
    """Write what repairs the split, where an overlap was looked for: from what was judged."""
    from auditor.cli.copies import write_across
    from auditor.errors import Unavailable

    shown = audit.exhibits.overlap
    if shown is None or not shown.compared:
        return []
    try:
        return write_across(directory, graph.get("overlap"), graph.get("test_signatures"))
    except Unavailable:
        return []


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
