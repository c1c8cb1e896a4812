"""Thresholds on one class's probability: chosen on validation images, judged on test images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.record import CurvePoint, OperatingExhibit

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["Counts", "Scores", "choose_threshold", "counted", "curve", "exhibit"]

_POINTS = 100
"""Points of a curve that are kept for the report."""


class Scores(NamedTuple):
    """The probability of one class, and whether an image is of it; shape (n,)."""

    probability: NDArray[np.float64]
    critical: NDArray[np.bool_]

    @classmethod
    def of(cls, predictions: Predictions, critical: str) -> Scores:
        """Return the scores of a class; the predictions must have probabilities."""
        assert predictions.probabilities is not None
        index = predictions.classes.index(critical)
        scores = predictions.probabilities[:, index].astype(np.float64)
        return cls(scores, np.asarray(predictions.label == index))

    def flagged(self, threshold: float) -> Counts:
        """Return what is found when images from a threshold on are called critical."""
        return counted(self.critical, self.probability >= threshold)


class Counts(NamedTuple):
    """What flagging finds: images of the class, of those the flagged ones; others, likewise."""

    positives: int
    hits: int
    negatives: int
    alarms: int


def counted(critical: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> Counts:
    """Count hits and false alarms."""
    positives, hits = int(critical.sum()), int((critical & flagged).sum())
    return Counts(positives, hits, len(critical) - positives, int(flagged.sum()) - hits)


def choose_threshold(validation: Scores, min_recall: float, confidence: float) -> float | None:
    """Return the highest threshold that surely reaches a recall; None where none can be shown to.

    It is the probability of the k-th surest image of the class, with the smallest k whose exact
    lower bound reaches ``min_recall``: an order statistic, so that the recall on new images is at
    least that with the given confidence, whatever the distribution (Wilks, 1941). The threshold
    whose observed recall is just enough would fall short every other time.
    """
    surest = np.sort(validation.probability[validation.critical])[::-1]
    found = np.arange(len(surest) + 1)
    low, _ = stats.proportion_intervals(found, np.full(len(found), len(surest)), confidence)
    enough = np.flatnonzero((low >= min_recall) & (found > 0))
    return float(surest[enough[0] - 1]) if enough.size else None


def curve(validation: Scores) -> tuple[CurvePoint, ...]:
    """Return recall and precision by threshold, in even steps of recall; nothing without the class.

    Of the thresholds with one recall it is the highest, which has the best precision.
    """
    from sklearn.metrics import precision_recall_curve

    if not validation.critical.any():
        return ()
    precision, recall, threshold = precision_recall_curve(
        validation.critical, validation.probability
    )
    recall = recall[:-1]  # the last point, recall 0, has no threshold
    steps = np.linspace(1, recall[-1], _POINTS)
    kept = np.unique(np.searchsorted(-recall, -steps, side="right") - 1)
    rows = zip(recall[kept], precision[kept], threshold[kept], strict=True)
    return tuple(
        CurvePoint(recall=float(r), precision=float(p), threshold=float(t)) for r, p, t in rows
    )


def exhibit(
    test: Predictions,
    validation: Predictions,
    critical: str,
    min_recall: float,
    confidence: float,
) -> OperatingExhibit:
    """Return what the report shows; both must have probabilities."""
    chosen_on = Scores.of(validation, critical)
    threshold = choose_threshold(chosen_on, min_recall, confidence)
    shown = OperatingExhibit(
        critical=critical, wanted=min_recall, curve=curve(chosen_on), threshold=threshold
    )
    if threshold is None:
        return shown
    found = Scores.of(test, critical).flagged(threshold)
    rates = {
        "recall": (found.hits, found.positives),
        "precision": (found.hits, found.hits + found.alarms),
        "false_alarms": (found.alarms, found.negatives),
    }
    known = {name: (k, n) for name, (k, n) in rates.items() if n}
    return shown.model_copy(
        update={name: k / n for name, (k, n) in known.items()}
        | {
            f"{name}_interval": tuple(stats.proportion_interval(k, n, confidence))
            for name, (k, n) in known.items()
        }
    )
