"""How often the candidate is right when it says how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auditor import stats
from auditor.composite import Reliability
from auditor.config import Config
from auditor.errors import Unavailable
from auditor.provider import derive
from auditor.record import CalibrationBin, CalibrationExhibit

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["BINS", "Calibration", "calibration", "why_no_probabilities"]

BINS = 15
"""Bins of equal mass; fewer where many images have the same confidence, which stay together."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Test images in bins of confidence: the probability given to the class that was named.

    Bins hold about as many images each, as in scikit-learn's ``calibration_curve`` with
    ``strategy="quantile"``: with bins of equal width most images of a good model fall into the last
    one, where nothing can be told apart.
    """

    bins: Reliability
    contradicted: int = 0
    """Images that another class than the named one was given the largest probability of."""

    @classmethod
    def of(cls, test: Predictions) -> Calibration:
        """Sort the test images into bins; ``Unavailable`` without probabilities."""
        if test.probabilities is None:
            raise Unavailable(why_no_probabilities(test))
        sure = test.probabilities[np.arange(len(test)), test.predicted].astype(np.float64)
        inner = np.linspace(0, 1, BINS + 1)[1:-1]
        edges = np.unique(np.percentile(sure, inner * 100)) if len(sure) else inner
        return cls(Reliability.of(sure, test.correct, edges), test.contradicted)

    @property
    def n(self) -> int:
        """Test images."""
        return int(self.bins.images.sum())

    @property
    def accuracy(self) -> float:
        """Share of the test images that are right; there must be one."""
        return float(self.bins.right.sum() / self.n)

    @property
    def confidence(self) -> float:
        """Mean confidence; there must be a test image."""
        return float(self.bins.images @ self.bins.probability / self.n)

    def exhibit(self, confidence: float = 0.95) -> CalibrationExhibit:
        """Return what the report shows; the confidence is that of each bound, one-sided."""
        low, high = stats.proportion_intervals(self.bins.right, self.bins.images, confidence)
        rows = zip(*self.bins, low, high, strict=True)
        return CalibrationExhibit(
            error=self.bins.error,
            interval=self.bins.interval(confidence),
            bins=tuple(
                CalibrationBin(
                    images=int(n), right=int(k), confidence=float(p), interval=(float(a), float(b))
                )
                for n, k, p, a, b in rows
            ),
        )


def why_no_probabilities(test: Predictions) -> str:
    """Say why predictions have no probabilities."""
    if "candidate" in test.about:
        return (
            "the probabilities of so many images and classes were not kept, so how sure the "
            "candidate was is not known"
        )
    return "the saved predictions hold no probabilities (prob_CLASS columns)"


@derive
def calibration(config: Config, test: Predictions) -> Calibration:
    """Return how confidence and accuracy go together on the test images.

    Without probabilities the check that asks for it is skipped, unless the user made it block: what
    was demanded must not go unasked.
    """
    table = config.checks.get("calibration")
    if test.probabilities is None and table is not None and table.level == "block":
        raise Unavailable(why_no_probabilities(test), "error")
    return Calibration.of(test)
