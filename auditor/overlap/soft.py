"""The soft perceptual hash: the low frequencies of a picture on a logarithmic scale, in 256 bytes.

A binary perceptual hash keeps of each frequency one bit, whether it is above the median. Much of
what tells near pictures from strangers is in how far above. The soft hash keeps 16 × 16
coefficients c of the orthonormal type-II DCT of the 32 × 32 grey thumbnail, without the mean, as
sign(c) · log(1 + abs(c) / 8): the logarithm stops the few large ones from drowning the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCALE", "SOFT_BYTES", "soft_hashes"]

SOFT_BYTES = 256
"""Coefficients of a soft hash, one signed byte each."""
SCALE = 20.0
"""Steps a unit of the logarithm. The largest coefficient, of a chequered picture, comes to 123."""

_KNEE = 8.0


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
