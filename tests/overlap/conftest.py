"""What the tests of the overlap search share: a picture signed, and compared, by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.overlap.pixels import compare, prepare
from auditor.overlap.signature import Impression, Signature, impression, signatures


def signature(image: Image.Image, data: bytes, views: bool = False) -> Signature:
    """Sign one picture."""
    return signatures([impression(image, data, views)])[0]


def phashes(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash grey thumbnails, shape (n, 32, 32)."""
    signed = signatures([Impression(b"", b"", one) for one in thumbnails])
    return np.array([one.phash for one in signed], np.uint64)


def similarity(a: Image.Image, b: Image.Image) -> float:
    """Correlate two pictures where they agree best."""
    return compare(prepare(a), prepare(b)).similarity
