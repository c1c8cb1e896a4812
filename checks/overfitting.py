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
Training accuracy minus test accuracy against ``max_gap``: an interval wholly at or below passes,
wholly above fails, across it is inconclusive. Each training image counts by its class's share of
the test images (direct standardisation), so that a test set in which easy classes are more frequent
hides no gap. The exact bounds of the test accuracy and the bounds of the training accuracy are
combined by squares and sums. Those of the training accuracy come from the exact bounds of its
classes in the same way; among many classes of few images that is too little, and they are at least
the gamma bounds of the training images that were right, and missed, each by its weight. Of a class
with test images and none for training anything is thought possible; where more than 5% of the test
images are of such classes, and that leaves it open, the gap counts as not measured. Test images
that overlap the training data are left out, because they would hide the gap. Where the candidate
was run on a sample of the training images, those added to it of the rare classes count for their
class; for the accuracy on all training images only the self-weighting part does.

Where the training accuracy is surely below the test accuracy, by more than ``max_gap`` and 5
points, the gap counts as not measured: no model is so much worse on what it learnt from. The files
may be swapped, or the training images were predicted with dropout or augmentation.

A training log whose validation loss has risen since its best epoch while the training loss went on
falling is reported, not judged.

How to fix
----------
More data or augmentation, dropout or weight decay, a smaller model, or stop at the best epoch.

Limits
------
Training accuracy is measured without augmentation and with the candidate's evaluation
preprocessing. The gap is that of all classes together: a rare class may hide in it, and has
``rare-class-recall``. A test set collected elsewhere is harder by itself (models lose 4 to 15
points on re-collected test sets), and a fixed margin then blames the model for it.

References
----------
Zou and Donner, Statistics in Medicine 27 (2008), the interval; Fay and Feuer, Statistics in
Medicine 16 (1997), the gamma bound; Recht et al., ICML 2019, on re-collected test sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auditor.check import MOST_UNSEEN, Check, Finding, Fraction, Outcome, Status
from auditor.wording import beside, plural, quantity, share

if TYPE_CHECKING:
    from auditor.evidence.overlap import Overlap
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.training_log import TrainingLog
    from auditor.generalisation import TrainTestGap


class Overfitting(Check):
    """Does training accuracy exceed test accuracy by too much?"""

    id = "overfitting"
    title = "Training accuracy does not run ahead of test accuracy"
    version = 5
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
        from auditor.generalisation import TrainTestGap

        seen = test if overlap is None else test.without(overlap.test_images)
        learnt = train.self_weighting
        log = None if training_log is None else self._log(training_log)
        if not len(learnt) or not len(seen):
            empty = "training images" if len(seen) else "test images without overlap"
            return _unmeasured(f"there are no {empty}", learnt, seen, log)
        gap = TrainTestGap.of(train, seen, self.confidence)
        judged = self._gap(gap)
        findings = [judged, *_sides(learnt, seen), *_standardised(gap), *([log] if log else [])]
        return Outcome.of(findings, self._summary(judged, gap, len(test) - len(seen), log))

    def _gap(self, gap: TrainTestGap) -> Finding:
        from auditor.settling import what_would_settle_gap

        finding = Finding.judged(
            *_GAP,
            gap.difference,
            gap.interval,
            self.max_gap,
            n=min(gap.trained, gap.tested),
            unit="points",
            higher_is_better=False,
        )
        if gap.interval.high < -max(self.max_gap, _HARDLY):
            return self._unmeasured(_SWAPPED)
        if finding.status is not Status.INCONCLUSIVE:
            return finding
        if gap.unlearnt > MOST_UNSEEN:
            return self._unmeasured(_strange(gap))
        what = "test images, with training images in proportion,"
        note = what_would_settle_gap(gap.bounds, self.max_gap, gap.tested, what)
        return finding.model_copy(update={"note": note})

    def _unmeasured(self, why: str) -> Finding:
        return Finding.unmeasured(*_GAP, why, self.max_gap, unit="points", higher_is_better=False)

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
        self, finding: Finding, gap: TrainTestGap, left_out: int, log: Finding | None
    ) -> str:
        trained, tested = quantity(gap.learnt, "share"), quantity(gap.seen, "share")
        apart = beside(gap.difference, self.max_gap, digits=1).removesuffix("%")
        text = (
            f"Training accuracy is {trained}"
            + (" at the test images' class shares" if _moved(gap) else "")
            + f", test accuracy {tested}"
            + (f" without {plural(left_out, 'overlapping image')}" if left_out else "")
            + f": a gap of {apart} points (at most {100 * self.max_gap:g} allowed)"
        )
        if finding.note == _SWAPPED:
            text += f"; {_SWAPPED}"
        elif finding.status is Status.INCONCLUSIVE:
            text += f", which {plural(min(gap.trained, gap.tested), 'image')} cannot settle"
        if gap.unlearnt:
            text += f"; {_strange(gap)}"
        return text + (f". In the training log, {log.note}." if log else ".")


_GAP = "train against test", "accuracy gap"
_HARDLY = 0.05
"""By so much no model is worse on what it learnt from, though augmentation may cost some of it."""
_SWAPPED = (
    "training accuracy is surely below test accuracy, as where the files are swapped, or where it "
    "was measured with dropout or augmentation"
)


def _strange(gap: TrainTestGap) -> str:
    return f"{share(gap.unlearnt)} of the test images are of classes without training images"


def _unmeasured(why: str, learnt: Predictions, seen: Predictions, log: Finding | None) -> Outcome:
    findings = [Finding.unmeasured(*_GAP, why), *_sides(learnt, seen), *([log] if log else [])]
    said = f". In the training log, {log.note}" if log else ""
    return Outcome.of(findings, f"The gap cannot be measured: {why}{said}.")


def _sides(learnt: Predictions, seen: Predictions) -> list[Finding]:
    return [
        Finding.shown(
            name, "top-1 accuracy", float(side.correct.mean()) if len(side) else None, n=len(side)
        )
        for name, side in (("train", learnt), ("test", seen))
    ]


def _moved(gap: TrainTestGap) -> bool:
    return quantity(gap.learnt, "share") != quantity(gap.pooled, "share")


def _standardised(gap: TrainTestGap) -> list[Finding]:
    """Return the training accuracy that was compared, where it is not simply that of all images."""
    metric = "top-1 accuracy at the test images' class shares"
    return [Finding.shown("train", metric, gap.learnt, n=gap.trained)] if _moved(gap) else []
