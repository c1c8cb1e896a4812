from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from auditor.overlap.strangers import STRANGERS, stranger_pairs
from auditor.overlap.verify import COPY_SIMILARITY, MIN_SIMILARITY, similarity_limit
from tests.overlap.conftest import similarity


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [Image.fromarray(photograph) for photograph in load_sample_images().images]


def test_a_picture_equals_itself_at_any_size_and_gain(photographs: list[Image.Image]) -> None:
    for picture in photographs:
        assert similarity(picture, picture) == pytest.approx(1)
        assert similarity(picture, picture.resize((200, 150))) > 0.98
        assert similarity(picture, picture.point(lambda level: level * 0.7 + 20)) > 0.98


def test_a_small_shift_is_found(photographs: list[Image.Image]) -> None:
    for picture in photographs:
        square = picture.resize((256, 256))
        first, second = square.crop((0, 0, 240, 240)), square.crop((14, 10, 254, 250))
        assert similarity(first, second) > 0.9


def test_strangers_and_negatives_are_not_alike(photographs: list[Image.Image]) -> None:
    first, second = photographs
    assert abs(similarity(first, second)) < 0.4
    assert similarity(first, first.point(lambda level: 255 - level)) < 0.3


def test_symmetric_and_within_bounds(photographs: list[Image.Image]) -> None:
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (40, 60), dtype=np.uint8))
    images = [*photographs, noise, Image.new("1", (1, 1)), Image.new("RGBA", (500, 3), "red")]
    for a in images:
        for b in images:
            assert -1 <= similarity(a, b) <= 1
            assert similarity(a, b) == pytest.approx(similarity(b, a), abs=1e-3)


def test_flat_pictures_are_like_nothing() -> None:
    flat = Image.new("L", (64, 64), 90)
    assert similarity(flat, flat) == 0


def test_the_limit_follows_the_strangers() -> None:
    random = np.random.default_rng(0)
    unlike = random.normal(0.1, 0.03, 400)
    alike = np.tanh(random.normal(0.8, 0.3, 400))
    assert similarity_limit(unlike.tolist()) == MIN_SIMILARITY
    assert 0.97 < similarity_limit(alike.tolist()) < similarity_limit(alike.tolist(), 6) < 1
    assert similarity_limit([0.1] * 5) == COPY_SIMILARITY
    assert similarity_limit([1.0] * 50) < 1


def test_a_handful_of_copies_among_strangers_does_not_move_the_limit_far() -> None:
    strangers = np.random.default_rng(0).normal(0.15, 0.08, 400).tolist()
    assert similarity_limit([*strangers, *[1.0] * 8]) < similarity_limit(strangers) + 0.1


def test_stranger_pairs_share_a_label_and_are_distant() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 1 << 64, 300, dtype=np.uint64)
    labels = [str(number % 3) for number in range(300)]
    pairs = stranger_pairs(hashes[:100], hashes, labels[:100], labels)
    assert len(set(pairs)) == len(pairs) == STRANGERS
    assert all(labels[row] == labels[column] for row, column in pairs)
    assert all(np.bitwise_count(hashes[row] ^ hashes[column]) > 20 for row, column in pairs)
    assert pairs == stranger_pairs(hashes[:100], hashes, labels[:100], labels)


def test_a_label_that_the_other_side_lacks_is_paired_with_any() -> None:
    hashes = np.array([0, (1 << 64) - 1], dtype=np.uint64)
    assert stranger_pairs(hashes[:1], hashes, ["cat"], ["dog", "horse"]) == [(0, 1)]
    assert stranger_pairs(hashes[:1], hashes[:1], ["cat"], ["dog"]) == []
