"""Data sets on disk as Hugging Face's ``save_to_disk`` writes them; ``datasets`` is not needed.

An image is called by its row from 0, as in ``dataset[17]``.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.data.columns import features_of, find_columns, image_of, labels_of, outside_of
from auditor.data.files import Container
from auditor.data.labels import name_labels
from auditor.data.samples import Samples
from auditor.data.single import stamp
from auditor.data.tables import texts_of
from auditor.errors import InputError

__all__ = ["ArrowImages", "claims", "read"]

_STATE, _SPLITS = "state.json", "dataset_dict.json"


@dataclass(eq=False)
class ArrowImages:
    """Opens images by row; the files are mapped into memory, not read."""

    files: tuple[Container, ...]
    column: str
    outside: Mapping[int, Path]
    """Row → file of the images that are only named."""

    @cached_property
    def _columns(self) -> list[pa.ChunkedArray]:
        return [_mapped(file.path)[self.column] for file in self.files]

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((len(column) for column in self._columns), initial=0))

    def read(self, image: str) -> bytes:
        """Return an image's file."""
        row = int(image)
        place = bisect_right(self._starts, row) - 1
        self.files[place].require_unchanged()
        cell = self._columns[place][row - self._starts[place]]
        return image_of(cell, self.files[place].path.parent)

    def stamp(self, image: str) -> object:
        """Return the files' sizes and times, the row, and those of a file that it names."""
        row = int(image)
        named = self.outside.get(row)
        return [file.stamp for file in self.files], row, named and stamp(named)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process cannot use."""
        return {"files": self.files, "column": self.column, "outside": self.outside}


def claims(path: Path) -> bool:
    """Tell whether it is a folder that ``save_to_disk`` wrote."""
    return (path / _STATE).is_file() or (path / _SPLITS).is_file()


def read(path: Path, classes: Sequence[str] | None = None) -> Samples:
    """List the images of a data set on disk; only the other columns are read.

    Raises
    ------
    InputError
        Naming the file and the row: damaged, a column is missing, or a label has no class.
    """
    if not (path / _STATE).is_file():
        splits = _texts(_json(path / _SPLITS).get("splits")) or ["…"]
        raise InputError(f"{path}: holds {', '.join(splits)}; name one: {path / splits[0]}")
    files = _files(path)
    table = _joined(path, files)
    columns = find_columns(table.schema, _features(path) or features_of(table.schema), path)
    if table.num_rows == 0:
        raise InputError(f"{path}: no rows; an empty split cannot be judged")
    named = name_labels(
        labels_of(table[columns.label], str(path)),
        lambda row: f"{path}: row {row}",
        columns.classes,
        classes,
    )
    images = tuple(str(row) for row in range(table.num_rows))
    metadata = {name: tuple(texts_of(table[name])) for name in columns.further}
    reader = ArrowImages(files, columns.image, dict(_outside(files, columns.image)))
    sizes = tuple(file.stamp[0] for file in files)
    return Samples(path, images, *named, str(path), metadata, reader=reader, held_in=sizes)


def _joined(path: Path, files: Sequence[Container]) -> pa.Table:
    try:
        return pa.concat_tables([_mapped(file.path) for file in files])
    except pa.ArrowException:
        raise InputError(
            f"{path}: its files have different columns; save it again with save_to_disk"
        ) from None


def _outside(files: Sequence[Container], column: str) -> Iterator[tuple[int, Path]]:
    start = 0
    for file in files:
        cells = _mapped(file.path)[column]
        for row, named in outside_of(cells, file.path.parent).items():
            yield start + row, named
        start += len(cells)


def _files(path: Path) -> tuple[Container, ...]:
    state = _json(path / _STATE)
    if state.get("_indices_data_files"):
        raise InputError(
            f"{path}: its rows stand in an index beside it; save it again after "
            "dataset.flatten_indices()"
        )
    listed = state.get("_data_files")
    entries = listed if isinstance(listed, list) else []
    names = _texts([isinstance(entry, Mapping) and entry.get("filename") for entry in entries])
    if not names:
        raise InputError(
            f'{path / _STATE}: no "filename" for each of its "_data_files"; save the data again '
            "with save_to_disk"
        )
    return tuple(Container.of(path / name) for name in names)


def _texts(value: Any) -> list[str]:
    """Return a list of texts as it is, and nothing of what is none."""
    are = isinstance(value, list) and all(isinstance(text, str) for text in value)
    return value if are else []


def _features(path: Path) -> Mapping[str, Any]:
    file = path / "dataset_info.json"
    features = _json(file).get("features") or {}
    if not isinstance(features, Mapping):
        raise InputError(
            f'{file}: "features" are no columns by name; save the data again with save_to_disk'
        )
    return features


def _mapped(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as an Arrow stream: {error}") from None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    return content if isinstance(content, Mapping) else {}
