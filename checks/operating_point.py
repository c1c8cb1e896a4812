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
threshold at which the recall of ``critical`` is at least ``min_recall`` by the exact lower bound:
the probability of the k-th surest image of the class, so that new images reach it with the check's
confidence. Then the recall on the test images at that threshold is judged against ``min_recall`` by
its Clopper–Pearson interval. Where the validation images are too few to show any threshold, it is
inconclusive. False alarms and precision at the threshold, and what the largest probability gives,
are shown with intervals, not judged. Without ``critical`` or without validation it is skipped.

How to fix
----------
If the recall falls short on test though validation promised it, the two splits differ: look at how
they were made. If the false alarms are too many, the classes overlap in the model's eyes: more
images of the critical class and of what it is confused with. For an inconclusive check, collect
more images of the class, in the split that the note names.

Limits
------
The validation images must not have been trained on; images that overlap between the splits are
not left out. Precision is that at the shares of the test set; ``[deployment]`` tells it for
production, at the largest probability.

References
----------
Wilks, Annals of Mathematical Statistics 12 (1941), on order statistics as tolerance limits;
Clopper and Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from auditor.check import Check, Finding, Outcome, Status
from auditor.errors import OptionError, did_you_mean

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions
    from auditor.operating import Counts


class OperatingPoint(Check):
    """Is the critical class found often enough from a threshold on?"""

    id = "operating-point"
    title = "The critical class is found from a threshold chosen beforehand"
    level = "advise"

    critical: str | None = None
    """The class that must not be missed; without it the check is skipped."""
    min_recall: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.90
    """Recall of the critical class that is wanted."""

    def run(self, test: Predictions, validation: Predictions | None) -> Outcome:
        """Choose on validation, judge on test."""
        if self.critical is None:
            return _skip("no critical class was named ([checks.operating-point] critical)")
        if self.critical not in test.classes:
            near = did_you_mean(self.critical, test.classes)
            raise OptionError(
                "critical", f'"{self.critical}" is not a class of the candidate{near}'
            )
        if validation is None:
            return _skip(
                "no validation data was given ([data] validation or [predictions] validation), and "
                "a threshold is never chosen on the test set"
            )
        if test.probabilities is None or validation.probabilities is None:
            return _skip("there are no probabilities to choose a threshold of")
        return self._judge(self.critical, test, validation)

    def _judge(self, critical: str, test: Predictions, validation: Predictions) -> Outcome:
        from auditor.operating import Scores, choose_threshold, counted

        if critical not in validation.classes:
            text = (
                f'the validation predictions know no class "{critical}"; predict the same classes'
            )
            return Outcome(status=Status.ERROR, summary=text)
        chosen_on, scores = Scores.of(validation, critical), Scores.of(test, critical)
        threshold = choose_threshold(chosen_on, self.min_recall, self.confidence)
        if threshold is None:
            return self._too_few(critical, int(chosen_on.critical.sum()))
        found = scores.flagged(threshold)
        judged = Finding.rate(
            critical, "recall", found.hits, found.positives, self.min_recall, self.confidence
        )
        named = np.asarray(test.predicted == test.classes.index(critical))
        shown = [
            Finding(
                subject="threshold", metric=f"probability of {critical}", observed=threshold,
                n=len(validation), note="chosen on validation images",
            ),
            *self._costs("at the threshold", found),
            *self._costs("where it is the largest", counted(scores.critical, named)),
        ]  # fmt: skip
        return Outcome.of([judged, *shown], self._summary(judged, found, threshold, validation))

    def _too_few(self, critical: str, n: int) -> Outcome:
        from auditor import stats

        needed = stats.samples_for_perfect(self.min_recall, self.confidence)
        note = (
            f"the {n:,} validation images of {critical} cannot show a recall of "
            f"{self.min_recall:.0%}; it takes at least {needed:,}, and more if some are missed"
        )
        finding = Finding(
            subject=critical, metric="recall", limit=self.min_recall, n=n,
            status=Status.INCONCLUSIVE, note=note,
        )  # fmt: skip
        return Outcome.of([finding], f"No threshold can be chosen: {note}.")

    def _costs(self, when: str, found: Counts) -> Iterator[Finding]:
        flagged = found.hits + found.alarms
        rows = [
            ("recall", found.hits, found.positives, True),
            ("precision", found.hits, flagged, True),
            ("false alarms among other images", found.alarms, found.negatives, False),
        ]
        for metric, k, n, higher in rows:
            yield _rate(when, metric, k, n, self.confidence, higher)

    def _summary(
        self, judged: Finding, found: Counts, threshold: float, validation: Predictions
    ) -> str:
        head = (
            f"Flagged from a probability of {threshold:.3g} on, chosen on {len(validation):,} "
            "validation images,"
        )
        if judged.observed is None:
            return f"{head} nothing can be said of {judged.subject}: it has no test image."
        alarms = 10_000 * found.alarms / found.negatives if found.negatives else 0
        settled = ", which is not settled" if judged.status is Status.INCONCLUSIVE else ""
        return (
            f"{head} {judged.observed:.1%} of {found.positives:,} test images of {judged.subject} "
            f"are found (at least {self.min_recall:.0%} wanted{settled}), at {alarms:,.0f} false "
            "alarms in 10,000 other images."
        )


def _skip(why: str) -> Outcome:
    return Outcome(status=Status.SKIP, summary=why)


def _rate(subject: str, metric: str, k: int, n: int, confidence: float, higher: bool) -> Finding:
    from auditor import stats

    return Finding(
        subject=subject,
        metric=metric,
        observed=k / n if n else None,
        interval=stats.proportion_interval(k, n, confidence) if n else None,
        n=n,
        higher_is_better=higher,
        note="shown, not judged",
    )
