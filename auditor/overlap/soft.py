"""The soft perceptual hash: the low frequencies of a picture on a logarithmic scale, in 256 bytes.

A binary perceptual hash keeps of each frequency one bit, whether it is above the median. Much of
what tells near pictures from strangers is in how far above. The soft hash keeps 16 × 16
coefficients c of the orthonormal type-II DCT of the 32 × 32 grey thumbnail, without the mean, as
sign(c) · log(1 + abs(c) / 8): the logarithm stops the few large ones from drowning the others.

Two are compared by their cosine, 4 being added to each norm, which silences flat pictures: on
CIFAR-10 a norm is 28 in the median and 12 at least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCALE", "SOFT_BYTES", "crowding", "low_bits", "soft_hashes", "unit_rows"]

SOFT_BYTES = 256
"""Coefficients of a soft hash, one signed byte each."""
SCALE = 20.0
"""Steps a unit of the logarithm. The largest coefficient, of a chequered picture, comes to 123."""

_KNEE = 8.0
_QUIET = 4.0
_CROWD = 2000
_NEAREST = 0.005
_TYPICAL_CROWDING = 0.19
_MAX_CROWDING = 0.5
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
    """Bring soft hashes to regularised unit length: products of rows are their similarity.

    Parameters
    ----------
    soft
        Soft hashes, shape (n, 256).

    Returns
    -------
    numpy.ndarray
        ``float32``, shape (n, 256); the norm of a row is below 1.
    """
    rows = soft.astype(np.float32) / np.float32(SCALE)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= (norms + np.float32(_QUIET))[:, np.newaxis]
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


def crowding(soft: NDArray[np.int8], others: NDArray[np.int8]) -> NDArray[np.float32]:
    """Measure how alike a picture is to the nearest of some that are drawn at random.

    A plain sky with a dot is like a hundred others, so that likeness says little there. Crowding
    is the mean similarity to the nearest 10 of 2,000 drawn ones: in large sets copies are too few
    to be drawn. Of fewer than 2,000 pictures all are drawn, a picture's own copy with them, and
    crowding is too high; the pixels make up for most of that, signatures alone do not.

    Parameters
    ----------
    soft, others
        Soft hashes, shapes (n, 256) and (m, 256).

    Returns
    -------
    numpy.ndarray
        ``float32``, shape (n,), at most .5, so that a picture that fills a large part of the data
        is found all the same; .19, which is usual in photographs, for all where m < 200.
    """
    if len(others) < 1 / _NEAREST:
        return np.full(len(soft), _TYPICAL_CROWDING, np.float32)
    drawn = np.random.default_rng(0).permutation(len(others))[:_CROWD]
    crowd, nearest = unit_rows(others[drawn]).T, max(1, round(len(drawn) * _NEAREST))
    blocks = [
        np.partition(unit_rows(soft[start : start + _ROWS]) @ crowd, -nearest)[:, -nearest:].mean(1)
        for start in range(0, len(soft), _ROWS)
    ]
    return np.concatenate([np.empty(0, np.float32), *blocks]).clip(0, _MAX_CROWDING)
