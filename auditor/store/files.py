"""Writes Parquet files piece by piece, and reads them."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "read_open",
    "read_table",
    "schema_of",
    "sha256_of",
    "sha256_of_open",
    "write_stream",
]

_GROUP = 1 << 13
"""Rows that are compressed together."""


def read_table(path: Path) -> pa.Table:
    """Return all of a file, its columns in one piece each: to join pieces is to copy them."""
    with path.open("rb") as file:
        return read_open(file)


def read_open(file: BufferedReader) -> pa.Table:
    """Return all of an open file, as ``read_table`` does, whatever has its name by now."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with pq.ParquetFile(pa.BufferReader(pa.py_buffer(mapped)), pre_buffer=False) as parquet:
        return parquet.read(use_threads=False)


def schema_of(path: Path) -> pa.Schema | None:
    """Return the columns of a file; None where it is not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return None


def sha256_of(path: Path) -> str:
    """Return the digest of a file, in hex, reading it in pieces."""
    with path.open("rb") as file:
        return sha256_of_open(file)


def sha256_of_open(file: BufferedReader) -> str:
    """Return the digest of an open file, in hex."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def write_stream(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Write pieces as one file; return its rows.

    Parameters
    ----------
    tables
        Pieces of any size: the groups of rows in the file do not depend on it. What a piece lacks
        of the schema is null.
    schema
        All columns.
    path
        Where to.
    """
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for group in _groups(tables, schema):
            writer.write_table(group, row_group_size=_GROUP)
            rows += group.num_rows
    return rows


def _groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa

    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, _completed(table, schema)])
        whole = waiting.num_rows - waiting.num_rows % _GROUP
        for start in range(0, whole, _GROUP):
            yield waiting.slice(start, _GROUP).combine_chunks()
        waiting = waiting.slice(whole)
    if waiting.num_rows:
        yield waiting.combine_chunks()


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    there = set(table.column_names)
    columns = [
        table[field.name].cast(field.type)
        if field.name in there
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
