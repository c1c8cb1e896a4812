"""A positive control: are plain copies of these very pictures found?

Where all pictures look alike, the similarity that strangers do not reach may be one that copies do
not reach either, and a search that finds nothing says nothing. So some pictures are stored anew, as
JPEG and as WebP, at half the size and darker, and judged as if the other split held them. The way
of which fewest are found counts: ways in which none is lost would hide one in which all are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from PIL import Image

from auditor.data.decode import open_image, to_rgb

__all__ = ["CONTROLLED", "WAYS", "Control"]

CONTROLLED = 20
"""Pictures that are stored anew, in each way."""

_ENOUGH = 0.8
_QUALITY = 75
_LONGEST = 16_383
"""Pixels of the longer side up to which a picture is encoded: WebP holds no more."""
_HALVED = 32
"""Pixels of the shorter side from which on a picture is halved."""
_DARKER = 0.8


class Control(NamedTuple):
    """How many of some copies, made of the pictures themselves, would count as such."""

    made: int = 0
    """0 where the pictures were not seen."""
    found: int = 0
    way: str = ""
    """How they were made, to follow "copies": the way of which fewest are found."""

    @classmethod
    def of(cls, made: int, found: Mapping[str, int]) -> Self:
        """Return the worst of several ways in which as many copies were made."""
        worst = min(found, key=lambda way: found[way])
        return cls(made, found[worst], worst)

    @property
    def fails(self) -> bool:
        """Whether so few are found that finding none says nothing."""
        return self.found < _ENOUGH * self.made

    @property
    def said(self) -> str:
        """What it means that it fails, in words."""
        return (
            "the pictures are too alike or too few to tell copies by their looks (of "
            f"{self.made:,} copies of them {self.way}, {self.found:,} would be found)"
        )


def _as_jpeg(picture: Image.Image) -> Image.Image:
    return _encoded(to_rgb(picture), "JPEG")


def _as_webp(picture: Image.Image) -> Image.Image:
    return _encoded(_with_alpha(picture), "WEBP", method=0)  # the fastest


def _at_half_the_size(picture: Image.Image) -> Image.Image:
    if min(picture.size) < _HALVED:
        return picture
    size = picture.width // 2, picture.height // 2
    return _with_alpha(picture).resize(size, Image.Resampling.BICUBIC)


def _darker(picture: Image.Image) -> Image.Image:
    return to_rgb(picture).point(lambda level: round(_DARKER * level))


WAYS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "stored as JPEG": _as_jpeg,
    "stored as WebP": _as_webp,
    "at half the size": _at_half_the_size,
    "a fifth darker": _darker,
}
"""How plain copies of a picture are made; one that allows no such copy comes back as it is."""


def _encoded(picture: Image.Image, form: str, **options: int) -> Image.Image:
    if max(picture.size) > _LONGEST:
        return picture
    file = io.BytesIO()
    picture.save(file, form, quality=_QUALITY, **options)
    return open_image(file.getvalue())


def _with_alpha(picture: Image.Image) -> Image.Image:
    """Keep transparency: encoders and filters change the colours below it, which are compared."""
    return picture.convert("RGBA") if picture.has_transparency_data else to_rgb(picture)
