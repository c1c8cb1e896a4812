"""Every rare class is recognised.

What it asks
------------
Of the test images of each rare class, does the candidate recognise enough?

Why it matters
--------------
The rare class is usually why the model exists: the fraud, the tumour, the animal on the camera
trap. Its images are too few to move any average, so it must be asked about by name.

How it decides
--------------
A class is rare when its share is below ``rarity`` / K, with K classes: in the training data, from
which the candidate learnt little of it, or in the test set, or in production where ``[deployment]``
says what that holds. One of them is enough. Name them in ``classes`` instead if you know better;
those that it leaves out are shown, and named in the summary.
Each rare class's recall is compared with ``min_recall`` (or its own minimum in ``per_class``) by
its Clopper–Pearson interval, or Wilson's with ``interval = "wilson"``.

- A class fails if it is wholly below and Holm's correction agrees. The family is all rare classes
  with test images; the p-values are those of the one-sided exact binomial test of "the recall is at
  least the minimum", whichever the interval. So with classes that are all good enough, the check
  fails with a chance of at most 1 - ``confidence``, however many they are.
- All rare classes together fail, but for those that fail by name, if their pooled recall is wholly
  below the mean of their minima, weighed by images: a hundred classes of four images each, none of
  them recognised, prove little one by one and everything together. If each class meets its minimum,
  no more are missed than of a binomial with that mean (Hoeffding), so the test is exact. Of several
  rare classes it has a tenth of the error that the check may make, and Holm's correction the rest.
- A class that is wholly below by itself while Holm does not agree is inconclusive. So is one
  without test images, or with too few to tell; each says how many would settle it.
- The check passes if every class is wholly at or above its minimum, each at ``confidence`` and
  without a correction. None is needed: a wrong pass takes a class that is not good enough, and that
  class must itself pass, which happens with a chance of at most 1 - ``confidence`` (an
  intersection–union test).

Without any rare class the check is skipped: there was nothing to judge.

How to fix
----------
Collect more images of the class, weight the loss or the sampling, or lower the class's decision
threshold and pay in precision. For an inconclusive class, collect more test images.

Limits
------
In a small test set of many classes some have by chance so few images that they are rare, and leave
the check inconclusive: collect more, lower ``rarity``, or name ``classes``. The more rare classes,
the more test images each needs: to fail, because of Holm; to pass, because all of them must. Test
images are taken as independent draws of their class; several of one patient or video are not, and
make the bounds too narrow (see ``group-overlap``). Wilson's bounds err at the stated rate on
average only: a pass, and the failure of the only rare class, may be wrong more often.

References
----------
Clopper and Pearson, Biometrika 26 (1934); Holm, Scandinavian Journal of Statistics 6 (1979);
Berger, Technometrics 24 (1982), on intersection–union tests; Hoeffding, Annals of Mathematical
Statistics 27 (1956), on sums of unlike trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from auditor.check import Check, Finding, Fraction, IntervalMethod, Outcome, Status
from auditor.errors import OptionError, did_you_mean
from auditor.wording import ALL_RARE, beside, limit, listed, plural

if TYPE_CHECKING:
    from auditor.evidence.confusion import Confusion
    from auditor.evidence.counts import ClassCounts


class RareClassRecall(Check):
    """Is every rare class recognised often enough?"""

    id = "rare-class-recall"
    title = "Rare classes are recognised"
    version = 4
    level = "block"

    min_recall: Fraction = 0.85
    """Lowest recall that a rare class may have."""
    rarity: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A class is rare when its share is below this, divided by the number of classes."""
    classes: tuple[str, ...] = ()
    """Classes to treat as rare, instead of finding them by share."""
    per_class: dict[str, Fraction] = Field(default_factory=dict)
    """Lowest recall of single classes, where it is not ``min_recall``; these count as rare."""
    interval: IntervalMethod = "exact"
    """How recall is bounded: exactly (Clopper–Pearson), or by Wilson, narrower."""

    def run(self, confusion: Confusion, counts: ClassCounts) -> Outcome:
        """Judge the recall of every rare class."""
        self._require_known(confusion.classes)
        chosen = counts.rare(self.rarity, self.classes, self.per_class)
        rare = [name for name in confusion.classes if name in chosen]
        findings = self._corrected([self._judge(name, confusion, len(rare)) for name in rare])
        if not findings:
            return Outcome.of([], _nothing(counts))
        left = [name for name in confusion.classes if name in counts.rare(self.rarity) - chosen]
        shown = [_not_asked(name, confusion, self.confidence) for name in left]
        return Outcome.of([*findings, *shown], f"{self._summary(findings)}{_said_of(left)}.")

    def _require_known(self, known: tuple[str, ...]) -> None:
        for option in ("classes", "per_class"):
            for name in getattr(self, option):
                if name not in known:
                    raise OptionError(
                        option,
                        f'"{name}" is not a class of the candidate{did_you_mean(name, known)}',
                    )

    def _corrected(self, findings: list[Finding]) -> list[Finding]:
        from auditor.multiplicity import TOGETHER, Family, rate_p_values

        several = sum(bool(finding.n) for finding in findings) > 1
        confidence = 1 - (1 - self.confidence) * (1 - TOGETHER if several else 1)
        p_values = rate_p_values(findings)
        family = Family(p_values, "Holm", "rare classes", confidence, self.interval)
        judged = [family.judge(i, finding) for i, finding in enumerate(findings)]
        return [*judged, *_together(judged, 1 - (1 - self.confidence) * TOGETHER)]

    def _judge(self, name: str, confusion: Confusion, family: int) -> Finding:
        i = confusion.classes.index(name)
        right, n = int(confusion.correct[i]), int(confusion.support[i])
        minimum = self.per_class.get(name, self.min_recall)
        return Finding.rate(
            name, "recall", right, n, minimum, self.confidence, self.interval, family=family
        )

    def _summary(self, findings: list[Finding]) -> str:
        failed = [f for f in findings if f.status is Status.FAIL]
        open_ = [f for f in findings if f.status is Status.INCONCLUSIVE]
        if failed or open_:
            said = [_said(f) for f in sorted(failed or open_, key=lambda f: f.observed or 0.0)]
            text = listed(said, separator="; ")
            return text if failed else f"Too few test images to tell: {text}"
        lowest = min(findings, key=lambda f: f.observed or 0.0)
        which = f"class named in [checks.{self.id}]" if self.classes else "rare class"
        return f"Every {which} is recognised; the lowest: {_said(lowest)}"


def _together(findings: list[Finding], confidence: float) -> list[Finding]:
    """Return a failure of all classes that do not fail by name, where together they surely do."""
    from auditor import stats
    from auditor.multiplicity import pooled

    rest = [f for f in findings if f.n and f.status is not Status.FAIL]
    right, n, limit = pooled(rest)
    # Hoeffding's bound holds from one image below the mean on.
    if len(rest) < 2 or right > n * limit - 1:
        return []
    interval = stats.proportion_interval(right, n, confidence)
    note = f"{len(rest):,} classes together that do not fail by name"
    found = Finding.judged(ALL_RARE, "recall", right / n, interval, limit, n=n, note=note)
    return [found] if found.status is Status.FAIL else []


def _not_asked(name: str, confusion: Confusion, confidence: float) -> Finding:
    """Show a class that is rare and that ``classes`` leaves out."""
    from auditor import stats

    i = confusion.classes.index(name)
    right, n = int(confusion.correct[i]), int(confusion.support[i])
    bounds = stats.proportion_interval(right, n, confidence) if n else None
    why = "rare by its share, and not among those named"
    return Finding.shown(name, "recall", right / n if n else None, n=n, interval=bounds, why=why)


def _said_of(left: Sequence[str]) -> str:
    are = "is" if len(left) == 1 else "are"
    return f"; not asked of {listed(left)}, which {are} rare, too" if left else ""


def _nothing(counts: ClassCounts) -> str:
    among = "test images (no training images were given)"
    if counts.train is not None:
        among = "training images or the test images"
    there = "" if counts.production is None else " or in production"
    return (
        f"None of the {len(counts.classes):,} classes is rare among the {among}{there}; name those "
        "that matter in [checks.rare-class-recall] classes."
    )


def _said(finding: Finding) -> str:
    if finding.observed is None or finding.limit is None:
        return f"{finding.subject} has no test image"
    are = "together are" if finding.subject == ALL_RARE else "is"
    return (
        f"{finding.subject} {are} recognised in {beside(finding.observed, finding.limit)} of "
        f"{plural(finding.n or 0, 'test image')} (at least {limit(finding.limit)} required)"
    )
