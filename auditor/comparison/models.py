"""Two models, compared by what they said of the test images."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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

_SAME_LOGIT = 4e-3
"""Difference of two log odds that another device may make."""
_ROUNDING = 1e-6
"""Difference of two probabilities that float32, or six decimals in a file, may make."""
_TELLING = 1e-3
"""p (1 - p) from which a probability says more of its model than that it is sure."""
_MODEL = ("weights_digest", "architecture", "preprocessing", "input_size")
"""What is kept of a model that was run, and makes it one and the same."""


def compare(
    test: Predictions,
    baseline: Baseline,
    confidence: float = 0.95,
    *,
    pictures: Pictures | None = None,
    rare: Set[str] = frozenset(),
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
    rare
        Classes to test together, too, on the same images.

    Raises
    ------
    NotComparable
        Where predictions are missing, or the classes, the images, their content or their labels do
        not match.
    """
    baseline = baseline.named_as(test, pictures)
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
    found = paired(Side.of(before, test.classes, rows), Side.of(test), test, confidence, rare)
    alike = not found.changed and _is_one_model(before, test, rows)
    return replace(found, identical=alike)


def _is_one_model(before: Predictions, test: Predictions, rows: Counts) -> bool:
    """Tell whether two that predict every image alike are one model.

    Two models may well predict many images alike, mistakes included: the second is often trained
    from the first. That they are equally sure of each, to what devices differ by, gives a single
    one away, unless both are sure of all. Where that is not known, equal weights do.
    """
    if before.true_probability is None or test.true_probability is None:
        return _same_weights(before, test)
    old, new = (
        side.astype(np.float64) for side in (before.true_probability[rows], test.true_probability)
    )
    spread = np.minimum(old * (1 - old), new * (1 - new))  # d p = p (1 - p) d logit
    alike = np.abs(old - new) <= _SAME_LOGIT * spread + _ROUNDING
    told = bool((spread >= _TELLING).any())
    return bool(alike.all()) and (told or _same_weights(before, test))


def _same_weights(before: Predictions, test: Predictions) -> bool:
    """Tell whether both sides are known to be the same weights, run in the same way."""
    old, new = (_ran(side.about) for side in (before, test))
    return old == new and old["weights_digest"] is not None


def _ran(about: Mapping[str, Any]) -> dict[str, Any]:
    candidate = about.get("candidate") or {}
    return {name: candidate.get(name) for name in _MODEL} | {"dtype": about.get("dtype")}
