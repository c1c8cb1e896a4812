"""CSV and Parquet tables whose text columns stay text: a class may be called ``1e3`` or ``no``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.data.labels import EXACT
from auditor.errors import InputError, did_you_mean
from auditor.naming import visible
from auditor.wording import plural

__all__ = [
    "column_names",
    "is_plain",
    "is_table",
    "metadata_of",
    "read_table",
    "require_columns",
    "text_column",
    "texts_of",
]


def is_table(path: Path) -> bool:
    """Tell whether the path is named like a table that ``read_table`` reads."""
    return path.suffix.lower() in {".csv", ".parquet", ".pq"}


def is_plain(type: pa.DataType) -> bool:
    """Tell whether a column has one plain value a row, which is no list, no bytes and no image."""
    if pa.types.is_dictionary(type):
        return is_plain(type.value_type)
    kinds = pa.types
    text = kinds.is_string(type) or kinds.is_large_string(type) or kinds.is_string_view(type)
    return bool(text or kinds.is_primitive(type) or kinds.is_decimal(type) or kinds.is_null(type))


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
            names = [name.strip() for name in next(csv.reader(stream), [])]
    except (OSError, UnicodeDecodeError, pa.ArrowException, csv.Error) as error:
        raise _unreadable(path, error) from None
    for name in names:
        _refuse_break(f"{path}:1", "the name of a column", name)
    return names


def read_table(path: Path, numbers: Iterable[str] = ()) -> Any:
    """Return a ``pyarrow.Table``; columns in ``numbers`` are float64, all others text.

    Columns without one plain value a row, such as embeddings and boxes, are left out.
    """
    names, numeric = column_names(path), set(numbers)
    schema = {n: pa.float64() if n in numeric else pa.string() for n in names}
    try:
        if path.suffix.lower() == ".csv":
            try:
                table = _read_csv(path, schema)
            except pa.ArrowInvalid:
                _refuse_row(path, names, numeric)
                raise
            _refuse_swallowed(path, table)
            return table
        table = _written_out(_read_parquet(path), numeric)
        for name in numeric.intersection(names):
            _require_plain(path, table, name)
        return table.cast(pa.schema([(n, schema[n]) for n in table.column_names]))
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, UnicodeDecodeError):
        return InputError(f'{path}: is not UTF-8; save it as UTF-8 ("CSV UTF-8" in Excel)')
    return InputError(f"{path}: cannot be read as a table: {error}")


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


def _refuse_row(path: Path, names: Sequence[str], numeric: Collection[str]) -> None:
    """Raise ``InputError`` for the first row of more or fewer cells, or with no number in one.

    What is not UTF-8 is a ``UnicodeDecodeError``.
    """
    import csv

    line = 1
    with suppress(csv.Error), path.open(encoding="utf-8-sig", newline="") as f:
        rows = csv.reader(f)
        for row in rows:
            if len(row) not in (0, len(names)):
                _refuse_break(f"{path}:{line}", "a cell", "".join(row))
                raise InputError(
                    f"{path}:{line}: it has {plural(len(row), 'cell')}, the header {len(names):,}; "
                    "write one for each column, in quotation marks where it holds a comma"
                )
            for name, cell in zip(names, row, strict=False):
                if line > 1 and name in numeric and not _is_number(cell):
                    raise InputError(
                        f'{path}:{line}: "{visible(cell)}" in column "{name}" is no number; write '
                        "one such as 0.25"
                    )
            line = rows.line_num + 1


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        float(cell or "nan")
        return True
    return False


def _refuse_swallowed(path: Path, table: Any) -> None:
    """Raise ``InputError`` for a text that reaches as far into a later line as its own column.

    Then a quotation mark was not closed, and the text is rows that would not be judged. Texts of
    several lines that are texts alone, such as remarks, may stay.
    """
    import pyarrow.compute as pc

    for commas, name in enumerate(table.column_names):
        if table.schema.types[commas] != pa.string():
            continue
        column = table.column(commas)
        for row in pc.indices_nonzero(pc.match_substring_regex(column, "[\\r\\n]")).to_pylist():
            lines = column[row].as_py().splitlines()[1:]
            if any(line.count(",") >= commas for line in lines):
                _refuse_break(f"{path}:{row + 2}", f'"{name}"', column[row].as_py())


def _read_parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    plain = [field.name for field in pq.read_schema(path) if is_plain(field.type)]
    return pq.read_table(path, columns=plain)


def _written_out(table: Any, numeric: set[str]) -> Any:
    """Write floating columns as text: NaN is a gap, and whole numbers have all their digits.

    One gap makes a column of numbers floating. Cast by Arrow, a gap would be a class called "nan",
    and 15000000000 be called 1.5e+10, which no other table calls it.
    """
    for i, field in enumerate(table.schema):
        if field.name not in numeric and pa.types.is_floating(field.type):
            table = table.set_column(i, field.name, _floats_as_text(table.column(i)))
    return table


def _floats_as_text(column: Any) -> Any:
    import pyarrow.compute as pc

    text, value = column.cast(pa.string()), column.cast(pa.float64())
    whole = pc.and_(pc.less(pc.abs(value), EXACT), pc.equal(value, pc.trunc(value)))
    numbers = pc.if_else(whole, value, pa.scalar(None, pa.float64())).cast(pa.int64())
    written = pc.if_else(whole, numbers.cast(pa.string()), text)
    return pc.if_else(pc.is_nan(value), pa.scalar(None, pa.string()), written)


def require_columns(path: Path, names: Sequence[str], required: Iterable[str]) -> None:
    """Raise ``InputError`` for the first column that is absent, or stands twice."""
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        raise InputError(f'{path}: the column "{twice}" stands twice; rename or remove one')
    for name in required:
        if name not in names:
            has = ", ".join(names[:8]) or "nothing"
            commas = path.suffix.lower() == ".csv" and _is_separated_otherwise(names, name)
            hint = "; separate columns by commas" if commas else did_you_mean(name, names)
            raise InputError(f'{path}: no column "{name}"{hint} (it has: {has})')


def _is_separated_otherwise(names: Sequence[str], wanted: str) -> bool:
    """Tell whether what a spreadsheet puts between columns has made one name of several.

    It has where there is one name alone, or the wanted one is a part of another.
    """
    parts = [part.strip(' "') for name in names for part in re.split(r"[;\t|]", name)]
    return len(parts) > len(names) and (len(names) == 1 or wanted in parts)


def text_column(path: Path, table: Any, name: str) -> list[str]:
    """Return a text column; ``InputError`` names the line of the first cell that holds no text.

    A cell with a line break is none: after a quotation mark that nobody closed it is the rows that
    follow, which would not be judged.
    """
    _require_plain(path, table, name)
    values: list[str | None] = table.column(name).to_pylist()
    for row, value in enumerate(values):
        if not value:
            raise InputError(f'{path}:{row + 2}: "{name}" is empty')
        _refuse_break(f"{path}:{row + 2}", f'"{name}"', value)
    return [value for value in values if value is not None]


def _require_plain(path: Path, table: Any, name: str) -> None:
    if name not in table.column_names:
        raise InputError(
            f'{path}: "{name}" holds lists or bytes; write one text or number into each row'
        )


def _refuse_break(where: str, what: str, text: str) -> None:
    if "\n" in text or "\r" in text:
        raise InputError(f"{where}: {what} holds a line break: is a quotation mark not closed?")


def texts_of(column: pa.ChunkedArray) -> list[str]:
    """Return plain values as the texts that ``read_table`` has for them; a gap is an empty text."""
    if pa.types.is_floating(column.type):
        column = _floats_as_text(column)
    return [value or "" for value in column.cast(pa.string()).to_pylist()]


def metadata_of(table: Any, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return text columns by name, of those that were read; an empty cell is an empty text."""
    there = (name for name in names if name in table.column_names)
    return {name: tuple(v or "" for v in table.column(name).to_pylist()) for name in there}
