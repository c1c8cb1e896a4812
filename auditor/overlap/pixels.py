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

from auditor.data.decode import to_rgb
from auditor.overlap.dihedral import UPRIGHT, Orientation, oriented

__all__ = ["Likeness", "Prepared", "compare", "laid", "prepare"]

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
_SHIFTS = np.arange(-_SHIFT, _SHIFT + 1)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)

_Array = NDArray[np.float32]
_Sizes = tuple[tuple[int, int], ...]
_AS_THEY_ARE: _Sizes = ((0, 0),)
_ONE_ENLARGED: _Sizes = ((1, 0), (0, 1))


class Prepared(NamedTuple):
    """A picture and its enlarged centre, ready to be compared with many others (about 105 kB)."""

    pixels: _Array
    """Locally normalised grey, shape (2, 64, 64), either of mean 0."""
    spectrum: NDArray[np.complex64]
    """Their Fourier transforms, shape (2, 64, 33)."""
    colours: _Array
    """Red, green, blue and the smoothed Cb and Cr, grey levels, shape (2, 5, 32, 32)."""


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
    """Which sizes of two pictures were laid upon each other, and the shift that fits best."""

    similarity: float
    sizes: tuple[int, int]
    down: int
    right: int


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
    centre = small.resize(small.size, Image.Resampling.BICUBIC, box)
    rgb = np.array([small, centre], dtype=np.float32)
    pixels = _locally_normalised(rgb @ _GREY)
    return Prepared(pixels, scipy.fft.rfft2(pixels), _colours(rgb))


def laid(picture: Prepared, orientation: Orientation) -> Prepared:
    """Lay a prepared picture down in another orientation, without preparing it again."""
    if orientation == UPRIGHT:
        return picture
    pixels = oriented(picture.pixels, orientation)
    return Prepared(pixels, scipy.fft.rfft2(pixels), oriented(picture.colours, orientation))


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
    (best,) = _registered(a, b, _AS_THEY_ARE)
    if best.similarity < _NEARLY_EQUAL:
        others = _registered(a, b, _ONE_ENLARGED)
        best = max(best, *others, key=lambda one: one.similarity)
    size, other = best.sizes
    down, right = round(best.down / 2), round(best.right / 2)
    gap = np.subtract(*_overlaid(a.colours[size], b.colours[other], down, right))
    return Likeness(
        best.similarity,
        _local(*_overlaid(a.pixels[size], b.pixels[other], best.down, best.right)),
        _root_mean_square(gap[:3]),
        _root_mean_square(gap[3:]),
    )


def _locally_normalised(grey: _Array) -> _Array:
    smooth = _smoothed(grey, _SMOOTH)
    deviation = smooth - _smoothed(smooth, _WINDOW)
    variance = _smoothed(deviation * deviation, _WINDOW)
    normal = deviation / np.sqrt(variance.clip(0) + np.float32(_FLOOR) ** 2)
    return np.asarray(normal - normal.mean(axis=(1, 2), keepdims=True), dtype=np.float32)


def _colours(rgb: _Array) -> _Array:
    """Halve the side; add Cb and Cr (ITU-R BT.601), centred on 0."""
    quarters = rgb[:, ::2, ::2] + rgb[:, 1::2, ::2] + rgb[:, ::2, 1::2] + rgb[:, 1::2, 1::2]
    half = (quarters / 4).transpose(0, 3, 1, 2)
    grey = np.tensordot(half, _GREY, (1, 0))
    hues = np.stack(
        [0.564 * (half[:, 2] - grey), 0.713 * (half[:, 0] - grey)], axis=1, dtype=np.float32
    )
    return np.concatenate([half, _smoothed(hues, _SMOOTH)], axis=1, dtype=np.float32)


def _smoothed(pixels: _Array, window: int) -> _Array:
    sides = [0] * (pixels.ndim - 2) + [window, window]
    from scipy.ndimage import uniform_filter  # an audit whose pictures are known waits for none

    return np.asarray(uniform_filter(pixels, sides))


def _registered(a: Prepared, b: Prepared, sizes: _Sizes) -> list[_Registered]:
    """Find the best shift for some pairs of sizes."""
    own, other = [list(one) for one in zip(*sizes, strict=True)]
    products = a.spectrum[own] * b.spectrum[other].conj()
    near = scipy.fft.irfft2(products, s=(_SIDE, _SIDE))[:, _SHIFTS[:, np.newaxis], _SHIFTS]
    found = []
    for pair, best in zip(sizes, near.reshape(len(sizes), -1).argmax(axis=1).tolist(), strict=True):
        row, column = divmod(best, 2 * _SHIFT + 1)
        shift = row - _SHIFT, column - _SHIFT
        overlaid = _overlaid(a.pixels[pair[0]], b.pixels[pair[1]], *shift)
        found.append(_Registered(_correlation(*overlaid), pair, *shift))
    return found


def _overlaid(a: _Array, b: _Array, down: int, right: int) -> tuple[_Array, _Array]:
    return _shared(a, down, right), _shared(b, -down, -right)


def _shared(pixels: _Array, down: int, right: int) -> _Array:
    """Cut away what the other picture, shifted by this much, does not cover."""
    height, width = pixels.shape[-2:]
    rows = slice(max(down, 0), height + min(down, 0))
    return pixels[..., rows, max(right, 0) : width + min(right, 0)]


def _correlation(a: _Array, b: _Array) -> float:
    a, b = a - a.sum() / np.float32(a.size), b - b.sum() / np.float32(b.size)
    energy = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    # Flat pictures keep rounding errors; correlating those would mean nothing.
    return max(-1.0, min(1.0, float(np.vdot(a, b)) / energy)) if energy > 1e-3 else 0.0


def _local(a: _Array, b: _Array) -> float:
    """Return the mean correlation of the parts; what does not divide is left out at the edge."""
    height, width = (side // _PARTS for side in a.shape)
    a, b = a[: height * _PARTS, : width * _PARTS], b[: height * _PARTS, : width * _PARTS]
    moments = np.stack([a, b, a * a, b * b, a * b])
    means = moments.reshape(5, _PARTS, height, _PARTS, width).mean(axis=(2, 4))
    own, other = means[2] - means[0] ** 2, means[3] - means[1] ** 2
    energy = height * width * np.sqrt((own * other).clip(0))
    shared = height * width * (means[4] - means[0] * means[1])
    return float((shared / (energy + _QUIET_PART)).mean())


def _root_mean_square(values: _Array) -> float:
    return math.sqrt(float(np.vdot(values, values)) / values.size)
