"""A positive control: are plain copies of these very pictures found?

Where all pictures look alike, the similarity that strangers do not reach may be one that copies do
not reach either, and a search that finds nothing says nothing. So some pictures are stored anew, as
JPEG and at half the size, and judged as if the other split held them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from auditor.data.decode import open_image, to_rgb

__all__ = ["CONTROLLED", "Control", "stored_anew"]

CONTROLLED = 20
"""Pictures that are stored anew."""

_ENOUGH = 0.8
_QUALITY = 75
_HALVED = 32
"""Pixels of the shorter side from which on half the size is tried."""


class Control(NamedTuple):
    """How many of some copies, made of the pictures themselves, would count as such."""

    made: int = 0
    """0 where the pictures were not seen."""
    found: int = 0

    @property
    def fails(self) -> bool:
        """Whether so few are found that finding none says nothing."""
        return self.found < _ENOUGH * self.made

    @property
    def said(self) -> str:
        """What it means that it fails, in words."""
        return (
            "the pictures are too alike or too few to tell copies by their looks (of "
            f"{self.made:,} copies made of them, as JPEG or at half the size, {self.found:,} would "
            "be found)"
        )


def stored_anew(picture: Image.Image) -> Iterator[Image.Image]:
    """Yield plain copies of a picture."""
    rgb, file = to_rgb(picture), io.BytesIO()
    rgb.save(file, "JPEG", quality=_QUALITY)
    yield open_image(file.getvalue())
    if min(rgb.size) >= _HALVED:
        yield rgb.resize((rgb.width // 2, rgb.height // 2), Image.Resampling.BICUBIC)
