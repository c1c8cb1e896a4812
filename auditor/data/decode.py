"""Opens image files: whole, in eight bits, or not at all.

A file that ends too early, or that its decoder refuses, is :class:`Unreadable`, never a picture
that is half grey: that would hash to something else. What the decoder itself takes for whole is
taken for whole. JPEGs bear no checksum, so one that was cut and closed with an end marker, or
overwritten in the middle, comes out partly grey or garbled; libjpeg only warns, and Pillow does not
pass that on.

Pictures with more than eight bits a channel are brought to eight by the range of their mode:

=====================================  ==========================================
16 bit grey, 32 bit grey of PNG, PPM   the high byte (``>> 8``)
other 32 bit integers                  as they are within 0..255, else min–max
floats                                 × 255 within 0..1, as they are within
                                       0..255, else min–max; NaN and ∞ count as 0
=====================================  ==========================================

Min–max brings a picture whose pixels are all alike to 0. So pictures are hashed, measured
and shown to people, for copies to be seen; a model is shown :func:`as_loaders_show`.

The EXIF orientation is not applied: neither the models' loaders nor ``imagehash`` do. (Pillow turns
a TIFF by its own orientation tag, for all of them alike.)

Where only a hash is wanted, a JPEG may be decoded at a fraction of its size, in grey: libjpeg then
leaves out most of the inverse transform and all of the colour. The file is still read to its end.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

__all__ = [
    "FORMATS",
    "REDUCED_SIDE",
    "Unreadable",
    "as_loaders_show",
    "copied",
    "file_kind",
    "full_size",
    "open_image",
    "reduced_image",
    "to_grey",
    "to_pixels",
    "to_rgb",
    "without_palette_alpha",
]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Pillow's names of the formats that are read; every other decoder stays shut.

MPO, several JPEGs in one file, comes with JPEG.
"""

REDUCED_SIDE = 128
"""Pixels that a reduced picture keeps on its shorter side, at least."""

_FULL_SIZE = "auditor_full_size"
_KIND = "auditor_kind"
_DEEP = "auditor_deep"
_GREY = "auditor_grey"
_PIXELS = "auditor_pixels"
_REDUCED = "auditor_reduced"
_PLAIN = {"LAB": "RGB", "La": "LA", "RGBa": "RGBA"}
"""Modes that Pillow cannot turn grey, and what they are brought to."""

Made = TypeVar("Made")


class Unreadable(Exception):
    """The file is not a picture that can be decoded as a whole; it says why, in a few words."""


class _QuietPillow:
    """Ignores Pillow's warnings while any thread is inside, then restores the filters.

    ``warnings.catch_warnings`` alone leaves the filters changed for good when two threads
    enter and leave it crosswise, so the first one in opens it and the last one out closes it.
    Meanwhile truncated files are refused, even where a user's module has Pillow fill them up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()
        self._fill_up = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._fill_up = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self._inside += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES = self._fill_up


_quiet_pillow = _QuietPillow()


def open_image(data: bytes, *, reduced: bool = False) -> Image.Image:
    """Decode a file to its last pixel, with eight bits a channel.

    Parameters
    ----------
    data
        The whole file. Its content decides the format, never its name.
    reduced
        Whether a picture of a half, a quarter or an eighth of the size will do, in grey. Only
        JPEGs that keep ``REDUCED_SIDE`` are reduced; :func:`full_size` tells.

    Returns
    -------
    PIL.Image.Image
        The picture, or the first frame of several, in one of Pillow's eight-bit modes.

    Raises
    ------
    Unreadable
        The file is empty, truncated, damaged, too large (more than Pillow's
        ``MAX_IMAGE_PIXELS``) or in none of ``FORMATS``.
    """
    if not data:
        raise Unreadable("empty file")
    try:
        with _quiet_pillow:
            return _decoded(data, reduced)
    except Unreadable:
        raise
    except UnidentifiedImageError:
        names = ", ".join(FORMATS)
        raise Unreadable(f"not an image in a format that is read ({names})") from None
    except Image.DecompressionBombError as error:
        raise Unreadable(f"too large: {str(error).partition(',')[0]}") from None
    except Exception as error:  # decoders meet hostile bytes with any error there is
        kind = "truncated" if "truncated" in str(error).lower() else "damaged"
        raise Unreadable(f"{kind}: {error or type(error).__name__}") from error


def copied(image: Image.Image) -> Image.Image:
    """Return a copy of a picture from :func:`open_image`, of which the same is known."""
    copy = image.copy()
    copy.format = image.format
    if (deep := vars(image).get(_DEEP)) is not None:
        vars(copy)[_DEEP] = deep.copy()
    return copy


def reduced_image(image: Image.Image, data: bytes) -> Image.Image:
    """Return a picture as it is where nobody asked for all of it; it is decoded once.

    Parameters
    ----------
    image
        A picture from :func:`open_image`; the result is kept with it.
    data
        The file it was decoded from.

    Returns
    -------
    PIL.Image.Image
        What ``open_image(data, reduced=True)`` returns; the picture itself where that is equal.
    """
    whole = full_size(image) is None
    again = whole and _is_reducible(file_kind(image)[0], image.size)
    return _once(image, _REDUCED, lambda: open_image(data, reduced=True)) if again else image


def full_size(image: Image.Image) -> tuple[int, int] | None:
    """Return the size that a reduced picture has in its file.

    Parameters
    ----------
    image
        A picture from :func:`open_image`.

    Returns
    -------
    (int, int) or None
        Width and height in pixels; None where the picture was decoded as a whole.
    """
    size: tuple[int, int] | None = image.info.get(_FULL_SIZE)
    return size


def file_kind(image: Image.Image) -> tuple[str, str]:
    """Return the format and the mode that a picture has in its file.

    Parameters
    ----------
    image
        A picture from :func:`open_image`.

    Returns
    -------
    (str, str)
        Pillow's names, such as ``("JPEG", "RGB")``.
    """
    kind: tuple[str, str] = image.info[_KIND]
    return kind


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB as ``image.convert("RGB")`` does, but without Pillow's warnings.

    Parameters
    ----------
    image
        A picture from :func:`open_image`.

    Returns
    -------
    PIL.Image.Image
        The picture in mode RGB; transparency is dropped, not blended. One that is in that mode
        comes back itself.
    """
    return image if image.mode == "RGB" else without_palette_alpha(image).convert("RGB")


def as_loaders_show(image: Image.Image) -> Image.Image:
    """Convert to RGB as the loaders of timm and torchvision do a file that they open.

    Parameters
    ----------
    image
        A picture from :func:`open_image`.

    Returns
    -------
    PIL.Image.Image
        What ``Image.open(…).convert("RGB")`` returns. Values of more than eight bits are cut off at
        255, not scaled.
    """
    deep: Image.Image | None = vars(image).get(_DEEP)
    return to_rgb(image if deep is None else deep)


def to_grey(image: Image.Image) -> Image.Image:
    """Convert to grey as ``image.convert("L")`` does; several may ask, it is done once.

    Parameters
    ----------
    image
        A picture from :func:`open_image`; the result is kept with it.

    Returns
    -------
    PIL.Image.Image
        The picture in mode L, not to be changed.
    """
    return _once(image, _GREY, lambda: without_palette_alpha(image).convert("L"))


def to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the levels of a picture of 8 bits a channel; several may ask, it is done once.

    Parameters
    ----------
    image
        A picture; the result is kept with it.

    Returns
    -------
    numpy.ndarray
        Shape (height, width) or (height, width, channels), not to be changed.
    """
    return _once(image, _PIXELS, lambda: np.array(image))  # writable, as torch wants it


def _once(image: Image.Image, name: str, make: Callable[[], Made]) -> Made:
    """Return what is kept with a picture under a name; make it where it is not there."""
    made: Made | None = vars(image).get(name)
    if made is None:
        made = vars(image)[name] = make()
    return made


def without_palette_alpha(image: Image.Image) -> Image.Image:
    """Resolve a palette with transparency to RGBA; leave every other picture alone.

    Pillow warns when such a palette is converted to anything but RGBA.

    Parameters
    ----------
    image
        A picture of any mode.

    Returns
    -------
    PIL.Image.Image
        One that converts to grey and to RGB without a warning.
    """
    indexed = image.mode == "P" and image.has_transparency_data
    return image.convert("RGBA") if indexed else image


def _decoded(data: bytes, reduced: bool) -> Image.Image:
    image = Image.open(BytesIO(data), formats=FORMATS)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        # Between once and twice the limit Pillow only warns.
        raise Unreadable(f"too large: {image.width} × {image.height} pixels, limit {limit}")
    image.info.pop(_FULL_SIZE, None)  # the texts of a PNG have any name they like
    kind = image.format or "", image.mode
    if reduced and _is_reducible(image.format or "", image.size):
        image.info[_FULL_SIZE] = image.size
        image.draft("L", (REDUCED_SIDE, REDUCED_SIDE))
    image.load()
    plain = _PLAIN.get(image.mode)
    decoded = image.convert(plain) if plain else _eight_bits(image)
    if decoded is not image and not plain:
        vars(decoded)[_DEEP] = image
    decoded.info[_KIND] = kind
    return decoded


def _is_reducible(form: str, size: tuple[int, int]) -> bool:
    return form == "JPEG" and min(size) >= 2 * REDUCED_SIDE


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        # Pillow's 32 bits hold the 16 of the file.
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_scaled(np.asarray(image, dtype=np.float64), image.mode == "F"))
    return image


def _scaled(values: NDArray[np.float64], unit_is_white: bool) -> NDArray[np.uint8]:
    values = np.where(np.isfinite(values), values, 0.0)
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        values = (values - low) * (255 / ((high - low) or 1))
    elif unit_is_white and high <= 1:
        values = values * 255
    return np.rint(values).astype(np.uint8)
