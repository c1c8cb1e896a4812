"""The whole test set, and the classes corrected for their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.comparison.result import Change, Comparison
from auditor.comparison.side import Counts, Floats
from auditor.multiplicity import TOGETHER
from auditor.stats import Interval

__all__ = ["Table", "corrected"]


class Table(NamedTuple):
    """Columns whose first row is the whole test set, and whose others are the classes."""

    right_before: Counts
    n_before: Counts
    right_after: Counts
    n_after: Counts
    intervals: list[tuple[float, float]]
    p_worse: Floats
    p_better: Floats
    p_best: Floats
    """Lowest p-value that the images which flipped could give."""
    p_dead: Floats
    """P-value if the candidate had no image right."""
    flips: tuple[Counts, Counts] | None = None


def corrected(
    table: Table, classes: Sequence[str], confidence: float, rare: Set[str] = frozenset()
) -> Comparison:
    """Return the comparison that a table amounts to, its classes' p-values corrected.

    Classes without images on either side are left out.
    """
    level = (1 - confidence) / 2
    judged = 1 + np.flatnonzero((table.n_before[1:] > 0) & (table.n_after[1:] > 0))
    names = ("test", *classes)
    pooled = [row for row in judged.tolist() if names[row] in rare]
    if not _could_fall(table, pooled, level * TOGETHER):
        pooled = []
    level *= 1 - TOGETHER if pooled else 1
    family = judged[_tarone(table.p_best[judged], level)]
    adjusted = (
        _adjusted(stats.holm, table.p_worse, family),
        _adjusted(stats.holm, table.p_better, family),
        _adjusted(stats.benjamini_hochberg, table.p_worse, family),
    )
    p = list(zip(*adjusted, strict=True))
    blind = table.p_dead > level / np.where(np.arange(len(table.p_dead)), len(judged), 1)
    changes = [
        _change(names[row], table, row, p[row], bool(blind[row])) for row in (0, *judged.tolist())
    ]
    return Comparison(
        overall=changes[0],
        classes=tuple(changes[1:]),
        family=len(family),
        confidence=confidence,
        pooled=frozenset(names[row] for row in pooled),
    )


def _could_fall(table: Table, rows: Sequence[int], level: float) -> bool:
    """Tell whether several classes together could be rejected at all, had they lost each flip.

    As of Tarone's classes: those of which the flips can show nothing cost the others nothing.
    """
    if table.flips is None or len(rows) < 2:
        return False
    flips = sum(int(side[rows].sum()) for side in table.flips)
    return bool(0.5**flips <= level)


def _change(name: str, table: Table, row: int, p: tuple[float, ...], blind: bool) -> Change:
    b, c = table.flips or (None, None)
    return Change(
        name=name,
        right_before=int(table.right_before[row]),
        n_before=int(table.n_before[row]),
        right_after=int(table.right_after[row]),
        n_after=int(table.n_after[row]),
        lost=None if b is None else int(b[row]),
        won=None if c is None else int(c[row]),
        interval=Interval(*table.intervals[row]),
        p_worse=float(p[0]),
        p_better=float(p[1]),
        q_worse=float(p[2]),
        blind=blind,
    )


def _tarone(p_best: Floats, level: float) -> NDArray[np.bool_]:
    """Return which hypotheses could be rejected at all (Tarone, Biometrics 46, 1990).

    The smallest k such that at most k of them can reach ``level / k``; a class in which nothing
    flipped then costs the others nothing.
    """
    k = 1
    while (p_best <= level / k).sum() > k:
        k += 1
    return np.asarray(p_best <= level / k)


def _adjusted(adjust: Callable[[Floats], Floats], p: Floats, family: Counts) -> Floats:
    """Return p-values corrected within a family, 1 outside of it; the first row stands alone."""
    tested = np.full_like(p, np.nan)
    tested[family] = p[family]
    out = np.nan_to_num(adjust(tested), nan=1.0)
    out[0] = p[0]
    return np.asarray(out)
