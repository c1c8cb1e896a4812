"""No test image is in the training data.

What it asks
------------
Has the candidate seen the exam? How much higher does that make its mark? And does one picture
stand in the test set under two labels?

Why it matters
--------------
On a test image that was in training, even a model that only memorises is right. Each such image
lifts the test accuracy above what new images will show.

How it decides
--------------
Every test image is compared with every training image, in tiers, and the strongest that holds is
named:

- ``same-bytes``: the files are equal;
- ``same-pixels``: the files differ, what is seen in them does not;
- ``near-duplicate``: the perceptual hashes are near, and the pixels confirm it; where the images
  were not given, the hashes decide alone, by a stricter score;
- ``transformed``: the same of a mirrored, turned or cropped copy, and which it is.

The last two can err. Their threshold is chosen on this very data so that at most ``[overlap]
false_discovery_rate`` of them are strangers, and the estimate that comes of it is taken off the
count; where nothing can be estimated, as of fewer than 200 images in both splits together, nothing
is taken off. Where the corrected share of contaminated test images is above ``max_share``, even if
more of them are strangers than estimated, every one of the images fails, so that a waiver can name
it.

The inflation, accuracy on all test images minus accuracy without the overlapping ones, is compared
with ``max_inflation``, whole interval against limit. A picture that stands in the test set under
two labels fails. So does a test set of which more than ``max_copies`` repeat another test image:
one picture is counted many times, and every interval of the audit becomes too narrow. So does a
class of which surely more do, by the exact binomial test and Bonferroni's correction over the
classes: 8 of 9 images are too many, 2 of 20, which may look alike by nature, are not. Copies within
the training data and labels that differ between the splits are shown.

It is inconclusive where a predicted test image could not be read, or more images of the training or
(without predictions) the test set than ``max_share`` leaves room for: any of them may be a copy. So
may images of either split of too little contrast (below 4 of 255 grey levels at 32 × 32: dark
frames, a few stars on black), whose hashes are noise: they are compared by bytes and pixels alone,
and named. So may files that lack an image's suffix, or a class folder, and may be images none the
less (a README or a ``.csv`` is none), and test images that look like another where some ten
pictures cannot show how alike strangers are. Nor is anything settled where the pictures are too
alike to tell copies by their looks, as forms of one layout: where of 20 test images, stored anew as
JPEG, as WebP, at half the size or a fifth darker, fewer than 80% would be found in one of these
ways. Signatures alone allow no such control.

How to fix
----------
``clean_test.csv``, written beside the report, lists the test images without a copy in training. Put
it into the test folder and name it as ``[data] test``. Better, remove the copies from the training
data and train again; split by scene, patient or video rather than by image. Accept a single image
by a waiver that names it.

Limits
------
Crops are looked for with ``[overlap] views = true`` alone, mirrored and turned copies not with
``transforms = false``, which the summary then says, other pictures of the same scene never: see
``group-overlap`` and ``[overlap] features``. Negatives are not found, nor are most copies that
were letterboxed, nor transparent pictures whose copies were laid on another background. 16-bit
pictures that fill their lowest bits alone are dark, and may have too little contrast to be
compared. What no tier reaches is not in the count. Every other blocking check of the predictions is
judged with and without the overlapping images, and the worse counts: of two looks at 5% each, 5.9
to 7.7% wrong failures were simulated where a third to a half of the test images overlap and do not
flatter.

References
----------
Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010); Barz and
Denzler, Journal of Imaging 6 (2020), on duplicates in CIFAR; Elias and Gygi, Nature Methods 4
(2007), on decoys; Zou and Donner, Statistics in Medicine 27 (2008), on the interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from auditor.check import MOST_UNSEEN, Check, Finding, Fraction, Outcome, Status, decide, worst
from auditor.wording import listed, plural, share

if TYPE_CHECKING:
    from auditor.evidence.overlap import Overlap, OverlapPair
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.scenes import Scenes
    from auditor.overlap.contamination import Contaminated


class SplitOverlap(Check):
    """Is any test image in the training data, and what does it change?"""

    id = "split-overlap"
    title = "Training and test images do not overlap"
    version = 9
    level = "block"
    judges = "data"

    max_share: Fraction = 0.0
    """Largest share of test images that may overlap the training data."""
    max_inflation: Fraction = 0.01
    """Most by which the overlapping images may lift the accuracy."""
    max_copies: Fraction = 0.05
    """Largest share of test images that may repeat other test images."""

    def run(
        self, overlap: Overlap, test: Predictions | None, scenes: Scenes | None = None
    ) -> Outcome:
        """Judge the share and the inflation; name the images, the conflicts and the copies."""
        within = [*_conflicts(overlap), *self._copies(overlap)]
        if overlap.pairs is None:
            return _without_training(within)
        from auditor.overlap.contamination import contaminated, strongest

        first, count = strongest(overlap.pairs), contaminated(overlap, self.confidence)
        unseen = list(_unseen(overlap, test, count, self.max_share))
        findings = [*self._share(overlap, first, count), *unseen, *self._inflation(overlap, test)]
        relabelled = _relabelled(overlap.pairs)
        shown = [*relabelled, *_within_train(overlap), *_similar(scenes)]
        said = _said(count, first, findings, len(relabelled), overlap.unsought)
        summary = "; ".join([said, *_said_within(within)]) + "."
        return Outcome.of([*findings, *within, *shown], summary)

    def _share(
        self, overlap: Overlap, first: Mapping[str, OverlapPair], count: Contaminated
    ) -> Iterator[Finding]:
        if unread := _unread(overlap):
            for note in unread:
                yield Finding.unmeasured(*_SHARE, note, self.max_share, higher_is_better=False)
            return
        status = decide(count.interval, self.max_share, higher_is_better=False)
        failed = status is Status.FAIL
        note = f"{count.said}; judged image by image" if failed else count.said
        yield _shared(count, self.max_share, Status.SKIP if failed else status, note)
        for pair in first.values():
            yield _listed(pair, Status.FAIL if failed else Status.SKIP)

    def _inflation(self, overlap: Overlap, test: Predictions | None) -> Iterator[Finding]:
        from auditor.overlap.contamination import inflation

        lift = None if test is None else inflation(test, overlap.test_images, self.confidence)
        if lift is not None:
            yield Finding.judged(
                "test",
                "accuracy inflation by overlapping images",
                lift.points,
                lift.interval,
                self.max_inflation,
                n=lift.n,
                unit="points",
                higher_is_better=False,
                note=f"{share(lift.everything)} with them, {share(lift.clean)} without",
            )

    def _copies(self, overlap: Overlap) -> Iterator[Finding]:
        repeated, n = overlap.repeats_test.images, overlap.test_signed
        if repeated:
            yield Finding.fact(
                "test",
                "copies of other test images",
                repeated / n,
                self.max_copies,
                n=n,
                unit="share",
                note=f"{repeated:,} of {plural(n, 'image')} {_repeat(repeated)} another one"
                f"{overlap.repeats_test.how}",
            )
        if repeated <= self.max_copies * n:
            yield from self._copies_of_classes(overlap)

    def _copies_of_classes(self, overlap: Overlap) -> Iterator[Finding]:
        """Yield the classes that surely hold too many; of hundreds, some have by chance."""
        import numpy as np

        from auditor import stats

        names = [name for name in overlap.repeats_by_class if overlap.classes.get(name)]
        n = np.array([overlap.classes[name] for name in names], int)
        repeated = np.array([overlap.repeats_by_class[name] for name in names], int)
        p_values = stats.shortfall_p_values(n - repeated, n, 1 - self.max_copies)
        surely = p_values * len(overlap.classes) <= 1 - self.confidence
        for i in np.flatnonzero(surely & (repeated > self.max_copies * n)).tolist():
            yield Finding.fact(
                names[i],
                "copies of other test images of the class",
                float(repeated[i] / n[i]),
                self.max_copies,
                n=int(n[i]),
                unit="share",
                note=f"{repeated[i]:,} of {n[i]:,} images of {names[i]} repeat another one"
                f"{overlap.repeats_test.how}",
            )


_SHARE = "test", "contaminated test images"


def _unread(overlap: Overlap) -> list[str]:
    """Say of which split nothing could be read: then nothing was compared."""
    sides = {"test": overlap.test_signed, "training": overlap.train_signed}
    return [f"no {split} image could be read" for split, signed in sides.items() if not signed]


def _shared(count: Contaminated, limit: float, status: Status, note: str) -> Finding:
    subject, metric = _SHARE
    return Finding(
        subject=subject,
        metric=metric,
        observed=count.share,
        limit=limit,
        interval=count.interval,
        n=count.total,
        higher_is_better=False,
        status=status,
        note=note,
    )


def _listed(pair: OverlapPair, status: Status) -> Finding:
    from auditor.overlap.contamination import tier

    return Finding(
        subject=pair.test_image,
        metric="copies in training",
        observed=1,
        limit=0,
        n=1,
        unit="images",
        higher_is_better=False,
        status=status,
        note=f"{tier(pair)} of {pair.train_image}",
    )


def _conflicts(overlap: Overlap) -> list[Finding]:
    return [
        _two_labels(pair, "labels of one picture", Status.FAIL, f"as {pair.train_image}")
        for pair in overlap.within_test
        if pair.conflicting
    ]


def _relabelled(pairs: Iterable[OverlapPair]) -> list[Finding]:
    """Show the pictures that the training data holds under another label."""
    from auditor.overlap.contamination import strongest

    return [
        _two_labels(
            pair, "labels in both splits", Status.SKIP, f"in training as {pair.train_image}"
        )
        for pair in strongest(pair for pair in pairs if pair.conflicting).values()
    ]


def _two_labels(pair: OverlapPair, metric: str, status: Status, where: str) -> Finding:
    return Finding(
        subject=pair.test_image,
        metric=metric,
        observed=2,
        limit=1,
        n=2,
        unit="labels",
        higher_is_better=False,
        status=status,
        note=f"{pair.test_label} here, {pair.train_label} {where} ({pair.kind})",
    )


def _within_train(overlap: Overlap) -> Iterator[Finding]:
    if not overlap.within_train or not overlap.train_signed:
        return
    repeats = overlap.repeats_train
    conflicts = sum(pair.conflicting for pair in overlap.within_train)
    yield Finding(
        subject="train",
        metric="copies of other training images",
        observed=repeats.images / overlap.train_signed,
        n=overlap.train_signed,
        higher_is_better=False,
        note=f"{plural(repeats.images, 'image')} {_repeat(repeats.images)} another one"
        f"{repeats.how}; "
        f"two labels on {plural(conflicts, 'pair')}",
    )


def _repeat(images: int) -> str:
    return "repeats" if images == 1 else "repeat"


def _similar(scenes: Scenes | None) -> Iterator[Finding]:
    if scenes is not None and not scenes.pairs:
        yield Finding(subject="test", metric="similar scene, most alike", note=scenes.note)
    elif scenes is not None:
        closest = scenes.pairs[0]
        yield Finding(
            subject="test",
            metric="similar scene, most alike",
            observed=closest.similarity,
            n=scenes.test_images,
            unit="cosine",
            higher_is_better=False,
            note=f"{closest.test_image} and {closest.train_image}; shown, never counted as copies",
        )


def _unseen(
    overlap: Overlap, test: Predictions | None, count: Contaminated, max_share: float
) -> Iterator[Finding]:
    """Yield what was not compared and therefore cannot pass, beside the share of what was."""
    if _unread(overlap):
        return  # which is said already
    for note, part in _uncompared(overlap, test, count.flagged, max_share):
        if part <= MOST_UNSEEN:
            yield _shared(count, max_share, Status.INCONCLUSIVE, note)
        else:
            yield Finding.unmeasured(*_SHARE, note, max_share, higher_is_better=False)


def _uncompared(
    overlap: Overlap, test: Predictions | None, known: int, max_share: float
) -> Iterator[tuple[str, float]]:
    """Yield what could not be compared, as far as there is no room for so many more copies.

    And what share of its split that is, with all that could not be compared for another reason.
    """
    signed = overlap.test_signed
    trained = [overlap.train_unread, overlap.train_set_apart, overlap.train_left_out]
    blind = sum(each.images for each in trained)
    unread = overlap.train_unread.images + overlap.train_left_out.images
    if known + blind > max_share * signed:
        part = blind / ((overlap.train_signed or 0) + unread)
        yield from ((each.said("training"), part) for each in trained if each.images)
    if overlap.control.fails and max_share < 1:
        yield overlap.control.said, 1.0
    if test is not None and signed < len(test):
        missing = len(test) - signed
        yield f"{plural(missing, 'predicted image')} could not be read", missing / len(test)
    faint = [overlap.test_set_apart, overlap.test_doubtful]
    lost = [overlap.test_unread, overlap.test_left_out] if test is None else []
    unknown = sum(each.images for each in lost)
    unsure = sum(each.images for each in faint)
    if known + unsure + unknown > max_share * (signed + unknown):
        part = (unsure + unknown) / (signed + unknown)
        yield from ((each.said("test"), part) for each in [*lost, *faint] if each.images)


def _said(
    count: Contaminated,
    first: Mapping[str, OverlapPair],
    findings: Sequence[Finding],
    relabelled: int,
    unsought: str,
) -> str:
    open_ones = [f for f in findings if f.status is Status.INCONCLUSIVE]
    unsettled = [f.note for f in open_ones if f.unit != "points"]
    if not count.flagged:
        if what := "; ".join(unsettled):
            return f"Leakage is not settled: {what}{unsought}"
        return f"No test image is in the training data{' as it stands' * bool(unsought)}{unsought}"
    few = ", too few images to settle the difference"
    lift = [f for f in findings if f.unit == "points" and f.observed is not None]
    said = [f"accuracy is {f.note}{few * (f in open_ones)}" for f in lift]
    said += [f"not settled: {count.said}"] * (count.said in unsettled)
    further = "; ".join(note for note in unsettled if note != count.said)
    said += [f"further copies are not ruled out: {further}"] * bool(further)
    return "; ".join([_counted(count, first, relabelled), *said]) + unsought


def _counted(count: Contaminated, first: Mapping[str, OverlapPair], relabelled: int) -> str:
    kinds = Counter(pair.kind for pair in first.values())
    near, turned = kinds["near-duplicate"], kinds["transformed"]
    tiers = {f"{count.exact:,} exact": count.exact, plural(near, "near-duplicate"): near}
    tiers |= {f"{turned:,} transformed": turned}
    part = share(count.flagged / count.total)
    return (
        f"{count.flagged:,} of {plural(count.total, 'test image')} ({part}) "
        f"{'is' if count.flagged == 1 else 'are'} in the training data: "
        + ", ".join(name for name, n in tiers.items() if n)
        + (f"; {relabelled:,} under another label" if relabelled else "")
    )


def _said_within(within: Sequence[Finding]) -> list[str]:
    """Say what is wrong inside the test set, if anything is."""
    failed = [finding for finding in within if finding.status is Status.FAIL]
    conflicts = sum(finding.unit == "labels" for finding in failed)
    labels = f"two labels on {plural(conflicts, 'pair')} within the test set"
    said = [labels] if conflicts else []
    copies = [f.note for f in failed if f.unit == "share"]
    return said + [f"within the test set, {listed(copies, separator='; ')}"] * bool(copies)


def _without_training(within: Sequence[Finding]) -> Outcome:
    text = "no training images were given ([data] train), so leakage was not looked at"
    said = "; ".join([text, *_said_within(within)])
    status = Status.FAIL if worst(f.status for f in within) is Status.FAIL else Status.SKIP
    return Outcome(status=status, summary=said, findings=tuple(within))
