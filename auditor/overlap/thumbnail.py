"""Makes the small pictures that a report shows."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from auditor.data.decode import to_rgb

__all__ = ["thumbnail"]

_SIDE = 96
"""Largest width and height, pixels."""
_QUALITY = 80


def thumbnail(image: Image.Image) -> bytes:
    """Encode a small JPEG without metadata.

    Parameters
    ----------
    image
        A picture of any mode; not changed.

    Returns
    -------
    bytes
        A JPEG file of 96 pixels at most a side, a few kB. A smaller picture keeps its size.
    """
    small = to_rgb(image).copy()
    small.thumbnail((_SIDE, _SIDE))
    small.info.clear()  # a JPEG comment or profile would be written along
    file = BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
