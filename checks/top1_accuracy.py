"""Top-1 accuracy is at least the minimum.

What it asks
------------
Is the share of test images that the candidate puts into the right class high enough?

Why it matters
--------------
It is the first figure anyone asks for. It says nothing about any single class: read it together
with ``accuracy-paradox`` and ``rare-class-recall``, which exist because it can hide so much.

How it decides
--------------
By the Clopper–Pearson bounds of the accuracy, or Wilson's with ``interval = "wilson"``. Wholly at
or above ``min_accuracy`` passes, wholly below fails, across it is inconclusive, with the number of
further test images that would settle it. Below ``bad_below`` the summary calls the accuracy bad.

How to fix
----------
Look at the most confused pairs first; compare the preprocessing with the model's own; look for
wrong labels. If the check is inconclusive, collect more test images.

Limits
------
Test images are taken as independent draws from what the model will meet. Duplicates within the
test set make the bounds too narrow, and so do several images of one patient, scene or video (see
``group-overlap``). Wilson's bounds err at the stated rate on average only; with few images
Clopper–Pearson's are the ones that hold.

References
----------
Clopper and Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, IntervalMethod, Outcome, Status
from auditor.wording import beside, limit, plural

if TYPE_CHECKING:
    from auditor.evidence.confusion import Confusion


class Top1Accuracy(Check):
    """Is the share of correctly classified test images high enough?"""

    id = "top1-accuracy"
    title = "Top-1 accuracy is at least the minimum"
    level = "block"

    min_accuracy: Fraction = 0.80
    """Lowest top-1 accuracy on the test set."""
    bad_below: Fraction = 0.60
    """Accuracy under which the summary calls the candidate bad."""
    interval: IntervalMethod = "exact"
    """How the accuracy is bounded: exactly (Clopper–Pearson), or by Wilson, narrower."""

    def run(self, confusion: Confusion) -> Outcome:
        """Judge the top-1 accuracy."""
        finding = Finding.rate(
            "test",
            "top-1 accuracy",
            confusion.right,
            confusion.n,
            self.min_accuracy,
            self.confidence,
            self.interval,
        )
        return Outcome.of([finding], self._summary(finding))

    def _summary(self, finding: Finding) -> str:
        if finding.observed is None:
            return "There is no test image, so there is no accuracy."
        word = "bad: " if finding.observed < self.bad_below else ""
        right = beside(finding.observed, self.min_accuracy, digits=1)
        n = finding.n or 0
        text = f"{word}{right} of {plural(n, 'test image')} {'is' if n == 1 else 'are'} right"
        need = f"at least {limit(self.min_accuracy)} is required"
        if finding.status is Status.INCONCLUSIVE:
            return f"{text.capitalize()}; {need}, which {plural(n, 'image')} cannot settle."
        return f"{text.capitalize()}; {need}."
