"""Two models, compared by what they said of the test images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from auditor.comparison.comparable import (
    NotComparable,
    Pictures,
    require_same_classes,
    require_same_images,
    require_same_pictures,
)
from auditor.comparison.paired import paired
from auditor.comparison.result import Comparison
from auditor.comparison.side import Counts, Side
from auditor.comparison.two_sample import two_sample

if TYPE_CHECKING:
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.predictions import Predictions

__all__ = ["compare"]

_SAME_PROBABILITY = 1e-3


def compare(
    test: Predictions,
    baseline: Baseline,
    confidence: float = 0.95,
    *,
    pictures: Pictures | None = None,
) -> Comparison:
    """Compare a candidate's test predictions with those of its baseline.

    Parameters
    ----------
    test, baseline
        What the two models said.
    confidence
        Of each interval bound, one-sided.
    pictures
        Digests of the candidate's test images, where they were looked at.

    Raises
    ------
    NotComparable
        Where predictions are missing, or the classes, the images, their content or their labels do
        not match.
    """
    before = baseline.predictions
    if before is None:
        raise NotComparable(baseline.missing)
    if not len(before) or not len(test):
        raise NotComparable("one side has no predictions")
    require_same_classes(before.classes, test.classes)
    names = set(before.images)
    shared = names.intersection(test.images)
    if not shared:
        return two_sample(before, test, confidence)
    require_same_images(names, set(test.images), len(shared))
    require_same_pictures(baseline.pictures or {}, pictures or {})
    place = {image: row for row, image in enumerate(before.images)}
    rows = np.array([place[image] for image in test.images], np.int64)
    found = paired(Side.of(before, test.classes, rows), Side.of(test), test, confidence)
    alike = not found.changed and _same_probabilities(before, test, rows)
    return replace(found, identical=alike)


def _same_probabilities(before: Predictions, test: Predictions, rows: Counts) -> bool:
    """Tell whether the labels' probabilities agree to what devices differ by, where they are known.

    Two models may well predict a few images alike; that they are equally sure of each gives a
    single model away.
    """
    if before.true_probability is None or test.true_probability is None:
        return True
    gap = np.abs(before.true_probability[rows] - test.true_probability)
    return bool(gap.max() <= _SAME_PROBABILITY)
