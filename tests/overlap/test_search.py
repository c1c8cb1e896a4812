from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from auditor.overlap import search
from auditor.overlap.search import Pairs, near_pairs
from tests.overlap.conftest import phashes

Hashes = NDArray[np.uint64]


def brute_force(left: Hashes, right: Hashes, radius: int) -> list[tuple[int, int, int]]:
    distance = np.bitwise_count(left[:, None] ^ right[None, :])
    rows, columns = np.nonzero(distance <= radius)
    return [(int(i), int(j), int(distance[i, j])) for i, j in zip(rows, columns, strict=True)]


def every_pair(left: Hashes, right: Hashes, radius: int) -> Pairs:
    return near_pairs(left, right, radius, len(right))


def listed(pairs: Pairs) -> list[tuple[int, int, int]]:
    assert all(array.dtype == np.int64 for array in pairs)
    return list(zip(*(array.tolist() for array in pairs[:3]), strict=True))


def nearest(pairs: list[tuple[int, int, int]], right: Hashes, most: int) -> set[tuple[int, int]]:
    """Of each left position the distances to the nearest different hashes, those of a kind once."""
    kept = set[tuple[int, int]]()
    for row in {i for i, _, _ in pairs}:
        different = {right[j]: d for i, j, d in pairs if i == row}
        kept |= {(row, d) for d in sorted(different.values())[:most]}
    return kept


@st.composite
def hash_sets(draw: st.DrawFn) -> tuple[Hashes, Hashes]:
    """Two sets around few centres, so that equal and near hashes are common."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    centres = random.integers(0, 1 << 64, draw(st.integers(1, 4)), dtype=np.uint64)
    flips = draw(st.integers(0, 12))

    def some() -> Hashes:
        hashes = random.choice(centres, draw(st.integers(0, 60)))
        for _ in range(flips):
            moved = np.uint64(1) << random.integers(0, 64, len(hashes), dtype=np.uint64)
            hashes = np.where(random.random(len(hashes)) < 0.6, hashes ^ moved, hashes)
        return hashes

    return some(), some()


@settings(deadline=None, max_examples=40)
@given(hash_sets(), st.integers(0, 12))
def test_finds_exactly_what_brute_force_finds(sets: tuple[Hashes, Hashes], radius: int) -> None:
    left, right = sets
    assert listed(every_pair(left, right, radius)) == brute_force(left, right, radius)


@settings(deadline=None, max_examples=40)
@given(hash_sets(), st.integers(0, 12), st.integers(1, 6))
def test_the_nearest_are_kept_and_the_capped_named(
    sets: tuple[Hashes, Hashes], radius: int, most: int
) -> None:
    left, right = sets
    every, found = brute_force(left, right, radius), near_pairs(left, right, radius, most)
    assert set(listed(found)) <= set(every)
    expected = nearest(every, right, most)
    assert {(i, d) for i, _, d in listed(found)} == expected
    partners = [len({right[j] for i, j, _ in every if i == row}) for row in range(len(left))]
    kept = [len({right[j] for i, j, _ in listed(found) if i == row}) for row in range(len(left))]
    assert kept == [min(n, most) for n in partners]
    assert found.capped.tolist() == [row for row, n in enumerate(partners) if n > most]


def test_look_alikes_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_PENDING", 1000)
    random = np.random.default_rng(3)
    bits = np.uint64(1) << random.integers(0, 64, (3, 2000), dtype=np.uint64)
    right = np.bitwise_xor.reduce(bits, axis=0)  # 2,000 hashes within 3 bits of one
    left = np.append(right[:50], np.uint64(1 << 63) - np.uint64(1))
    found = near_pairs(left, right, 8, 5)
    assert found.capped.tolist() == list(range(50))
    assert len(found.left) < 51 * 10
    assert all(0 in found.distance[found.left == row] for row in range(50))


@pytest.mark.parametrize("block", [1, 3, 1 << 21])
def test_blocks_do_not_show(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_BLOCK", block)
    monkeypatch.setattr(search, "_PENDING", block)
    hashes = np.random.default_rng(0).choice(np.arange(40, dtype=np.uint64), 120)
    found = every_pair(hashes, hashes[:50], 3)
    assert listed(found) == brute_force(hashes, hashes[:50], 3)
    assert not found.capped.size


def test_every_distance_up_to_the_radius_and_none_beyond() -> None:
    random = np.random.default_rng(1)
    for distance in range(14):
        flips = (random.choice(64, distance, replace=False).tolist() for _ in range(40))
        masks = np.array([sum(1 << bit for bit in bits) for bits in flips], dtype=np.uint64)
        hashes = random.integers(0, 1 << 64, 40, dtype=np.uint64)
        found = every_pair(hashes, hashes ^ masks, 10)
        assert set(found.distance.tolist()) == ({distance} if distance <= 10 else set())
        assert len(found.left) == (40 if distance <= 10 else 0)


def test_large_sets_agree_with_brute_force() -> None:
    random = np.random.default_rng(2)
    right = random.integers(0, 1 << 64, 20_000, dtype=np.uint64)
    left = right[:300] ^ (np.uint64(1) << random.integers(0, 64, 300, dtype=np.uint64))
    assert listed(every_pair(left, right, 8)) == brute_force(left, right, 8)


def test_hashes_of_photographs_agree_with_brute_force() -> None:
    picture = np.asarray(Image.fromarray(load_sample_image("china.jpg")).convert("L"))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (32, 32))[::13, ::7]
    hashes = phashes(np.ascontiguousarray(windows).reshape(-1, 32, 32))
    left, right = hashes[:300], hashes[150:]
    found = every_pair(left, right, 10)
    assert listed(found) == brute_force(left, right, 10)
    assert len(found.left) > 200


def test_empty_sets_have_no_pairs() -> None:
    none, one = np.empty(0, np.uint64), np.zeros(1, np.uint64)
    for left, right in ((none, none), (none, one), (one, none)):
        assert listed(every_pair(left, right, 10)) == []


@pytest.mark.parametrize("radius", [-1, 65])
def test_radius_must_be_a_distance(radius: int) -> None:
    with pytest.raises(ValueError, match="64-bit hashes is within"):
        every_pair(np.zeros(1, np.uint64), np.zeros(1, np.uint64), radius)
