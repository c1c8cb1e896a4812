"""Sums a picture up in a few bytes: two digests, two perceptual hashes and its contrast.

The perceptual hash is pHash as ``imagehash.phash`` computes it, bit for bit: grey, Lanczos to
32 × 32, type-II DCT along both axes, the 8 × 8 lowest frequencies, each compared with their
median. Hashes are ``uint64`` because sets of ``ImageHash`` collide and compare slowly. The soft
hash (:mod:`auditor.overlap.soft`) is made of 16 × 16 frequencies of the same transform.

Of a picture that was decoded at a fraction of its size the hashes are close, not equal, and its
pixels are not known: its pixel digest is made of the file, so that it never equals another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
import xxhash
from numpy.typing import NDArray
from PIL import Image

from auditor.data.decode import full_size, to_grey, to_pixels, to_rgb
from auditor.overlap.soft import soft_hashes
from auditor.overlap.views import view_thumbnails

__all__ = ["Impression", "Signature", "impression", "signatures"]

_SIDE = 32
_LOW = 8
_SOFT_LOW = 16
_REDUCING_GAP = 3.0
"""Of a reduced picture: average down to 3 × 32 pixels first, which changes 4% of the hashes."""
_AXIS_NORM = np.full(_SOFT_LOW, np.sqrt(1 / (2 * _SIDE)))
_AXIS_NORM[0] = np.sqrt(1 / (4 * _SIDE))
_ORTHONORMAL = np.outer(_AXIS_NORM, _AXIS_NORM)


class Signature(NamedTuple):
    """What the overlap search keeps of a picture."""

    bytes_digest: bytes
    """16 bytes of XXH3 over the file."""
    pixels_digest: bytes
    """16 bytes of XXH3 over mode, shape and pixels: palettes resolved, transparency kept.

    Of a reduced picture it is made of the file alone, so that it equals that of its copies only.
    """
    phash: int
    """64 bits, the first of ``imagehash.phash`` the most significant."""
    contrast: float
    """Standard deviation of the 32 × 32 grey thumbnail, 0..127.5 grey levels."""
    soft: bytes
    """256 signed bytes, from :func:`auditor.overlap.soft.soft_hashes`."""
    views: bytes = b""
    """Soft hashes of the stored views, 256 bytes each; empty where they were not asked for."""


class Impression(NamedTuple):
    """What is taken from a picture, until it is signed together with others."""

    bytes_digest: bytes
    pixels_digest: bytes
    thumbnail: NDArray[np.uint8]
    """Grey levels, shape (32, 32)."""
    views: NDArray[np.uint8] | None = None
    """Those of the stored views, shape (views, 32, 32); None where they were not asked for."""


def impression(image: Image.Image, data: bytes, views: bool = False) -> Impression:
    """Take from a picture what its signature is made of.

    Parameters
    ----------
    image
        The decoded picture, from :func:`auditor.data.decode.open_image`.
    data
        The file it was decoded from.
    views
        Sign the stored views (:mod:`auditor.overlap.views`) too.

    Returns
    -------
    Impression
        What :func:`signatures` takes.
    """
    file = _digest(data)
    return Impression(
        bytes_digest=file,
        pixels_digest=_digest(b"file", file) if full_size(image) else _pixels_digest(image),
        thumbnail=_grey_thumbnail(image),
        views=view_thumbnails(to_grey(image), _SIDE) if views else None,
    )


def signatures(impressions: Sequence[Impression]) -> list[Signature]:
    """Sign many pictures at once; the transforms of 64 cost a fifth of 64 transforms.

    Parameters
    ----------
    impressions
        From :func:`impression`, at least one.

    Returns
    -------
    list of Signature
        In the same order; the same as one by one.
    """
    thumbnails = np.stack([one.thumbnail for one in impressions])
    low = _low_frequencies(thumbnails)
    hashes, soft = _phashes(low).tolist(), soft_hashes(low * _ORTHONORMAL)
    contrast = thumbnails.std(axis=(1, 2)).tolist()
    return [
        Signature(
            bytes_digest=one.bytes_digest,
            pixels_digest=one.pixels_digest,
            phash=hashes[row],
            contrast=contrast[row],
            soft=soft[row].tobytes(),
            views=b"" if one.views is None else _soft(one.views).tobytes(),
        )
        for row, one in enumerate(impressions)
    ]


def _low_frequencies(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the lowest frequencies of grey thumbnails, shape (n, 16, 16).

    A DCT by matrix product rounds differently, which flips bits of degenerate pictures whose
    coefficients equal their median; ``scipy.fft.dct`` agrees with ``imagehash`` on those too.
    """
    columns = scipy.fft.dct(thumbnails.astype(np.float64), axis=1)
    return np.asarray(scipy.fft.dct(columns[:, :_SOFT_LOW], axis=2)[:, :, :_SOFT_LOW])


def _soft(thumbnails: NDArray[np.uint8]) -> NDArray[np.int8]:
    return soft_hashes(_low_frequencies(thumbnails) * _ORTHONORMAL)


def _phashes(frequencies: NDArray[np.float64]) -> NDArray[np.uint64]:
    low = frequencies[:, :_LOW, :_LOW].reshape(-1, _LOW * _LOW)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).ravel()


def _grey_thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    grey = to_grey(image)
    gap = None if full_size(image) is None else _REDUCING_GAP
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=gap)
    return np.asarray(small)


def _digest(*parts: bytes) -> bytes:
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _pixels_digest(image: Image.Image) -> bytes:
    """Digest what is seen; of so many bytes a cryptographic digest costs half of decoding."""
    resolved = _resolved(image)
    digest = xxhash.xxh3_128(f"{resolved.mode} {resolved.width} {resolved.height} ".encode())
    digest.update(to_pixels(resolved).data)
    return digest.digest()


def _resolved(image: Image.Image) -> Image.Image:
    """Return what is seen: RGBA where something shows through, RGB elsewhere."""
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            return rgba
    return to_rgb(image)
