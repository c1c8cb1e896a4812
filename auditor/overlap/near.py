"""Finds near-duplicates: near hashes first, then the pixels decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.search import near_pairs
from auditor.overlap.splits import Match, Side
from auditor.overlap.strangers import stranger_pairs
from auditor.overlap.verify import compare, similarity_limit, verified

__all__ = ["near_matches"]

_ATTEMPTS = 50
"""Nearest candidates looked at for a picture: bounds the work in look-alike data."""

Candidate = tuple[int, int]  # place on the right, distance
Found = tuple[int, int]  # hash on the right, distance


def near_matches(left: Side, right: Side, radius: int, partners: int) -> Iterator[Match]:
    """Yield verified near-duplicates, the nearest hashes first.

    Parameters
    ----------
    left, right
        The two sides. Where they are one object, each pair is judged once, with the partner
        before the picture.
    radius
        Bits in which the hashes may differ, 0..64.
    partners
        Most matches of a picture. All its copies have the same ones.

    Yields
    ------
    Match
        Two pictures, their distance and similarity.

    Raises
    ------
    ValueError
        The radius is not within 0..64.
    """
    judge = _Judge(left, right, radius)
    for place, candidates in _candidates(left, right, radius):
        for match in islice(_judged(judge, place, candidates), partners):
            for copy in left.copies_of(place):
                yield match._replace(left=copy)


def _judged(judge: _Judge, place: int, candidates: Iterable[Candidate]) -> Iterator[Match]:
    for partner, distance in islice(candidates, _ATTEMPTS):
        similarity = judge.similarity(place, partner)
        if verified(similarity, judge.limit):
            yield Match(place, partner, "near-duplicate", distance, similarity)


def _candidates(left: Side, right: Side, radius: int) -> Iterator[tuple[int, Iterator[Candidate]]]:
    """Yield each distinct left picture with its (right picture, distance), the nearest first."""
    hashes, others = _keys(left), _keys(right)
    pairs = near_pairs(hashes, others, radius)
    order = np.lexsort((pairs.right, pairs.distance, pairs.left))
    bounds = np.searchsorted(pairs.left, np.arange(len(hashes) + 1))
    for row, value in enumerate(hashes.tolist()):
        near = order[bounds[row] : bounds[row + 1]]
        found = [(int(others[pairs.right[k]]), int(pairs.distance[k])) for k in near]
        for place in left.by_hash[value]:
            yield place, _partners(left, right, place, found)


def _partners(left: Side, right: Side, place: int, found: list[Found]) -> Iterator[Candidate]:
    """Yield the pictures behind the hashes, without those that are equal to this one."""
    pixels = left.split.pixels_digest[place]
    for value, distance in found:
        for partner in right.by_hash[value]:
            if left is right and partner >= place:
                break  # the places ascend, and each pair of one split is judged once
            if right.split.pixels_digest[partner] != pixels:
                yield partner, distance


def _keys(side: Side) -> NDArray[np.uint64]:
    return np.array(list(side.by_hash), dtype=np.uint64)


class _Judge:
    """Compares pixels; learns how alike strangers are once there is something to judge."""

    def __init__(self, left: Side, right: Side, radius: int) -> None:
        self._left, self._right, self._radius = left, right, radius

    def similarity(self, left: int, right: int) -> float:
        return compare(self._left.prepared(left), self._right.prepared(right))

    @cached_property
    def limit(self) -> float:
        left, right = self._left, self._right
        pairs = stranger_pairs(left.phash, right.phash, left.labels, right.labels, self._radius)
        places = ((left.distinct[row], right.distinct[column]) for row, column in pairs)
        return similarity_limit([self.similarity(*place) for place in places])
