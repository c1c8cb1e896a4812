"""Two models on the same images: McNemar's test, and the interval of the difference."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.comparison.comparable import require_same_labels
from auditor.comparison.family import Table, corrected
from auditor.comparison.result import Change, Comparison, Flip
from auditor.comparison.side import Counts, Floats, Side, counter
from auditor.wording import ALL_RARE

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["exact_p", "mid_p", "paired", "paired_interval", "paired_intervals", "together"]


def paired(
    before: Side,
    after: Side,
    test: Predictions,
    confidence: float,
    rare: Set[str] = frozenset(),
) -> Comparison:
    """Compare two models on the same images, row by row; ``rare`` classes together, too.

    Raises
    ------
    NotComparable
        Where an image carries another label than it did.
    """
    require_same_labels(before, after, test)
    lost, won = before.right & ~after.right, after.right & ~before.right
    count = counter(after.label, len(test.classes))
    n, b, c = count(None), count(lost), count(won)
    low, high = paired_intervals(b, c, n, confidence)
    table = Table(
        right_before=count(before.right),
        n_before=n,
        right_after=count(after.right),
        n_after=n,
        intervals=list(zip(low.tolist(), high.tolist(), strict=True)),
        p_worse=_p_values(b, c),
        p_better=_p_values(c, b),
        p_best=_p_values(b + c, np.zeros_like(b)),
        p_dead=_p_values(count(before.right), np.zeros_like(b)),
        flips=(b, c),
    )
    return replace(
        corrected(table, test.classes, confidence, rare),
        changed=int((before.predicted != after.predicted).sum()),
        lost=_flips(lost, before, after, test),
        won=_flips(won, before, after, test),
    )


def together(changes: Sequence[Change], confidence: float) -> Change:
    """Return what became of several rare classes as if they were one; its p-values are exact."""
    n = sum(change.n_after for change in changes)
    lost, won = (sum(getattr(change, side) for change in changes) for side in ("lost", "won"))
    p_worse, p_better = exact_p(np.array([lost, won]), np.array([won, lost])).tolist()
    return Change(
        name=ALL_RARE,
        right_before=sum(change.right_before for change in changes),
        n_before=n,
        right_after=sum(change.right_after for change in changes),
        n_after=n,
        lost=lost,
        won=won,
        interval=paired_interval(lost, won, n, confidence),
        p_worse=p_worse,
        p_better=p_better,
        q_worse=p_worse,
        blind=False,
    )


def _p_values(lost: Counts, won: Counts) -> Floats:
    """Return the mid-p-value of the whole test set, and the exact ones of the classes.

    Tarone's family is made by the least p-values there could be, which mid-p halves: many classes
    of few flips would then fail more often than they may.
    """
    return np.concatenate([mid_p(lost[:1], won[:1]), exact_p(lost[1:], won[1:])])


def _flips(
    which: NDArray[np.bool_], before: Side, after: Side, test: Predictions
) -> tuple[Flip, ...]:
    names = test.classes
    return tuple(
        Flip(
            test.images[row],
            names[after.label[row]],
            names[before.predicted[row]],
            names[after.predicted[row]],
        )
        for row in np.flatnonzero(which).tolist()
    )


def exact_p(lost: Counts, won: Counts) -> Floats:
    """Return the one-sided p-values of McNemar's exact test that more was lost than won.

    >>> exact_p(np.array([5, 0]), np.array([0, 0])).tolist()
    [0.03125, 1.0]
    """
    from scipy.stats import binom  # half a second: only comparisons wait for it

    return np.asarray(binom.sf(lost - 1, lost + won, 0.5))


def mid_p(lost: Counts, won: Counts) -> Floats:
    """Return the one-sided mid-p-values of McNemar's exact test that more was lost than won.

    Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013).

    Examples
    --------
    >>> [round(p, 4) for p in mid_p(np.array([12, 5, 0]), np.array([3, 0, 0])).tolist()]
    [0.0106, 0.0156, 0.5]
    """
    from scipy.stats import binom

    flipped = lost + won
    return np.asarray(binom.sf(lost, flipped, 0.5) + binom.pmf(lost, flipped, 0.5) / 2)


def paired_interval(lost: int, won: int, n: int, confidence: float = 0.95) -> stats.Interval:
    """Return the bounds of ``paired_intervals`` for one pair of accuracies.

    >>> [round(bound, 3) for bound in paired_interval(3, 12, 100)]
    [0.021, 0.162]
    """
    low, high = paired_intervals(np.array([lost]), np.array([won]), np.array([n]), confidence)
    return stats.Interval(float(low[0]), float(high[0]))


def paired_intervals(
    lost: Counts, won: Counts, n: Counts, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return bounds of ``(won - lost) / n``, the difference of two paired accuracies.

    The exact (Clopper–Pearson) bounds of the two shares are combined by the method of variance
    estimates recovery: Zou and Donner, Statistics in Medicine 27 (2008), with the correlation of
    two cells of a multinomial. Without a flip it does not collapse: at n images that agree it is
    ±(1 - (1 - confidence)^(1/n)), the rule of three. By enumeration each bound holds its
    confidence, where those of Bonett and Price and of Tango fall short beside rare flips
    (``tests/benchmarks/regression.py``).

    Parameters
    ----------
    lost, won, n
        Counts of the same shape; (-1, 1) where ``n`` is 0.
    confidence
        Of each bound, one-sided, in (0, 1).

    Examples
    --------
    >>> low, high = paired_intervals(np.array([0]), np.array([0]), np.array([600]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (-0.005, 0.005)
    """
    (b_low, b_high), (c_low, c_high) = (
        stats.proportion_intervals(k, n, confidence) for k in (lost, won)
    )
    b, c = (k / np.maximum(n, 1) for k in (lost, won))
    apart = (1 - b) * (1 - c)
    # Where every image flips, one share is what the other leaves: they are wholly correlated.
    r = np.sqrt(np.divide(b * c, apart, out=np.ones_like(b), where=apart > 0))

    def reach(x: Floats, y: Floats) -> Floats:
        return np.asarray(np.sqrt(x**2 + y**2 + 2 * r * x * y))

    low = c - b - reach(c - c_low, b_high - b)
    high = c - b + reach(c_high - c, b - b_low)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)
