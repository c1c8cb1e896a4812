"""Cheaper inference would do as well.

What it asks
------------
Would the candidate keep its accuracy if it ran in bfloat16 or float16? Which predictions flip?

Why it matters
--------------
Half the bytes are up to twice the speed on hardware made for it, and slower on hardware that is
not. Rounding flips a prediction here and there, mostly where two classes were close; that it flips
them evenly is hoped more often than it is tested.

How it decides
--------------
The same pass over the test images runs the candidate twice, in float32 and in the dtype of
``[engine] cheaper``: each file is decoded once. The two are compared image by image as a candidate
with its baseline. The accuracy difference, by McNemar's exact test with mid-p and an interval that
needs no assumption of many flips, passes if it lies wholly at or above ``-margin``, and fails if it
lies wholly below and the test agrees. Classes are judged as by ``baseline-regression``: one whose
recall fell by more than ``class_margin`` fails if that is significant, and is inconclusive if it is
suspect or if the class has too few images to tell; all rare classes together fail likewise. The
share of predictions that changed is shown and not judged: one wrong class for another does no harm.

Without ``[engine] cheaper`` there is nothing to ask, and it is skipped.

How to fix
----------
Keep float32 for the layers that round worst, mostly the classifier and the squeeze-and-excitation;
prefer bfloat16, which has the range of float32, to float16. Whether it pays, ``latency`` tells:
time it with ``[engine] dtype``.

Limits
------
float16 is slow on a CPU, and bfloat16 is on one without instructions for it. Other backends (ONNX
Runtime, OpenVINO) and int8 are not run here; compare their saved predictions with
``baseline-regression``.

References
----------
Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013), mid-p; Zou and Donner,
Statistics in Medicine 27 (2008), the interval; Tarone, Biometrics 46 (1990).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.wording import beside, share

if TYPE_CHECKING:
    from auditor.comparison import Comparison
    from auditor.evidence.cheaper import CheaperDtype
    from auditor.evidence.counts import ClassCounts
    from auditor.evidence.predictions import Predictions


class CheaperInference(Check):
    """Does the candidate predict as well in a cheaper dtype?"""

    id = "cheaper-inference"
    title = "Cheaper inference would do as well"
    version = 4
    level = "advise"
    judges = "cost"

    margin: Fraction = 0.005
    """Non-inferiority margin: how far the accuracy may lie below that in float32."""
    class_margin: Fraction = 0.05
    """How far the recall of a class may fall."""

    def run(
        self,
        cheaper_dtype: CheaperDtype,
        test: Predictions,
        cheaper: Predictions,
        counts: ClassCounts,
    ) -> Outcome:
        """Compare the predictions in the cheaper dtype with those in float32."""
        from auditor.comparison import NotComparable
        from auditor.comparison.finding import of_all, of_classes
        from auditor.evidence.cheaper import compare_cheaper

        try:
            comparison = compare_cheaper(test, cheaper, self.confidence, counts.rare())
        except NotComparable as reason:
            return Outcome(status=Status.INCONCLUSIVE, summary=f"not comparable: {reason}")
        findings = [
            of_all(comparison, self.margin),
            _changed(comparison, self.confidence),
            *of_classes(comparison, self.class_margin),
        ]
        return Outcome.of(findings, _summary(comparison, findings, cheaper_dtype.name, self.margin))


def _changed(comparison: Comparison, confidence: float) -> Finding:
    from auditor import stats

    n, changed = comparison.overall.n_after, comparison.changed or 0
    return Finding.shown(
        "test",
        "predictions changed",
        changed / n,
        n=n,
        interval=stats.proportion_interval(changed, n, confidence),
        higher_is_better=False,
        why="a change may be for the better",
    )


_HEADS = {
    Status.PASS: "would do as well",
    Status.FAIL: "would do worse",
    Status.INCONCLUSIVE: "may or may not do as well",
}


def _summary(comparison: Comparison, findings: list[Finding], dtype: str, margin: float) -> str:
    from auditor.comparison.finding import said_of_classes, within

    whole, n = comparison.overall, comparison.overall.n_after
    status = Outcome.of(findings, "").status
    head = _HEADS[status]
    if status is Status.PASS and whole.interval.high < 0:
        head = f"{_HEADS[Status.FAIL]}{within(margin)}"
    return (
        f"{dtype} {head}: {comparison.changed:,} of {n:,} predictions change, {whole.lost:,} lost "
        f"and {whole.won:,} won; accuracy {share(whole.before, 2)} → {share(whole.after, 2)} "
        f"(at worst {beside(whole.interval.low, -margin, 'points', 2)})"
        f"{said_of_classes(findings[2:], comparison)}."
    )
