"""Compares two pictures by their pixels, once they are laid upon each other as well as they go.

Both pictures are brought to 64 × 64, grey, smoothed over 3 px against noise, and to the same local
mean and contrast over 21 px (20 grey levels added to the local deviation keep flat areas quiet).
They are registered by the shift up to 9 px at which they correlate best; where that is not near
equality, the centre of either, enlarged by 7.5%, is tried too. Then four things are asked:

``similarity``
    The correlation. It does not see brightness.
``local``
    The mean of the correlations in 4 × 4 parts. Strangers in the same pose agree in their outline,
    that is in a few parts; photographs of one scene agree in all.
``difference``, ``hues``
    The root mean square difference of red, green and blue, and that of Cb and Cr smoothed over
    3 px, at 32 × 32. Strangers differ in colour; photographs of one scene do not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from auditor.overlap.decode import to_rgb
from auditor.overlap.dihedral import UPRIGHT, Orientation, oriented

__all__ = ["Likeness", "Prepared", "compare", "laid", "prepare", "similarity"]

_SIDE = 64
_SHIFT = 9
_SMOOTH = 3
_WINDOW = 21
_FLOOR = 20.0
_MARGIN = 2.24
"""Pixels left out on each side where the centre is enlarged by 7.5%."""
_NEARLY_EQUAL = 0.95
"""From this similarity on no other size is tried."""
_PARTS = 4
_QUIET_PART = 8.0
"""Added to the energy of a part, so that a flat one says nothing; a lively one's is 200."""
_GREY = np.array([0.299, 0.587, 0.114], np.float32)

_Array = NDArray[np.float32]


class _Look(NamedTuple):
    """A picture at one size."""

    pixels: _Array
    """Locally normalised grey, shape (64, 64), mean 0."""
    spectrum: NDArray[np.complex64]
    """Its Fourier transform, shape (64, 33)."""
    colours: _Array
    """Red, green, blue and the smoothed Cb and Cr, grey levels, shape (5, 32, 32)."""


class Prepared(NamedTuple):
    """A picture ready to be compared with many others (about 105 kB)."""

    whole: _Look
    centre: _Look
    """Its centre, enlarged."""


class Likeness(NamedTuple):
    """What the pixels say of two pictures."""

    similarity: float
    """Within −1..1, 1 for equal pictures; 0 where one of them is flat."""
    local: float
    """Mean similarity of their parts, within −1..1; below 1 for equal pictures, too."""
    difference: float
    """Of the colours, at least 0, grey levels."""
    hues: float
    """Of the hues alone, at least 0, grey levels."""


class _Registered(NamedTuple):
    """Two looks, and the shift at which they correlate best."""

    similarity: float
    a: _Look
    b: _Look
    down: int
    right: int


def similarity(a: Image.Image, b: Image.Image) -> float:
    """Correlate two pictures where they agree best.

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
    box = (_MARGIN, _MARGIN, _SIDE - _MARGIN, _SIDE - _MARGIN)
    return Prepared(_look(small), _look(small.resize(small.size, Image.Resampling.BICUBIC, box)))


def laid(picture: Prepared, orientation: Orientation) -> Prepared:
    """Lay a prepared picture down in another orientation, without preparing it again."""
    if orientation == UPRIGHT:
        return picture
    return Prepared(*(_laid(look, orientation) for look in picture))


def compare(a: Prepared, b: Prepared) -> Likeness:
    """Compare two prepared pictures, registered as well as they go.

    Parameters
    ----------
    a, b
        Two pictures from :func:`prepare`.

    Returns
    -------
    Likeness
        How alike they are.
    """
    best = _registered(a.whole, b.whole)
    if best.similarity < _NEARLY_EQUAL:
        others = _registered(a.centre, b.whole), _registered(a.whole, b.centre)
        best = max(best, *others, key=lambda one: one.similarity)
    down, right = round(best.down / 2), round(best.right / 2)
    gap = _shared(best.a.colours, down, right) - _shared(best.b.colours, -down, -right)
    return Likeness(
        best.similarity,
        _local(*_overlaid(best.a.pixels, best.b.pixels, best.down, best.right)),
        _root_mean_square(gap[:3]),
        _root_mean_square(gap[3:]),
    )


def _look(small: Image.Image) -> _Look:
    rgb = np.asarray(small, dtype=np.float32)
    pixels = _locally_normalised(rgb @ _GREY)
    return _Look(pixels, scipy.fft.rfft2(pixels), _colours(rgb))


def _laid(look: _Look, orientation: Orientation) -> _Look:
    pixels = oriented(look.pixels, orientation)
    return _Look(pixels, scipy.fft.rfft2(pixels), oriented(look.colours, orientation))


def _locally_normalised(grey: _Array) -> _Array:
    smooth = uniform_filter(grey, _SMOOTH)
    deviation = smooth - uniform_filter(smooth, _WINDOW)
    variance = uniform_filter(deviation * deviation, _WINDOW)
    normal = deviation / np.sqrt(variance.clip(0) + np.float32(_FLOOR) ** 2)
    return np.asarray(normal - normal.mean(), dtype=np.float32)


def _colours(rgb: _Array) -> _Array:
    """Halve the side; add Cb and Cr (ITU-R BT.601), centred on 0."""
    half = rgb.reshape(_SIDE // 2, 2, _SIDE // 2, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    grey = np.tensordot(_GREY, half, 1)
    hues = np.stack([0.564 * (half[2] - grey), 0.713 * (half[0] - grey)])
    return np.concatenate([half, uniform_filter(hues, (0, 3, 3))], dtype=np.float32)


def _registered(a: _Look, b: _Look) -> _Registered:
    surface = scipy.fft.irfft2(a.spectrum * b.spectrum.conj(), s=(_SIDE, _SIDE))
    near = np.roll(surface, (_SHIFT, _SHIFT), axis=(0, 1))[: 2 * _SHIFT + 1, : 2 * _SHIFT + 1]
    row, column = divmod(int(near.argmax()), 2 * _SHIFT + 1)
    down, right = row - _SHIFT, column - _SHIFT
    likeness = _correlation(*_overlaid(a.pixels, b.pixels, down, right))
    return _Registered(likeness, a, b, down, right)


def _overlaid(a: _Array, b: _Array, down: int, right: int) -> tuple[_Array, _Array]:
    return _shared(a, down, right), _shared(b, -down, -right)


def _shared(pixels: _Array, down: int, right: int) -> _Array:
    """Cut away what the other picture, shifted by this much, does not cover."""
    height, width = pixels.shape[-2:]
    rows = slice(max(down, 0), height + min(down, 0))
    return pixels[..., rows, max(right, 0) : width + min(right, 0)]


def _correlation(a: _Array, b: _Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    energy = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    # Flat pictures keep rounding errors; correlating those would mean nothing.
    return max(-1.0, min(1.0, float(np.vdot(a, b)) / energy)) if energy > 1e-3 else 0.0


def _local(a: _Array, b: _Array) -> float:
    """Return the mean correlation of the parts; what does not divide is left out at the edge."""
    a, b = _parts(a), _parts(b)
    a, b = a - a.mean(axis=(1, 3), keepdims=True), b - b.mean(axis=(1, 3), keepdims=True)
    energy = np.sqrt((a * a).sum(axis=(1, 3)) * (b * b).sum(axis=(1, 3)))
    return float(((a * b).sum(axis=(1, 3)) / (energy + _QUIET_PART)).mean())


def _parts(pixels: _Array) -> _Array:
    height, width = (side // _PARTS for side in pixels.shape)
    return pixels[: height * _PARTS, : width * _PARTS].reshape(_PARTS, height, _PARTS, width)


def _root_mean_square(values: _Array) -> float:
    return math.sqrt(float(np.vdot(values, values)) / values.size)
