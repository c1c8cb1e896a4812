"""The manifest of a folder of evidence: what each of its files is, and what it rests on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from auditor.errors import InputError

__all__ = ["EARLIER", "Entry", "Manifest", "StoredFile"]

EARLIER = "earlier"
"""The folder of what is set aside."""

Entry = dict[str, Any]


class StoredFile(NamedTuple):
    """A file of evidence, as a person wants to know it."""

    name: str
    key: str
    rows: int
    size: int
    """Bytes."""
    stored: str
    """When, ISO 8601 in UTC."""
    current: bool
    """Whether it is what is judged; else it is set aside."""
    file: Path
    harm: str
    """What became of the file, in a word; an empty text where it is what was stored."""


class Manifest(NamedTuple):
    """Evidence name → entry."""

    current: dict[str, Entry]
    """What is judged."""
    earlier: dict[str, list[Entry]]
    """What is set aside, the oldest first."""

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest; an empty one where there is none.

        Raises
        ------
        InputError
            The file is harmed.
        """
        if not path.exists():
            return cls({}, {})
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            current, earlier = content["evidence"].items(), content.get("earlier", {}).items()
            return cls(
                {k: _entry(v) for k, v in current if re.fullmatch(r"\w+", k)},
                {k: [_entry(v) for v in entries] for k, entries in earlier},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: not an evidence manifest ({error}); remove {path.parent} to gather again"
            ) from None

    def text(self) -> str:
        """Return it as it is written."""
        content = {"format": 1, "evidence": self.current, "earlier": self.earlier}
        return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _entry(found: Mapping[str, Any]) -> Entry:
    """Return an entry of a manifest; raise where it lacks what every one has."""
    kinds: dict[str, type] = {"unavailable": str, "status": str}
    if "unavailable" not in found:
        kinds = {"file": str, "sha256": str, "rows": int}
        if not re.fullmatch(rf"({EARLIER}/)?[\w-]+\.parquet", found["file"]):
            raise ValueError(f"{found['file']} is no file of it")
    for name, kind in {"key": str, **kinds}.items():
        if not isinstance(found[name], kind):
            raise TypeError(f"{name} is no {kind.__name__}")
    if not all(isinstance(table, dict) for table in found.get("asked", {}).values()):
        raise TypeError("asked holds what is no table")
    return dict(found)
