"""The observer that measures images, from the decode that signatures use.

All of it is measured on the grey picture once whole blocks of its pixels are averaged, so that its
longer side has at most 256: pictures of one scene in several resolutions compare, up to a factor of
two in scale. Sharpness is the variance of the Laplacian (4 neighbours, the border left out).

References
----------
Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000: LAP4's variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.evidence.properties import NAMES, NUMBERS
from auditor.provider import Observer

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

__all__ = ["SHARPNESS_SIDE", "Measuring", "measure"]

SHARPNESS_SIDE = 256
"""Pixels of the longer side at which pictures are measured, at most."""
_WHITE = 255


class Measured(NamedTuple):
    """One image's row; ``auditor.evidence.properties.Properties`` tells the units."""

    width: int
    height: int
    file_bytes: int
    brightness: float
    contrast: float
    sharpness: float | None
    format: str
    mode: str
    reason: str | None
    """Why the sharpness is not known."""


class Measuring(Observer):
    """Measures every image that is looked at.

    Parameters
    ----------
    reduced
        Whether JPEGs are decoded at a fraction of their size. Their brightness and contrast are
        close to those of the whole ones; their sharpness is not known.
    """

    by_label = False
    reduced = False

    def __init__(self, *, reduced: bool = False) -> None:
        self.reduced = reduced

    def prepare(self, image: Image.Image, data: bytes) -> Measured:
        """Measure one image."""
        from auditor.data.decode import reduced_image

        # Whoever looks beside, as signatures are made.
        return measure(reduced_image(image, data) if self.reduced else image, data)

    def rows(self, images: Sequence[str], prepared: Sequence[Measured]) -> dict[str, pa.Array]:
        """Return the property columns of a batch."""
        import pyarrow as pa

        del images
        types = {name: pa.from_numpy_dtype(np.dtype(dtype)) for name, dtype in NUMBERS.items()}
        types |= {name: pa.string() for name in (*NAMES, "reason")}
        columns = dict(zip(Measured._fields, zip(*prepared, strict=True), strict=True))
        return {name: pa.array(columns[name], dtype) for name, dtype in types.items()}

    def about(self) -> dict[str, Any]:
        """Return how the images are measured."""
        return {
            "luma": "ITU-R 601-2",
            "sharpness_side": SHARPNESS_SIDE,
            "decode": "reduced" if self.reduced else "full",
        }


def measure(image: Image.Image, data: bytes) -> Measured:
    """Measure a picture.

    Parameters
    ----------
    image
        The decoded picture, from :func:`auditor.data.decode.open_image`.
    data
        The file it was decoded from.

    Returns
    -------
    Measured
        Its size, luma, sharpness and kind of file.
    """
    from auditor.data.decode import file_kind, full_size, to_grey

    size, grey = full_size(image), _reduced(to_grey(image))
    mean, deviation = _luma(grey)
    reason = _why_not_sharpness(grey, decoded_small=size is not None)
    kind, mode = file_kind(image)
    width, height = size or image.size
    return Measured(
        width=width,
        height=height,
        file_bytes=len(data),
        brightness=mean / _WHITE,
        contrast=deviation / _WHITE,
        sharpness=None if reason else _sharpness(grey),
        format=kind,
        mode=mode,
        reason=reason,
    )


def _luma(grey: Image.Image) -> tuple[float, float]:
    """Return mean and standard deviation of the grey levels, from their exact counts."""
    counts, levels = np.array(grey.histogram(), np.int64), np.arange(_WHITE + 1)
    n, total = int(counts.sum()), int(counts @ levels)
    squares = n * int(counts @ levels**2) - total**2  # in integers: nothing cancels
    return total / n, math.sqrt(squares) / n


def _why_not_sharpness(grey: Image.Image, *, decoded_small: bool) -> str | None:
    if decoded_small:
        return 'decoded at a fraction of its size ([overlap] hash_mode = "fast")'
    if min(grey.size) < 3:  # not even one pixel has four neighbours
        return f"less than 3 pixels wide or high where its longer side is {SHARPNESS_SIDE}"
    return None


def _reduced(grey: Image.Image) -> Image.Image:
    """Average blocks of pixels; a picture that is small enough comes back itself."""
    factor = -(-max(grey.size) // SHARPNESS_SIDE)
    return grey if factor == 1 else grey.reduce(factor)


def _sharpness(grey: Image.Image) -> float:
    return float(_laplacian(np.asarray(grey, np.int16)).var(dtype=np.float64))


def _laplacian(levels: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the Laplacian of the inner pixels; within ±1020, so that 16 bits hold it."""
    inner = levels[1:-1, 1:-1] * np.int16(-4)
    inner += levels[:-2, 1:-1]
    inner += levels[2:, 1:-1]
    inner += levels[1:-1, :-2]
    inner += levels[1:-1, 2:]
    return inner
