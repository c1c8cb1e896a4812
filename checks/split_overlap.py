"""No test image is in the training data.

What it asks
------------
Has the candidate seen the exam? And does one picture stand in the test set under two labels?

Why it matters
--------------
On a test image that was in training, even a model that only memorises is right. Each such image
lifts the test accuracy above what new images will show.

How it decides
--------------
Every test image is compared with every training image: by the bytes of the file, by the decoded
pixels, and by perceptual hash within ``max_distance`` bits of 64. What only the hash brings up
counts when the pixels confirm it: the two pictures must be more alike than strangers of one class
are in this very data. It counts images, so no interval is needed: more than ``max_share`` of the
test set fails, and so does a picture that stands in the test set under two labels. So does a test
set of which more than ``max_copies`` are exact copies of other test images: they count one picture
many times, and every interval of the audit becomes too narrow. The inflation,
accuracy on all test images minus accuracy without the overlapping ones, is shown. It is
inconclusive where a predicted test image could not be read, or more training images than
``max_share`` of the test set: any of them may be a copy.

How to fix
----------
Remove the listed images from one of the splits and audit again; split by scene, patient or video
rather than by image. Accept a single image by a waiver that names it.

Limits
------
Crops, flips and quarter turns are not looked for, and neither are other pictures of the same
scene. Nearly flat pictures are matched by bytes and pixels only.

References
----------
Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010); Barz and
Denzler, Journal of Imaging 6 (2020), on duplicates in CIFAR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from auditor.check import Check, Finding, Fraction, Outcome, Status, worst

if TYPE_CHECKING:
    from auditor.evidence.overlap import Overlap, OverlapPair
    from auditor.evidence.predictions import Predictions


class SplitOverlap(Check):
    """Is any test image in the training data?"""

    id = "split-overlap"
    title = "Training and test images do not overlap"
    level = "block"
    judges = "data"

    max_share: Fraction = 0.0
    """Largest share of test images that may overlap the training data."""
    max_copies: Fraction = 0.05
    """Largest share of test images that may be exact copies of other test images."""
    max_distance: Annotated[int, Field(ge=0, le=8)] = 8
    """Bits of 64 in which the hashes of near-duplicates may differ; even on natural pictures."""

    def run(self, overlap: Overlap, test: Predictions | None) -> Outcome:
        """Count the overlapping images and the conflicting labels."""
        within = [*self._conflicts(overlap), *self._copies(overlap)]
        if overlap.pairs is None:
            return _without_training(within)
        pairs = self._near_enough(overlap.pairs)
        first = {pair.test_image: pair for pair in reversed(pairs)}
        findings = self._overlapping(first, overlap.test_signed)
        findings += _unseen(overlap, test, len(first), self.max_share)
        findings += _inflation(frozenset(first), test)
        return Outcome.of([*findings, *within], self._summary(first, overlap, findings, within))

    def _conflicts(self, overlap: Overlap) -> list[Finding]:
        pairs = self._near_enough(overlap.within_test)
        return [_conflict(pair) for pair in pairs if pair.test_label != pair.train_label]

    def _copies(self, overlap: Overlap) -> list[Finding]:
        exact = {p.train_image for p in overlap.within_test if p.kind != "near-duplicate"}
        if not exact:
            return []
        share = len(exact) / overlap.test_signed
        return [
            Finding.fact(
                "test",
                "copies of other test images",
                share,
                self.max_copies,
                n=overlap.test_signed,
                unit="share",
                note=f"{len(exact):,} of {overlap.test_signed:,} images repeat another one",
            )
        ]

    def _near_enough(self, pairs: Sequence[OverlapPair]) -> list[OverlapPair]:
        return [pair for pair in pairs if pair.distance <= self.max_distance]

    def _overlapping(self, first: dict[str, OverlapPair], total: int) -> list[Finding]:
        share = len(first) / total if total else None
        if share is None:
            note = "no test image could be read"
            return [_share(None, self.max_share, 0, Status.INCONCLUSIVE, note)]
        if share <= self.max_share:
            listed = [_listed(pair, Status.SKIP) for pair in first.values()]
            return [_share(share, self.max_share, total, Status.PASS), *listed]
        listed = [_listed(pair, Status.FAIL) for pair in first.values()]
        return [_share(share, self.max_share, total, Status.SKIP, "judged image by image"), *listed]

    def _summary(
        self,
        first: dict[str, OverlapPair],
        overlap: Overlap,
        findings: Sequence[Finding],
        within: Sequence[Finding],
    ) -> str:
        total = overlap.test_signed
        unseen = [f.note for f in findings if f.status is Status.INCONCLUSIVE]
        text = (
            f"Leakage is not settled: {'; '.join(unseen)}"
            if unseen
            else "No test image is in the training data"
        )
        if first:
            exact = sum(pair.kind != "near-duplicate" for pair in first.values())
            text = (
                f"{len(first):,} of {total:,} test images ({len(first) / total:.1%}) are in the "
                f"training data: {exact:,} exact, {len(first) - exact:,} near-duplicates"
            )
        return "; ".join([text, *_said(within)]) + "."


def _share(observed: float | None, limit: float, n: int, status: Status, note: str = "") -> Finding:
    return Finding(
        subject="test",
        metric="overlapping test images",
        observed=observed,
        limit=limit,
        n=n,
        higher_is_better=False,
        status=status,
        note=note,
    )


def _listed(pair: OverlapPair, status: Status) -> Finding:
    labels = "" if pair.test_label == pair.train_label else f", labelled {pair.train_label} there"
    return Finding(
        subject=pair.test_image,
        metric="copies in training",
        observed=1,
        limit=0,
        n=1,
        unit="images",
        higher_is_better=False,
        status=status,
        note=f"{pair.kind} of {pair.train_image}{labels}",
    )


def _conflict(pair: OverlapPair) -> Finding:
    return Finding(
        subject=pair.test_image,
        metric="labels of one picture",
        observed=2,
        limit=1,
        n=2,
        unit="labels",
        higher_is_better=False,
        status=Status.FAIL,
        note=f"{pair.test_label} here, {pair.train_label} as {pair.train_image} ({pair.kind})",
    )


def _unseen(
    overlap: Overlap, test: Predictions | None, known: int, max_share: float
) -> list[Finding]:
    """Return what was not compared and therefore cannot pass."""
    notes = []
    if overlap.train_signed == 0:
        notes.append("no training image could be read")
    elif overlap.train_unread and overlap.train_unread > max_share * overlap.test_signed - known:
        notes.append(f"{overlap.train_unread:,} training images could not be read")
    if test is not None and 0 < overlap.test_signed < len(test):
        notes.append(f"{len(test) - overlap.test_signed:,} predicted images could not be read")
    return [_share(None, 0.0, 0, Status.INCONCLUSIVE, note) for note in notes]


def _inflation(overlapping: frozenset[str], test: Predictions | None) -> list[Finding]:
    if test is None or not overlapping:
        return []
    clean = test.without(overlapping)
    if not len(clean):
        return []
    return [
        Finding(
            subject="test",
            metric="accuracy inflation by overlapping images",
            observed=float(test.correct.mean() - clean.correct.mean()),
            n=len(clean),
            unit="points",
            higher_is_better=False,
            note=f"{test.correct.mean():.1%} with them, {clean.correct.mean():.1%} without",
        )
    ]


def _said(within: Sequence[Finding]) -> list[str]:
    """Say what is wrong inside the test set, if anything is."""
    failed = [finding for finding in within if finding.status is Status.FAIL]
    conflicts = sum(finding.unit == "labels" for finding in failed)
    said = [f"{conflicts:,} pairs within the test set carry two labels"] if conflicts else []
    return said + [f"within the test set, {f.note}" for f in failed if f.unit == "share"]


def _without_training(within: Sequence[Finding]) -> Outcome:
    text = "no training images were given ([data] train), so leakage was not looked at"
    said = "; ".join([text, *_said(within)])
    status = Status.FAIL if worst(f.status for f in within) is Status.FAIL else Status.SKIP
    return Outcome(status=status, summary=said, findings=tuple(within))
