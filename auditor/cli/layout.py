"""How text is laid out on a terminal: wrapped to its width, in paragraphs and titled lists."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator

import click

from auditor.naming import one_line

__all__ = [
    "NARROW",
    "fits",
    "hanging",
    "headline",
    "paragraphs",
    "row",
    "terminal_width",
    "titled",
    "wrapped",
]

NARROW, _WIDE = 40, 100
"""Columns between which a terminal is filled."""


def terminal_width() -> int:
    """Return how many columns to fill: those of the terminal, within what reads well."""
    return max(NARROW, min(shutil.get_terminal_size().columns, _WIDE))


def fits(text: str) -> bool:
    """Tell whether a text is seen whole where it goes: only a terminal has an end."""
    if not sys.stdout or not sys.stdout.isatty():  # none where it was closed
        return True
    return text.count("\n") + 2 < shutil.get_terminal_size().lines


def wrapped(text: str, indent: str = "") -> str:
    """Wrap a paragraph to the terminal."""
    return textwrap.fill(
        text,
        terminal_width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def hanging(text: str, indent: int = 4, label: str = "") -> str:
    """Wrap an entry of a list, its further lines indented; names in it are made visible.

    A label stands before it as it is, blanks included.
    """
    return textwrap.fill(
        one_line(text),
        terminal_width(),
        initial_indent=f"  {label}",
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def row(head: str, text: str, margin: int) -> Iterator[str]:
    """Put a text beside the head of its row, or below it on a terminal too narrow for both.

    Parameters
    ----------
    head
        What the row begins with, maybe in colour.
    text
        What is wrapped.
    margin
        Columns of the head, with two between it and the text.
    """
    if narrow := terminal_width() - margin < NARROW:
        margin = 4
    lines = textwrap.wrap(text, terminal_width() - margin, break_on_hyphens=False)
    yield head.rstrip() if narrow or not lines else f"{head}  {lines.pop(0)}"
    yield from (" " * margin + line for line in lines)


def headline(text: str, colour: str) -> str:
    """Return the outcome of a command, wrapped, in colour; names in it are made visible."""
    lines = wrapped(one_line(text)).splitlines()
    return "\n".join(click.style(line, fg=colour, bold=True) for line in lines)


def titled(title: str, lines: Iterable[str]) -> str:
    """Return lines under a title in bold; nothing where there are none."""
    rows = list(lines)
    return "\n".join([click.style(title, bold=True), *rows]) if rows else ""


def paragraphs(parts: Iterable[str]) -> str:
    """Join what is not empty, with an empty line between."""
    return "\n\n".join(part for part in parts if part)
