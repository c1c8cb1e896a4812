"""The soft perceptual hash: the low frequencies of a picture on a logarithmic scale, in 256 bytes.

A binary perceptual hash keeps of each frequency one bit, whether it is above the median. Much of
what tells near pictures from strangers is in how far above. The soft hash keeps 16 × 16
coefficients c of the orthonormal type-II DCT of the 32 × 32 grey thumbnail, without the mean, as
sign(c) · log(1 + abs(c) / 8): the logarithm stops the few large ones from drowning the others.

Two are compared by their cosine: copies come near 1. What strangers reach depends on the data, some
.3 among photographs and .96 among handwritten digits, so :func:`crowding` measures it.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.dihedral import MIRRORED, oriented_soft

__all__ = [
    "FEWEST",
    "MAX_CROWDING",
    "SCALE",
    "SOFT_BYTES",
    "crowd",
    "crowding",
    "low_bits",
    "soft_hashes",
    "unit_rows",
]

SOFT_BYTES = 256
"""Coefficients of a soft hash, one signed byte each."""
SCALE = 20.0
"""Steps a unit of the logarithm. The largest coefficient, of a chequered picture, comes to 123."""

MAX_CROWDING = 0.6
"""More is cut off."""

_KNEE = 8.0
_CROWD = 2000
_NEAREST = 0.005
_LEFT_OUT = 5
_MANY = 0.2
"""Share of those drawn that is left out where copies are many; up to half of it may be copies."""
_STEP = 0.15
"""Between crowding with and without so many: below .08 in 10,000 pictures of CIFAR-10, some .6
where copies are among them."""
FEWEST = 200
"""Strangers by which crowding is measured, at least."""
_TYPICAL_CROWDING = 0.25
_ROWS = 1 << 12
_SIDE, _LOW = 16, 8


def soft_hashes(coefficients: NDArray[np.float64]) -> NDArray[np.int8]:
    """Compress low DCT coefficients.

    Parameters
    ----------
    coefficients
        The lowest of an orthonormal DCT of grey levels, shape (n, 16, 16).

    Returns
    -------
    numpy.ndarray
        ``int8``, shape (n, 256), row by row; the first of each is the mean and kept at 0.
    """
    flat = coefficients.reshape(-1, SOFT_BYTES)
    steps = np.rint(np.sign(flat) * np.log1p(np.abs(flat) / _KNEE) * SCALE)
    steps[:, 0] = 0
    return steps.clip(-127, 127).astype(np.int8)


def unit_rows(soft: NDArray[np.int8]) -> NDArray[np.float32]:
    """Bring soft hashes to unit length: products of rows are their similarity.

    Parameters
    ----------
    soft
        Soft hashes, shape (n, 256).

    Returns
    -------
    numpy.ndarray
        ``float32``, shape (n, 256); 0 where a hash is, so that a flat picture is like nothing.
    """
    rows = soft.astype(np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.maximum(norms, 1)[:, np.newaxis]
    return rows


def low_bits(soft: NDArray[np.int8]) -> NDArray[np.uint64]:
    """Return a binary hash made of soft ones: which of the lowest frequencies exceed their median.

    Parameters
    ----------
    soft
        Soft hashes, shape (n, 256).

    Returns
    -------
    numpy.ndarray
        ``uint64``, shape (n,): 63 bits, for the mean has none. Unlike ``imagehash.phash``'s these
        can be had of a picture that is mirrored or turned.
    """
    low = soft.reshape(-1, _SIDE, _SIDE)[:, :_LOW, :_LOW].reshape(-1, _LOW * _LOW)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()


def crowd(own: NDArray[np.int8], other: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the pictures by which :func:`crowding` is measured: the other side, or both if few.

    Parameters
    ----------
    own, other
        Soft hashes of two sides, shapes (n, 256) and (m, 256); one object of one split alone.
    """
    few = len(other) < FEWEST and own is not other
    return np.concatenate([other, own]) if few else other


def crowding(
    soft: NDArray[np.int8],
    others: NDArray[np.int8],
    most: float = MAX_CROWDING,
    *,
    alone: bool = False,
) -> NDArray[np.float32]:
    """Measure how alike a picture is to the nearest strangers of some that are drawn at random.

    A plain sky with a dot is like a hundred others, so that likeness says little there. Crowding
    is the mean similarity to the nearest 10 of 2,000 strangers. Among those drawn may be copies of
    the picture, and are where there are few and all are drawn. So the nearest five are left out:
    the mean of the 10 after them (½% of fewer, 3 at least) is carried on to where the nearest
    lie by the ratio that their distances from the median have in a normal distribution.

    Where a fifth left out gives much less than five, the nearest are taken for copies, as there are
    where training data were augmented before they were split, and a fifth is left out.

    Parameters
    ----------
    soft, others
        Soft hashes, shapes (n, 256) and (m, 256).
    most
        Cut off here, so that a picture that fills a large part of the data is found all the same.
    alone
        No pixels will be looked at. Then the nearest are taken for copies only as far as the
        mirrored picture, which meets strangers but no copies, meets none that are as alike.

    Returns
    -------
    numpy.ndarray
        ``float32``, shape (n,), within 0..``most``; for all .25, which is usual in
        photographs, where m < 200.
    """
    if len(others) < FEWEST:
        return np.full(len(soft), _TYPICAL_CROWDING, np.float32)
    drawn = np.random.default_rng(0).permutation(len(others))[:_CROWD]
    crowd = unit_rows(others[drawn]).T
    blocks = [
        _nearest_strangers(soft[start : start + _ROWS], crowd, alone)
        for start in range(0, len(soft), _ROWS)
    ]
    return np.concatenate([np.empty(0, np.float32), *blocks]).clip(0, most)


def _nearest_strangers(
    soft: NDArray[np.int8], crowd: NDArray[np.float32], alone: bool
) -> NDArray[np.float32]:
    """Estimate the mean of the nearest of 2,000 strangers, shapes (n, 256), (256, m) → (n,)."""
    few, many = _LEFT_OUT, max(_LEFT_OUT, round(_MANY * crowd.shape[1]))
    near, without = _carried_on(unit_rows(soft) @ crowd, few, many)
    copied = np.flatnonzero(near > without + np.float32(_STEP))
    least = without[copied]
    if alone:
        (mirrored,) = _carried_on(unit_rows(oriented_soft(soft[copied], MIRRORED)) @ crowd, few)
        least = np.maximum(least, mirrored)
    near[copied] = np.minimum(near[copied], least)
    return near


def _carried_on(similarity: NDArray[np.float32], *left_out: int) -> list[NDArray[np.float32]]:
    """Estimate it, shape (n, m) → (n,), from those that follow so many."""
    m = similarity.shape[1]
    looked_at = [(out, out + max(3, round(_NEAREST * m))) for out in left_out]
    bounds = [m // 2, *(m - place for ranks in looked_at for place in ranks)]
    similarity = np.partition(similarity, bounds, axis=1)
    median, wanted = similarity[:, m // 2], _normal(0, round(_NEAREST * _CROWD), _CROWD)
    return [
        median
        + (similarity[:, m - last : m - out].mean(axis=1) - median)
        * np.float32(wanted / _normal(out, last, m))
        for out, last in looked_at
    ]


def _normal(first: int, last: int, size: int) -> float:
    """Return the mean of some of the largest of a normal sample (Blom 1958)."""
    normal = NormalDist()
    ranks = range(first + 1, last + 1)
    return float(np.mean([-normal.inv_cdf((rank - 0.375) / (size + 0.25)) for rank in ranks]))
