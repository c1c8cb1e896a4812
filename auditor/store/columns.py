"""How evidence lies in a table: what is said beside the rows, rows of what was lost, arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "made_by",
    "matrix",
    "matrix_of",
    "telling",
    "telling_schema",
    "told",
    "with_lost",
    "without_lost",
]


def telling(table: pa.Table, about: Mapping[str, Any], *, sort_keys: bool = True) -> pa.Table:
    """Return a table that says what fits no column, as JSON values."""
    return table.replace_schema_metadata({"about": json.dumps(about, sort_keys=sort_keys)})


def telling_schema(schema: pa.Schema, about: Mapping[str, Any], method: str) -> pa.Schema:
    """Return the columns of a table that says so, too, and by what method its rows were made."""
    return schema.with_metadata({"about": json.dumps(about, sort_keys=True), "method": method})


def told(said: pa.Table | pa.Schema) -> dict[str, Any]:
    """Return what was put beside the rows of a table; nothing where nothing is said.

    Raises
    ------
    ValueError
        What stands there is no JSON: another program wrote it, or it is harmed.
    """
    schema = getattr(said, "schema", said)
    about: dict[str, Any] = json.loads((schema.metadata or {}).get(b"about", b"{}"))
    return about


def made_by(schema: pa.Schema, method: str) -> bool:
    """Tell whether a table says that its rows were made by a method."""
    return bool((schema.metadata or {}).get(b"method", b"") == method.encode())


def with_lost(columns: Mapping[str, pa.Array], unreadable: Mapping[str, str]) -> pa.Table:
    """Return a row an image, the unreadable ones last, which have a name and a reason alone."""
    import pyarrow as pa

    schema = pa.schema({"image": pa.string(), "error": pa.string()})
    lost = pa.table([list(unreadable), list(unreadable.values())], schema=schema)
    return pa.concat_tables([pa.table(columns), lost], promote_options="default")


def without_lost(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows of readable images, and unreadable image → reason.

    Where no image could be read, a table from a pass has no other columns than a name and a reason.
    """
    import pyarrow.compute as pc

    lost = table.filter(pc.is_valid(table["error"]))
    if len(lost):  # to filter is to copy, and probabilities can be large
        table = table.filter(pc.is_null(table["error"]))
    return table, dict(zip(lost["image"].to_pylist(), lost["error"].to_pylist(), strict=True))


def matrix(values: NDArray[Any]) -> pa.Array:
    """Return a column from an array of shape (n, …), whose rows are one binary value each.

    As lists of numbers the probabilities of 50,000 images and 1,000 classes take ten times as long
    to read as all that is done with them.
    """
    import pyarrow as pa

    rows = np.ascontiguousarray(values)
    width = rows.itemsize * prod(rows.shape[1:])
    buffers = [None, pa.py_buffer(rows.astype(rows.dtype.newbyteorder("<"), copy=False))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), buffers)


def matrix_of(table: pa.Table, name: str, dtype: type[np.generic]) -> NDArray[Any] | None:
    """Return a column that ``matrix`` made, shape (n, k); None where there is no such column."""
    if name not in table.column_names:
        return None
    chunks = table[name].chunks
    # To combine is to copy even one chunk, and probabilities can be large.
    column = chunks[0] if len(chunks) == 1 else table[name].combine_chunks()
    width = column.type.byte_width
    start, end = (row * width for row in (column.offset, column.offset + len(column)))
    little = np.dtype(dtype).newbyteorder("<")
    values = np.frombuffer((column.buffers()[1] or b"")[start:end], little)
    return values.reshape(len(column), width // little.itemsize).astype(dtype, copy=False)
