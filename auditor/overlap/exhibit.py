"""What the report shows of an overlap: tiers, classes, pairs, groups, similar scenes."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from auditor.overlap.contamination import EXACT, contaminated, most_telling, strongest, without
from auditor.overlap.lists import said_of_clean
from auditor.overlap.overlap import PARTNERS
from auditor.record import (
    GroupRow,
    OverlapClassRow,
    OverlapExhibit,
    OverlapRow,
    SceneRow,
    TierRow,
    WithinRow,
)
from auditor.wording import plural, share

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.evidence.groups import Groups
    from auditor.evidence.overlap import Overlap, OverlapPair
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.scenes import Scenes
    from auditor.overlap.result import Threshold

__all__ = ["show_overlap"]

_CLASSES = 200
"""Classes and groups that are kept: what a reader can look at."""

_EXACTLY = {
    "same-bytes": "The files are equal.",
    "same-pixels": "The files differ, what is seen in them does not.",
}


def show_overlap(
    overlap: Overlap,
    test: Predictions | None = None,
    groups: Groups | None = None,
    scenes: Scenes | None = None,
    rare: frozenset[str] = frozenset(),
    confidence: float = 0.95,
    listing: pa.Table | None = None,
) -> OverlapExhibit:
    """Return what the report shows.

    Parameters
    ----------
    overlap
        What was found.
    test
        Predictions on the test images; without them nothing is said of accuracy.
    groups, scenes
        What else was looked at.
    rare
        Rare classes; they stand first.
    confidence
        Of each bound, one-sided.
    listing
        The test images as a manifest, of which a list is written.
    """
    pairs = overlap.pairs or ()
    count = contaminated(overlap, confidence)
    shared = groups.shared if groups else ()
    return OverlapExhibit(
        compared=overlap.pairs is not None,
        pairs=tuple(_rows(overlap, most_telling(pairs), "test", "train")),
        total_pairs=len(pairs),
        test_images=count.flagged,
        share=count.share,
        interval=count.interval if count.total else None,
        conflicts=len({pair.test_image for pair in pairs if pair.conflicting}),
        within_test=_disagreeing(overlap, overlap.within_test, "test"),
        within_train=_disagreeing(overlap, overlap.within_train, "train"),
        tiers=tuple(_tiers(overlap)),
        classes=tuple(_classes(overlap, test, rare, confidence)),
        within=tuple(_within(overlap)),
        groups=tuple(GroupRow(**group._asdict()) for group in shared[:_CLASSES]),
        total_groups=len(shared),
        scenes=tuple(_scene_rows(scenes)) if scenes else (),
        unsought=overlap.unsought,
        notes=tuple(_notes(overlap, listing)),
    )


def _disagreeing(
    overlap: Overlap, pairs: Iterable[OverlapPair], split: str
) -> tuple[OverlapRow, ...]:
    telling = most_telling(pair for pair in pairs if pair.conflicting)
    return tuple(_rows(overlap, telling, split, split))


def _rows(
    overlap: Overlap, pairs: Iterable[OverlapPair], left: str, right: str
) -> Iterator[OverlapRow]:
    for pair in pairs:
        yield OverlapRow(
            **pair._asdict(),
            test_thumbnail=_uri(overlap.thumbnails, f"{left}/{pair.test_image}"),
            train_thumbnail=_uri(overlap.thumbnails, f"{right}/{pair.train_image}"),
        )


def _uri(thumbnails: Mapping[str, bytes], image: str) -> str | None:
    data = thumbnails.get(image)
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else None


def _tiers(overlap: Overlap) -> Iterator[TierRow]:
    if overlap.pairs is None:
        return
    pairs = overlap.pairs
    of = Counter[str](pair.kind for pair in pairs)
    images = Counter[str](pair.kind for pair in strongest(pairs).values())
    for kind, method in _EXACTLY.items():
        yield TierRow(
            kind=kind, test_images=images[kind], pairs=of[kind], strangers=0.0, method=method
        )
    limits = {"near-duplicate": overlap.near, "transformed": overlap.transformed}
    for kind, limit in limits.items():
        if limit is not None:
            yield TierRow(
                kind=kind,
                test_images=images[kind],
                pairs=of[kind],
                strangers=limit.false_discovery_rate,
                upper=limit.upper,
                method=_method(limit),
            )


def _method(limit: Threshold) -> str:
    """Say how the threshold was chosen, and what it is estimated to let through."""
    note = f" {limit.note[:1].upper()}{limit.note[1:].rstrip('.')}." if limit.note else ""
    text = f"A score of {limit.score:.2f} and above counts".replace("-", "−")
    if limit.basis == "fallback":
        return f"{text}.{note}"
    text += (
        f": {plural(limit.matches, 'picture')} match so well, and {plural(limit.decoys, 'decoy')} "
        "(the same pictures mirrored or turned, which meet strangers alone)."
    )
    if limit.false_discovery_rate is not None:
        most = "" if limit.upper is None else f", at most {share(limit.upper)} at 95% confidence"
        text += (
            f" With one decoy added for caution, {share(limit.false_discovery_rate)} of the "
            f"matches are estimated to be strangers{most}."
        )
    return f"{text}{note}"


def _classes(
    overlap: Overlap, test: Predictions | None, rare: frozenset[str], confidence: float
) -> Iterator[OverlapClassRow]:
    first = strongest(overlap.pairs or ())
    if not first:
        return
    held = Counter(pair.test_label for pair in first.values())
    judged = [] if test is None else without(test, overlap.test_images, confidence)
    by_class = {row.name: row for row in judged[1:]}
    totals = [("all", overlap.test_signed, len(first), judged[0] if judged else None)]
    totals += [(c, overlap.classes.get(c, n), n, by_class.get(c)) for c, n in held.items() if c]
    rows = [
        OverlapClassRow(
            name=name,
            images=images,
            overlapping=n,
            rare=name in rare,
            accuracy=said and said.everything,
            clean=said and said.clean,
            inflation=said.inflation.points if said and said.inflation else None,
            interval=said.inflation.interval if said and said.inflation else None,
        )
        for name, images, n, said in totals
    ]
    yield rows[0]
    worst = sorted(rows[1:], key=lambda r: (not r.rare, -r.overlapping / r.images, r.name))
    yield from worst[:_CLASSES]


def _within(overlap: Overlap) -> Iterator[WithinRow]:
    sides = [("test", overlap.test_signed, overlap.repeats_test, overlap.within_test)]
    if overlap.train_signed:
        sides.append(
            ("training", overlap.train_signed, overlap.repeats_train, overlap.within_train)
        )
    for split, images, repeats, pairs in sides:
        yield WithinRow(
            split=split,
            images=images,
            repeated=repeats.images,
            largest=repeats.largest,
            conflicts=sum(pair.conflicting for pair in pairs),
            cut=overlap.is_cut,
            verified=repeats.verified,
        )


def _scene_rows(scenes: Scenes) -> Iterator[SceneRow]:
    for pair in scenes.pairs:
        yield SceneRow(
            **pair._asdict(),
            test_thumbnail=_uri(scenes.thumbnails, f"test/{pair.test_image}"),
            train_thumbnail=_uri(scenes.thumbnails, f"train/{pair.train_image}"),
        )


def _notes(overlap: Overlap, listing: pa.Table | None) -> Iterator[str]:
    yield from said_of_clean(overlap, listing)
    if overlap.capped:
        yield (
            f"{plural(overlap.capped, 'picture')} had more look-alikes than were compared: only "
            "the nearest were."
        )
    if overlap.is_cut:
        yield (
            f"A picture is listed with at most {PARTNERS} others of a kind: of more copies the "
            "lists hold some of the pairs, not all."
        )
    if overlap.exact_within_train:
        yield (
            "Within the training data only equal files and pixels were looked for: its "
            f"{overlap.train_signed or 0:,} images are too many to compare each with each."
        )
    test = "" if overlap.pairs is None else "test"  # of one set alone
    for images in (overlap.test_set_apart, overlap.test_unread, overlap.test_left_out):
        if images.images:
            yield f"{images.said(test)}."
    for images in (overlap.train_set_apart, overlap.train_unread, overlap.train_left_out):
        if images.images:
            yield f"{images.said('training')}."
    pairs = [*(overlap.pairs or ()), *overlap.within_test, *overlap.within_train]
    if unseen := sum(not pair.verified for pair in pairs):
        yield (
            f"{plural(unseen, 'pair')} {'was' if unseen == 1 else 'were'} judged by signatures "
            "alone, as the images were not given: nobody has compared their pixels."
        )
    if any(pair.kind not in EXACT for pair in pairs):
        yield "Near-duplicates and transformed copies are found by their looks: look at them."
