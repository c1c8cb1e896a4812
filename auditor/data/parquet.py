"""Parquet files that hold the images themselves, opened a few rows at a time.

An image is called by its file and its row from 0: ``train-00000-of-00005.parquet/17``.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.data.columns import (
    Columns,
    features_of,
    find_columns,
    holds_images,
    image_of,
    outside_of,
)
from auditor.data.columns import labels_of as labels_in
from auditor.data.files import Container, matching, named, refuse_splits
from auditor.data.folder import is_hidden
from auditor.data.labels import name_labels
from auditor.data.samples import Samples
from auditor.data.single import stamp
from auditor.data.tables import texts_of
from auditor.errors import InputError

__all__ = ["ParquetImages", "claims", "read"]

_SUFFIXES = (".parquet", ".pq")
_TAIL = 8
"""Bytes after a footer: its length, and the mark of the format."""
_ROWS = 32
"""Rows that are decoded at once."""
_KEPT = 8
"""Batches of rows that are kept: what the threads of one pass are at."""


class _Batch(NamedTuple):
    """Some rows of one file."""

    file: str
    start: int
    cells: pa.Array


def _no_cursor() -> Iterator[_Batch]:
    return iter(())


@dataclass(eq=False)
class ParquetImages:
    """Opens images by file and row; reading on is cheap, going back decodes a row group anew.

    Memory is bounded by the pages of the file (pyarrow writes 1,024 rows into one at most), not
    by its row groups.
    """

    files: dict[str, Container]
    column: str
    outside: Mapping[str, Path]
    """Image → file, of those that are only named."""
    _lock: Any = field(default_factory=threading.Lock)
    _kept: deque[_Batch] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _cursor: Iterator[_Batch] = field(default_factory=_no_cursor)
    _next: tuple[str, int, int] = ("", 0, 0)
    """Where the cursor stands: file, next row, end of the row group."""

    def read(self, image: str) -> bytes:
        """Return an image's file."""
        file, _, row = image.rpartition("/")
        with self._lock:
            batch = self._batch(file, int(row))
        return image_of(batch.cells[int(row) - batch.start], self.files[file].path.parent)

    def stamp(self, image: str) -> object:
        """Return the file's size and times, the row, and those of a file that it names."""
        file, _, row = image.rpartition("/")
        named = self.outside.get(image)
        return self.files[file].stamp, int(row), named and stamp(named)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process cannot use."""
        return {"files": self.files, "column": self.column, "outside": self.outside}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew."""
        self.__init__(**state)  # type: ignore[misc]

    def _batch(self, file: str, row: int) -> _Batch:
        for batch in self._kept:
            if batch.file == file and batch.start <= row < batch.start + len(batch.cells):
                return batch
        at, first, end = self._next
        if at != file or not first <= row < end:
            self._cursor = self._batches(file, row)
        for batch in self._cursor:
            self._kept.append(batch)
            if row < batch.start + len(batch.cells):
                return batch
        raise OSError(f"{file} has no row {row}")

    def _batches(self, file: str, row: int) -> Iterator[_Batch]:
        """Yield the rows of the row group that holds a row, from its first."""
        self.files[file].require_unchanged()
        with _opened(self.files[file].path) as parquet:
            group, start = _group_of(parquet, row)
            end = start + parquet.metadata.row_group(group).num_rows
            for offset, cells in _cells(parquet, group, self.column):
                self._next = file, start + offset + len(cells), end
                yield _Batch(file, start + offset, cells)


def _opened(path: Path) -> pq.ParquetFile:
    # Without pre-buffering pages are read as they are needed, not a row group at once.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)


def _cells(parquet: pq.ParquetFile, group: int, column: str) -> Iterator[tuple[int, pa.Array]]:
    """Yield a column of a row group, a few rows at a time, and where in the group they begin."""
    start = 0
    for batch in parquet.iter_batches(_ROWS, row_groups=[group], columns=[column]):
        yield start, batch.column(0)
        start += len(batch)


def _group_of(parquet: pq.ParquetFile, row: int) -> tuple[int, int]:
    start = 0
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if row < start + rows:
            return group, start
        start += rows
    raise OSError(f"no row {row}")


def claims(path: Path) -> bool:
    """Tell whether the path names Parquet files with images in them, not a manifest of paths."""
    if path.is_dir():
        shown = (child for child in path.iterdir() if not is_hidden(child.name))
        return bool(_inside(path)) and not any(child.is_dir() for child in shown)
    if path.suffix.lower() not in _SUFFIXES:
        return False
    if not path.is_file():
        return True  # a pattern, or nothing; read says which
    try:
        return holds_images(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return False


def read(path: Path, classes: Sequence[str] | None = None) -> Samples:
    """List the images of the files; only the other columns are read.

    Raises
    ------
    InputError
        Naming the file and the row: damaged, a column is missing, or a label has no class.
    """
    files = {n: Container.of(f) for n, f in named(_found(path)).items()}
    images: list[str] = []
    labels: list[int | str] = []
    further: dict[str, list[str]] = {}
    outside: dict[str, Path] = {}
    columns = None
    for file, held in files.items():
        table, columns = _table(held.path, columns)
        images.extend(f"{file}/{row}" for row in range(table.num_rows))
        labels.extend(labels_in(table[columns.label], str(held.path)))
        outside |= {f"{file}/{row}": place for row, place in _outside(held.path, columns.image)}
        for name in columns.further:
            further.setdefault(name, []).extend(texts_of(table[name]))
    if columns is None or not images:
        raise InputError(f"{path}: no rows; an empty split cannot be judged")
    found = name_labels(labels, lambda row: images[row], columns.classes, classes)
    root = path if path.is_dir() else path.parent
    metadata = {name: tuple(values) for name, values in further.items()}
    reader = ParquetImages(files, columns.image, outside)
    footers = tuple(_footer(held.path) for held in files.values())
    return Samples(root, tuple(images), *found, str(path), metadata, reader=reader, held_in=footers)


def digest(path: Path) -> str:
    """Return the SHA-256 of one file's labels, further columns and footer: no image is read.

    Raises
    ------
    InputError
        It cannot be read.
    """
    table, _ = _table(path, None)
    told = hashlib.sha256(repr(_footer(path)).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        told.update(repr((name, column.to_pylist())).encode())
    return told.hexdigest()


def _found(path: Path) -> list[Path]:
    inside = _inside(path)
    refuse_splits(path, inside)
    return inside or matching(path)


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())
    return sorted(p for p in found if not is_hidden(p.name))


def _table(path: Path, known: Columns | None) -> tuple[pa.Table, Columns]:
    try:
        with pq.ParquetFile(path) as parquet:
            schema = parquet.schema_arrow
            columns = find_columns(schema, features_of(schema), path)
            if known is not None and columns != known:
                raise InputError(f"{path}: other columns or classes than the files before it")
            return parquet.read(columns=[columns.label, *columns.further]), columns
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from None


def _footer(path: Path) -> tuple[int, str]:
    """Return a file's size and the digest of its footer: where its pages lie, and how large."""
    with path.open("rb") as file:
        end = file.seek(-_TAIL, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(end - length)
        return end + _TAIL, hashlib.sha256(file.read(length)).hexdigest()


def _outside(path: Path, column: str) -> Iterator[tuple[int, Path]]:
    """Yield the rows that only name a file, and the file; groups without any are not read."""
    start = 0
    try:
        with _opened(path) as parquet:
            for number in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(number)
                cells = _cells(parquet, number, column) if _may_name_files(group, column) else ()
                for offset, some in cells:
                    for row, place in outside_of(some, path.parent).items():
                        yield start + offset + row, place
                start += group.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from None


def _may_name_files(group: pq.RowGroupMetaData, column: str) -> bool:
    """Tell whether bytes are missing somewhere in a group, by what its writer counted."""
    for number in range(group.num_columns):
        facts = group.column(number)
        if facts.path_in_schema == f"{column}.bytes":
            counted = facts.statistics
            return counted is None or not counted.has_null_count or counted.null_count > 0
    return False
