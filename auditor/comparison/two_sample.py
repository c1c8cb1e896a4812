"""Two models on test sets without a common image: two independent samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from auditor import stats
from auditor.comparison.comparable import require_images_of_same_classes
from auditor.comparison.family import Table, corrected
from auditor.comparison.result import Comparison
from auditor.comparison.side import Side, counter

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["two_sample"]


def two_sample(before: Predictions, test: Predictions, confidence: float) -> Comparison:
    """Compare two models on different images: exact bounds combined, Fisher's exact tests.

    Raises
    ------
    NotComparable
        Where only one of the two has images of some class.
    """
    old, new = Side.of(before, test.classes), Side.of(test)
    count_old, count_new = (counter(side.label, len(test.classes)) for side in (old, new))
    n_old, n_new = count_old(None), count_new(None)
    require_images_of_same_classes(n_old > 0, n_new > 0, test.classes)
    right_old, right_new = count_old(old.right), count_new(new.right)
    rows = list(zip(right_new, n_new, right_old, n_old, strict=True))
    p_worse = np.array([_fisher(row, "less") for row in rows])
    table = Table(
        right_before=right_old,
        n_before=n_old,
        right_after=right_new,
        n_after=n_new,
        intervals=[_bounds(row, confidence) for row in rows],
        p_worse=p_worse,
        p_better=np.array([_fisher(row, "greater") for row in rows]),
        p_best=np.zeros(len(rows)),
        p_dead=np.array([_fisher((0, *row[1:]), "less") for row in rows]),
    )
    return corrected(table, test.classes, confidence)


def _bounds(row: Sequence[int], confidence: float) -> tuple[float, float]:
    a, n, b, m = map(int, row)
    return stats.difference_interval(a, n, b, m, confidence) if n and m else (-1.0, 1.0)


def _fisher(row: Sequence[int], alternative: Literal["less", "greater"]) -> float:
    from scipy.stats import fisher_exact

    a, n, b, m = map(int, row)
    return float(fisher_exact(np.array([[a, n - a], [b, m - b]]), alternative).pvalue)
