"""Finds for each picture the nearest soft hashes of another split.

Exhaustively, in blocks, while that takes minutes: a product of two blocks of rows is all
similarities between them. What is kept of it are the few nearest of each picture, so memory is
bounded by the block, not by the data. How crowded the two pictures are is taken off in the same
product, by two columns more on either side.

Where torch finds a GPU, large searches run there (:mod:`auditor.overlap.device`), and what comes
back is ranked here again. Elsewhere, beyond ``EXHAUSTIVE`` pairs, one bit of each of the 63 lowest
frequencies decides first, as in a binary perceptual hash: what differs in more than ``RADIUS`` bits
is not looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.device import accelerator, fits, pairs_above
from auditor.overlap.search import near_pairs
from auditor.overlap.soft import low_bits, unit_rows

__all__ = [
    "EXHAUSTIVE",
    "NEAREST",
    "RADIUS",
    "Candidates",
    "Crowd",
    "device_for",
    "is_exhaustive",
    "nearest",
]

NEAREST = 5
"""Candidates looked at for a picture."""
EXHAUSTIVE = 2_000_000_000
"""Pairs that are all compared: a quarter of a minute an orientation on one core."""
WORTHWHILE = 400_000_000
"""Pairs from which on a GPU is asked for: a few seconds an orientation on one core."""
RADIUS = 10
"""Bits in which candidates may differ where there are more pairs than that."""

_SIDE = 1 << 10
"""A block of similarities is 4 MB, which stays in the cache while it is sifted."""
_CLEAR = 0.13
"""How much more alike than its crowd a candidate must be: at .13 133 of the 143 known test images
of CIFAR-10 have a candidate; at .1 137 have one, among 2.3 times as many."""
_MOST = 16
"""Different binary hashes within the radius that are looked at for a picture."""
_PAIRS = 1 << 14

_Rows = NDArray[np.float32]
_Places = NDArray[np.int64]


class Crowd(NamedTuple):
    """One side of the search."""

    soft: NDArray[np.int8]
    """Soft hashes, shape (n, 256)."""
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


class _Block(NamedTuple):
    rows: _Places
    columns: _Places
    margin: _Rows


def device_for(left: int, right: int) -> str | None:
    """Return where to compare all pairs of two sides of these sizes; None where it is here.

    To be asked once a search: others may take the device's memory meanwhile, and an orientation
    that is searched elsewhere finds other pairs.
    """
    device = accelerator() if left * right >= WORTHWHILE else None
    return device if device and fits(left + right, device) else None


def is_exhaustive(
    left: int, right: int, *, earlier: bool = False, device: str | None = None
) -> bool:
    """Tell whether all pairs of two sides of these sizes are compared; half of them within one."""
    return device is not None or left * right <= EXHAUSTIVE * (2 if earlier else 1)


def nearest(
    left: Crowd, right: Crowd, *, earlier: bool = False, device: str | None = None
) -> Candidates:
    """Find the nearest partners of every picture.

    Parameters
    ----------
    left, right
        The two sides.
    earlier
        Only partners whose position is below that of the picture: for one split with itself.
    device
        Torch's name of the device to compare all pairs on, from :func:`device_for`; None for here.

    Returns
    -------
    Candidates
        For each picture the ``NEAREST`` partners that stand out of the crowd of both.
    """
    sizes = len(left.soft), len(right.soft)
    found = pairs_above(left, right, _CLEAR, device, earlier=earlier) if device else None
    if found is not None:
        best, capped = _few_a_row(_margins(left, right, *found, earlier))
    else:  # all pairs here, too, where memory ran out there: what was said of the search stays true
        everything = is_exhaustive(*sizes, earlier=earlier, device=device)
        best, capped = (_exhaustively if everything else _by_bits)(left, right, earlier)
    soft = np.asarray(best.margin + _crowded(left, right, best.rows, best.columns), np.float32)
    return Candidates(best.rows, best.columns, soft, len(capped))


def _exhaustively(left: Crowd, right: Crowd, earlier: bool) -> tuple[_Block, _Places]:
    found, capped = [], [np.empty(0, np.int64)]
    for first in range(0, len(left.soft), _SIDE):
        block, more = _of_block(left, right, first, earlier)
        found.append(block)
        capped.append(more)
    return _joined(found), np.concatenate(capped)


def _of_block(left: Crowd, right: Crowd, first: int, earlier: bool) -> tuple[_Block, _Places]:
    """Search all of the right for one block of the left; name the pictures that were capped."""
    rows, crowding = _block_of(left, first)
    part = np.column_stack([rows, -crowding / 2, np.ones_like(crowding)])
    found = []
    for start in range(0, first + len(part) if earlier else len(right.soft), _SIDE):
        rows, crowding = _block_of(right, start)
        margins = part @ np.column_stack([rows, np.ones_like(crowding), -crowding / 2]).T
        if earlier and start + len(rows) > first:
            margins[np.triu_indices(len(part), first - start, len(rows))] = -1
        found.append(_clear(margins, start))
    best, capped = _few_a_row(_joined(found))
    return best._replace(rows=best.rows + first), capped + first


def _block_of(side: Crowd, first: int) -> tuple[_Rows, _Rows]:
    return unit_rows(side.soft[first : first + _SIDE]), side.crowding[first : first + _SIDE]


def _clear(margins: _Rows, start: int) -> _Block:
    """Return what is clear of the crowd; of a row a few more than ``NEAREST`` at most."""
    flat = np.flatnonzero(margins >= _CLEAR)
    rows, columns = np.divmod(flat, margins.shape[1])
    if len(flat) > NEAREST * len(margins):  # pictures that all look alike
        few = min(NEAREST + 1, margins.shape[1])
        best = np.argpartition(margins, -few)[:, -few:]
        rows, ranks = np.nonzero(np.take_along_axis(margins, best, 1) >= _CLEAR)
        columns = best[rows, ranks]
    return _Block(rows, columns + start, margins[rows, columns])


def _few_a_row(block: _Block) -> tuple[_Block, _Places]:
    """Keep the nearest of each row, and name the rows that had more."""
    order = np.lexsort((block.columns, -block.margin, block.rows))
    rows = block.rows[order]
    rank = np.arange(len(order)) - np.searchsorted(rows, rows)
    kept = order[rank < NEAREST]
    best = _Block(block.rows[kept], block.columns[kept], block.margin[kept])
    return best, rows[rank == NEAREST]


def _by_bits(left: Crowd, right: Crowd, earlier: bool) -> tuple[_Block, _Places]:
    hashes, group, sizes = np.unique(low_bits(right.soft), return_inverse=True, return_counts=True)
    pairs = near_pairs(low_bits(left.soft), hashes, RADIUS, _MOST)
    members, start = np.argsort(group, kind="stable"), np.cumsum(sizes) - sizes
    found = []
    for rank in range(NEAREST):  # of the pictures that share a hash, the first few
        there = np.flatnonzero(rank < sizes[pairs.right])
        columns = members[start[pairs.right[there]] + rank]
        found.append(_margins(left, right, pairs.left[there], columns, earlier))
    best, capped = _few_a_row(_joined(found))
    shared = pairs.left[sizes[pairs.right] > NEAREST]
    return best, np.unique(np.concatenate([capped, pairs.capped, shared]))


def _margins(left: Crowd, right: Crowd, rows: _Places, columns: _Places, earlier: bool) -> _Block:
    """Return those of the pairs that are clear of their crowds."""
    if earlier:
        before = np.flatnonzero(columns < rows)
        rows, columns = rows[before], columns[before]
    margin = -_crowded(left, right, rows, columns)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        units, others = unit_rows(left.soft[rows[part]]), unit_rows(right.soft[columns[part]])
        margin[part] += np.einsum("ij,ij->i", units, others)
    clear = np.flatnonzero(margin >= _CLEAR)
    return _Block(rows[clear], columns[clear], margin[clear])


def _crowded(left: Crowd, right: Crowd, rows: _Places, columns: _Places) -> _Rows:
    return np.asarray((left.crowding[rows] + right.crowding[columns]) / 2)


def _joined(blocks: list[_Block]) -> _Block:
    return _Block(
        np.concatenate([np.empty(0, np.int64), *(block.rows for block in blocks)]),
        np.concatenate([np.empty(0, np.int64), *(block.columns for block in blocks)]),
        np.concatenate([np.empty(0, np.float32), *(block.margin for block in blocks)]),
    )
