"""Signatures in a file of their own: a training set can be compared with, and not be seen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.config import Config
from auditor.errors import InputError, Unavailable
from auditor.evidence.files import appearing, write_stream
from auditor.evidence.provider import derive
from auditor.evidence.signatures import Signatures, SigningSettings
from auditor.overlap.soft import SOFT_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIX", "SignatureFile", "is_signature_file", "write_signatures"]

SUFFIX = ".signatures.parquet"
"""How the files are named, so that a broken one is not taken for a manifest."""

_FORMAT = 2
_AGAIN = "sign the images again with `auditor sign`"


@dataclass(frozen=True, eq=False)
class SignatureFile:
    """A file that ``auditor sign`` wrote, read when asked for."""

    path: Path

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the file."""
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            what = "no such file" if not self.path.exists() else f"cannot be read: {error.strerror}"
            raise InputError(f"{self.path}: {what}; `auditor sign` writes one") from None

    def read(self, settings: SigningSettings | None = None) -> Signatures:
        """Return the signatures.

        Parameters
        ----------
        settings
            What they are to be compared by; not asked for where None.

        Raises
        ------
        InputError
            The file is harmed, of another format, or signed by other settings.
        """
        found = self._read()
        if settings is not None and found.settings != settings:
            raise InputError(
                f"{self.path}: signed with {_said(found.settings)}, and [overlap] asks for "
                f"{_said(settings)}; signatures of the two do not compare, so {_AGAIN}, or set "
                "[overlap] to match"
            )
        return found

    def _read(self) -> Signatures:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.path.exists():
            raise InputError(f"{self.path}: no such file; `auditor sign` writes one")
        try:
            table = pq.read_table(self.path)
        except (OSError, pa.ArrowException) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{self.path}: the signatures are harmed ({reason}); {_AGAIN}"
            ) from None
        self._require_format(table)
        return Signatures.from_table(table)

    def _require_format(self, table: pa.Table) -> None:
        found = _mark(table.schema.metadata)
        if found != _FORMAT:
            what = (
                "not a file of signatures" if found is None else f"signatures of format {found!r}"
            )
            raise InputError(f"{self.path}: {what}; this Auditor reads format {_FORMAT}: {_AGAIN}")
        wrong = [name for name, kind in _types().items() if _type(table, name) != kind]
        if wrong:
            raise InputError(f'{self.path}: the column "{wrong[0]}" is not as it was; {_AGAIN}')


def write_signatures(table: pa.Table, path: Path) -> None:
    """Write a file that says nothing of this machine: paths in it are relative to the split's root.

    Parameters
    ----------
    table
        What ``Signing`` saw in a pass, or ``Signatures.to_table`` returned. Further columns of a
        manifest are left out.
    path
        Where to; written in one step.
    """
    about = {**_about(table), "auditor_signatures": _FORMAT}
    table = table.select([name for name in table.column_names if not name.startswith("meta.")])
    table = table.replace_schema_metadata({"about": json.dumps(about, sort_keys=True)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as partial:
        write_stream([table], table.schema, partial)


def _about(table: pa.Table) -> dict[str, object]:
    about: dict[str, object] = json.loads((table.schema.metadata or {}).get(b"about", b"{}"))
    return about


def is_signature_file(path: Path) -> bool:
    """Tell whether a path is named or marked as a file of signatures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.name.endswith(SUFFIX):
        return True
    if path.suffix.lower() not in (".parquet", ".pq") or not path.is_file():
        return False
    try:
        return _mark(pq.read_schema(path).metadata) is not None
    except (OSError, pa.ArrowException):
        return False


@derive
def test_signature_file(config: Config) -> SignatureFile:
    """Return the test set's signatures, where they were given instead of images."""
    return _given(config.data.test)


@derive
def train_signature_file(config: Config) -> SignatureFile:
    """Return the training set's signatures, where they were given instead of images."""
    return _given(config.data.train)


def _given(path: Path | None) -> SignatureFile:
    if path is None or not is_signature_file(path):
        raise Unavailable("no file of signatures was given")
    return SignatureFile(path)


def _mark(metadata: dict[bytes, bytes] | None) -> object:
    try:
        about = json.loads((metadata or {}).get(b"about", b"{}"))
    except ValueError:
        return None
    return about.get("auditor_signatures") if isinstance(about, dict) else None


def _types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    digest, text = pa.binary(16), pa.string()
    return {
        "image": text,
        "label": text,
        "bytes_digest": digest,
        "pixels_digest": digest,
        "phash": pa.uint64(),
        "contrast": pa.float32(),
        "soft": pa.binary(SOFT_BYTES),
        "error": text,
    }


def _type(table: pa.Table, name: str) -> pa.DataType | None:
    return table.schema.field(name).type if name in table.column_names else None


def _said(settings: SigningSettings) -> str:
    return f"views = {str(settings.views).lower()}, hash_mode = {settings.hash_mode!r}"
