"""Where in the file something stands, so that a complaint can name the line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from auditor.errors import InputError

__all__ = ["ConfigSource"]


class ConfigSource:
    """The text behind a configuration, to say where in it something stands.

    TOML parsers keep no positions, so headers and keys are found again by text.
    """

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        self.text, self.path = text, path

    @cached_property
    def tables(self) -> dict[str, Any]:
        """What the text says, as it is written there; never to be changed.

        Raises
        ------
        InputError
            It is no TOML.
        """
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            line = found[1] if found else len(self.text.splitlines())
            raise InputError(f"{self.path}:{line}: not valid TOML: {error}") from None

    def line(self, place: Sequence[str | int]) -> int | None:
        """Return the 1-based line of a dotted place such as ``("checks", "overfitting")``.

        It is that of the key, else of the nearest table that should hold it.
        """
        names = [part for part in place if isinstance(part, str)]
        nth = next((part for part in place if isinstance(part, int)), 0)
        found = [
            (_shared(names, path), -number)
            for section in _sections(self.text, names, nth)
            for number, path in section
        ]
        shared, number = max(found, default=(0, 0))
        return -number if shared else None

    def complain(self, place: Sequence[str | int], message: str) -> InputError:
        """Return the error, with the file as it was named and the line, where there are any."""
        if self.path is None:
            return InputError(message)
        line = self.line(place)
        return InputError(f"{self.path}:{f'{line}:' if line else ''} {message}")


_Stated = list[tuple[int, list[str]]]
"""Lines, and the path of what each begins: a header's, then those of its keys."""


def _sections(text: str, names: list[str], nth: int) -> list[_Stated]:
    """Return what the file states table by table; of a list of tables, the nth alone."""
    sections: list[_Stated] = [[]]
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if (header := _HEADER.fullmatch(line)) is not None:
            table = _parts(header[1])
            sections.append([(number, table)])
        elif "=" in line:
            sections[-1].append((number, [*table, *_parts(line.partition("=")[0])]))
    alike = [section for section in sections if section and section[0][1] == names[:1]]
    others = alike[:nth] + alike[nth + 1 :] if nth < len(alike) else alike[:-1]
    return [section for section in sections if not any(section is other for other in others)]


_HEADER = re.compile(r"\s*\[{1,2}([^\[\]=]+)\]{1,2}\s*(?:#.*)?")


def _parts(dotted: str) -> list[str]:
    """Return the names of a dotted key.

    >>> _parts('checks."my check" . level')
    ['checks', 'my check', 'level']
    """
    found = re.findall(r"""\"([^\"]*)\"|'([^']*)'|([^\s.\"']+)""", dotted)
    return ["".join(part) for part in found]


def _shared(names: list[str], path: list[str]) -> int:
    """Return how many names of a place a line states; none where it states another place."""
    depth = min(len(names), len(path))
    return depth if names[:depth] == path[:depth] else 0
