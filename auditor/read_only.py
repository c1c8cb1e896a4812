"""Evidence that nobody can write into: whoever asks for it is given the same arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

__all__ = ["read_only", "read_only_property"]

T = TypeVar("T")
_PLAIN = (str, bytes, int, float, type(None))


def read_only(value: T) -> T:
    """Return a value whose arrays cannot be written into any more; nothing is copied.

    They are found in dataclasses, tuples, lists and mappings, however nested. Lists and mappings
    themselves, and objects of other kinds, such as a data frame, stay as they are.
    """
    waiting: list[Any] = [value]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, np.ndarray):
            part.flags.writeable = False
        elif id(part) not in seen:
            seen.add(id(part))
            waiting.extend(_parts(part))
    return value


def _parts(value: Any) -> list[Any]:
    """Return what a value consists of, but for texts and numbers, which may be many."""
    parts: Iterable[Any] = ()
    if is_dataclass(value) and not isinstance(value, type):
        parts = (getattr(value, field.name, None) for field in fields(value))
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, tuple | list):
        parts = value
    return [part for part in parts if not isinstance(part, _PLAIN)]


class read_only_property(cached_property[T]):  # noqa: N801 - it stands where cached_property would
    """A ``cached_property`` of evidence, whose arrays cannot be written into either."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(lambda owner: read_only(function(owner)))
        self.__doc__ = function.__doc__
