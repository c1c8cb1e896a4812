"""Cuts a sparse confusion matrix down to what a reader can look at."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.naming import short_names
from auditor.record import ConfusionExhibit

__all__ = [
    "OTHERS",
    "Counts",
    "Matrix",
    "Pair",
    "binned",
    "confused_pairs",
    "dense",
    "merged",
    "most_confused",
]

Counts = NDArray[np.int64]

OTHERS = "(all others)"
"""Name of the row and column that stand for the classes left out."""

_LABEL = 28
"""Characters of a class's name beside a drawn matrix."""
_CLASSES = 20
"""Classes of their own in a matrix that is cut; with all others they fill a page."""
_FEWEST_BINS = 150
_MOST_BINS = 500
"""Rows of a matrix of errors alone."""
_PAIRS = 25
"""Pairs of classes that are listed."""


class Matrix(NamedTuple):
    """Images by label (rows) and prediction (columns)."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    """The names as an image may hold them: short, and no two of the data set's classes alike."""
    counts: Counts


class Pair(NamedTuple):
    """Two classes that are taken for each other."""

    a: str
    b: str
    a_as_b: int
    b_as_a: int

    @property
    def total(self) -> int:
        """Images confused either way."""
        return self.a_as_b + self.b_as_a


def _cells(exhibit: ConfusionExhibit) -> Counts:
    return np.array(exhibit.cells, dtype=np.int64).reshape(-1, 3)


def _gather(cells: Counts, group: Counts, groups: int) -> Counts:
    counts = np.zeros((groups, groups), dtype=np.int64)
    np.add.at(counts, (group[cells[:, 0]], group[cells[:, 1]]), cells[:, 2])
    return counts


def dense(exhibit: ConfusionExhibit) -> Matrix:
    """Return the whole matrix."""
    n = len(exhibit.classes)
    counts = _gather(_cells(exhibit), np.arange(n), n)
    return Matrix(exhibit.classes, _labels(exhibit, exhibit.classes), counts)


def _labels(exhibit: ConfusionExhibit, names: tuple[str, ...]) -> tuple[str, ...]:
    short = short_names((*exhibit.classes, OTHERS), _LABEL)
    return tuple(short[name] for name in names)


def most_confused(exhibit: ConfusionExhibit) -> Matrix:
    """Return the sub-matrix of the classes in most errors, and all others as one class.

    An error counts for both classes: the one it belongs to and the one it was put into.
    """
    cells, n = _cells(exhibit), len(exhibit.classes)
    wrong = cells[cells[:, 0] != cells[:, 1]]
    errors = np.bincount(wrong[:, :2].ravel(), np.repeat(wrong[:, 2], 2), minlength=n)
    chosen = np.argsort(-errors, kind="stable")[:_CLASSES]
    group = np.full(n, len(chosen))
    group[chosen] = np.arange(len(chosen))
    names = (*(exhibit.classes[i] for i in chosen), OTHERS)
    return Matrix(names, _labels(exhibit, names), _gather(cells, group, len(chosen) + 1))


def binned(exhibit: ConfusionExhibit) -> Counts:
    """Return the errors alone, neighbouring classes added together to about an error a cell.

    The square matrix has 150 to 500 rows, and no more than classes.
    """
    cells, n = _cells(exhibit), len(exhibit.classes)
    wrong = cells[cells[:, 0] != cells[:, 1]]
    # Single errors in more cells than that are dots too small to be seen.
    bins = min(n, _MOST_BINS, max(_FEWEST_BINS, math.isqrt(int(wrong[:, 2].sum()))))
    return _gather(wrong, np.arange(n) * bins // n, bins)


def merged(exhibit: ConfusionExhibit) -> str:
    """Say how many classes share a cell of the errors alone; empty where each has its own."""
    most = math.ceil(len(exhibit.classes) / len(binned(exhibit)))
    if most == 1:
        return ""
    return (
        f"each cell adds up the errors of up to {most:,} neighbouring labels × {most:,} predictions"
    )


def confused_pairs(exhibit: ConfusionExhibit) -> list[Pair]:
    """Return the pairs of classes confused most, both ways together."""
    ways: dict[tuple[int, int], list[int]] = {}
    for label, predicted, images in exhibit.cells:
        if label != predicted:
            key = (min(label, predicted), max(label, predicted))
            ways.setdefault(key, [0, 0])[label > predicted] += images
    worst = sorted(ways.items(), key=lambda item: (-sum(item[1]), item[0]))[:_PAIRS]
    return [Pair(exhibit.classes[a], exhibit.classes[b], *both) for (a, b), both in worst]
