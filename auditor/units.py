"""Options with a unit: a bare number is refused, because seconds and milliseconds look alike."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

__all__ = ["Duration", "Rate"]

_NUMBER = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*"
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}


def _duration(value: object) -> float:
    found = re.fullmatch(_NUMBER + r"(\w+)\s*", value) if isinstance(value, str) else None
    if found is None or found[2] not in _SECONDS:
        raise ValueError('give a time with its unit, such as "20 ms"')
    return float(found[1]) * _SECONDS[found[2]]


def _rate(value: object) -> float:
    pattern = _NUMBER + r"(?:img|images?)\s*/\s*s\s*"
    found = re.fullmatch(pattern, value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('give a rate with its unit, such as "50 img/s"')
    return float(found[1])


Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=str), Field(gt=0)]
"""Seconds, written as ``"20 ms"``, ``"1.5 s"`` or ``"800 us"``."""
Rate = Annotated[float, BeforeValidator(_rate, json_schema_input_type=str), Field(gt=0)]
"""Images a second, written as ``"50 img/s"``."""
