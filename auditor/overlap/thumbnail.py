"""Makes the small pictures that a report shows."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from auditor.data.decode import to_rgb

__all__ = ["thumbnail"]

_QUALITY = 80


def thumbnail(image: Image.Image, side: int = 96) -> bytes:
    """Encode a small JPEG without metadata.

    Parameters
    ----------
    image
        A picture of any mode; not changed.
    side
        Largest width and height, pixels. A smaller picture keeps its size.

    Returns
    -------
    bytes
        A JPEG file, a few kB.
    """
    small = to_rgb(image).copy()
    small.thumbnail((side, side))
    small.info.clear()  # a JPEG comment or profile would be written along
    file = BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
