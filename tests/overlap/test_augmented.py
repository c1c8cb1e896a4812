"""What is found where the training data hold many altered copies of a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from auditor.overlap.clusters import clusters
from tests.overlap.test_overlap import Files, duplicates, encoded, overlap, scenes

COPIED = 8


def augmented(image: Image.Image, random: np.random.Generator) -> bytes:
    """Turn by up to 4°, cut up to 6% off each side, change light and contrast, save as JPEG."""
    turned = image.rotate(random.uniform(-4, 4), Image.Resampling.BILINEAR)
    width, height = image.size
    left, top, right, bottom = random.uniform(0, 0.06, 4)
    box = int(width * left), int(height * top), int(width * (1 - right)), int(height * (1 - bottom))
    lit = ImageEnhance.Brightness(turned.crop(box)).enhance(random.uniform(0.7, 1.4))
    shown = ImageEnhance.Contrast(lit).enhance(random.uniform(0.7, 1.4))
    return encoded(shown, "JPEG", quality=80)


def variants(copies: int) -> Files:
    random = np.random.default_rng(0)
    return {
        f"x/{n:03}-{copy}.jpg": augmented(scene, random)
        for n, scene in enumerate(scenes(0, COPIED))
        for copy in range(copies)
    }


@pytest.fixture(scope="module")
def others() -> Files:
    random = np.random.default_rng(1)
    files: Files = {}
    for n in range(COPIED, COPIED + 200):
        clouds = gaussian_filter(random.normal(0, 1, (64, 64, 3)), (4, 4, 0))
        levels = (clouds / clouds.std() * 40 + random.uniform(90, 160, 3)).clip(0, 255)
        files[f"x/{n:03}.png"] = encoded(Image.fromarray(levels.astype(np.uint8)))
    return files


@pytest.mark.parametrize("copies", [12, 20])
def test_however_many_copies_training_holds_they_are_found(others: Files, copies: int) -> None:
    clean = dict(list(others.items())[90:])
    train = dict(list(others.items())[:90]) | variants(copies)
    leaked = {f"x/{n:03}.png": encoded(scene) for n, scene in enumerate(scenes(0, COPIED))}
    assert {pair.test_image for pair in overlap(clean | leaked, train)} == set(leaked)
    assert overlap(clean, train) == []


def test_many_copies_within_one_set_are_tied_together(others: Files) -> None:
    found = clusters(duplicates(others | variants(12)))
    assert sorted(map(len, found)) == [12] * COPIED
    assert duplicates(others) == []
