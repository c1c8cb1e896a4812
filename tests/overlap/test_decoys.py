from __future__ import annotations

import numpy as np
import pytest

from auditor.overlap.decoys import Scores, choose_threshold
from auditor.overlap.result import OverlapSettings
from auditor.overlap.splits import MIN_CONTRAST, Side, SplitSignatures

SURE = 0.3
SIZE = 10_000


def planted(copies: int, mirrored_copies: int = 0, seed: int = 0) -> tuple[Scores, np.ndarray]:
    """Return scores of strangers everywhere, and copies among the first; and which are copies."""
    random = np.random.default_rng(seed)
    upright, mirrored = random.gumbel(-1.5, 0.2, (2, SIZE))
    others = random.gumbel(-1.8, 0.2, (6, SIZE))
    upright[:copies] = random.normal(0.5, 0.4, copies)
    mirrored[SIZE - mirrored_copies :] = random.normal(1.5, 0.2, mirrored_copies)
    return Scores(upright, mirrored, others), np.arange(SIZE) < copies


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("mirrored_copies", [0, 40])
def test_the_rate_is_kept_and_estimated(rate: float, mirrored_copies: int) -> None:
    realised, estimated = [], []
    for seed in range(10):
        scores, true = planted(400, mirrored_copies, seed)
        found = choose_threshold(scores, rate, SURE)
        assert found.basis == "decoys"
        matched = scores.upright >= found.score
        assert found.matches == matched.sum()
        assert found.false_discovery_rate is not None
        assert found.upper is not None
        assert found.false_discovery_rate <= rate
        assert found.false_discovery_rate < found.upper
        realised.append((matched & ~true).sum() / matched.sum())
        estimated.append(found.false_discovery_rate)
    # Over ten data sets, of which each has some ten strangers.
    assert np.mean(realised) <= 1.3 * rate
    assert 0.7 < np.mean(realised) / np.mean(estimated) < 1.5 or mirrored_copies


def test_a_stricter_rate_has_a_higher_threshold() -> None:
    scores, _ = planted(400)
    strict, lax = (choose_threshold(scores, rate, SURE).score for rate in (0.01, 0.1))
    assert lax < strict <= SURE


def test_with_few_matches_the_threshold_is_fixed_and_says_so() -> None:
    scores, _ = planted(8)
    found = choose_threshold(scores, 0.05, SURE)
    assert (found.score, found.basis, found.false_discovery_rate) == (SURE, "fallback", None)
    assert "too few" in found.note


@pytest.mark.parametrize(("pictures", "basis"), [(50, "decoys"), (49, "fallback")])
def test_a_rate_of_two_percent_takes_fifty_matches(pictures: int, basis: str) -> None:
    none = np.full((7, pictures), -np.inf)
    scores = Scores(np.full(pictures, 5.0), none[0], none[1:])
    assert choose_threshold(scores, 0.02, 1.0).basis == basis


def test_the_fixed_threshold_holds_where_decoys_uphold_it() -> None:
    # No picture scores between the copies and the decoys, which almost reach the fixed score.
    upright, mirrored = np.full((2, SIZE), -np.inf)
    upright[:54], mirrored[-50:] = 1.5, SURE - 0.01
    others = np.full((6, SIZE), -np.inf)
    found = choose_threshold(Scores(upright, mirrored, others), 0.05, SURE)
    assert (found.score, found.basis, found.matches, found.decoys) == (SURE, "decoys", 54, 0)
    assert found.false_discovery_rate == pytest.approx(1 / 54)


def test_where_decoys_match_as_often_as_pictures_nothing_is_estimated_away() -> None:
    random = np.random.default_rng(0)
    upright, mirrored = random.normal(1, 0.5, (2, SIZE))
    scores = Scores(upright, mirrored, random.normal(1, 0.5, (6, SIZE)))
    found = choose_threshold(scores, 0.05, SURE)
    assert (found.basis, found.false_discovery_rate, found.upper) == ("fallback", None, None)
    assert "more often" in found.note


def test_decoys_never_raise_the_threshold_above_the_sure_score() -> None:
    """From 5 on the rate holds, from the sure score on it does not: what lies between is kept."""
    upright = np.repeat([5.0, 3.0, 0.0], [100, 2, 30])
    mirrored = np.where(upright == 0.0, 2.0, -np.inf)
    others = np.full((6, len(upright)), -np.inf)
    found = choose_threshold(Scores(upright, mirrored, others), 0.02, 1.0)
    assert (found.score, found.basis, found.matches) == (1.0, "fallback", 102)
    assert found.false_discovery_rate is None
    assert "match more often than" in found.note


def test_a_copy_that_is_stored_with_its_mirror_image_is_no_decoy() -> None:
    """Noise alone decides which of the two it is nearer to."""
    scores, _ = planted(400)
    scores.mirrored[:400] = scores.upright[:400] + np.random.default_rng(1).normal(0, 0.1, 400)
    scores.upright[:50] = np.inf  # of the same bytes
    found = choose_threshold(scores, 0.05, SURE)
    assert found.basis == "decoys"
    assert found.matches == (scores.upright[50:] >= found.score).sum()
    assert found.false_discovery_rate is not None
    assert found.false_discovery_rate <= 0.05


def test_mirror_images_are_no_decoys_of_symmetric_pictures() -> None:
    scores, _ = planted(400)
    found = choose_threshold(scores, 0.05, SURE, "the pictures look like their own mirror images")
    assert (found.score, found.basis, found.upper) == (SURE, "fallback", None)
    assert "mirror" in found.note


def test_nothing_at_all() -> None:
    none = np.full(3, -np.inf)
    found = choose_threshold(Scores(none, none, np.full((6, 3), -np.inf)), 0.05, SURE)
    assert (found.score, found.matches, found.decoys) == (SURE, 0, 0)


def test_each_picture_is_searched_or_set_apart() -> None:
    contrast = np.array([np.nextafter(np.float32(MIN_CONTRAST), 0), MIN_CONTRAST], np.float32)
    soft = np.zeros((2, 256), np.int8)
    digests = [b"a", b"b"]
    split = SplitSignatures(
        ["a", "b"], ["x", "x"], digests, digests, np.zeros(2, np.uint64), contrast, soft
    )
    side = Side(split, None)
    assert (side.distinct, side.set_apart) == ([1], [0])


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        OverlapSettings(false_discovery_rate=rate)
