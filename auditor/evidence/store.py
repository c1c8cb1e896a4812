"""Evidence on disk: a Parquet file a kind of evidence, and a manifest that says what it rests on.

An entry is reused while its key (a digest of all it was made from) is the same and its file is
unharmed. A pass over images writes parts as it goes, so that an interrupted run keeps them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import InputError, Unavailable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Store"]

_MANIFEST = "manifest.json"


class Store:
    """A folder of evidence.

    Parameters
    ----------
    directory
        Created when something is first saved.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._entries: dict[str, dict[str, Any]] = self._read_manifest()

    def key(self, name: str) -> str | None:
        """Return the key under which evidence is stored, if it is."""
        return self._entries.get(name, {}).get("key")

    def digests(self) -> dict[str, str]:
        """Return name → SHA-256 of every stored file."""
        return {k: v["sha256"] for k, v in sorted(self._entries.items()) if "sha256" in v}

    def load(self, name: str, key: str | None = None) -> pa.Table | None:
        """Return stored evidence; None where it is absent, harmed, or of another key."""
        entry = self._entries.get(name)
        if entry is None or (key is not None and entry["key"] != key):
            return None
        if "unavailable" in entry:
            raise Unavailable(entry["unavailable"], entry["status"])
        path = self.directory / entry["file"]
        try:
            if _sha256(path) != entry["sha256"]:
                return None
        except OSError:
            return None
        return _read(path)

    def origin(self, name: str) -> Mapping[str, str]:
        """Return what stored evidence was made from."""
        found: Mapping[str, str] = self._entries[name].get("origin", {})
        return found

    def save(self, name: str, key: str, table: pa.Table, origin: Mapping[str, str]) -> None:
        """Store evidence in one step, with the identities of what it was made from."""
        path = self.directory / f"{name}.parquet"
        _write(table, path)
        entry = {
            "key": key,
            "origin": dict(origin),
            "file": path.name,
            "sha256": _sha256(path),
            "rows": table.num_rows,
        }
        self._record(name, entry)
        shutil.rmtree(self._parts(name), ignore_errors=True)

    def save_unavailable(self, name: str, reason: Unavailable) -> None:
        """Remember why evidence could not be had, for those who judge it elsewhere."""
        self._record(name, {"key": "", "unavailable": reason.reason, "status": reason.status})

    def load_part(self, name: str, key: str, number: int) -> pa.Table | None:
        """Return a part that an earlier, interrupted pass wrote."""
        path = self._part(name, key, number)
        try:
            return _read(path) if path.exists() else None
        except (OSError, ValueError):
            return None

    def save_part(self, name: str, key: str, number: int, table: pa.Table) -> None:
        """Keep a finished part of a pass that goes on."""
        _write(table, self._part(name, key, number))

    def _parts(self, name: str) -> Path:
        return self.directory / f"{name}.parts"

    def _part(self, name: str, key: str, number: int) -> Path:
        return self._parts(name) / key[:16] / f"{number:06}.parquet"

    def _record(self, name: str, entry: dict[str, Any]) -> None:
        self._entries[name] = entry
        text = json.dumps({"format": 1, "evidence": self._entries}, indent=1, sort_keys=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        partial = self.directory / f"{_MANIFEST}.partial"
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(self.directory / _MANIFEST)

    def _read_manifest(self) -> dict[str, dict[str, Any]]:
        path = self.directory / _MANIFEST
        if not path.exists():
            return {}
        try:
            entries = json.loads(path.read_text())["evidence"]
            return {k: dict(entry) for k, entry in entries.items() if re.fullmatch(r"\w+", k)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: not an evidence manifest ({error}); remove {self.directory} to gather "
                "again"
            ) from None


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
