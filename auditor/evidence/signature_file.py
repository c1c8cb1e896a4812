"""Signatures in a file of their own: a training set can be compared with, and not be seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from auditor.config import Config
from auditor.errors import InputError, Unavailable, first_line
from auditor.evidence.signatures import VERSION, Signatures, SigningSettings
from auditor.overlap.soft import SOFT_BYTES
from auditor.provider import derive
from auditor.store.columns import telling, told
from auditor.store.files import sha256_of, write_stream
from auditor.writing import appearing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIX", "SignatureFile", "is_parquet", "is_signature_file", "write_signatures"]

SUFFIX = ".signatures.parquet"
"""How the files are named, so that a broken one is not taken for a manifest."""

_AGAIN = "sign the images again with `auditor sign`"
_MARK = "auditor_signatures"
"""Whose value is the version of the rows: those of another one do not compare."""
_CONTENT = "content"
"""Whose value is the digest of all that the file says: pages have checksums, what lies between them
has none."""
_ROWS = 1 << 13
"""Rows that are digested together."""
_SIGNED = frozenset(("bytes_digest", "pixels_digest", "phash"))
"""Columns that tell a file whose mark was harmed from a manifest."""


@dataclass(frozen=True, eq=False)
class SignatureFile:
    """A file that ``auditor sign`` wrote, read when asked for."""

    path: Path

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the file."""
        try:
            return sha256_of(self.path)
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
                "[overlap], or the options --views and --fast, to match"
            )
        return found

    def _read(self) -> Signatures:
        if not self.path.exists():
            raise InputError(f"{self.path}: no such file; `auditor sign` writes one")
        try:
            table = _table(self.path)
            self._require_format(table)
            about = told(table)
            unchanged = about.pop(_CONTENT, None) == _digest(table, about)
        except InputError:
            raise
        except Exception as error:  # a reader meets harmed bytes with any error there is
            self._refuse(first_line(error))
        if not unchanged:
            self._refuse("they are not what was written")
        return Signatures.from_table(table)

    def _refuse(self, reason: str) -> NoReturn:
        raise InputError(f"{self.path}: the signatures are harmed ({reason}); {_AGAIN}") from None

    def _require_format(self, table: pa.Table) -> None:
        found = _mark(table.schema)
        if found != VERSION:
            what = (
                "not a file of signatures" if found is None else f"signatures of format {found!r}"
            )
            raise InputError(f"{self.path}: {what}; this Auditor reads format {VERSION}: {_AGAIN}")
        wrong = [name for name, kind in _types().items() if _type(table, name) != kind]
        if wrong:
            raise InputError(f'{self.path}: the column "{wrong[0]}" is not as it was; {_AGAIN}')


def _table(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(
        path, memory_map=True, pre_buffer=False, page_checksum_verification=True
    ) as file:
        return file.read(use_threads=False)


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
    table = table.select([name for name in table.column_names if not name.startswith("meta.")])
    table, about = _completed(table), {**told(table), _MARK: VERSION}
    about[_CONTENT] = _digest(table, about)
    table = telling(table, about)
    with appearing(path) as partial:
        write_stream([table], table.schema, partial)


def _completed(table: pa.Table) -> pa.Table:
    """Add the columns that are not there where no image could be read."""
    import pyarrow as pa

    for name, kind in _types().items():
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(len(table), kind))
    return table


def _digest(table: pa.Table, about: dict[str, object]) -> str:
    """Return the SHA-256 of the columns and of what is said beside them."""
    columns = [(field.name, str(field.type)) for field in table.schema]
    digest = hashlib.sha256(json.dumps([about, columns, len(table)], sort_keys=True).encode())
    for start in range(0, len(table), _ROWS):
        for column in table.slice(start, _ROWS).columns:
            for part in _content(column):
                digest.update(part)
    return digest.hexdigest()


def _content(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Yield what is in a column, however it lies in memory: what is there, how long, and it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    yield np.packbits(column.is_valid().to_numpy()).tobytes()
    values = column.combine_chunks().drop_null()
    if pa.types.is_string(values.type):
        yield pc.binary_length(values).to_numpy().tobytes()
        yield "".join(values.to_pylist()).encode()
    elif len(values):
        width, first = values.type.byte_width, values.offset
        data = np.frombuffer(values.buffers()[1], np.uint8)
        yield data[first * width : (first + len(values)) * width].tobytes()


def is_parquet(path: Path) -> bool:
    """Tell whether a file is named so that signatures are looked for in it."""
    return path.suffix.lower() in (".parquet", ".pq")


def is_signature_file(path: Path) -> bool:
    """Tell whether a path is named or marked as a file of signatures, or has their columns."""
    import pyarrow.parquet as pq

    if path.name.endswith(SUFFIX):
        return True
    if not is_parquet(path) or not path.is_file():
        return False
    try:
        schema = pq.read_schema(path)
        return _mark(schema) is not None or set(schema.names) >= _SIGNED
    except Exception:  # no Parquet, or harmed: whoever reads it as a manifest will say so
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


def _mark(schema: pa.Schema) -> object:
    try:
        about: object = told(schema)  # in a file of another program it may be any JSON
    except ValueError:
        return None
    return about.get(_MARK) if isinstance(about, dict) else None


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
