"""How far training accuracy runs ahead of test accuracy, and where a bigger rung goes further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.comparison import Change, NotComparable, compare
from auditor.evidence.baseline import Baseline
from auditor.generalisation import TrainTestGap
from auditor.ladder.paying import paired_bounds
from auditor.ladder.record import GapChange
from auditor.ladder.rung import Rung

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["gap_changes", "gap_of_rung", "gap_of_step"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Learnt(NamedTuple):
    """What became of the training accuracy at the test images' class shares.

    Parameters
    ----------
    lost, won
        Training images of each class that flipped, shape (K,).
    weight
        Share of the test images that one of them stands for, shape (K,).
    unlearnt
        Share of the test images whose class has no training image.
    pooled
        Change of the accuracy on all training images, with which those classes count.
    """

    lost: Counts
    won: Counts
    weight: Floats
    unlearnt: float
    pooled: float

    @property
    def difference(self) -> float:
        """Bigger minus smaller, in shares."""
        return float(self.weight @ (self.won - self.lost)) + self.unlearnt * self.pooled

    def reach(self, confidence: float) -> tuple[float, float]:
        """Return how far the difference is from its lower and from its upper bound.

        Images lost and won are weighted sums of counts with gamma bounds (Fay and Feuer, 1997),
        and as Poisson's independent of each other: squares and sums join them. Class by class they
        would leave too much room among many classes, for in most of those hardly an image flips.
        """
        (b, b_low, b_high), (c, c_low, c_high) = (
            self._counted(side, confidence) for side in (self.lost, self.won)
        )
        anything = self.unlearnt * (1 + self.pooled), self.unlearnt * (1 - self.pooled)
        down, up = math.hypot(c - c_low, b_high - b), math.hypot(c_high - c, b - b_low)
        return down + anything[0], up + anything[1]

    def _counted(self, side: Counts, confidence: float) -> tuple[float, float, float]:
        largest = self.weight.max(keepdims=True)
        part = np.divide(self.weight, largest, out=np.zeros(len(side)), where=largest > 0)
        total, squares = np.array([self.weight @ side]), np.array([part**2 @ side])
        low, high = stats.weighted_count_bounds(total, squares, largest, confidence)
        return float(total[0]), float(low[0]), float(high[0])


class Both(NamedTuple):
    """What became of the accuracy on the training images and on the test images."""

    train: Learnt
    test: Change

    @property
    def difference(self) -> float:
        """By how much the gap grows."""
        return self.train.difference - self.test.difference

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Combine the bounds of two independent changes (Zou and Donner, 2008)."""
        below, above = self.train.reach(confidence)
        low, high = paired_bounds(self.test, confidence)
        down = math.hypot(below, high - self.test.difference)
        up = math.hypot(above, self.test.difference - low)
        return self.difference - down, self.difference + up


def gap_of_rung(rung: Rung, confidence: float) -> TrainTestGap | None:
    """Return how far training accuracy runs ahead of test accuracy; None where one is missing."""
    if not rung.train or not rung.test:
        return None
    return TrainTestGap.of(rung.train, rung.test, confidence)


def gap_of_step(before: Rung, after: Rung, test: Change) -> Both | str:
    """Return what became of the gap, or why that is not known.

    Parameters
    ----------
    before, after
        The two rungs.
    test
        What became of the accuracy on the test images.
    """
    lacking = [
        f"{rung.name}: {rung.missing.get('train', 'no training image was predicted')}"
        for rung in (before, after)
        if not rung.train
    ]
    if lacking:
        return "; ".join(lacking)
    assert after.train is not None
    try:
        found = compare(after.train, Baseline(before.audit, before.train))
    except NotComparable:
        found = None
    if found is None or not found.paired:
        return f"{before.name} and {after.name} were not run on the same training images"
    return Both(_learnt(before, after, found.classes), test)


def _learnt(before: Rung, after: Rung, classes: Sequence[Change]) -> Learnt:
    """Weigh the flips of each class with training images by its share of the test images."""
    assert before.train is not None
    assert after.train is not None
    assert after.test is not None
    counts = np.bincount(after.test.label, minlength=len(after.test.classes)).tolist()
    tested = dict(zip(after.test.classes, counts, strict=True))
    images = np.array([tested[c.name] for c in classes])
    return Learnt(
        lost=np.array([c.lost or 0 for c in classes]),
        won=np.array([c.won or 0 for c in classes]),
        weight=images / len(after.test) / [c.n_after for c in classes],
        unlearnt=1 - int(images.sum()) / len(after.test),
        pooled=_pooled(after.train) - _pooled(before.train),
    )


def _pooled(train: Predictions) -> float:
    return float(train.self_weighting.correct.mean())


def gap_changes(steps: Sequence[Both | str], confidence: float) -> list[GapChange | str]:
    """Judge every step's change of the gap, corrected for how many are known."""
    known = [both for both in steps if isinstance(both, Both)]
    grows, shrinks = (
        stats.holm(np.array([p_value(both.bounds, 0.0) for both in known])).tolist()
        for p_value in (stats.p_above, stats.p_below)
    )
    level = 1 - confidence
    judged = iter(
        GapChange(
            difference=both.difference,
            interval=both.bounds(confidence),
            p=up,
            state="grows" if up <= level else "shrinks" if down <= level else "not shown",
        )
        for both, up, down in zip(known, grows, shrinks, strict=True)
    )
    return [both if isinstance(both, str) else next(judged) for both in steps]
