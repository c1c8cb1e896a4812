from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from auditor.overlap.dihedral import ORIENTATIONS, Orientation, oriented, oriented_soft
from auditor.overlap.pixels import compare, laid, prepare
from tests.overlap.conftest import signature

Turn = Image.Transpose
BY_PILLOW = {
    "": (),
    "mirrored": (Turn.FLIP_LEFT_RIGHT,),
    "upside down": (Turn.ROTATE_180,),
    "mirrored and upside down": (Turn.FLIP_LEFT_RIGHT, Turn.ROTATE_180),
    "turned 90°": (Turn.ROTATE_270,),  # Pillow turns anticlockwise
    "turned 270°": (Turn.ROTATE_90,),
    "mirrored and turned 90°": (Turn.FLIP_LEFT_RIGHT, Turn.ROTATE_270),
    "mirrored and turned 270°": (Turn.FLIP_LEFT_RIGHT, Turn.ROTATE_90),
}


def photograph() -> Image.Image:
    return Image.fromarray(load_sample_images().images[0]).crop((100, 50, 300, 250))


def by_pillow(name: str) -> Image.Image:
    picture = photograph()
    for turn in BY_PILLOW[name]:
        picture = picture.transpose(turn)
    return picture


def soft(image: Image.Image) -> np.ndarray:
    return np.frombuffer(signature(image, b"").soft, np.int8)[np.newaxis]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda one: one.name or "upright")
def test_pixels_and_hashes_are_laid_down_as_pillow_does(orientation: Orientation) -> None:
    expected = by_pillow(orientation.name)
    pixels = oriented(np.asarray(photograph()).transpose(2, 0, 1), orientation)
    assert (pixels.transpose(1, 2, 0) == np.asarray(expected)).all()
    turned = oriented_soft(soft(photograph()), orientation).astype(int)
    assert np.abs(turned - soft(expected)).max() <= 2  # the thumbnail is rounded once more
    likeness = compare(laid(prepare(photograph()), orientation), prepare(expected))
    assert likeness.similarity > 0.999
    assert likeness.difference < 1


def test_all_eight_differ() -> None:
    assert len({oriented_soft(soft(photograph()), one).tobytes() for one in ORIENTATIONS}) == 8
    assert set(BY_PILLOW) == {one.name for one in ORIENTATIONS}
