"""The candidate is as sure as it is right.

What it asks
------------
When the candidate says 90%, is it right nine times out of ten?

Why it matters
--------------
Whatever acts on the probability, a threshold, a queue for human review, a sum of expected costs,
is wrong when the probability is. Networks trained to the end are usually too sure of themselves,
and accuracy does not show it.

How it decides
--------------
Test images are sorted by confidence (the probability given to the class that was named) into 15
bins of equal mass; images with the same confidence stay together. The expected calibration error
is the mean distance between the share that is right and the mean confidence of a bin, weighted by
images. Its interval is compared with ``max_ece``: wholly at or below passes, wholly above fails,
across it is inconclusive. Chance alone makes the plain error too large, the more so the better the
calibration; each bound of the interval takes the worst case (``auditor.composite``).

How to fix
----------
Temperature scaling on validation data, one number, repairs most of it without touching the
accuracy. Label smoothing, mixup and earlier stopping help in training.

Limits
------
It looks at the class that was named, not at the probabilities of the others. What cancels within a
bin is not seen. Probabilities are needed: saved predictions must have ``prob_CLASS`` columns. Where
there are none it is skipped, and an error where ``[checks.calibration] level = "block"``.

References
----------
Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, on modern networks; Kumar, Liang
and Ma, NeurIPS 2019, on the bias of binned estimates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.wording import beside, plural, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auditor.composite import Reliability
    from auditor.evidence.calibration import Calibration as Bins

_METRIC = "expected calibration error"


class Calibration(Check):
    """Do stated probabilities agree with what happens?"""

    id = "calibration"
    title = "The candidate is as sure as it is right"
    version = 2
    level = "advise"

    max_ece: Fraction = 0.05
    """Largest expected calibration error."""

    def run(self, calibration: Bins) -> Outcome:
        """Judge the expected calibration error."""
        error, interval = calibration.bins.error, calibration.bins.interval(self.confidence)
        if error is None or interval is None:
            finding = Finding.unmeasured(
                "test", _METRIC, "no test image", self.max_ece, higher_is_better=False
            )
            return Outcome.of([finding], "There is no test image, so calibration is not known.")
        finding = Finding.judged(
            "test",
            _METRIC,
            error,
            interval,
            self.max_ece,
            n=calibration.n,
            unit="points",
            higher_is_better=False,
        )
        notes = [_named_otherwise(calibration.contradicted)]
        if finding.status is Status.INCONCLUSIVE:
            notes.append(_what_would_settle(calibration.bins, self.max_ece, self.confidence))
        finding = finding.model_copy(update={"note": "; ".join(filter(None, notes))})
        return Outcome.of([finding, *_shown(calibration)], self._summary(finding, calibration))

    def _summary(self, finding: Finding, calibration: Bins) -> str:
        apart = beside(finding.observed or 0.0, self.max_ece, digits=1).removesuffix("%")
        text = (
            f"The candidate is {share(calibration.confidence)} sure on average and right in "
            f"{share(calibration.accuracy)}; the two differ by {apart} points in a "
            f"bin on average (at most {100 * self.max_ece:g} allowed)"
        )
        settled = finding.status is not Status.INCONCLUSIVE
        return (
            f"{text}."
            if settled
            else f"{text}, which {plural(finding.n or 0, 'image')} cannot settle."
        )


def _named_otherwise(contradicted: int) -> str:
    if not contradicted:
        return ""
    return (
        f"in {plural(contradicted, 'image')} another class than the predicted one is the most "
        "probable; what counts is the probability of the predicted one"
    )


def _what_would_settle(bins: Reliability, limit: float, confidence: float) -> str:
    from auditor.settling import fewest_images

    def settled(totals: NDArray[np.int64]) -> NDArray[np.bool_]:
        low, high = np.transpose([bins.foreseen(int(n), confidence) for n in totals])
        return np.asarray((high <= limit) | (low > limit))

    more = fewest_images(settled, int(bins.images.sum()))
    if more is None:
        return "the error, less its noise, stands on the limit; no number of images would settle it"
    return f"about {plural(more, 'more image')} at this error, less its noise, would settle it"


def _shown(calibration: Bins) -> list[Finding]:
    figures = {"mean confidence": calibration.confidence, "top-1 accuracy": calibration.accuracy}
    return [Finding.shown("test", name, value, n=calibration.n) for name, value in figures.items()]
