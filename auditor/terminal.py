"""What is said on a terminal, and so in a CI log, where some lines would be commands."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import click

__all__ = ["inert", "say", "silence", "unheard"]

# GitHub takes "::" at a line's start and "##[" anywhere, Azure "##vso[". What colours a line does
# not stand in a log, so that what it parts comes together there.
_COLOUR = r"\x1b\[[;?\d]*[a-zA-Z]"
_COMMAND = re.compile(
    rf"^(?:[^\S\n]|{_COLOUR})*:(?=(?:{_COLOUR})*:)|#(?:{_COLOUR})*#(?=(?:\w|{_COLOUR})*\[)",
    re.MULTILINE,
)


def inert(text: str) -> str:
    r"""Return a text in which a CI server reads no command, whatever a class or a file is called.

    A zero-width space breaks what would be one. It has to be the last thing done: wrapping moves
    names to the start of a line.

    >>> inert("std::vector\n ::add-mask::x").replace("\u200b", "_")
    'std::vector\n :_:add-mask::x'
    """
    return _COMMAND.sub("\\g<0>\u200b", text)


def say(text: object, *, err: bool = False, file: TextIO | None = None) -> None:
    """Write a line, or some, to standard output, to standard error or to a stream.

    What standard output does not take is an ``OSError``; elsewhere it is lost, and changes nothing.
    """
    stream = sys.stderr if err else file
    if stream is None and not err:
        # Named, for click would write UTF-8 where the encoding is ASCII.
        click.echo(inert(str(text)), file=sys.stdout)
        return
    with unheard(stream):
        click.echo(inert(str(text)), file=stream, err=err)


@contextmanager
def unheard(stream: TextIO | None) -> Iterator[None]:
    """Go on where a stream takes nothing, as on a full disk or with no reader: with it silent."""
    try:
        yield
    except (OSError, ValueError):
        silence(stream)


def silence(stream: TextIO | None) -> None:
    """Send what is still buffered nowhere: Python would fail to write it once more at its end."""
    if stream is None:
        return
    with suppress(OSError, ValueError):  # it is no file, or none any more
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
