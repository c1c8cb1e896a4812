"""Reads a check's documentation: a docstring with underlined sections."""

from __future__ import annotations

import re
import textwrap
from typing import Literal, NamedTuple

__all__ = ["Block", "Section", "sections"]

_HEADING = re.compile(r"^(?P<heading>\S.*)\n(?:-{3,}|={3,}|~{3,})[ \t]*$", re.MULTILINE)
_ITEM = re.compile(r"^(?:[-*•] |\d+\. |\.\. \[\w+\] )", re.MULTILINE)


class Block(NamedTuple):
    """A paragraph, a list of items or a literal block."""

    kind: Literal["text", "list", "code"]
    lines: tuple[str, ...]


class Section(NamedTuple):
    """A heading, empty for the lead, and what stands under it."""

    heading: str
    blocks: tuple[Block, ...]


def sections(text: str) -> list[Section]:
    r"""Split a docstring at its underlined headings.

    >>> [s.heading for s in sections("Lead.\n\nLimits\n------\nNone known.")]
    ['', 'Limits']
    """
    lead, *rest = _HEADING.split(textwrap.dedent(text).strip())
    parts = [("", lead), *zip(rest[::2], rest[1::2], strict=True)]
    return [Section(head.strip(), _blocks(body)) for head, body in parts if head or body.strip()]


def _blocks(body: str) -> tuple[Block, ...]:
    chunks = re.split(r"\n[ \t]*\n", body.strip("\n"))
    return tuple(_block(chunk) for chunk in chunks if chunk.strip())


def _block(chunk: str) -> Block:
    if all(line.startswith("    ") for line in chunk.splitlines()):
        return Block("code", (textwrap.dedent(chunk),))
    chunk = textwrap.dedent(chunk)
    if _ITEM.match(chunk):
        return Block("list", tuple(" ".join(i.split()) for i in _ITEM.split(chunk) if i.strip()))
    # Two colons announce a literal block and read as one.
    return Block("text", (re.sub("::$", ":", " ".join(chunk.split())),))
