"""Columns of tables that hold images: which is which, and one image of one cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from auditor.data.classes import refuse_twice
from auditor.data.labels import as_written
from auditor.data.single import read_file
from auditor.data.tables import is_plain, require_columns
from auditor.errors import InputError

__all__ = [
    "Columns",
    "features_of",
    "find_columns",
    "holds_images",
    "image_of",
    "labels_of",
    "outside_of",
]


class Columns(NamedTuple):
    """The columns of a table of images."""

    image: str
    label: str
    classes: tuple[str, ...] | None
    """Class names in the order of the label's numbers, where the table says."""
    further: tuple[str, ...]
    """Columns with one plain value an image."""


def features_of(schema: pa.Schema) -> Mapping[str, Any]:
    """Return what Hugging Face's ``datasets`` wrote of the columns into a schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return features if isinstance(features, Mapping) else {}


def holds_images(schema: pa.Schema) -> bool:
    """Tell whether a table holds the images themselves, not the paths of files."""
    types = [field.type for field in schema if field.name == "image"]
    return any(_is_image(t) for t in types) or _only(features_of(schema), "Image") is not None


def find_columns(schema: pa.Schema, features: Mapping[str, Any], path: Path) -> Columns:
    """Return the columns, which are ``image`` and ``label`` unless the features tell others.

    Raises
    ------
    InputError
        There is no such column, or one twice; the images are not bytes; or the features name no
        class for each number.
    """
    image = "image" if "image" in schema.names else _only(features, "Image") or "image"
    label = "label" if "label" in schema.names else _only(features, "ClassLabel") or "label"
    require_columns(path, schema.names, (image, label))
    if not _is_image(schema.field(image).type):
        raise InputError(
            f'{path}: "{image}" is {schema.field(image).type}, not bytes, nor bytes and path; a '
            "table of paths is a manifest, one .csv or .parquet file"
        )
    further = [f.name for f in schema if f.name not in (image, label) and is_plain(f.type)]
    return Columns(image, label, _classes(features.get(label), label, path), tuple(further))


def _classes(feature: Any, label: str, path: Path) -> tuple[str, ...] | None:
    """Return the class names that the features give the numbers of the label, if they do."""
    if feature is None:
        return None
    where = f'{path}: the feature "{label}"'
    if not isinstance(feature, Mapping):
        raise InputError(f"{where} is a list: several labels an image; keep one label an image")
    names = feature.get("names")
    if not names:
        return None
    advice = "give the column a ClassLabel with one name a class, and save it again"
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{where} has "names" that are no list of texts; {advice}')
    refuse_twice(names, where, advice)
    return tuple(names)


def _only(features: Mapping[str, Any], kind: str) -> str | None:
    found = [n for n, f in features.items() if isinstance(f, Mapping) and f.get("_type") == kind]
    return found[0] if len(found) == 1 else None


def _is_image(type: pa.DataType) -> bool:
    if pa.types.is_struct(type):
        names = {type.field(i).name: type.field(i).type for i in range(type.num_fields)}
        return "bytes" in names and _is_binary(names["bytes"])
    return _is_binary(type)


def _is_binary(type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type))


def labels_of(column: pa.ChunkedArray, where: str) -> list[int | str]:
    """Return the labels of a column; ``InputError`` names the row of the first that is none."""
    kept: Sequence[Any] = [*map(as_written, column.to_pylist())]
    for row, value in enumerate(kept):
        if value is None or value == "":
            raise InputError(f'{where}: row {row} has no label ("{value or ""}"); label it')
        if not isinstance(value, int | str):
            raise InputError(
                f"{where}: row {row} has the label {value!r}; use a whole number or a name"
            )
    return list(kept)


def image_of(cell: pa.Scalar, folder: Path) -> bytes:
    """Return the image in a cell; ``OSError`` where there is none.

    Parameters
    ----------
    cell
        Bytes, or bytes and path.
    folder
        What a path without bytes is relative to.
    """
    value = cell.as_py()
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
        value = read_file(folder / path) if data is None and path else data
    if value is None:
        raise OSError("no image in its row")
    return bytes(value)


def outside_of(column: pa.Array | pa.ChunkedArray, folder: Path) -> dict[int, Path]:
    """Return row → file of the images that a column only names; no image is read.

    Parameters
    ----------
    column
        Cells that ``image_of`` takes.
    folder
        What their paths are relative to.
    """
    names = {field.name for field in column.type} if pa.types.is_struct(column.type) else set()
    if not names >= {"bytes", "path"}:
        return {}
    data, path = (pc.struct_field(column, name) for name in ("bytes", "path"))
    rows = pc.indices_nonzero(pc.and_(pc.is_null(data), pc.is_valid(path))).to_pylist()
    return {row: folder / named for row in rows if (named := path[row].as_py())}
