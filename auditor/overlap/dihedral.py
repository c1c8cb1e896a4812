"""The eight ways to lay a picture down: mirrored or not, in four quarter turns.

None of them needs the picture to be transformed again: mirroring changes the sign of the odd
frequencies of a DCT along that axis, and a quarter turn is a transposition and a mirroring.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIRRORED", "ORIENTATIONS", "UPRIGHT", "Orientation", "oriented", "oriented_soft"]

_LOW = 16
Number = TypeVar("Number", bound=np.generic)


class Orientation(NamedTuple):
    """How the first picture of a pair has to be laid down to look like the second."""

    name: str
    """As a reader says it; empty for upright."""
    transposed: bool
    """Rows and columns change places, before all else."""
    rows: bool
    """The rows come in reverse."""
    columns: bool
    """The columns come in reverse."""


UPRIGHT = Orientation("", False, False, False)
MIRRORED = Orientation("mirrored", False, False, True)
ORIENTATIONS = (
    UPRIGHT,
    MIRRORED,
    Orientation("upside down", False, True, True),
    Orientation("mirrored and upside down", False, True, False),
    Orientation("turned 90°", True, False, True),
    Orientation("turned 270°", True, True, False),
    Orientation("mirrored and turned 90°", True, True, True),
    Orientation("mirrored and turned 270°", True, False, False),
)
"""All eight. Turns are clockwise."""


def oriented(pixels: NDArray[Number], orientation: Orientation) -> NDArray[Number]:
    """Lay square pictures down.

    Parameters
    ----------
    pixels
        Shape (…, side, side).
    orientation
        How.

    Returns
    -------
    numpy.ndarray
        Of the same shape and type.
    """
    if orientation.transposed:
        pixels = pixels.swapaxes(-1, -2)
    if orientation.rows:
        pixels = pixels[..., ::-1, :]
    return np.ascontiguousarray(pixels[..., ::-1] if orientation.columns else pixels)


def oriented_soft(soft: NDArray[Number], orientation: Orientation) -> NDArray[Number]:
    """Return the soft hashes that the pictures would have when laid down.

    Parameters
    ----------
    soft
        Soft hashes, signed, shape (n, 256).
    orientation
        How.

    Returns
    -------
    numpy.ndarray
        Of the same shape and type.
    """
    blocks = soft.reshape(-1, _LOW, _LOW)
    if orientation.transposed:
        blocks = blocks.swapaxes(1, 2)
    odd = np.where(np.arange(_LOW) % 2, -1, 1).astype(soft.dtype)
    if orientation.rows:
        blocks = blocks * odd[:, None]
    if orientation.columns:
        blocks = blocks * odd
    return np.ascontiguousarray(blocks).reshape(soft.shape)
