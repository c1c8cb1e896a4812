"""Precision and recall are both high enough, and close, for every class.

What it asks
------------
When the candidate names a class, is it right? When the class is there, does the candidate name
it? And does one come at the price of the other?

Why it matters
--------------
A large gap means that the candidate over- or under-uses a class: many false alarms, or many
misses. Either is invisible in the accuracy.

How it decides
--------------
For each class, precision and recall against ``min_precision`` and ``min_recall`` by their
Clopper–Pearson intervals, or Wilson's with ``interval = "wilson"``, and the size of their
difference against ``max_gap``. The interval of the difference is found from the exact bounds of the
two by squares and sums, as for independent proportions; the two share their true positives, which
makes it somewhat too wide and so slower to pass and slower to fail. A class that is never predicted
has no precision: that is inconclusive here, and its recall of zero fails by itself. A class without
test images has neither: each time it is predicted that is wrong, however good the candidate is.

What is listed as falling short is wholly on the wrong side and upheld by Benjamini and Hochberg's
correction over the family of all figures (precision, recall and gap of every class): of what is
listed, at most a share of 1 - ``confidence`` is expected to be wrong. The p-values of precision and
recall are those of the one-sided exact binomial test, whichever the interval. What is not upheld is
inconclusive. A pass needs no correction, since every figure of every class must pass.

How to fix
----------
Look at what the class is confused with. High recall with low precision: the class attracts
others, so raise its threshold or add negatives. The other way round: it is under-trained.

Limits
------
It is a list to look through, with a share of errors in it, and so it advises by default. The
correction takes the figures as independent or positively dependent. Precision depends on how
frequent the classes are in the test set.

References
----------
Zou and Donner, Statistics in Medicine 27 (2008); Benjamini and Hochberg, Journal of the Royal
Statistical Society B 57 (1995).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from auditor.check import Check, Finding, Fraction, IntervalMethod, Outcome, Status, decide
from auditor.wording import beside, listed, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auditor.evidence.confusion import Confusion

    Counts = NDArray[np.integer]
    Floats = NDArray[np.float64]


_GAP = "gap between precision and recall"
_ABSENT = "no test image of this class, so each prediction of it is wrong"


class PrecisionRecallGap(Check):
    """Are precision and recall high enough and close, class by class?"""

    id = "precision-recall-gap"
    title = "Precision and recall are high and close in every class"
    version = 4
    level = "advise"

    min_precision: Fraction = 0.85
    """Lowest precision of a class."""
    min_recall: Fraction = 0.85
    """Lowest recall of a class."""
    max_gap: Fraction = 0.15
    """Most by which precision and recall of a class may differ."""
    interval: IntervalMethod = "exact"
    """How precision and recall are bounded: exactly (Clopper–Pearson), or by Wilson."""

    def run(self, confusion: Confusion) -> Outcome:
        """Judge every class."""
        there, named = confusion.support > 0, confusion.predicted > 0
        tested = int(there.sum() + 2 * (there & named).sum())
        findings = self._corrected(
            [f for i in range(len(confusion.classes)) for f in self._class(i, confusion, tested)],
            confusion,
        )
        return Outcome.of(findings, self._summary(findings, len(confusion.classes)))

    def _corrected(self, findings: list[Finding], confusion: Confusion) -> list[Finding]:
        from auditor import stats
        from auditor.multiplicity import Family, rate_p_values

        p_values = rate_p_values(findings)
        for i, finding in enumerate(findings):
            if finding.metric == _GAP:
                p_values[i] = self._gap_p_value(finding, confusion)
        how = self.confidence, self.interval, stats.LEAST_P
        family = Family(p_values, "Benjamini–Hochberg", "figures", *how)
        return [family.judge(i, finding) for i, finding in enumerate(findings)]

    def _gap_p_value(self, finding: Finding, confusion: Confusion) -> float:
        from auditor import stats

        if finding.status is not Status.FAIL:
            return 1.0  # beyond 1 - confidence, so the correction cannot reject it nor be moved
        i = confusion.classes.index(finding.subject)
        right, named, there = confusion.correct[i], confusion.predicted[i], confusion.support[i]
        sizes = sorted((int(named), int(there)))  # the larger rate has the smaller divisor
        return stats.excess_p_value(int(right), sizes[0], int(right), sizes[1], self.max_gap)

    def _class(self, i: int, confusion: Confusion, tested: int) -> list[Finding]:
        name, right = confusion.classes[i], int(confusion.correct[i])
        named, there = int(confusion.predicted[i]), int(confusion.support[i])
        how = self.confidence, self.interval
        recall = Finding.rate(name, "recall", right, there, self.min_recall, *how, family=tested)
        if named and not there:
            precision = Finding.unmeasured(name, "precision", _ABSENT, self.min_precision)
            return [precision, recall]
        precision = Finding.rate(
            name, "precision", right, named, self.min_precision, *how, family=tested
        )
        gap = [self._gap(name, right, named, there)] if named else []
        return [precision, recall, *gap]

    def _gap(self, name: str, right: int, named: int, there: int) -> Finding:
        low, high = _sizes(*map(np.atleast_1d, (right, named, there)), confidence=self.confidence)
        interval = float(low[0]), float(high[0])
        status = decide(interval, self.max_gap, higher_is_better=False)
        note = ""
        if status is Status.INCONCLUSIVE:
            note = _what_would_settle(right, named, there, self.max_gap, self.confidence)
        return Finding(
            subject=name,
            metric=_GAP,
            observed=abs(right / named - right / there),
            limit=self.max_gap,
            interval=interval,
            n=min(named, there),
            unit="points",
            higher_is_better=False,
            status=status,
            note=note,
        )

    def _summary(self, findings: list[Finding], n_classes: int) -> str:
        failed: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.status is Status.FAIL:
                failed.setdefault(finding.subject, []).append(finding)
        if failed:
            reasons = listed([_said(*each) for each in failed.items()], 3, "; ", "class")
            fall = "falls" if len(failed) == 1 else "fall"
            return f"{len(failed):,} of {plural(n_classes, 'class')} {fall} short: {reasons}."
        unsettled = {f.subject for f in findings if f.status is Status.INCONCLUSIVE}
        if unsettled:
            have = "has" if len(unsettled) == 1 else "have"
            return (
                f"No class surely falls short, but {len(unsettled):,} of {n_classes:,} {have} too "
                "few test images to tell."
            )
        return (
            f"Precision and recall are high and close in each of the {plural(n_classes, 'class')}."
        )


@lru_cache(maxsize=65_536)  # thousands of classes share a few counts
def _what_would_settle(
    right: int, named: int, there: int, max_gap: float, confidence: float
) -> str:
    from auditor.settling import what_would_settle_gap

    def bounds(n: Counts) -> tuple[Floats, Floats]:
        scale = n / there
        hits, calls = (np.rint(k * scale).astype(np.int64) for k in (right, named))
        return _sizes(hits, calls, n, confidence=confidence)

    return what_would_settle_gap(bounds, max_gap, there)


def _sizes(
    right: Counts, named: Counts, there: Counts, *, confidence: float
) -> tuple[Floats, Floats]:
    """Return bounds of |precision - recall|: those of the difference, folded at zero."""
    from auditor import stats

    low, high = stats.difference_intervals(right, named, right, there, confidence=confidence)
    sizes = np.abs([low, high])
    return np.where((low <= 0) & (high >= 0), 0.0, sizes.min(0)), sizes.max(0)


def _said(name: str, failures: list[Finding]) -> str:
    figures = (
        f"{f.metric} {beside(f.observed, f.limit, f.unit).removeprefix('+')}"
        for f in failures
        if f.observed is not None and f.limit is not None
    )
    return f"{name} ({', '.join(figures)})"
