"""Training accuracy does not run ahead of test accuracy.

What it asks
------------
Does the candidate do much better on the images it learnt from than on new ones?

Why it matters
--------------
A large gap means that it memorised. Its training curve looks excellent, and what it will do with
images of next month is anyone's guess.

How it decides
--------------
Training accuracy minus test accuracy, with Newcombe's interval for two independent proportions,
against ``max_gap``: wholly at or below passes, wholly above fails, across it is inconclusive. Test
images that overlap the training data are left out, because they would hide the gap. Where the
candidate was run on a sample of the training images, only its self-weighting part counts.

A training log whose validation loss has risen since its best epoch while the training loss went on
falling is reported, not judged.

How to fix
----------
More data or augmentation, dropout or weight decay, a smaller model, or stop at the best epoch.

Limits
------
Training accuracy is measured without augmentation and with the candidate's evaluation
preprocessing. A test set collected elsewhere is harder by itself (models lose 4 to 15 points on
re-collected test sets), and a fixed margin then blames the model for it.

References
----------
Newcombe, Statistics in Medicine 17 (1998); Recht et al., ICML 2019, on re-collected test sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.wording import beside, quantity, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from auditor.evidence.overlap import Overlap
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.training_log import TrainingLog


class Overfitting(Check):
    """Does training accuracy exceed test accuracy by too much?"""

    id = "overfitting"
    title = "Training accuracy does not run ahead of test accuracy"
    level = "block"

    max_gap: Fraction = 0.05
    """Most by which training accuracy may exceed test accuracy."""
    loss_rise: Fraction = 0.10
    """Share by which the validation loss must have risen to be reported."""

    def run(
        self,
        train: Predictions,
        test: Predictions,
        overlap: Overlap | None,
        training_log: TrainingLog | None,
    ) -> Outcome:
        """Judge the gap; report what the training log shows."""
        seen = test if overlap is None else test.without(overlap.test_images)
        learnt = train if train.representative is None else train.where(train.representative)
        findings = [self._gap(learnt, seen), *_sides(learnt, seen)]
        log = None if training_log is None else self._log(training_log)
        return Outcome.of(
            [*findings, *([log] if log else [])], self._summary(findings, test, seen, log)
        )

    def _gap(self, learnt: Predictions, seen: Predictions) -> Finding:
        from auditor import stats

        if not len(learnt) or not len(seen):
            empty = "training images" if len(seen) else "test images without overlap"
            return Finding.unmeasured("train against test", "accuracy gap", f"there are no {empty}")
        counts = (int(learnt.correct.sum()), len(learnt), int(seen.correct.sum()), len(seen))
        finding = Finding.judged(
            "train against test",
            "accuracy gap",
            counts[0] / counts[1] - counts[2] / counts[3],
            stats.difference_interval(*counts, self.confidence),
            self.max_gap,
            n=min(counts[1], counts[3]),
            unit="points",
            higher_is_better=False,
        )
        if finding.status is not Status.INCONCLUSIVE:
            return finding
        return finding.model_copy(update={"note": self._what_would_settle(*counts)})

    def _what_would_settle(self, right: int, trained: int, hits: int, tested: int) -> str:
        """Say how many more test images it takes, where training images grow with them."""
        from auditor import stats
        from auditor.settling import what_would_settle_gap

        def bounds(n: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            scale = n / tested
            learnt, images, seen = (
                np.rint(k * scale).astype(np.int64) for k in (right, trained, hits)
            )
            return stats.difference_intervals(learnt, images, seen, n, confidence=self.confidence)

        what = "test images, with training images in proportion,"
        return what_would_settle_gap(bounds, self.max_gap, tested, what)

    def _log(self, log: TrainingLog) -> Finding | None:
        known = np.isfinite(log.eval_loss) & np.isfinite(log.train_loss)
        if known.sum() < 2:
            return None
        validation, training = log.eval_loss[known], log.train_loss[known]
        best = int(validation.argmin())
        rise = float(validation[-1] / validation[best] - 1) if validation[best] > 0 else 0.0
        if rise <= self.loss_rise or training[-1] >= training[best]:
            return None
        epoch = log.epoch[known][best]
        return Finding(
            subject="training log",
            metric="validation loss since its best epoch",
            observed=rise,
            n=int(known.sum()),
            higher_is_better=False,
            note=f"the validation loss rose by {share(rise, 0)} since epoch {epoch:g} while the "
            "training loss fell: the candidate was trained too long",
        )

    def _summary(
        self, findings: list[Finding], test: Predictions, seen: Predictions, log: Finding | None
    ) -> str:
        gap, *sides = findings
        if gap.observed is None:
            return f"The gap cannot be measured: {gap.note}."
        left_out = len(test) - len(seen)
        trained, tested = (quantity(side.observed, "share") for side in sides)
        apart = beside(gap.observed, self.max_gap, digits=1).removesuffix("%")
        text = (
            f"Training accuracy is {trained}, test accuracy {tested}"
            + (f" without {left_out:,} overlapping images" if left_out else "")
            + f": a gap of {apart} points (at most {100 * self.max_gap:g} allowed)"
        )
        if gap.status is Status.INCONCLUSIVE:
            text += f", which {gap.n:,} images cannot settle"
        return text + (f". In the training log, {log.note}." if log else ".")


def _sides(learnt: Predictions, seen: Predictions) -> list[Finding]:
    return [
        Finding(
            subject=name,
            metric="top-1 accuracy",
            observed=float(side.correct.mean()) if len(side) else None,
            n=len(side),
            note="shown, not judged",
        )
        for name, side in (("train", learnt), ("test", seen))
    ]
