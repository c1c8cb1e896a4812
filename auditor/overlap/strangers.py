"""Draws pairs of pictures that are no copies of each other, to learn how alike strangers are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRANGERS", "STRANGE_BITS", "stranger_pairs"]

STRANGERS = 400
"""Pairs drawn: the spread they give has a standard error of some 7%."""

STRANGE_BITS = 20
"""Pairs whose binary hashes are further apart are strangers; 32 is the mean of random ones."""
_DRAWS = 8 * STRANGERS


def stranger_pairs(
    left: NDArray[np.uint64],
    right: NDArray[np.uint64],
    left_labels: Sequence[str],
    right_labels: Sequence[str],
) -> list[tuple[int, int]]:
    """Draw pairs of one label whose hashes are distant; the same ones every time.

    Nearer ones may be copies. Pictures of one label look more alike than any two, and candidates
    mostly share their label.

    Parameters
    ----------
    left, right
        Hashes of distinct pictures, shapes (n,) and (m,), neither empty.
    left_labels, right_labels
        Their labels. A picture whose label the other side lacks is paired with any.

    Returns
    -------
    list of (int, int)
        At most ``STRANGERS`` distinct pairs of positions; fewer where there are not as many.
    """
    random = np.random.default_rng(0)
    rows = random.integers(len(left), size=_DRAWS)
    columns = _partners(left_labels, right_labels, rows, random.random(_DRAWS))
    distant = np.bitwise_count(left[rows] ^ right[columns]) > STRANGE_BITS
    drawn = zip(rows[distant].tolist(), columns[distant].tolist(), strict=True)
    return list(dict.fromkeys(drawn))[:STRANGERS]


def _partners(
    left_labels: Sequence[str],
    right_labels: Sequence[str],
    rows: NDArray[np.int64],
    fraction: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return for each row the partner that lies this far along the pictures of its label."""
    labels, codes = np.unique([*left_labels, *right_labels], return_inverse=True)
    wanted, offered = codes[: len(left_labels)][rows], codes[len(left_labels) :]
    order = np.argsort(offered, kind="stable")
    bounds = np.searchsorted(offered[order], np.arange(len(labels) + 1))
    start, stop = bounds[wanted], bounds[wanted + 1]
    alone = start == stop
    start, stop = np.where(alone, 0, start), np.where(alone, len(order), stop)
    chosen: NDArray[np.int64] = order[start + (fraction * (stop - start)).astype(np.int64)]
    return chosen
