"""Whether each step's gain is worth the wanted minimum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.comparison.paired import paired_interval, paired_intervals
from auditor.settling import fewest_images

if TYPE_CHECKING:
    from auditor.comparison import Change, Comparison
    from auditor.ladder.record import Paying

__all__ = ["Judged", "doublings", "judge", "paired_bounds"]


class Judged(NamedTuple):
    """What is said of one step among all."""

    state: Paying
    p_pays: float
    p_does_not_pay: float
    images_to_settle: int | None


def judge(comparisons: Sequence[Comparison], min_gain: float, confidence: float) -> list[Judged]:
    """Judge the gain of every step, corrected for how many there are.

    Parameters
    ----------
    comparisons
        One a step, bigger against smaller, on the same images.
    min_gain
        In shares.
    confidence
        Of each claim, one-sided, for all steps together.
    """
    changes = [comparison.overall for comparison in comparisons]
    bounds = [partial(paired_bounds, change) for change in changes]
    pays, does_not = (
        stats.holm(np.array([p_value(each, min_gain) for each in bounds])).tolist()
        for p_value in (stats.p_above, stats.p_below)
    )
    strict = 1 - (1 - confidence) / max(len(changes), 1)  # the most that Holm may ask of a step
    judged = []
    for change, p_pays, p_not in zip(changes, pays, does_not, strict=True):
        state = _state(p_pays, p_not, 1 - confidence)
        more = _more_images(change, min_gain, strict) if state == "not shown" else None
        judged.append(Judged(state, p_pays, p_not, more))
    return judged


def _state(p_pays: float, p_not: float, level: float) -> Paying:
    return "pays" if p_pays <= level else "does not pay" if p_not <= level else "not shown"


def _more_images(change: Change, min_gain: float, confidence: float) -> int | None:
    """Return about how many more images would settle a gain, if they flip at the rates seen."""
    start = change.n_after

    def settled(total: NDArray[np.int64]) -> NDArray[np.bool_]:
        b, c = (
            np.rint((k or 0) * (total / start)).astype(np.int64) for k in (change.lost, change.won)
        )
        low, high = paired_intervals(b, c, total, confidence)
        return np.asarray((low > min_gain) | (high < min_gain))

    return fewest_images(settled, start)


def paired_bounds(change: Change, confidence: float) -> tuple[float, float]:
    """Return the bounds of a change on the same images."""
    return paired_interval(change.lost or 0, change.won or 0, change.n_after, confidence)


def doublings(before: int | None, after: int | None) -> float | None:
    """Return how often a cost doubles; None where it is not known, zero, or does not grow.

    >>> doublings(100, 400), doublings(0, 400), doublings(400, 400)
    (2.0, None, None)
    """
    if not before or not after or after <= before:
        return None
    return math.log2(after / before)
