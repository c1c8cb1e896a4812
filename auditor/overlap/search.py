"""Joins two sets of 64-bit hashes within a Hamming radius: exactly, in bounded memory.

Multi-index hashing by pigeonhole (Norouzi, Punjani and Fleet, "Fast exact search in Hamming
space with multi-index hashing", 2014). A hash is cut into four bands of 16 bits, and the radius
into four shares that sum to radius − 3. If every band were further away than its share, the
whole hash would be at least radius + 1 away. So it is enough to look up, band by band, the
hashes whose band lies within its share, and to compare all 64 bits of those alone.

Where pictures look alike (forms, radiographs), everything is near everything. Then a hash keeps no
more than its nearest partners, and those that would have had more are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pairs", "near_pairs"]

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]

_BANDS = 4
_BAND_BITS = 16
_BLOCK = 1 << 19
"""Candidate pairs compared at once: some 20 MB at the peak, a fifth faster than four times that."""
_PENDING = 1 << 22
"""Pairs found before those beyond the nearest are dropped: some 200 MB at the peak."""


class Pairs(NamedTuple):
    """Pairs of near hashes, ordered by ``left``, then ``right``: three arrays of one length."""

    left: Integers
    """Positions in the left set."""
    right: Integers
    """Positions in the right set."""
    distance: Integers
    """Bits in which the two differ."""
    capped: Integers
    """Positions in the left set, ascending, whose further partners are left out."""


def near_pairs(left: Hashes, right: Hashes, radius: int, most: int) -> Pairs:
    """Find the pairs of hashes within a radius.

    Parameters
    ----------
    left, right
        Hashes, shapes (n,) and (m,).
    radius
        Largest distance in bits, 0..64. Up to 10 the search is fast.
    most
        Different hashes that one hash is paired with, the nearest.

    Returns
    -------
    Pairs
        Those within the radius. Equal hashes are searched once, yet each of their pairs is listed:
        where many are equal, pass the distinct hashes alone.

    Raises
    ------
    ValueError
        The radius is not within 0..64.
    """
    if not 0 <= radius <= _BANDS * _BAND_BITS:
        raise ValueError(f"radius is {radius}; a distance between 64-bit hashes is within 0..64")
    left_hashes, left_inverse = np.unique(left, return_inverse=True)
    right_hashes, right_inverse = np.unique(right, return_inverse=True)
    distinct = _distinct_pairs(left_hashes, right_hashes, radius, most)
    row, left_members = _members(left_inverse, len(left_hashes), distinct.left)
    pair, right_members = _members(right_inverse, len(right_hashes), distinct.right[row])
    capped = np.flatnonzero(np.isin(left_inverse, distinct.capped))
    found = Pairs(left_members[pair], right_members, distinct.distance[row[pair]], capped)
    return _select(found, np.lexsort((found.right, found.left)))


def _distinct_pairs(left: Hashes, right: Hashes, radius: int, most: int) -> Pairs:
    """Join two sets without repetition; several bands may find a pair, which is kept once."""
    shares = [(radius - _BANDS + 1 + band) // _BANDS for band in range(_BANDS)]
    none = np.empty(0, np.int64)
    found, waiting, size = Pairs(none, none, none, none), [none], 0
    for band, share in enumerate(shares):
        for block in _band_pairs(left, right, band * _BAND_BITS, share, radius):
            waiting.append(block)
            size += len(block)
            if size > _PENDING:
                found, waiting, size = _nearest(left, right, found, waiting, most), [none], 0
    return _nearest(left, right, found, waiting, most)


def _nearest(
    left: Hashes, right: Hashes, found: Pairs, waiting: list[Integers], most: int
) -> Pairs:
    """Add pairs, given as row · m + column, to those found; keep the nearest of each row."""
    m = max(len(right), 1)
    code = np.unique(np.concatenate([found.left * m + found.right, *waiting]))
    rows, columns = np.divmod(code, m)
    pairs = Pairs(rows, columns, _distance(left[rows], right[columns]), found.capped)
    order = np.lexsort((columns, pairs.distance, rows))
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)  # rows ascend in either order
    capped = np.union1d(found.capped, rows[rank >= most])
    return _select(pairs._replace(capped=capped), np.sort(order[rank < most]))


def _band_pairs(
    left: Hashes, right: Hashes, shift: int, share: int, radius: int
) -> Iterator[Integers]:
    """Yield the pairs within the radius whose bands lie within the share, as row · m + column."""
    left_band, right_band = _band(left, shift), _band(right, shift)
    order = np.argsort(right_band, kind="stable")
    start = np.searchsorted(right_band[order], np.arange((1 << _BAND_BITS) + 1))
    bucketed = right[order]  # a bucket's hashes side by side: the search is bound by memory
    for mask in _masks(share):
        bucket = left_band ^ mask
        first, last = start[bucket], start[bucket + 1]
        for rows, count, places in _runs(first, last):
            values = np.repeat(left[rows], count)  # in turn: faster than to look each up
            near = np.flatnonzero(np.bitwise_count(values ^ bucketed[places]) <= radius)
            row = rows.start + np.searchsorted(np.cumsum(count), near, side="right")
            yield row * len(right) + order[places[near]]


def _band(hashes: Hashes, shift: int) -> Integers:
    low = np.uint64((1 << _BAND_BITS) - 1)
    return ((hashes >> np.uint64(shift)) & low).astype(np.int64)


def _masks(share: int) -> Iterator[int]:
    """Yield every band with at most ``share`` bits set; none where the share is negative."""
    for size in range(share + 1):
        for bits in combinations(range(_BAND_BITS), size):
            yield sum(1 << bit for bit in bits)


def _distance(left: Hashes, right: Hashes) -> Integers:
    return np.asarray(np.bitwise_count(left ^ right), dtype=np.int64)


def _runs(start: Integers, stop: Integers) -> Iterator[tuple[slice, Integers, Integers]]:
    """Yield (rows, places of each, places) with start <= place < stop, whole rows at a time."""
    count = stop - start
    end = np.cumsum(count)
    total = int(end[-1]) if len(end) else 0
    cuts = np.searchsorted(end, np.arange(_BLOCK, total, _BLOCK))
    for first, last in pairwise([0, *np.unique(cuts + 1).tolist(), len(end)]):
        rows = slice(first, last)
        before = int(end[first] - count[first]) if first < last else 0
        places = np.repeat((stop - end)[rows] + before, count[rows])
        places += np.arange(len(places))
        yield rows, count[rows], places


def _members(inverse: Integers, size: int, groups: Integers) -> tuple[Integers, Integers]:
    """List the members of each group asked for: (position in ``groups``, member)."""
    order = np.argsort(inverse, kind="stable")
    start = np.searchsorted(inverse[order], np.arange(size + 1))
    blocks = [places for _, _, places in _runs(start[groups], start[groups + 1])]
    places = np.concatenate([np.empty(0, np.int64), *blocks])
    rows = np.repeat(np.arange(len(groups)), start[groups + 1] - start[groups])
    return rows, order[places]


def _select(pairs: Pairs, places: Integers) -> Pairs:
    return Pairs(pairs.left[places], pairs.right[places], pairs.distance[places], pairs.capped)
