"""What is said on a terminal, and so in a CI log, where some lines would be commands."""

from __future__ import annotations

import re
from typing import TextIO

import click

__all__ = ["inert", "say"]

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
    """Write a line, or some, to standard output, to standard error or to a stream."""
    click.echo(inert(str(text)), file=file, err=err)
