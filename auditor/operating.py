"""Thresholds on one class's probability: chosen on validation images, judged on test images."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.record import CurvePoint, OperatingExhibit

if TYPE_CHECKING:
    from auditor.check import Finding
    from auditor.evidence.predictions import Predictions

__all__ = ["Counts", "Scores", "Threshold", "choose_threshold", "counted", "curve", "exhibit"]

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


class Threshold(NamedTuple):
    """A probability to flag from, and what may be expected of it."""

    probability: float
    chance: float
    """Probability that the test images, if they are like the validation images, show the recall."""


def choose_threshold(
    validation: Scores, positives: int, min_recall: float, confidence: float
) -> Threshold | None:
    """Return the highest threshold at which the recall can be expected to be shown.

    It is the probability of the k-th surest image of the class, with the smallest k for which the
    recall on new images is at least ``min_recall`` with the given confidence (Wilks, 1941), and so
    many test images show that by their own exact lower bound, with that confidence again (Gumbel
    and von Schelling, 1950). Both hold whatever the distribution. Without the second, test images
    would be as likely to fall short of the limit as to clear it. Where no k does that, it is the
    least sure image's, for which it is likeliest.

    Parameters
    ----------
    validation
        Scores of the validation images.
    positives
        Test images of the class; nothing else is known of them here.
    min_recall
        In (0, 1).
    confidence
        One-sided, of either promise.

    Returns
    -------
    Threshold
        None where the validation images cannot show the recall at any threshold.
    """
    surest = np.sort(validation.probability[validation.critical])[::-1]
    n, needed = len(surest), _hits_needed(positives, min_recall, confidence)
    k = _hits_needed(n, min_recall, confidence)
    if k is None:
        return None
    if needed is None:  # no hits would show it, so there is nothing to choose for
        return Threshold(float(surest[k - 1]), 0.0)
    ranks = range(k, n + 1)
    at = bisect_left(ranks, confidence, key=lambda k: _chance(k, n, needed, positives))
    k = ranks[min(at, len(ranks) - 1)]
    return Threshold(float(surest[k - 1]), _chance(k, n, needed, positives))


def _hits_needed(n: int, min_recall: float, confidence: float) -> int | None:
    """Return the fewest hits among ``n`` whose exact lower bound reaches the recall."""
    hits = range(n + 1)
    at = bisect_left(
        hits, min_recall, key=lambda k: stats.proportion_interval(k, n, confidence).low
    )
    return hits[at] if at < len(hits) else None


def _chance(k: int, n: int, hits: int, m: int) -> float:
    """Return the probability that ``hits`` of ``m`` new values reach the k-th largest of ``n``.

    They do where fewer than k of the ``n`` are among the k + hits - 1 largest of all, and which
    those are is any choice alike: the hypergeometric distribution.
    """
    from scipy.stats import hypergeom  # half a second, which most audits need not wait for

    return float(hypergeom.cdf(k - 1, n + m, n, k + hits - 1))


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
    validation: Predictions, critical: str, min_recall: float, findings: Sequence[Finding]
) -> OperatingExhibit:
    """Return what the report shows: the curve, and the threshold and rates that were judged.

    Parameters
    ----------
    validation
        With probabilities.
    critical, min_recall
        Options of the ``operating-point`` check.
    findings
        What it found; of two that are alike the first, for the other one is of another view.
    """
    from auditor.checks.operating_point import ALARMS, AT

    found = {(f.subject, f.metric): f for f in reversed(findings)}
    threshold = found.get(("threshold", f"probability of {critical}"))
    shown = OperatingExhibit(
        critical=critical,
        wanted=min_recall,
        curve=curve(Scores.of(validation, critical)),
        threshold=None if threshold is None else threshold.observed,
    )
    if threshold is None:
        return shown
    recall, precision, alarms = (
        found[key] for key in ((critical, "recall"), (AT, "precision"), (AT, ALARMS))
    )
    return shown.model_copy(
        update={
            "recall": recall.observed,
            "recall_interval": recall.interval,
            "precision": precision.observed,
            "precision_interval": precision.interval,
            "false_alarms": alarms.observed,
            "false_alarms_interval": alarms.interval,
        }
    )
