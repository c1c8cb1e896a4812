from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from auditor.overlap import candidates, device
from auditor.overlap.candidates import NEAREST, RADIUS, Candidates, Crowd, nearest
from auditor.overlap.dihedral import ORIENTATIONS, UPRIGHT, Orientation, oriented, oriented_soft
from auditor.overlap.overlap import find_duplicates, find_overlap
from auditor.overlap.soft import crowding, low_bits, unit_rows
from auditor.overlap.splits import SplitSignatures
from tests.overlap.conftest import signature

DEVICES = [None, "cpu", *filter(None, [device.accelerator()])]
"""None searches without torch."""


def hashes(count: int, seed: int = 0) -> NDArray[np.int8]:
    random = np.random.default_rng(seed)
    return random.normal(0, 30, (count, 256)).clip(-127, 127).astype(np.int8)


def crowd(soft: NDArray[np.int8]) -> Crowd:
    return Crowd(soft, crowding(soft, soft))


def split_of(soft: NDArray[np.int8]) -> SplitSignatures:
    """Pictures of which nothing but these soft hashes is alike."""
    random = np.random.default_rng(soft.view(np.uint8)[0])
    digests = [random.bytes(16) for _ in soft]
    names = [str(place) for place in range(len(soft))]
    phash = random.integers(0, 1 << 64, len(soft), dtype=np.uint64)
    contrast = np.full(len(soft), 50, np.float32)
    return SplitSignatures(names, ["a"] * len(soft), digests, digests, phash, contrast, soft)


def beyond_the_bits(soft: NDArray[np.int8], seed: int = 0) -> NDArray[np.int8]:
    """Draw anew what the binary hash is made of, so small that the soft one hardly changes."""
    changed = soft.reshape(-1, 16, 16).copy()
    random = np.random.default_rng(seed)
    changed[:, :8, :8] = random.integers(-9, 10, (len(soft), 8, 8))
    return changed.reshape(soft.shape)


def smooth_pixels() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _soft(pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    return np.frombuffer(signature(Image.fromarray(pixels), b"").soft, np.int8)[np.newaxis]


def listed(found: Candidates) -> set[tuple[int, int]]:
    return set(zip(found.left.tolist(), found.right.tolist(), strict=True))


def by_brute_force(left: Crowd, right: Crowd, earlier: bool = False) -> set[tuple[int, int]]:
    pairs = set()
    units, others = unit_rows(left.soft), unit_rows(right.soft)
    for row, unit in enumerate(units):
        margin = others @ unit - (left.crowding[row] + right.crowding) / 2
        margin[row if earlier else len(margin) :] = -1
        best = np.argsort(-margin, kind="stable")[:NEAREST]
        pairs |= {(row, int(column)) for column in best if margin[column] >= 0.13}
    return pairs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (1, 1), (300, 5000), (700, 90)])
def test_equal_to_brute_force(sizes: tuple[int, int], device: str | None) -> None:
    left, right = hashes(sizes[0]), hashes(sizes[1], seed=1)
    for place in range(min(sizes) // 3):
        right[-place] = (left[place] * 0.9 + hashes(1, seed=place)[0] * (place % 7) / 10).astype(
            int
        )
    one, other = crowd(left), crowd(right)
    found = nearest(one, other, device=device)
    assert listed(found) == by_brute_force(one, other)
    units, others = unit_rows(left[found.left]), unit_rows(right[found.right])
    similarity = np.einsum("ij,ij->i", units, others)
    np.testing.assert_allclose(found.soft, similarity, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_within_one_split_each_pair_is_listed_once(device: str | None) -> None:
    soft = hashes(600)
    soft[300:] = soft[:300]
    one = crowd(soft)
    found = listed(nearest(one, one, earlier=True, device=device))
    assert found == by_brute_force(one, one, earlier=True)
    assert found == {(place + 300, place) for place in range(300)}


@pytest.mark.parametrize("device", DEVICES)
def test_thousands_of_copies_are_capped_and_hide_nothing(device: str | None) -> None:
    right, left = hashes(20_000), hashes(300, seed=1)
    right[5_000:] = left[0]
    right[7] = left[9]
    found = nearest(crowd(left), crowd(right), device=device)
    assert (found.left == 0).sum() == NEAREST
    assert (9, 7) in listed(found)
    assert found.capped == 1


@pytest.mark.parametrize("earlier", [False, True])
def test_a_device_finds_what_the_cpu_finds_in_many_blocks(
    earlier: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_ROWS", 64)
    monkeypatch.setattr(device, "_COLUMNS", 150)
    shared = hashes(60, seed=3)[np.arange(900) % 60]
    alike = (shared * 0.9 + hashes(900) * 0.3).clip(-127, 127).astype(np.int8)
    one = crowd(alike)
    other = one if earlier else crowd(np.concatenate([alike[::2], hashes(2000, seed=5)]))
    here = nearest(one, other, earlier=earlier)
    there = nearest(one, other, earlier=earlier, device="cpu")
    assert len(here.left) > 1000
    assert listed(there) == listed(here)
    np.testing.assert_allclose(there.soft, here.soft, atol=1e-5)
    assert there.capped == here.capped > 0


def bursts(groups: int, size: int, noise: float = 14) -> NDArray[np.int8]:
    """Pictures of which as many are alike, in any order, as of a burst or a video."""
    random = np.random.default_rng(1)
    apart = np.repeat(random.normal(0, 40, (groups, 256)), size, axis=0)
    alike = apart + random.normal(0, noise, apart.shape)
    mixed: NDArray[np.int8] = random.permutation(alike).clip(-123, 123).astype(np.int8)
    return mixed


@pytest.mark.parametrize("device", DEVICES)
def test_of_many_alike_in_one_split_the_nearest_earlier_ones_are_listed(
    device: str | None,
) -> None:
    """Later ones, and the picture itself, take nobody's place."""
    one = crowd(bursts(10, 100))
    found = nearest(one, one, earlier=True, device=device)
    assert listed(found) == by_brute_force(one, one, earlier=True)


@pytest.mark.parametrize("device", DEVICES[1:])
def test_two_labels_are_seen_wherever_a_split_is_searched(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_of(bursts(5, 38, noise=3))
    labelled = split._replace(labels=["ab"[place % 9 == 0] for place in range(190)])
    here = find_duplicates(labelled, None)
    monkeypatch.setattr(candidates, "WORTHWHILE", 0)
    monkeypatch.setattr(candidates, "accelerator", lambda: device)
    monkeypatch.setattr(candidates, "fits", lambda rows, device: True)
    there = find_duplicates(labelled, None)
    pairs = [
        {(pair.test_image, pair.train_image) for pair in found.pairs if pair.conflicting}
        for found in (here, there)
    ]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) > 50


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
TOO_OLD = RuntimeError("CUDA error: no kernel image is available for execution on the device")


def failing(error: Exception) -> Callable[..., None]:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


@pytest.mark.usefixtures("too_many")
@pytest.mark.parametrize("error", [FULL, TOO_OLD])
def test_where_a_device_fails_all_pairs_are_compared_here(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_near", failing(error))
    left = hashes(300)
    one, other = crowd(left), crowd(beyond_the_bits(left))
    found = nearest(one, other, device="cpu")
    assert listed(found) == by_brute_force(one, other) == {(place, place) for place in range(300)}


@pytest.mark.parametrize("initialized", [True, False])
def test_what_torch_holds_without_need_is_free_for_a_search(
    initialized: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [60 << 30]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: initialized)
    monkeypatch.setattr(torch.cuda, "empty_cache", held.clear)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: ((62 << 30) - sum(held), 80 << 30))
    assert device.fits(1_000_000, "cuda") == initialized


def test_no_small_search_asks_for_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> None:
        raise AssertionError("a small search loaded torch")

    monkeypatch.setattr(candidates, "accelerator", asked)
    soft = hashes(2000)
    assert find_duplicates(split_of(soft), None).capped == 0
    monkeypatch.setattr(candidates, "WORTHWHILE", 0)
    with pytest.raises(AssertionError, match="loaded torch"):
        find_duplicates(split_of(soft), None)


@pytest.mark.usefixtures("too_many")
@pytest.mark.parametrize("room", [True, False])
def test_a_search_runs_in_one_place_whoever_takes_the_memory_meanwhile(
    room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = itertools.chain([room], itertools.repeat(not room))
    monkeypatch.setattr(candidates, "WORTHWHILE", 0)
    monkeypatch.setattr(candidates, "accelerator", lambda: "cpu")
    monkeypatch.setattr(candidates, "fits", lambda rows, device: next(free))
    left, turns = beyond_the_bits(hashes(400)), {"": UPRIGHT, "upside down": ORIENTATIONS[2]}
    laid = [oriented_soft(left[k::2], turn) for k, turn in enumerate(turns.values())]
    right = beyond_the_bits(np.concatenate(laid), seed=1)
    found = find_overlap(split_of(left), split_of(right), None, None)
    pairs = {(int(pair.test_image), pair.transform) for pair in found.pairs}
    complete = {(k, [*turns][k % 2]) for k in range(len(left))}
    assert pairs == (complete if room else set())
    assert ("without a GPU" in found.near.note) == (not room)


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a driver, and a torch that lists a GPU."""
    monkeypatch.setattr(device, "_DRIVERS", (__file__,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device.accelerator.cache_clear()
    yield
    device.accelerator.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_a_gpu_that_is_listed_and_does_not_work_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that another process holds, or that is too old for torch."""
    monkeypatch.setattr(torch, "ones", failing(TOO_OLD))
    assert device.accelerator() is None


def test_crowding_is_high_where_pictures_look_alike_and_bounded() -> None:
    apart, alike = hashes(1000), hashes(1000, seed=1)
    alike[:] = (alike * 0.3 + hashes(1, seed=2)).clip(-127, 127)
    low, high = (crowding(one, one) for one in (apart, alike))
    assert low.max() < high.min() <= 0.6
    few = hashes(50)
    assert set(crowding(few, few).tolist()) == {np.float32(0.25)}


def test_flat_pictures_are_like_nothing() -> None:
    flat = unit_rows(np.zeros((3, 256), np.int8))
    assert (flat @ flat.T == 0).all()


@pytest.fixture
def too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have few pairs count as too many to be all compared."""
    monkeypatch.setattr(candidates, "EXHAUSTIVE", 0)


def within_the_radius(left: Crowd, right: Crowd, earlier: bool = False) -> set[tuple[int, int]]:
    one, other = low_bits(left.soft), low_bits(right.soft)
    everything = by_brute_force(left, right, earlier)
    return {(a, b) for a, b in everything if (int(one[a]) ^ int(other[b])).bit_count() <= RADIUS}


@pytest.mark.usefixtures("too_many")
@pytest.mark.parametrize("earlier", [False, True])
def test_of_too_many_pairs_those_of_near_bits_are_compared(earlier: bool) -> None:
    left, right = hashes(300), hashes(5000, seed=1)
    for place in range(100):
        noise = hashes(1, seed=place)[0] * (place % 7) / 10
        right[-place] = (left[place] * 0.9 + noise).astype(int)
    left[200:] = (left[100:200] * 0.8).astype(int)
    one = crowd(left)
    other = one if earlier else crowd(right)
    found = nearest(one, other, earlier=earlier)
    assert listed(found) == within_the_radius(one, other, earlier)
    assert len(listed(found)) >= 90


@pytest.mark.usefixtures("too_many")
def test_copies_of_too_many_pairs_are_capped_and_hide_nothing() -> None:
    right, left = hashes(20_000), hashes(300, seed=1)
    right[5_000:] = left[0]
    right[7] = left[9]
    found = nearest(crowd(left), crowd(right))
    assert (found.left == 0).sum() == NEAREST
    assert (9, 7) in listed(found)
    assert found.capped == 1


@pytest.mark.parametrize("turn", ORIENTATIONS[1:], ids=lambda turn: turn.name)
def test_the_bits_of_a_picture_that_is_laid_down_are_had_from_its_hash(turn: Orientation) -> None:
    pixels = smooth_pixels()
    laid = int(low_bits(_soft(oriented(pixels, turn)))[0])
    had = int(low_bits(oriented_soft(_soft(pixels), turn))[0])
    assert (had ^ laid).bit_count() <= 2  # of coefficients next to the median
    assert (int(low_bits(_soft(pixels))[0]) ^ laid).bit_count() > 10
