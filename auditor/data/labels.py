"""Labels as containers hold them, numbers or names, brought to class names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from auditor.data.classes import ASSUMED
from auditor.errors import InputError

__all__ = ["EXACT", "NamedLabels", "as_written", "in_order", "is_number", "name_labels"]

EXACT = 2.0**53
"""Whole numbers below this are those that were written; of others a float may have lost digits."""

_MOST = 1_000_000
"""Classes that a number for a label may imply; more is no class index."""
_DIGITS = 18
"""Digits that a number for a label may have; more are a name, and soon more than Python reads."""


class NamedLabels(NamedTuple):
    """Class names, and where their order came from."""

    labels: tuple[str, ...]
    """One an image."""
    classes: tuple[str, ...]
    """Every class."""
    order: str
    """Where the order of ``classes`` came from, as a sentence."""


def is_number(label: str) -> bool:
    """Tell whether a label that is written as text may be a place in a list of classes."""
    digits = label.removeprefix("-")
    return digits.isdecimal() and len(digits) <= _DIGITS


def as_written(label: object) -> object:
    """Return a whole number that is held as a float as such, and None for NaN.

    One gap makes a column of numbers floating, and NaN is the gap.
    """
    if not isinstance(label, float):
        return label
    if math.isnan(label):
        return None
    return int(label) if label.is_integer() and abs(label) < EXACT else label


def in_order(names: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """Return names without repetition, and in which order: by value where all are whole numbers."""
    found = {*names}
    if all(map(is_number, found)):
        return tuple(sorted(found, key=lambda name: (int(name), name))), "the order of the numbers"
    return tuple(sorted(found)), "plain order"


def name_labels(
    values: Sequence[int | str],
    where: Callable[[int], str],
    own: Sequence[str] | None = None,
    given: Sequence[str] | None = None,
) -> NamedLabels:
    """Turn labels into class names.

    A number is a place in the list of classes: in the container's own list, else in the user's,
    else it is the class's name itself. Text is a name.

    Parameters
    ----------
    values
        One label an image; all numbers, or all text.
    where
        Names the place of an image by its row, for complaints.
    own, given
        The lists of classes of the container and of the user.

    Raises
    ------
    InputError
        Numbers and text are mixed, or a number has no class.
    """
    texts = [row for row, value in enumerate(values) if isinstance(value, str)]
    if not texts:
        return _numbered([int(value) for value in values], where, own, given)
    if len(texts) != len(values):
        row = next(row for row, value in enumerate(values) if not isinstance(value, str))
        raise InputError(
            f"{where(row)}: the label is the number {values[row]}, but {where(texts[0])} has the "
            f'name "{values[texts[0]]}"; use one kind'
        )
    one = {str(value): str(value) for value in values}  # one string a class, however many images
    labels = tuple(one[str(value)] for value in values)
    if own is not None:
        return NamedLabels(labels, tuple(own), "as named by the data")
    classes, order = in_order(one)
    return NamedLabels(labels, classes, f"{ASSUMED}the data's labels in {order}")


def _numbered(
    values: Sequence[int],
    where: Callable[[int], str],
    own: Sequence[str] | None,
    given: Sequence[str] | None,
) -> NamedLabels:
    names = own if own is not None else given
    count = _MOST if names is None else len(names)
    for row, value in enumerate(values):
        if not 0 <= value < count:
            raise InputError(f"{where(row)}: {_no_class(value, names, own is None)}")
    if names is None:
        # A class without images must not shift those after it: numbers are the outputs' own.
        names = [str(number) for number in range(max(values) + 1)]
        order = f"{ASSUMED}the numbers that the data has for labels are the outputs' places"
    else:
        order = "as given in the configuration" if own is None else "as named by the data"
    return NamedLabels(tuple(names[value] for value in values), tuple(names), order)


def _no_class(value: int, names: Sequence[str] | None, is_given: bool) -> str:
    if value < 0:
        return f"the label is {value}, which is how an unlabelled image is marked; label it"
    if names is None:
        return f"the label {value} is no class index; write names, or places from 0"
    listed = "[candidate] classes" if is_given else "the data's own list"
    return (
        f"the label {value} is beyond the {len(names)} classes (0 to {len(names) - 1}) of {listed}"
    )
