"""How large an image becomes before it is cropped, and which are left unread because of that.

The steps resize the whole of an image and keep its middle. Of a picture of 1 × 60,000 pixels, a
file of 200 bytes, they make one of 182 × 11 million, in 6.6 GB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Resize", "require_room", "resized", "timms_resize", "too_large"]

Sides = tuple[int, int]
"""Height and width in pixels."""
Resize = Callable[[int, int], Sides]
"""Height and width of an image → those it is resized to."""


def resized(size: int | Sequence[int], height: int, width: int) -> Sides:
    """Return height and width of a resized image, as torchvision rounds them.

    Parameters
    ----------
    size
        Of the shorter side in pixels, or height and width.
    height, width
        Of the image, in pixels.
    """
    if not isinstance(size, int):
        return size[0], size[1]
    short, long = sorted((height, width))
    longer = int(size * long / short)
    return (longer, size) if height > width else (size, longer)


def timms_resize(step: Any) -> Resize:
    """Return what timm's first step makes of a height and a width; it can be pickled.

    Parameters
    ----------
    step
        torchvision's ``Resize`` or timm's ``ResizeKeepRatio``.
    """
    if type(step).__name__ == "ResizeKeepRatio":
        return partial(_in_ratio, tuple(step.size), step.longest)
    return partial(resized, step.size)


def _in_ratio(size: Sides, longest: float, height: int, width: int) -> Sides:
    low, high = sorted((height / size[0], width / size[1]))
    ratio = high * longest + low * (1 - longest)
    return round(height / ratio), round(width / ratio)


def too_large(height: int, width: int, resize: Resize) -> str:
    """Return why an image is not resized; empty where it is.

    It is not where it would have more pixels than a file may have that is opened, and more than a
    square one, without which there is no model.

    Parameters
    ----------
    height, width
        Of the image, in pixels.
    resize
        What it is resized to.
    """
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is None:
        return ""
    down, across = resize(height, width)
    pixels = max(height, down) * across  # between its two passes it is as high as it was
    if pixels <= max(limit, math.prod(resize(1, 1))):
        return ""
    return f"too large once resized: {across} × {down} pixels, limit {limit}"


def require_room(image: Image.Image, resize: Resize) -> None:
    """Raise ``Unreadable`` for an image that is ``too_large``."""
    from auditor.data.decode import Unreadable

    if reason := too_large(image.height, image.width, resize):
        raise Unreadable(reason)
