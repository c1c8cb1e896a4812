"""Pairs the pictures that two splits share, or that one split holds twice.

Three kinds, the strongest wins:

``same-bytes``
    The files are equal.
``same-pixels``
    The files differ, what is seen in them does not (a PNG and a BMP of one picture).
``near-duplicate``
    The perceptual hashes are within ``max_distance`` bits and the pixels confirm it
    (:mod:`auditor.overlap.verify`).

A radius of 8 is the default. Hashes of natural pictures differ by even numbers, so an odd radius
equals the even one below. On CIFAR-10 (10,000 × 50,000, 143 of the pairs that people know of):

======  ==========  ===============  ===========  =================
radius  candidates  near-duplicates  test images  known pairs found
======  ==========  ===============  ===========  =================
4       120         119              103          15%
6       242         215              170          31%
8       512         330              242          46%
10      1,551       475              338          57%
======  ==========  ===============  ===========  =================

Up to 8 the pixels lose none of the known pairs that the hashes reach; some 20 of the 330 are
strangers in the same pose, judged by eye.

Copies do not explode: pictures are searched once per distinct content, and each is listed with
a few partners of a kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from auditor.overlap.near import near_matches
from auditor.overlap.result import OverlapPair, OverlapSearch, OverlapSettings, Threshold
from auditor.overlap.splits import (
    MIN_CONTRAST,
    Kind,
    Match,
    OpenImage,
    Side,
    SplitSignatures,
    grouped,
)

__all__ = [
    "MAX_DISTANCE",
    "MIN_CONTRAST",
    "PARTNERS",
    "OpenImage",
    "OverlapPair",
    "OverlapSearch",
    "OverlapSettings",
    "SplitSignatures",
    "Threshold",
    "find_duplicates",
    "find_overlap",
]

MAX_DISTANCE = 8
"""Bits of 64 in which the hashes of near-duplicates may differ."""
PARTNERS = 5
"""Partners listed for a picture and a kind."""

_STRENGTH: dict[Kind, int] = {
    "same-bytes": 0,
    "same-pixels": 1,
    "near-duplicate": 2,
    "transformed": 3,
}


_FIXED = Threshold(0.5, "fallback", note="fixed limit of the pixels' similarity")


def find_overlap(
    test: SplitSignatures,
    train: SplitSignatures,
    open_test: OpenImage | None,
    open_train: OpenImage | None,
    settings: OverlapSettings | None = None,
) -> OverlapSearch:
    """Find the test images that the training split holds too.

    Parameters
    ----------
    test, train
        The two splits.
    open_test, open_train
        Open an image by its path within the split; what they raise is passed on. None where the
        pictures may not be seen: near pairs are then judged by their signatures alone.
    settings
        What the search may be told.

    Returns
    -------
    OverlapSearch
        At most ``PARTNERS`` pairs a test image and kind, ordered by test image, kind and distance.
    """
    del settings
    matches = list(_exact(test, train))
    if open_test is not None and open_train is not None:
        left, right = Side(test, open_test), Side(train, open_train)
        matches += near_matches(left, right, MAX_DISTANCE, PARTNERS)
    pairs = sorted((_pair(test, train, match) for match in matches), key=_order)
    return OverlapSearch(tuple(pairs), _FIXED)


def find_duplicates(
    split: SplitSignatures, open_image: OpenImage | None, settings: OverlapSettings | None = None
) -> OverlapSearch:
    """Find the images that one split holds more than once.

    Parameters
    ----------
    split
        The split.
    open_image
        Opens an image by its path within the split; what it raises is passed on. None where the
        pictures may not be seen.
    settings
        What the search may be told.

    Returns
    -------
    OverlapSearch
        Each pair once, ``test_image`` < ``train_image``. Of many copies each is listed with at
        most ``PARTNERS`` that come before it, which still ties all of them together.
    """
    del settings
    named = _by_name(split)
    matches = list(_exact(named, named))
    if open_image is not None:
        side = Side(named, open_image)
        matches += near_matches(side, side, MAX_DISTANCE, PARTNERS)
    earlier = [match for match in matches if match.right < match.left]
    turned = (match._replace(left=match.right, right=match.left) for match in earlier)
    pairs = sorted((_pair(named, named, match) for match in turned), key=_order)
    return OverlapSearch(tuple(pairs), _FIXED)


def _exact(left: SplitSignatures, right: SplitSignatures) -> Iterator[Match]:
    by_bytes = grouped(right.bytes_digest)
    files = [group[0] for group in by_bytes.values()]
    by_pixels = grouped((right.pixels_digest[file] for file in files), files)
    digests = zip(left.bytes_digest, left.pixels_digest, strict=True)
    for place, (file, pixels) in enumerate(digests):
        for partner in by_bytes.get(file, [])[:PARTNERS]:
            yield Match(place, partner, "same-bytes")
        others = (other for other in by_pixels.get(pixels, []) if right.bytes_digest[other] != file)
        for partner in islice(others, PARTNERS):
            yield Match(place, partner, "same-pixels")


def _by_name(split: SplitSignatures) -> SplitSignatures:
    order = sorted(range(len(split.images)), key=lambda place: split.images[place])
    return SplitSignatures(
        [split.images[place] for place in order],
        [split.labels[place] for place in order],
        [split.bytes_digest[place] for place in order],
        [split.pixels_digest[place] for place in order],
        split.phash[order],
        split.contrast[order],
        split.soft[order],
        None if split.views is None else split.views[order],
    )


def _pair(test: SplitSignatures, train: SplitSignatures, match: Match) -> OverlapPair:
    return OverlapPair(
        test_image=test.images[match.left],
        train_image=train.images[match.right],
        kind=match.kind,
        distance=match.distance,
        similarity=match.similarity,
        test_label=test.labels[match.left],
        train_label=train.labels[match.right],
    )


def _order(pair: OverlapPair) -> tuple[str, int, int, str]:
    return pair.test_image, _STRENGTH[pair.kind], pair.distance, pair.train_image
