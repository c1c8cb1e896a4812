"""What is wrong with a value of ``auditor.toml``, and what to write instead.

Pydantic tells programmers what a type expects; this tells who wrote the file what to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from auditor.check import Level
from auditor.config.literal import literal

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["explained"]

_DATE = "a date, such as 2030-01-31"
_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than": "a number below {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "string_type": "a text in quotes",
    "string_too_short": "a text that is not empty",
    "path_type": "a path in quotes",
    "tuple_type": "a list in [ ]",
    "list_type": "a list in [ ]",
    "too_long": "at most {max_length} values",
    "too_short": "at least {min_length} values",
    "dict_type": "a table",
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
}
"""Pydantic's type of an error → what is to be given."""
_TABLE = ("model_type", "model_attributes_type")
_LONGEST = 60


def explained(errors: Sequence[ErrorDetails], place: Sequence[str | int]) -> str:
    """Put all that is wrong at one place into a sentence.

    Parameters
    ----------
    errors
        Those of this place alone: several where a value may be of several kinds and is of none.
    place
        Table and key.
    """
    depth = max(len(error["loc"]) for error in errors)
    nearest = [error for error in errors if len(error["loc"]) == depth]
    return f"{_dotted(place)}: {_said(nearest, place)}"


def _dotted(place: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in place)


def _said(errors: Sequence[ErrorDetails], place: Sequence[str | int]) -> str:
    first = errors[0]
    if first["type"] in _TABLE or tuple(place) == ("waivers",):
        return _as_table(place, first["input"])
    if first["type"] != "missing":
        said = " or ".join(dict.fromkeys(map(_sentence, errors))).replace(" or give ", " or ")
    elif first["loc"][-1:] == tuple(place[-1:]):
        return "is required"
    else:  # some of the values of a list of fixed length
        said = f"give {len(first['input']) + len(errors)} values"
    return said + _given(first["input"], place)


def _sentence(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        return "give " + str(context["expected"]).replace("'", '"')
    if wanted := _WANTED.get(error["type"]):
        return f"give {wanted.format_map(context)}"
    return error["msg"].removeprefix("Value error, ")


def _as_table(place: Sequence[str | int], given: object) -> str:
    if place[0] == "waivers":
        return "write [[waivers]] above the lines of each"
    said = f"write it as a table, [{_dotted(place)}]"
    if place[0] == "checks" and given in get_args(Level):
        said += f" with level = {literal(given)}"
    return said


def _given(value: object, place: Sequence[str | int]) -> str:
    text = literal(value)
    if isinstance(value, dict) or len(text) > _LONGEST:
        return ""
    off = '; level = "off" leaves the check out' if value is False and place[0] == "checks" else ""
    return f", not {text}{off}"
