from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor.overlap.candidates import NEAREST, Candidates, Crowd, nearest
from auditor.overlap.soft import crowding, unit_rows


def hashes(count: int, seed: int = 0) -> NDArray[np.int8]:
    random = np.random.default_rng(seed)
    return random.normal(0, 30, (count, 256)).clip(-127, 127).astype(np.int8)


def crowd(soft: NDArray[np.int8]) -> Crowd:
    units = unit_rows(soft)
    return Crowd(units, crowding(units, units))


def listed(found: Candidates) -> set[tuple[int, int]]:
    return set(zip(found.left.tolist(), found.right.tolist(), strict=True))


def by_brute_force(left: Crowd, right: Crowd, earlier: bool = False) -> set[tuple[int, int]]:
    pairs = set()
    for row, unit in enumerate(left.units):
        margin = right.units @ unit - (left.crowding[row] + right.crowding) / 2
        margin[row if earlier else len(margin) :] = -1
        best = np.argsort(-margin, kind="stable")[:NEAREST]
        pairs |= {(row, int(column)) for column in best if margin[column] >= 0.1}
    return pairs


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (1, 1), (300, 5000), (700, 90)])
def test_equal_to_brute_force(sizes: tuple[int, int]) -> None:
    left, right = hashes(sizes[0]), hashes(sizes[1], seed=1)
    for place in range(min(sizes) // 3):
        right[-place] = (left[place] * 0.9 + hashes(1, seed=place)[0] * (place % 7) / 10).astype(
            int
        )
    one, other = crowd(left), crowd(right)
    found = nearest(one, other)
    assert listed(found) == by_brute_force(one, other)
    similarity = np.einsum("ij,ij->i", one.units[found.left], other.units[found.right])
    np.testing.assert_allclose(found.soft, similarity, atol=1e-5)


def test_within_one_split_each_pair_is_listed_once() -> None:
    soft = hashes(600)
    soft[300:] = soft[:300]
    one = crowd(soft)
    found = listed(nearest(one, one, earlier=True))
    assert found == by_brute_force(one, one, earlier=True)
    assert found == {(place + 300, place) for place in range(300)}


def test_thousands_of_copies_are_capped_and_hide_nothing() -> None:
    right, left = hashes(20_000), hashes(300, seed=1)
    right[5_000:] = left[0]
    right[7] = left[9]
    found = nearest(crowd(left), crowd(right))
    assert (found.left == 0).sum() == NEAREST
    assert (9, 7) in listed(found)
    assert found.capped == 1


def test_crowding_is_high_where_pictures_look_alike_and_bounded() -> None:
    apart, alike = hashes(1000), hashes(1000, seed=1)
    alike[:] = (alike * 0.3 + hashes(1, seed=2)).clip(-127, 127)
    low, high = (crowding(unit_rows(one), unit_rows(one)) for one in (apart, alike))
    assert low.max() < high.min() <= 0.5
    few = unit_rows(hashes(50))
    assert set(crowding(few, few).tolist()) == {np.float32(0.19)}


def test_flat_pictures_are_like_nothing() -> None:
    flat = unit_rows(np.zeros((3, 256), np.int8))
    assert (flat @ flat.T == 0).all()
