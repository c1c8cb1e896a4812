"""Looks at the pixels of two pictures with near hashes, to tell copies from look-alikes.

Hashes cannot tell. Among 5 × 10⁸ pairs of photographs they meet hundreds of strangers by chance,
and in data whose pictures all look alike (digits, forms, radiographs) near hashes are the rule.
So the pixels are asked how alike two pictures are, in two ways:

``similarity``
    Both pictures are brought to 64 × 64, grey, smoothed over 3 px against noise, brought to the
    same local mean and contrast over 21 px (20 grey levels added to the local deviation keep flat
    areas quiet), and correlated at the best shift up to 6 px. It does not see brightness.
``difference``
    At that shift, the root mean square difference of the colours plus twice that of their hues
    (Cb and Cr, smoothed over 3 px), at 32 × 32, in hundreds of grey levels. Strangers in the same
    pose differ in colour; photographs of one scene do not.

Similarity is measured against strangers *of this data* too: up to 400 pairs of one label with
distant hashes are compared. In u = artanh(similarity), which evens out the spread (Fisher 1915), a
pair may count from ``median + 5 · spread`` of theirs on, the spread being (95% quantile − median)
/ 1.645, and never below a similarity of .5. It is 7 spreads where no decoys set the threshold, and
for transformed copies, which are found in seven trials more. One fixed number cannot serve: the
known overlaps of CIFAR-10 have a median similarity of .8, and a different digit of the same class
reaches .98.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from auditor.overlap.decode import to_rgb
from auditor.overlap.dihedral import UPRIGHT, Orientation, oriented

__all__ = [
    "COPY_SIMILARITY",
    "MIN_SIMILARITY",
    "MIN_STRANGERS",
    "SPREADS",
    "SPREADS_ALONE",
    "Likeness",
    "Prepared",
    "compare",
    "laid",
    "prepare",
    "similarity",
    "similarity_limit",
]

MIN_SIMILARITY = 0.5
"""No pair below this is verified, however unlike each other strangers are."""
COPY_SIMILARITY = 0.99
"""What a pair must reach where too few strangers are known to set a limit by."""
MIN_STRANGERS = 20
"""Fewest stranger pairs that set a limit."""
SPREADS = 5.0
"""Spreads between strangers and near-duplicates."""
SPREADS_ALONE = 7.0
"""The same where no decoys speak for the threshold, and for transformed copies."""

_SIDE = 64
_SHIFT = 6
_SMOOTH = 3
_WINDOW = 21
_FLOOR = 20.0
_HUES = 2.0
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


class Prepared(NamedTuple):
    """A picture ready to be compared with many others (about 45 kB)."""

    pixels: NDArray[np.float32]
    """Locally normalised grey, shape (64, 64), mean 0."""
    spectrum: NDArray[np.complex64]
    """Its Fourier transform, shape (64, 33)."""
    colours: NDArray[np.float32]
    """Red, green, blue and the smoothed Cb and Cr, grey levels, shape (5, 32, 32)."""


class Likeness(NamedTuple):
    """What the pixels say of two pictures."""

    similarity: float
    """Within −1..1, 1 for equal pictures; 0 where one of them is flat."""
    difference: float
    """Of the colours, at least 0, in hundreds of grey levels."""


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
    return compare(prepare(a), prepare(b)).similarity


def prepare(image: Image.Image) -> Prepared:
    """Bring a picture to 64 × 64 pixels of one local mean and contrast, and small colours.

    Parameters
    ----------
    image
        A picture of any size and mode.

    Returns
    -------
    Prepared
        What :func:`compare` takes.
    """
    small = to_rgb(image).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    rgb = np.asarray(small, dtype=np.float32)
    pixels = _locally_normalised(rgb @ _GREY)
    return Prepared(pixels, scipy.fft.rfft2(pixels), _colours(rgb))


def laid(picture: Prepared, orientation: Orientation) -> Prepared:
    """Lay a prepared picture down in another orientation, without preparing it again."""
    if orientation == UPRIGHT:
        return picture
    pixels = oriented(picture.pixels, orientation)
    return Prepared(pixels, scipy.fft.rfft2(pixels), oriented(picture.colours, orientation))


def compare(a: Prepared, b: Prepared) -> Likeness:
    """Compare two prepared pictures at the shift at which they agree best.

    Parameters
    ----------
    a, b
        Two pictures from :func:`prepare`.

    Returns
    -------
    Likeness
        How alike they are.
    """
    down, right = _best_shift(a, b)
    correlation = _correlation(_shared(a.pixels, down, right), _shared(b.pixels, -down, -right))
    down, right = round(down / 2), round(right / 2)
    gap = _shared(a.colours, down, right) - _shared(b.colours, -down, -right)
    colours, hues = _root_mean_square(gap[:3]), _root_mean_square(gap[3:])
    return Likeness(correlation, (colours + _HUES * hues) / 100)


def similarity_limit(strangers: Sequence[float], spreads: float = SPREADS) -> float:
    """Return the similarity that sets copies apart from strangers.

    Parameters
    ----------
    strangers
        Similarities of pairs known not to be copies of each other, best of one label.
    spreads
        How far beyond their median the limit lies, in spreads.

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
    return max(MIN_SIMILARITY, math.tanh(median + spreads * (high - median) / 1.645))


def _locally_normalised(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    smooth = uniform_filter(grey, _SMOOTH)
    deviation = smooth - uniform_filter(smooth, _WINDOW)
    variance = uniform_filter(deviation * deviation, _WINDOW)
    normal = deviation / np.sqrt(variance.clip(0) + np.float32(_FLOOR) ** 2)
    return np.asarray(normal - normal.mean(), dtype=np.float32)


def _colours(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Halve the side; add Cb and Cr (ITU-R BT.601), centred on 0."""
    half = rgb.reshape(_SIDE // 2, 2, _SIDE // 2, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    grey = np.tensordot(_GREY, half, 1)
    hues = np.stack([0.564 * (half[2] - grey), 0.713 * (half[0] - grey)])
    return np.concatenate([half, uniform_filter(hues, (0, 3, 3))], dtype=np.float32)


def _best_shift(a: Prepared, b: Prepared) -> tuple[int, int]:
    surface = scipy.fft.irfft2(a.spectrum * b.spectrum.conj(), s=(_SIDE, _SIDE))
    near = np.roll(surface, (_SHIFT, _SHIFT), axis=(0, 1))[: 2 * _SHIFT + 1, : 2 * _SHIFT + 1]
    row, column = divmod(int(near.argmax()), 2 * _SHIFT + 1)
    return row - _SHIFT, column - _SHIFT


def _shared(pixels: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    """Cut away what the other picture, shifted by this much, does not cover."""
    height, width = pixels.shape[-2:]
    rows = slice(max(down, 0), height + min(down, 0))
    return pixels[..., rows, max(right, 0) : width + min(right, 0)]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    energy = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    # Flat pictures keep rounding errors; correlating those would mean nothing.
    return max(-1.0, min(1.0, float(np.vdot(a, b)) / energy)) if energy > 1e-3 else 0.0


def _root_mean_square(values: NDArray[np.float32]) -> float:
    return math.sqrt(float(np.vdot(values, values)) / values.size)
