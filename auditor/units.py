"""Options with a unit, as people write them: ``"0.4 G"``, ``"21 MB"``, ``"20 ms"``, ``"50 img/s"``.

MACs, bytes and times need their unit, because a bare number is read by each in his own: MACs come
in millions and billions, files in MB and MiB, times in seconds and milliseconds.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

__all__ = ["Bytes", "Count", "Duration", "Macs", "Rate"]

_SCALES = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_SIZES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"S": 1.0, "MS": 1e-3, "US": 1e-6, "ΜS": 1e-6}  # the capital of both signs for micro


_MOST = 1e18
"""No model has more of anything: what is larger was mistyped, and no float holds it with a unit."""


def _count(value: object) -> object:
    """Read ``"5.3 M"``; whole numbers are left as they are."""
    if not isinstance(value, str):
        return value
    number, unit = _parted(value)
    if number is None or unit not in _SCALES:
        raise _refused('write it as "5.3 M" or as a whole number')
    return round(number * _SCALES[unit])


def _macs(value: object) -> int:
    """Read ``"0.4 G"`` or ``"400 MMAC"``."""
    number, unit = _parted(value)
    if unit.endswith(("FLOP", "FLOPS")):
        raise _refused('FLOPs are MACs in some papers and twice that in others; write "0.4 GMAC"')
    scale = re.sub(r"MACS?$", "", unit)
    if number is None or scale not in _SCALES or not unit:
        raise _refused('give the unit, such as "0.4 G" or "400 MMAC"')
    return round(number * _SCALES[scale])


def _bytes(value: object) -> int:
    """Read ``"21 MB"`` or ``"20 MiB"``."""
    number, unit = _parted(value)
    if number is None or unit not in _SIZES:
        raise _refused('give the unit, such as "21 MB" (decimal) or "20 MiB" (binary)')
    return round(number * _SIZES[unit])


def _duration(value: object) -> float:
    """Read ``"20 ms"``."""
    number, unit = _parted(value)
    if number is None or unit not in _SECONDS:
        raise _refused('give a time with its unit, such as "20 ms"')
    return number * _SECONDS[unit]


def _rate(value: object) -> float:
    """Read ``"50 img/s"``."""
    number, unit = _parted(value)
    if number is None or not re.fullmatch(r"(IMG|IMAGES?)\s*/\s*S", unit):
        raise _refused('give a rate with its unit, such as "50 img/s"')
    return number


def _parted(value: object) -> tuple[float | None, str]:
    """Return number and unit, in capitals; None where it is no positive number of a model."""
    pattern = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([^\W\d_][\w\s/]*?)?\s*"
    found = re.fullmatch(pattern, value) if isinstance(value, str) else None
    if found is None or (number := float(found[1])) > _MOST:
        return None, ""
    return number, (found[2] or "").upper()


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("unit", "{message}", {"message": message})


Count = Annotated[
    int, BeforeValidator(_count, json_schema_input_type=int | str), Field(gt=0, examples=["5.3 M"])
]
"""A number of things: ``"5.3 M"``, or a whole number."""
Macs = Annotated[
    int, BeforeValidator(_macs, json_schema_input_type=str), Field(gt=0, examples=["0.4 G"])
]
"""Multiply–accumulates: ``"0.4 G"`` or ``"400 MMAC"``."""
Bytes = Annotated[
    int, BeforeValidator(_bytes, json_schema_input_type=str), Field(gt=0, examples=["21 MB"])
]
"""A size: ``"21 MB"`` or ``"20 MiB"``."""
Duration = Annotated[
    float, BeforeValidator(_duration, json_schema_input_type=str), Field(gt=0, examples=["20 ms"])
]
"""Seconds, written as ``"20 ms"``, ``"1.5 s"`` or ``"800 us"``."""
Rate = Annotated[
    float, BeforeValidator(_rate, json_schema_input_type=str), Field(gt=0, examples=["50 img/s"])
]
"""Images a second, written as ``"50 img/s"``."""
