"""How far training accuracy runs ahead of test accuracy, the classes in the same shares.

Training images often come class by class in equal numbers, and test images as they come. Then the
two accuracies differ by what the classes are, and a gap of ten points in every class can look like
none. So each training image counts by its class's share of the test images: the training accuracy
is directly standardised to the test set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor import stats

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["TrainTestGap"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TrainTestGap:
    """Training accuracy at the test set's class shares, minus test accuracy.

    Parameters
    ----------
    learnt
        Training accuracy at the test set's class shares, in [0, 1]. A class without training images
        counts with the accuracy on all of them.
    pooled
        The same at the training images' own class shares: on the self-weighting part of a sample.
    trained, right, tested
        Training images; test images that were right, and all.
    reach
        Distance of ``learnt`` from its lower and from its upper bound.
    unlearnt
        Share of the test images whose class has no training image.
    confidence
        Of each bound, one-sided.
    """

    learnt: float
    pooled: float
    trained: int
    right: int
    tested: int
    reach: tuple[float, float]
    unlearnt: float
    confidence: float

    @classmethod
    def of(cls, train: Predictions, test: Predictions, confidence: float) -> TrainTestGap:
        """Measure the gap between two sets of predictions.

        Parameters
        ----------
        train
            Every row counts for its class: of a rare class a sample holds more images, no others.
            Its self-weighting part is not empty.
        test
            Not empty.
        confidence
            Of each bound, one-sided.
        """
        trained, right = _by_class(train)
        tested, hits = _by_class(test)
        shares = {name: n / len(test) for name, n in tested.items() if n}
        known = [name for name in shares if trained.get(name)]
        unlearnt = sum(tested[name] for name in shares if not trained.get(name))
        share = np.array([shares[name] for name in known])
        n, k = (np.array([counts[name] for name in known], int) for counts in (trained, right))
        rates = k / n
        pooled = float(train.self_weighting.correct.mean())
        # Weighed by counts, which add up exactly: shares may sum to 0.9999999999999998.
        weighed = np.array([tested[name] for name in known]) @ rates + unlearnt * pooled
        return cls(
            learnt=float(weighed / len(test)),
            pooled=pooled,
            trained=len(train),
            right=sum(hits.values()),
            tested=len(test),
            reach=stats.standardised_reach(k, n, share, confidence),
            unlearnt=unlearnt / len(test),
            confidence=confidence,
        )

    @property
    def seen(self) -> float:
        """Test accuracy."""
        return self.right / self.tested

    @property
    def difference(self) -> float:
        """Training minus test accuracy, in [-1, 1]."""
        return self.learnt - self.seen

    @property
    def interval(self) -> stats.Interval:
        """Bounds of the difference."""
        low, high = self.bounds(np.array([self.tested]))
        return stats.Interval(float(low[0]), float(high[0]))

    def bounds(self, tested: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return the bounds, were there so many test images at these rates.

        The two samples are independent, so the distances of their bounds are squared and summed
        (Zou and Donner, Statistics in Medicine 27, 2008). Those of the test accuracy are exact,
        those of the training accuracy are ``stats.standardised_reach``. The accuracy on classes
        without a training image may be anything.

        Parameters
        ----------
        tested
            Numbers of test images, shape (m,); training images grow with them, whose bounds shrink
            with the square root.
        """
        hits = np.rint(self.seen * tested).astype(np.int64)
        low, high = stats.proportion_intervals(hits, tested, self.confidence)
        rate = hits / tested
        shrunk = np.sqrt(self.tested / tested)
        below = np.hypot(shrunk * self.reach[0], high - rate) + self.unlearnt * self.pooled
        above = np.hypot(shrunk * self.reach[1], rate - low) + self.unlearnt * (1 - self.pooled)
        return self.difference - below, self.difference + above


def _by_class(side: Predictions) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return each class's images, and how many of them are right."""
    k = len(side.classes)
    counts = (np.bincount(labels, minlength=k) for labels in (side.label, side.label[side.correct]))
    images, right = (dict(zip(side.classes, found.tolist(), strict=True)) for found in counts)
    return images, right
