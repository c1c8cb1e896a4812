"""Pairs the pictures that two splits share, or that one split holds twice.

Four kinds, the strongest wins:

``same-bytes``
    The files are equal.
``same-pixels``
    The files differ, what is seen in them does not (a PNG and a BMP of one picture).
``near-duplicate``
    The soft hashes stand out of the crowd (:mod:`auditor.overlap.candidates`), the pixels are more
    alike than those of strangers of this data (:mod:`auditor.overlap.verify`), and both together
    (:mod:`auditor.overlap.score`) reach a threshold set by decoys (:mod:`auditor.overlap.decoys`).
``transformed``
    The same of one picture that is mirrored or turned, at a fixed threshold.

Copies do not explode: pictures are searched once per distinct content, and each is listed with
a few partners of a kind, those of other labels first and one of each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from auditor.overlap.near import PARTNERS, Near, near_matches
from auditor.overlap.result import OverlapPair, OverlapSearch, OverlapSettings
from auditor.overlap.splits import (
    Kind,
    Match,
    OpenImage,
    Side,
    SplitSignatures,
    grouped,
    one_of_each,
    unlike_first,
)

__all__ = ["PARTNERS", "find_duplicates", "find_overlap"]

_STRENGTH: dict[Kind, int] = {
    "same-bytes": 0,
    "same-pixels": 1,
    "near-duplicate": 2,
    "transformed": 3,
}


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
    test, train = _by_name(test), _by_name(train)
    left, right = Side(test, open_test), Side(train, open_train)
    near = near_matches(left, right, settings or OverlapSettings())
    exact = list(_exact(test, train))
    pairs = (_pair(test, train, match) for match in [*exact, *near.matches])
    equal = {match.left for match in exact}
    return _search(pairs, near, left, equal, _set_apart(right))


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
    named = _by_name(split)
    side = Side(named, open_image)
    near = near_matches(side, side, settings or OverlapSettings())
    exact = list(_exact(named, named, earlier=True))
    turned = (
        match._replace(left=min(match[:2]), right=max(match[:2]))
        for match in [*exact, *near.matches]
    )
    equal = {place for match in exact for place in match[:2]}
    pairs = (_pair(named, named, match) for match in turned)
    return _search(pairs, near, side, equal)


def _set_apart(side: Side, equal: Collection[int] = ()) -> tuple[str, ...]:
    return tuple(side.split.images[place] for place in side.set_apart if place not in equal)


def _search(
    pairs: Iterable[OverlapPair],
    near: Near,
    side: Side,
    equal: Collection[int],
    train_set_apart: tuple[str, ...] = (),
) -> OverlapSearch:
    doubtful = (side.split.images[place] for place in near.doubtful if place not in equal)
    return OverlapSearch(
        pairs=tuple(sorted(pairs, key=_order)),
        near=near.near,
        transformed=near.transformed,
        set_apart=_set_apart(side, equal),
        train_set_apart=train_set_apart,
        capped=near.capped,
        control=near.control,
        doubtful=tuple(doubtful),
    )


def _exact(
    left: SplitSignatures, right: SplitSignatures, *, earlier: bool = False
) -> Iterator[Match]:
    """Pair what is equal; within one split each with those before it."""
    by_bytes = grouped(right.bytes_digest)
    files = [one for group in by_bytes.values() for one in one_of_each(group, right.labels)]
    by_pixels = grouped((right.pixels_digest[file] for file in files), files)
    equal, seen = (_offered(groups, right.labels) for groups in (by_bytes, by_pixels))
    digests = zip(left.bytes_digest, left.pixels_digest, strict=True)
    for place, (file, pixels) in enumerate(digests):
        others = [one for one in seen.get(pixels, ()) if right.bytes_digest[one] != file]
        offers: tuple[tuple[Kind, Sequence[int]], ...] = (
            ("same-bytes", equal.get(file, ())),
            ("same-pixels", others),
        )
        for kind, offered in offers:
            known = [one for one in offered if one < place or not earlier]
            for partner in unlike_first(known, right.labels, left.labels[place])[:PARTNERS]:
                yield Match(place, partner, kind)


def _offered(groups: dict[bytes, list[int]], labels: Sequence[str]) -> dict[bytes, list[int]]:
    """Keep of large groups one of each label, as far as they are listed, and the first few."""
    most = PARTNERS + 1  # one may be the picture itself, or have its label
    return {
        digest: group
        if len(group) <= PARTNERS
        else list(dict.fromkeys([*one_of_each(group, labels)[:most], *group[:most]]))
        for digest, group in groups.items()
    }


def _by_name(split: SplitSignatures) -> SplitSignatures:
    return split.at(sorted(range(len(split.images)), key=lambda place: split.images[place]))


def _pair(test: SplitSignatures, train: SplitSignatures, match: Match) -> OverlapPair:
    return OverlapPair(
        test_image=test.images[match.left],
        train_image=train.images[match.right],
        kind=match.kind,
        distance=match.distance,
        similarity=match.similarity,
        test_label=test.labels[match.left],
        train_label=train.labels[match.right],
        transform=match.transform,
        score=match.score,
        verified=match.verified,
    )


def _order(pair: OverlapPair) -> tuple[str, int, int, str]:
    return pair.test_image, _STRENGTH[pair.kind], pair.distance, pair.train_image
