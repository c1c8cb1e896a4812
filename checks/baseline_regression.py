"""The candidate is not worse than the baseline.

What it asks
------------
Did the accuracy fall since the earlier audit? And did any single class, or the rare ones together,
pay for a good average?

Why it matters
--------------
A new model replaces one that works. Two models of equal accuracy differ on hundreds of images, so
comparing two percentages finds regressions that are none, and misses the class that died while
another grew.

How it decides
--------------
On the same images (same names or pictures, same labels) it counts the lost, which only the baseline
had right, and the won, which only the candidate has. The accuracy difference has an interval that
needs no assumption of many flips: the exact bounds of the two shares, combined. Wholly at or above
``-margin`` passes (non-inferiority). Wholly below fails, if McNemar's test with mid-p agrees.
Across it is inconclusive, with the number of images that would settle it. An identical candidate
passes: every image predicted as by the baseline, its label given the same probability, to what
devices differ by. That it is the same model is then a fact and needs no interval. Where no
probabilities were kept, or all are nearly 0 or 1, it is one where both audits ran the same weights
(SHA-256), prepared alike and in the same dtype.

A class fails whose recall fell by more than ``class_margin`` and significantly: McNemar's exact
test, one-sided, Holm over the family of all classes in which the flipped images could show
anything (Tarone). A class with such a drop is inconclusive if only Benjamini and Hochberg's
correction finds it, or if it has too few images to ever tell; other drops are shown and not judged,
and said to be perhaps lower where the whole interval is below ``-class_margin``.
Of many classes with too few images, ten that fell and ten that rose at least, those that fell are
not judged either where about as many rose (a sign test finds no more falls than rises), but for
classes that were mostly right and are never right now.

On the same images all rare classes together, but for those that fail by name, are judged as one
class: they fail if their pooled recall fell by more than ``class_margin`` and significantly. A
hundred classes of four images each, all of them lost, prove little one by one and everything
together. A class is rare when its share is below 0.5 / K, with K classes, in the training data, in
the test set, or in production where ``[deployment]`` says what that holds.

The test set as a whole and the classes share 1 - ``confidence`` equally, so that of equal models no
more than that fail. Where the flipped images of several rare classes could show anything, these
have a tenth of what the classes have, and Holm's correction the rest.

On test sets without a common image it compares two samples: exact bounds combined, and Fisher's
exact test for classes; rare classes are not pooled, as their images may be shared out otherwise.
What may not be compared is inconclusive, with the reason: predictions that are missing or are not
those audited, other classes, test sets that overlap in part, other labels, other pictures under the
same names, another version of this check.

It blocks once a baseline is given.

How to fix
----------
Look at the lost images first: ``auditor diff BASELINE CANDIDATE --output diff`` shows them. A class
that fell alone points at its training images: relabelled, reweighted, lost. If the check is
inconclusive, add test images, audit the baseline on them too, or state a wider ``margin``.

Limits
------
Images are known by their names. Where no name is in both audits, those are compared that are left
without the folders that all images of an audit share, or without the first, so that another place
of the data makes no other test set. Where both audits looked at the pictures themselves, one that
was replaced under its name is noticed, and one that was renamed is known again, by its file or its
pixels; between saved predictions neither is. On different images a difference may be that of the
images. Nothing is said of a class without test images.
Saved predictions without probabilities never show that two are one model. A candidate that predicts
every image alike is then held to the interval, as any other: that settles it from some 600 images.

References
----------
Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013), mid-p; Zou and Donner,
Statistics in Medicine 27 (2008), the intervals; Tarone, Biometrics 46 (1990).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.wording import beside, plural, points, share

if TYPE_CHECKING:
    from auditor.comparison import Change, Comparison
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.counts import ClassCounts
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.signatures import Signatures


class BaselineRegression(Check):
    """Is the candidate at least as good as the baseline, overall and for every class?"""

    id = "baseline-regression"
    title = "The candidate is not worse than the baseline"
    version = 6
    level = "advise"
    blocks_once = "a baseline is given"

    margin: Fraction = 0.005
    """Non-inferiority margin: how far the accuracy may lie below the baseline's."""
    class_margin: Fraction = 0.05
    """How far the recall of a class may fall."""

    def blocks_now(self, available: frozenset[str]) -> bool:
        """Tell whether there is something to hold the candidate to."""
        return "baseline" in available

    def run(
        self,
        test: Predictions,
        baseline: Baseline,
        counts: ClassCounts,
        test_signatures: Signatures | None = None,
    ) -> Outcome:
        """Compare the candidate with the baseline, overall, by class, and on the rare ones."""
        from auditor.comparison import NotComparable, compare
        from auditor.comparison.comparable import pictures_of, require_version
        from auditor.comparison.finding import of_classes

        try:
            require_version(baseline.audit, self.id, self.version)
            pictures = pictures_of(test_signatures)
            comparison = compare(
                test, baseline, self.confidence, pictures=pictures, rare=counts.rare()
            )
        except NotComparable as reason:
            return self._not_comparable(str(reason), baseline)
        findings = [*self._overall(comparison), *of_classes(comparison, self.class_margin)]
        return Outcome.of(findings, self._summary(comparison, findings, baseline))

    def _not_comparable(self, reason: str, baseline: Baseline) -> Outcome:
        finding = Finding(
            subject="test",
            metric="accuracy difference",
            limit=-self.margin,
            unit="points",
            status=Status.INCONCLUSIVE,
            note=f"not comparable: {reason}",
        )
        return Outcome.of([finding], f"not comparable with {_called(baseline)}: {reason}")

    def _overall(self, comparison: Comparison) -> Iterator[Finding]:
        from auditor.comparison.finding import of_all, shown
        from auditor.stats import Interval

        if not comparison.identical:
            yield of_all(comparison, self.margin)
            return
        change = replace(comparison.overall, interval=Interval(0.0, 0.0))
        yield Finding.fact(
            "test", "images predicted differently", 0, 0, n=change.n_after, unit="images"
        )
        note = "identical on every image, so there is nothing to estimate"
        yield shown(change, "accuracy difference", self.margin, Status.PASS, note)

    def _summary(self, comparison: Comparison, findings: list[Finding], baseline: Baseline) -> str:
        from auditor.comparison.finding import flipped, said_of_classes

        overall, name = comparison.overall, _called(baseline)
        if comparison.identical:
            return f"{_every(overall.n_after)} predicted as by {name}."
        whole = next(f for f in findings if f.subject == "test")
        if comparison.changed == 0 and whole.status is Status.INCONCLUSIVE:
            return self._alike(comparison, name)
        lead = self._lead(overall, whole.status, name)
        if whole.status is not Status.FAIL and any(f.status is Status.FAIL for f in findings):
            lead = f"Worse for some classes than {name}"
        images = f"{'the same ' if comparison.paired else ''}{plural(overall.n_after, 'image')}"
        low = beside(overall.interval.low, -self.margin, "points", 2)
        text = (
            f"{lead}: accuracy {share(overall.before, 2)} → {share(overall.after, 2)} "
            f"({points(overall.difference, 2)}, at worst {low}) on {images}"
        )
        text += f", {flipped(overall)}" if comparison.paired else _OTHER_IMAGES
        return f"{text}{said_of_classes(findings[1:], comparison)}."

    def _alike(self, comparison: Comparison, name: str) -> str:
        from auditor.comparison.settling import images_to_settle

        overall = comparison.overall
        more = images_to_settle(overall, self.margin, comparison.confidence)
        would = f"about {plural(more, 'more image')} predicted alike" if more else "no number"
        alike = f"{_every(overall.n_after)} predicted as by {name}"
        return f"{alike}; that it is no worse on others is not settled: {would} would settle it."

    def _lead(self, change: Change, status: Status, name: str) -> str:
        """Say how the candidate stands to the baseline; name the margin where it decides."""
        from auditor.comparison.finding import allowed, within

        if change.interval.low > 0:
            return f"Better than {name}"
        if status is Status.FAIL:
            return f"Worse than {name}"
        if status is Status.PASS and change.interval.high < 0:
            return f"Worse than {name}{within(self.margin)}"
        head = (
            "Not worse than"
            if status is Status.PASS
            else "It is not settled whether it is worse than"
        )
        by = f" by more than {allowed(self.margin)}" if self.margin else ""
        return f"{head} {name}{by}"


def _every(n: int) -> str:
    return "The one image is" if n == 1 else f"Every one of {n:,} images is"


def _called(baseline: Baseline) -> str:
    """Name the baseline and its audit, as names may be equal.

    One that was not accepted itself is no bar to be proud of.
    """
    audit, digest = baseline.audit, baseline.audit.digest[:12]
    itself = "" if audit.verdict == "accepted" else f"itself {audit.verdict}"
    made = f"audit {digest} of {audit.provenance.created[:10]}" if digest else ""
    return f"the baseline ({', '.join(filter(None, (audit.candidate.name, itself, made)))})"


_OTHER_IMAGES = ", none known as one of the baseline's: the difference may be that of the images"
