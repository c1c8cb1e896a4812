"""The critical class is found often enough, from a threshold chosen beforehand.

What it asks
------------
If images are flagged from some probability of the critical class on, instead of where it is the
largest, is the class found as often as wanted? And what does that cost in false alarms?

Why it matters
--------------
Nobody deploys a fraud or tumour detector at the largest probability. But a threshold that was
chosen on the test set and then judged on it is a promise that new images will break.

How it decides
--------------
On the validation split (``[data] validation`` or ``[predictions] validation``) it takes the highest
threshold at which the recall of ``critical`` is at least ``min_recall`` by the exact lower bound,
and at which as many images as the test set has of the class can be expected to show that by their
own bound: the probability of the k-th surest image of the class, either with the check's
confidence. Of the test images only that number is used. Then two rates on the test images at that
threshold are judged by their Clopper–Pearson intervals: the recall must be at least ``min_recall``,
and of the other images no larger a share may be flagged. Whoever flags that share of all images at
random finds as many of the class: a threshold of 0, or a candidate that says the same of every
image, reaches any recall and is worth nothing. Where the validation images are too few to show any
threshold, or no other image is there, it is inconclusive. Precision at the threshold, and what the
largest probability gives, are shown with intervals, not judged. Without ``critical`` it is skipped;
with it and without validation it is inconclusive, and validation or test predictions that have no
probabilities are an error.

How to fix
----------
If the recall falls short on test though validation promised it, the two splits differ: look at how
they were made. If the false alarms are too many, the classes overlap in the model's eyes: more
images of the critical class and of what it is confused with. If it is inconclusive, the note at the
threshold tells with what probability the test images were to show the recall. Below the confidence,
collect more images of the class, first in the split that has fewer; else that test set was unlucky,
once in twenty times at a confidence of 95%, or it is a little harder than validation.

Limits
------
That false alarms are fewer than at random says nothing of what they cost: look at their number. The
validation images must not have been trained on; images that overlap between the splits are not left
out, and a copy of the test set under other names is not noticed. The fewer images of the class
there are, in either split, the lower is the threshold that can be expected to show the recall, and
the more are the false alarms. Precision is that at the shares of the test set; ``[deployment]``
tells it for production, at the largest probability.

References
----------
Wilks, Annals of Mathematical Statistics 12 (1941), on order statistics as tolerance limits;
Gumbel and von Schelling, Annals of Mathematical Statistics 21 (1950), on the number of exceedances;
Clopper and Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from auditor import wording
from auditor.check import Check, Finding, Outcome, Status
from auditor.errors import OptionError, did_you_mean
from auditor.wording import beside, limit, plural, share

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions
    from auditor.operating import Counts


class OperatingPoint(Check):
    """Is the critical class found often enough from a threshold on?"""

    id = "operating-point"
    title = "The critical class is found from a threshold chosen beforehand"
    version = 4
    level = "advise"

    critical: str | None = None
    """The class that must not be missed; without it the check is skipped."""
    min_recall: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.90
    """Recall of the critical class that is wanted."""

    def run(self, test: Predictions, validation: Predictions | None) -> Outcome:
        """Choose on validation, judge on test."""
        from auditor.evidence.given_twice import given_twice

        if self.critical is None:
            why = "no critical class was named ([checks.operating-point] critical)"
            return Outcome(status=Status.SKIP, summary=why)
        if self.critical not in test.classes:
            near = did_you_mean(self.critical, test.classes)
            raise OptionError(
                "critical", f'"{self.critical}" is not a class of the candidate{near}'
            )
        if validation is None:
            return Outcome(status=Status.INCONCLUSIVE, summary=_NO_VALIDATION)
        for split, given in (("validation", validation), ("test", test)):
            if given.probabilities is None:
                return _no_probabilities(split, given)
        if twice := given_twice(validation, test):
            text = (
                f"{twice:,} of the {len(test):,} test images are validation images, too, and what "
                "is chosen on the test set cannot be judged on it"
            )
            return Outcome(status=Status.ERROR, summary=text)
        return self._judge(self.critical, test, validation)

    def _judge(self, critical: str, test: Predictions, validation: Predictions) -> Outcome:
        from auditor.operating import Scores, choose_threshold, counted

        if critical not in validation.classes:
            text = (
                f'the validation predictions know no class "{critical}"; predict the same classes'
            )
            return Outcome(status=Status.ERROR, summary=text)
        chosen_on, scores = Scores.of(validation, critical), Scores.of(test, critical)
        positives = int(scores.critical.sum())
        threshold = choose_threshold(chosen_on, positives, self.min_recall, self.confidence)
        if threshold is None:
            n, lost = int(chosen_on.critical.sum()), len(validation.unreadable)
            return self._too_few(critical, n, lost)
        found = scores.flagged(threshold.probability)
        judged = Finding.rate(
            critical, "recall", found.hits, found.positives, self.min_recall, self.confidence
        )
        alarms = self._alarms(found)
        named = np.asarray(test.predicted == test.classes.index(critical))
        shown = [
            Finding(
                subject="threshold", metric=f"probability of {critical}",
                observed=threshold.probability, n=len(validation),
                note=f"chosen on validation images; {positives:,} test images of {critical} like "
                f"them show the recall with a probability of {share(threshold.chance)}",
            ),
            *self._costs(AT, found)[:-1],
            *self._costs("where it is the largest", counted(scores.critical, named)),
        ]  # fmt: skip
        summary = self._summary(judged, alarms, found, threshold.probability, validation)
        return Outcome.of([judged, alarms, *shown], summary)

    def _too_few(self, critical: str, n: int, lost: int) -> Outcome:
        from auditor.settling import samples_for_perfect

        needed = samples_for_perfect(self.min_recall, self.confidence)
        note = (
            f"the {n:,} validation images of {critical} cannot show a recall of "
            f"{limit(self.min_recall)}; it takes at least {needed:,}, and more if some are missed"
        )
        note += f"; {plural(lost, 'validation image')} cannot be read" if lost else ""
        finding = Finding(
            subject=critical, metric="recall", limit=self.min_recall, n=n,
            status=Status.INCONCLUSIVE, note=note,
        )  # fmt: skip
        return Outcome.of([finding], f"No threshold can be chosen: {note}.")

    def _alarms(self, found: Counts) -> Finding:
        """Judge whether fewer others are flagged than it takes to find as many at random."""
        from auditor import stats

        if not found.negatives:
            why = "no test image of another class"
            return Finding.unmeasured(AT, ALARMS, why, self.min_recall, higher_is_better=False)
        counts = found.alarms, found.negatives
        interval = stats.proportion_interval(*counts, self.confidence)
        return Finding.judged(
            AT, ALARMS, found.alarms / found.negatives, interval, self.min_recall,
            n=found.negatives, higher_is_better=False,
            note=f"flagging {limit(self.min_recall)} of all images at random finds as many",
        )  # fmt: skip

    def _costs(self, when: str, found: Counts) -> list[Finding]:
        rows = [
            ("recall", found.hits, found.positives, True),
            ("precision", found.hits, found.hits + found.alarms, True),
            (ALARMS, found.alarms, found.negatives, False),
        ]
        return [_rate(when, metric, k, n, self.confidence, up) for metric, k, n, up in rows]

    def _summary(
        self,
        judged: Finding,
        alarms: Finding,
        found: Counts,
        threshold: float,
        validation: Predictions,
    ) -> str:
        lost = len(validation.unreadable)
        unread = f" ({lost:,} more cannot be read)" if lost else ""
        head = (
            f"Flagged from a probability of {wording.threshold(threshold)} on, chosen on "
            f"{len(validation):,} validation images{unread},"
        )
        if judged.observed is None:
            return f"{head} nothing can be said of {judged.subject}: it has no test image."
        settled = ", which is not settled" if judged.status is Status.INCONCLUSIVE else ""
        found_share = beside(judged.observed, self.min_recall, digits=1)
        return (
            f"{head} {found_share} of {plural(found.positives, 'test image')} of {judged.subject} "
            f"are found (at least {limit(self.min_recall)} wanted{settled}), "
            f"{self._price(alarms)}."
        )

    def _price(self, alarms: Finding) -> str:
        if alarms.observed is None:
            return "at how many false alarms is not known: there is no other test image"
        many = 10_000 * alarms.observed
        text = f"at {many:{',.0f' if many >= 1 else '.2g'}} false alarms in 10,000 other images"
        if alarms.status is Status.PASS:
            return text
        may = "" if alarms.status is Status.FAIL else "perhaps "
        return (
            f"{text}: {may}no fewer than flagging {limit(self.min_recall)} of all at random gives"
        )


AT = "at the threshold"
ALARMS = "false alarms among other images"
_NO_VALIDATION = (
    "no validation data was given ([data] validation or [predictions] validation), and a threshold "
    "is never chosen on the test set"
)


def _no_probabilities(split: str, given: Predictions) -> Outcome:
    """Refuse: what was asked for was given without what it takes."""
    from auditor.evidence.calibration import why_no_probabilities

    why = f"no threshold can be chosen on {split} predictions without probabilities"
    if split == "test":
        why = "no threshold can be judged on test predictions without probabilities"
    return Outcome(status=Status.ERROR, summary=f"{why}: {why_no_probabilities(given)}")


def _rate(subject: str, metric: str, k: int, n: int, confidence: float, higher: bool) -> Finding:
    from auditor import stats

    return Finding.shown(
        subject,
        metric,
        k / n if n else None,
        n=n,
        interval=stats.proportion_interval(k, n, confidence) if n else None,
        higher_is_better=higher,
    )
