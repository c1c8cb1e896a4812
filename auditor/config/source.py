"""Where in the file something stands, so that a complaint can name the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auditor.errors import InputError

__all__ = ["ConfigSource"]


class ConfigSource:
    """The text behind a configuration, to say where in it something stands.

    TOML parsers keep no positions, so headers and keys are found again by text.
    """

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        self.text, self.path = text, path

    def line(self, place: Sequence[str | int]) -> int | None:
        """Return the 1-based line of a dotted place such as ``("checks", "overfitting")``."""
        found, lines = None, self.text.splitlines()
        names = [part for part in place if isinstance(part, str)]
        nth = next((part for part in place if isinstance(part, int)), 0)
        for depth in range(len(names), 0, -1):
            headers = [n for n, line in enumerate(lines) if _header(line) == names[:depth]]
            if headers:
                found = headers[min(nth, len(headers) - 1)]
                return (_key_line(lines, found, names[depth:]) or found) + 1
        found = _key_line(lines, -1, names)
        return None if found is None else found + 1

    def complain(self, place: Sequence[str | int], message: str) -> InputError:
        """Return the error, with the file as it was named and the line, where there are any."""
        if self.path is None:
            return InputError(message)
        line = self.line(place)
        return InputError(f"{self.path}:{f'{line}:' if line else ''} {message}")


def _header(line: str) -> list[str] | None:
    line = line.strip()
    if not line.startswith("["):
        return None
    inside = line.split("#")[0].strip().strip("[]").strip()
    return [part.strip().strip("\"'") for part in inside.split(".")]


def _key_line(lines: list[str], header: int, keys: Sequence[str]) -> int | None:
    if not keys:
        return None
    for number in range(header + 1, len(lines)):
        if _header(lines[number]) is not None and "=" not in lines[number]:
            return None
        if lines[number].split("=")[0].strip().strip("\"'") == keys[0]:
            return number
    return None
