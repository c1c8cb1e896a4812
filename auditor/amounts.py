"""Amounts as people write them in ``auditor.toml``: ``"5.3 M"``, ``"0.4 G"``, ``"21 MB"``.

MACs and bytes need their unit, because a bare number is read by each in his own: MACs come in
millions and billions, files in MB and MiB.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

__all__ = ["Bytes", "Count", "Macs"]

_SCALES = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_SIZES = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


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


def _parted(value: object) -> tuple[float | None, str]:
    """Return number and unit, in capitals; None where it is no positive number."""
    pattern = r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*"
    found = re.fullmatch(pattern, value) if isinstance(value, str) else None
    return (float(found[1]), found[2].upper()) if found else (None, "")


def _refused(message: str) -> PydanticCustomError:
    return PydanticCustomError("amount", "{message}", {"message": message})


Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int | str), Field(gt=0)]
"""A number of things: ``"5.3 M"``, or a whole number."""
Macs = Annotated[int, BeforeValidator(_macs, json_schema_input_type=str), Field(gt=0)]
"""Multiply–accumulates: ``"0.4 G"`` or ``"400 MMAC"``."""
Bytes = Annotated[int, BeforeValidator(_bytes, json_schema_input_type=str), Field(gt=0)]
"""A size: ``"21 MB"`` or ``"20 MiB"``."""
