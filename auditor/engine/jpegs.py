"""JPEG files that are to be decoded where the model runs: which they are, and how they look."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.data.decode import REDUCED_SIDE, file_kind, full_size, reduced_image, to_grey
from auditor.models.identity import installed_version
from auditor.models.resized import too_large

if TYPE_CHECKING:
    from auditor.models.tensor_transform import OnTensors

__all__ = ["CELLS", "FEWEST", "MOST_BYTES", "Jpeg", "jpeg", "torchcodec", "what_prepares"]

FEWEST = 2 * REDUCED_SIDE
"""Pixels of the shorter side from which a picture is decoded at a fraction of its size, in grey,
where that will do: smaller ones have been decoded here anyway."""
CELLS = 4
"""Cells across and down of whose grey is known what it should be."""

MOST_BYTES = 1 << 19
"""Of a file: some 3,600 of them may wait for a GPU at once."""
_MOST_PIXELS = 1 << 24
"""Larger pictures are few, and take memory from all others."""
_YCC = 1
_RGB = [ord(letter) for letter in "RGB"]
_MARK, _APP1, _SCAN = 0xFF, b"\xff\xe1", b"\xff\xda"
_LONE = {0x01, 0xFF, *range(0xD0, 0xDA)}
"""Second bytes of markers that no length follows; before a picture they are rare."""
_HEADER = (10, 14)
"""Where EXIF tells its byte order, from the marker of its segment on."""


def torchcodec() -> str:
    """Return the name and the version of what decodes on a device."""
    return f"torchcodec {installed_version('torchcodec')}"


def what_prepares(setting: str) -> str:
    """Return ``[engine] preprocessing``, with what decodes on a device."""
    return f"device, {torchcodec()}" if setting == "device" else setting


class Jpeg(NamedTuple):
    """A file that is to be decoded where the model runs."""

    file: NDArray[np.uint8]
    """Its bytes; nothing in them says that the picture is to be turned."""
    pixels: int
    grey: bytes
    """Mean levels of the crop's cells as decoded here, row after row, CELLS × CELLS."""


def jpeg(image: Image.Image, data: bytes, steps: OnTensors) -> Jpeg | None:
    """Return a file to be decoded elsewhere; None where it is small, or would come out otherwise.

    Parameters
    ----------
    image
        A picture from ``open_image``, of any size.
    data
        The file it was decoded from.
    steps
        What will become of it.
    """
    width, height = full_size(image) or image.size
    known = file_kind(image) in (("JPEG", "RGB"), ("JPEG", "L"))
    fits = min(width, height) >= FEWEST and width * height <= _MOST_PIXELS
    if not known or not fits or len(data) > MOST_BYTES or _is_stored_as_rgb(image):
        return None
    if too_large(height, width, steps.resized):
        return None
    if (upright := _upright(data)) is None:
        return None
    file = np.frombuffer(upright, np.uint8)
    return Jpeg(file, width * height, _grey(image, data, (width, height), steps))


def _is_stored_as_rgb(image: Image.Image) -> bool:
    """Tell what decoders tell differently: whether the colours are red, green and blue."""
    ids = [component[0] for component in getattr(image, "layer", ())]
    return image.info.get("adobe_transform", _YCC) != _YCC or ids == _RGB


def _upright(data: bytes) -> bytearray | None:
    """Take away the EXIF orientation, which nothing but torchcodec applies, with EXIF's own header.

    In each segment that may be EXIF, for decoders are less strict than Pillow in what is. None
    where what stands before the picture cannot be followed.
    """
    file, at = bytearray(data), 2
    while (marker := file[at : at + 2]) != _SCAN:
        if len(marker) < 2 or marker[0] != _MARK or marker[1] in _LONE:
            return None
        end = at + 2 + int.from_bytes(file[at + 2 : at + 4])
        if marker == _APP1:
            start, stop = (min(at + place, end) for place in _HEADER)
            file[start:stop] = bytes(stop - start)
        at = end
    return file


def _grey(image: Image.Image, data: bytes, size: tuple[int, int], steps: OnTensors) -> bytes:
    width, height = size
    small = to_grey(reduced_image(image, data))
    new, first = steps.resized(height, width), steps.offsets(height, width)
    top, left = (start / side for start, side in zip(first, new, strict=True))
    down, across = (kept / side for kept, side in zip(steps.crop, new, strict=True))
    box = (
        left * small.width,
        top * small.height,
        (left + across) * small.width,
        (top + down) * small.height,
    )
    return small.resize((CELLS, CELLS), Image.Resampling.BOX, box).tobytes()
