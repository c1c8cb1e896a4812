"""Tells the pictures of which each has many that look like it, though they are no copies.

Where pictures follow a few layouts (forms, letters, screenshots, views of an X-ray), those of
one layout have near hashes, and pairs with distant hashes say only how alike two layouts are. How
alike two pictures of one layout are is then asked of pairs with near hashes.

Copies have near hashes, too. So this is only asked where more than 2% of all pairs are near, as
pictures that are stored some ten times among hundreds do not bring about, and the nearest of each
picture is left out (five would leave too few of twenty layouts). Where fewer than some fifty
pictures are all stored many times, their copies are taken for look-alikes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.strangers import STRANGE_BITS, STRANGERS

__all__ = ["LookAlikes", "look_alikes"]

_SHARE = 0.02
_FEWEST = 5
"""Pictures near one that may all be copies of it, however few there are."""
_DRAWN = 2000
_ROWS = 1 << 10

_Hashes = NDArray[np.uint64]
_Flags = NDArray[np.bool_]


class LookAlikes(NamedTuple):
    """Pictures with many look-alikes on the other side."""

    left: _Flags
    """Which on the left, shape (n,)."""
    right: _Flags
    """Which on the right, shape (m,)."""
    pairs: list[tuple[int, int]]
    """Some that look alike and are strangers."""


def look_alikes(left: _Hashes, right: _Hashes) -> LookAlikes | None:
    """Find the pictures with many look-alikes; the same ones every time.

    Parameters
    ----------
    left, right
        Hashes of distinct pictures, shapes (n,) and (m,); one object of one split alone.

    Returns
    -------
    LookAlikes or None
        None where near hashes are no rule.
    """
    random = np.random.default_rng(0)
    rows, columns = (random.permutation(len(side))[:_DRAWN] for side in (left, right))
    distance = np.bitwise_count(left[rows, np.newaxis] ^ right[columns])
    if left is right:
        distance[rows[:, np.newaxis] == columns] = STRANGE_BITS + 1
    near = distance <= STRANGE_BITS
    near[~_many(near.sum(axis=1), len(columns))] = False
    if not near.size or near.mean() <= _SHARE:
        return None
    near[np.arange(len(rows)), distance.argmin(axis=1)] = False
    near[distance.argmin(axis=0), np.arange(len(columns))] = False
    pairs = np.argwhere(near)
    pairs = pairs[random.permutation(len(pairs))[:STRANGERS]]
    found = zip(rows[pairs[:, 0]].tolist(), columns[pairs[:, 1]].tolist(), strict=True)
    return LookAlikes(_has_many(left, right[columns]), _has_many(right, left[rows]), list(found))


def _has_many(hashes: _Hashes, others: _Hashes) -> _Flags:
    count = np.zeros(len(hashes), np.int64)
    for start in range(0, len(hashes), _ROWS):
        block = slice(start, start + _ROWS)
        near = np.bitwise_count(hashes[block, np.newaxis] ^ others) <= STRANGE_BITS
        count[block] = near.sum(axis=1)
    return _many(count, len(others))


def _many(count: NDArray[np.int_], among: int) -> _Flags:
    return np.asarray(count > max(_FEWEST, _SHARE * among))
