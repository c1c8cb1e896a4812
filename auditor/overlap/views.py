"""Parts of a picture whose hashes are kept, so that crops of it are found.

A hash of the whole does not match that of a crop. So the centre of a picture is hashed too, in
five sizes; its square; and what an evaluation crop as timm's leaves of it (the shorter side scaled
to 1/.875 of the crop). Crops from a corner are not found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["VIEWS", "View", "cropped", "view_thumbnails"]

Box = tuple[float, float, float, float]


class View(NamedTuple):
    """A centred part of a picture."""

    name: str
    """As a reader says it."""
    place: int
    """Its place among the stored ones."""
    share: float
    """Of the side, 0..1."""
    square: bool
    """Whether both sides are a share of the shorter one."""

    def box(self, width: int, height: int) -> Box:
        """Return left, top, right and bottom, in pixels."""
        short = min(width, height)
        across, down = map(float, (short, short) if self.square else (width, height))
        across, down = max(1.0, across * self.share), max(1.0, down * self.share)
        left, top = (width - across) / 2, (height - down) / 2
        return left, top, left + across, top + down


VIEWS = (
    *(
        View(f"crop {share:.0%}", k, share, False)
        for k, share in enumerate((0.9, 0.8, 0.7, 0.6, 0.5))
    ),
    View("square crop", 5, 1.0, True),
    View("evaluation crop", 6, 0.875, True),
)
"""What is stored, in this order."""


def cropped(image: Image.Image, view: View) -> Image.Image:
    """Cut a view out of a picture, to whole pixels."""
    left, top, right, bottom = view.box(image.width, image.height)
    return image.crop((round(left), round(top), max(round(right), 1), max(round(bottom), 1)))


def view_thumbnails(grey: Image.Image, side: int) -> NDArray[np.uint8]:
    """Return the thumbnails of all views.

    Parameters
    ----------
    grey
        A picture of mode L.
    side
        Of a thumbnail, in pixels.

    Returns
    -------
    numpy.ndarray
        Grey levels, shape (7, side, side).
    """
    small = [
        grey.resize((side, side), Image.Resampling.LANCZOS, view.box(grey.width, grey.height))
        for view in VIEWS
    ]
    return np.stack([np.asarray(one) for one in small])
