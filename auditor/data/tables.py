"""CSV and Parquet tables whose text columns stay text: a class may be called ``1e3`` or ``no``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.errors import InputError, did_you_mean

__all__ = [
    "column_names",
    "is_table",
    "metadata_of",
    "read_table",
    "require_columns",
    "text_column",
]


def is_table(path: Path) -> bool:
    """Tell whether the path is named like a table that ``read_table`` reads."""
    return path.suffix.lower() in {".csv", ".parquet", ".pq"}


def column_names(path: Path) -> list[str]:
    """Return the names of the columns."""
    import csv

    if path.is_file() and not is_table(path):
        raise InputError(
            f"{path}: is not named as a table that can be read; save it as .csv, with commas, "
            "or as .parquet"
        )
    try:
        if path.suffix.lower() != ".csv":
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [name.strip() for name in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, pa.ArrowException, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None


def read_table(path: Path, numbers: Iterable[str] = ()) -> Any:
    """Return a ``pyarrow.Table``; columns in ``numbers`` are float64, all others text."""
    names, numeric = column_names(path), set(numbers)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f'{path}: the column "{twice}" stands twice')
    schema = {n: pa.float64() if n in numeric else pa.string() for n in names}
    try:
        table = _read_csv(path, schema) if path.suffix.lower() == ".csv" else _read_parquet(path)
        table = _without_nan(table, numeric)
        return table.cast(pa.schema(list(schema.items())))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None


def _read_csv(path: Path, schema: dict[str, pa.DataType]) -> Any:
    from pyarrow import csv

    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(column_names=list(schema), skip_rows=1),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema, null_values=[""], strings_can_be_null=True
        ),
    )


def _read_parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def _without_nan(table: Any, numeric: set[str]) -> Any:
    """Make NaN in a text column what it is, a gap: cast, it would be a class called "nan"."""
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        if field.name not in numeric and pa.types.is_floating(field.type):
            column = table.column(i)
            gap = pa.scalar(None, field.type)
            table = table.set_column(i, field.name, pc.if_else(pc.is_nan(column), gap, column))
    return table


def require_columns(path: Path, names: Sequence[str], required: Iterable[str]) -> None:
    """Raise ``InputError`` for the first column that is absent."""
    for name in required:
        if name not in names:
            has = ", ".join(names[:8]) or "nothing"
            raise InputError(
                f'{path}: no column "{name}"{did_you_mean(name, names)} (it has: {has})'
            )


def text_column(path: Path, table: Any, name: str) -> list[str]:
    """Return a text column; ``InputError`` names the line of the first empty cell."""
    values: list[str | None] = table.column(name).to_pylist()
    for row, value in enumerate(values):
        if not value:
            raise InputError(f'{path}:{row + 2}: "{name}" is empty')
    return [value for value in values if value is not None]


def metadata_of(table: Any, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return text columns by name, one value a row; an empty cell is an empty text."""
    return {name: tuple(v or "" for v in table.column(name).to_pylist()) for name in names}
