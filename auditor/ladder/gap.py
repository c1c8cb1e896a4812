"""How far training accuracy runs ahead of test accuracy, and where a bigger rung goes further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from auditor import stats
from auditor.comparison import Change, NotComparable, compare
from auditor.evidence.baseline import Baseline
from auditor.generalisation import TrainTestGap
from auditor.ladder.paying import paired_bounds
from auditor.ladder.record import GapChange
from auditor.ladder.rung import Rung

__all__ = ["gap_changes", "gap_of_rung", "gap_of_step"]


class Both(NamedTuple):
    """What became of the accuracy on the training images and on the test images."""

    train: Change
    test: Change

    @property
    def difference(self) -> float:
        """By how much the gap grows."""
        return self.train.difference - self.test.difference

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Combine the bounds of two independent changes (Zou and Donner, 2008)."""
        train, test = (paired_bounds(change, confidence) for change in self)
        down = math.hypot(self.train.difference - train[0], test[1] - self.test.difference)
        up = math.hypot(train[1] - self.train.difference, self.test.difference - test[0])
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
    return Both(found.overall, test)


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
