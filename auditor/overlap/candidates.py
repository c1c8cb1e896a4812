"""Finds for each picture the nearest soft hashes of another split: exhaustively, in blocks.

A product of two blocks of rows is all similarities between them. What is kept of it are the few
nearest of each picture, so memory is bounded by the block, not by the data. How crowded the two
pictures are is taken off in the same product, by two columns more on either side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEAREST", "Candidates", "Crowd", "nearest"]

NEAREST = 5
"""Candidates looked at for a picture."""

_LEFT, _RIGHT = 256, 1 << 12
"""A block of similarities is 4 MB, which stays in the cache while it is sifted."""
_CLEAR = 0.1
"""How much more alike than its crowd a candidate must be: at .1 none of the known pairs of CIFAR-10
that pass the threshold is lost, at .14 3% are."""


class Crowd(NamedTuple):
    """One side of the search."""

    units: NDArray[np.float32]
    """From :func:`auditor.overlap.soft.unit_rows`, shape (n, 256)."""
    crowding: NDArray[np.float32]
    """From :func:`auditor.overlap.soft.crowding`, shape (n,)."""


class Candidates(NamedTuple):
    """Pairs whose pixels deserve a look, ordered by ``left``; arrays of one length."""

    left: NDArray[np.int64]
    """Positions on the left."""
    right: NDArray[np.int64]
    """Positions on the right."""
    soft: NDArray[np.float32]
    """Similarity of the soft hashes."""
    capped: int
    """Pictures on the left with more candidates than are listed."""


_Rows = NDArray[np.float32]


class _Block(NamedTuple):
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    margin: NDArray[np.float32]


def nearest(left: Crowd, right: Crowd, *, earlier: bool = False) -> Candidates:
    """Find the nearest partners of every picture.

    Parameters
    ----------
    left, right
        The two sides.
    earlier
        Only partners whose position is below that of the picture: for one split with itself.

    Returns
    -------
    Candidates
        For each picture the ``NEAREST`` partners that stand out of the crowd of both.
    """
    rows = np.column_stack([left.units, -left.crowding / 2, np.ones_like(left.crowding)])
    others = np.column_stack([right.units, np.ones_like(right.crowding), -right.crowding / 2])
    blocks = range(0, len(rows), _LEFT)
    found = [_of_block(rows, others, first, earlier) for first in blocks]
    best = _joined([block for block, _ in found])
    crowded = (left.crowding[best.rows] + right.crowding[best.columns]) / 2
    soft = np.asarray(best.margin + crowded, np.float32)
    return Candidates(best.rows, best.columns, soft, sum(capped for _, capped in found))


def _of_block(left: _Rows, right: _Rows, first: int, earlier: bool) -> tuple[_Block, int]:
    """Search all of the right for one block of the left; count the pictures that were capped."""
    part = left[first : first + _LEFT]
    stop = min(len(right), first + _LEFT) if earlier else len(right)
    found = [
        _best(
            _margins(part, right[start : min(start + _RIGHT, stop)], first - start, earlier), start
        )
        for start in range(0, stop, _RIGHT)
    ]
    block = _joined(found)
    order = np.lexsort((block.columns, -block.margin, block.rows))
    rank = np.arange(len(order)) - np.searchsorted(block.rows[order], block.rows[order])
    kept = order[rank < NEAREST]
    best = _Block(block.rows[kept] + first, block.columns[kept], block.margin[kept])
    return best, int((rank == NEAREST).sum())


def _margins(left: _Rows, right: _Rows, offset: int, earlier: bool) -> _Rows:
    margins = left @ right.T
    if earlier and len(right) > offset:
        own = np.arange(len(left)) + offset
        margins[np.arange(len(right)) >= own[:, np.newaxis]] = -1
    return np.asarray(margins)


def _best(margins: _Rows, start: int) -> _Block:
    """Return what is clear of the crowd; of a row a few more than ``NEAREST`` at most."""
    flat = np.flatnonzero(margins >= _CLEAR)
    rows, columns = np.divmod(flat, margins.shape[1])
    if len(flat) > NEAREST * len(margins):  # pictures that all look alike
        nearest = min(NEAREST + 1, margins.shape[1])
        best = np.argpartition(margins, -nearest)[:, -nearest:]
        rows, ranks = np.nonzero(np.take_along_axis(margins, best, 1) >= _CLEAR)
        columns = best[rows, ranks]
    return _Block(rows, columns + start, margins[rows, columns])


def _joined(blocks: list[_Block]) -> _Block:
    return _Block(
        np.concatenate([np.empty(0, np.int64), *(block.rows for block in blocks)]),
        np.concatenate([np.empty(0, np.int64), *(block.columns for block in blocks)]),
        np.concatenate([np.empty(0, np.float32), *(block.margin for block in blocks)]),
    )
