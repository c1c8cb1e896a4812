"""Looks at the pixels of two pictures with near hashes, to tell copies from look-alikes.

A fixed Hamming radius cannot tell. Among 5 × 10⁸ pairs of photographs it meets hundreds of
strangers by chance, and in data whose pictures all look alike (digits, forms, radiographs)
near hashes are the rule. So two questions are asked of the pixels:

1. How similar are they? Both pictures are made grey at 128 × 128, smoothed over 5 px against
   noise, brought to the same local mean and contrast over 41 px (20 grey levels added to the
   local deviation keep flat areas quiet), and correlated at the best shift up to 12 px.
2. Is that more than strangers reach *in this data*? Up to 400 pairs of one label with distant
   hashes are compared too. In u = artanh(similarity), which evens out the spread (Fisher 1915),
   a pair counts from ``median + 6 · spread`` of theirs on, the spread being (95% quantile −
   median) / 1.645, and never below a similarity of .5.

One fixed number cannot serve: the known overlaps of CIFAR-10 have a median similarity of .87,
and a different digit of the same class reaches .98. Measured, as similarity and in spreads:

===================================================  =====================  ====================
pairs                                                similarity 1 50 99%    spreads 1 50 99%
===================================================  =====================  ====================
CIFAR-10: strangers of one class (1,500)              .02   .15   .39       −1.4   0.0   2.7
CIFAR-10: candidates at phash ≤ 6 (242)               .46   .92   .99        3.6  15.2  27.0
CIFAR-10: candidates at phash 8 (270)                 .25   .65   .98        1.1   6.7  22.6
CIFAR-10: known pairs at phash ≤ 8 (66)               .74   .92   .99        8.6  15.7  26.8
CIFAR-10: known pairs at any distance (143)           .25   .87   .99        1.1  12.8  25.8
CIFAR-10: copies (2,200)                              .95  1.00  1.00       17.5  31.1  51.6
**limit**                                                   .61                    6.0
digits, 64 px nearest: strangers of one class         .13   .54   .89       −1.3   0.0   2.3
digits, 64 px nearest: distinct at phash ≤ 8 (1,280)  .67   .87   .96        0.6   2.0   3.7
digits, 64 px nearest: copies (2,200)                 .996 1.00  1.00        6.9  10.5  12.1
digits, 64 px bicubic: distinct at phash ≤ 8 (1,424)  .73   .89   .96        0.5   2.0   3.6
digits, 64 px bicubic: copies (2,200)                 .992 1.00  1.00        5.9  10.2  12.5
**limit**                                                   .992                   6.0
===================================================  =====================  ====================

Copies are JPEG at quality 50 and 75, brightness ± 10%, size × .75 and × 1.5, shifts of 1 and
2 px, noise of 4 and 8 grey levels. The most alike of the distinct digits lie at 4.4 spreads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

from auditor.overlap.decode import without_palette_alpha

__all__ = [
    "COPY_SIMILARITY",
    "MIN_SIMILARITY",
    "MIN_STRANGERS",
    "Prepared",
    "compare",
    "prepare",
    "similarity",
    "similarity_limit",
    "verified",
]

MIN_SIMILARITY = 0.5
"""No pair below this is verified, however unlike each other strangers are."""
COPY_SIMILARITY = 0.99
"""What a pair must reach where too few strangers are known to set a limit by."""
MIN_STRANGERS = 20
"""Fewest stranger pairs that set a limit."""

_SIDE = 128
_SHIFT = 12
_SMOOTH = 5
_WINDOW = 41
_FLOOR = 20.0
_SPREADS = 6.0


class Prepared(NamedTuple):
    """A picture ready to be compared with many others (about 130 kB)."""

    pixels: NDArray[np.float32]
    """Locally normalised grey, shape (128, 128), mean 0."""
    spectrum: NDArray[np.complex64]
    """Its Fourier transform, shape (128, 65)."""


def similarity(a: Image.Image, b: Image.Image) -> float:
    """Correlate two pictures at their best small shift.

    Parameters
    ----------
    a, b
        Pictures of any size and mode.

    Returns
    -------
    float
        Within −1..1, 1 for equal pictures; 0 where one of them is flat.
    """
    return compare(prepare(a), prepare(b))


def prepare(image: Image.Image) -> Prepared:
    """Bring a picture to 128 × 128 grey pixels of one local mean and contrast.

    Parameters
    ----------
    image
        A picture of any size and mode.

    Returns
    -------
    Prepared
        What :func:`compare` takes.
    """
    grey = without_palette_alpha(image).convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    pixels = _locally_normalised(np.asarray(small, dtype=np.float32))
    return Prepared(pixels, scipy.fft.rfft2(pixels))


def compare(a: Prepared, b: Prepared) -> float:
    """Correlate two prepared pictures; see :func:`similarity`.

    Parameters
    ----------
    a, b
        Two pictures from :func:`prepare`.

    Returns
    -------
    float
        Within −1..1.
    """
    down, right = _best_shift(a, b)
    return _correlation(_shared(a.pixels, down, right), _shared(b.pixels, -down, -right))


def similarity_limit(strangers: Sequence[float]) -> float:
    """Return the similarity that sets copies apart from strangers.

    Parameters
    ----------
    strangers
        Similarities of pairs known not to be copies of each other, best of one label.

    Returns
    -------
    float
        Within ``MIN_SIMILARITY``..1; ``COPY_SIMILARITY`` where there are fewer than
        ``MIN_STRANGERS`` of them.
    """
    if len(strangers) < MIN_STRANGERS:
        return COPY_SIMILARITY
    u = np.arctanh(np.clip(strangers, -0.9999, 0.9999))
    median, high = np.quantile(u, [0.5, 0.95])
    return max(MIN_SIMILARITY, math.tanh(median + _SPREADS * (high - median) / 1.645))


def verified(similarity: float, limit: float = COPY_SIMILARITY) -> bool:
    """Tell whether a pair with near hashes is a near-duplicate.

    Parameters
    ----------
    similarity
        From :func:`similarity`.
    limit
        From :func:`similarity_limit`.

    Returns
    -------
    bool
        True from the limit on.
    """
    return similarity >= limit


def _locally_normalised(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth = scipy.ndimage.uniform_filter(grey, _SMOOTH)
    deviation = smooth - scipy.ndimage.uniform_filter(smooth, _WINDOW)
    variance = scipy.ndimage.uniform_filter(deviation * deviation, _WINDOW)
    normal = deviation / np.sqrt(variance.clip(0) + np.float32(_FLOOR) ** 2)
    return np.asarray(normal - normal.mean(), dtype=np.float32)


def _best_shift(a: Prepared, b: Prepared) -> tuple[int, int]:
    surface = scipy.fft.irfft2(a.spectrum * b.spectrum.conj(), s=(_SIDE, _SIDE))
    near = np.roll(surface, (_SHIFT, _SHIFT), axis=(0, 1))[: 2 * _SHIFT + 1, : 2 * _SHIFT + 1]
    row, column = divmod(int(near.argmax()), 2 * _SHIFT + 1)
    return row - _SHIFT, column - _SHIFT


def _shared(pixels: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    """Cut away what the other picture, shifted by this much, does not cover."""
    rows = slice(max(down, 0), _SIDE + min(down, 0))
    return pixels[rows, max(right, 0) : _SIDE + min(right, 0)]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    energy = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    # Flat pictures keep rounding errors; correlating those would mean nothing.
    return max(-1.0, min(1.0, float(np.vdot(a, b)) / energy)) if energy > 1e-3 else 0.0
