from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from auditor.check import Status
from auditor.checks.split_overlap import SplitOverlap
from auditor.evidence.overlap import Overlap, OverlapPair
from auditor.evidence.predictions import Predictions
from auditor.overlap.splits import Kind


def _pair(
    test: str, train: str = "t.png", *, distance: int = 0, labels: tuple[str, str] = ("a", "a")
) -> OverlapPair:
    kind: Kind = "near-duplicate" if distance else "same-bytes"
    return OverlapPair(test, train, kind, distance, 1.0, *labels)


def _overlap(
    *pairs: OverlapPair,
    within: tuple[OverlapPair, ...] = (),
    signed: int = 100,
    trained: int | None = 100,
    unread: int = 0,
) -> Overlap:
    return Overlap(None if trained is None else pairs, within, signed, {}, trained, unread)


def test_one_leaked_image_fails_and_is_named() -> None:
    outcome = SplitOverlap().run(_overlap(_pair("x.png")), None)
    assert outcome.status is Status.FAIL
    assert "1 of 100 test images (1.0%) are in the training data: 1 exact" in outcome.summary
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["x.png"]


def test_clean_splits_pass() -> None:
    outcome = SplitOverlap().run(_overlap(), None)
    assert outcome.status is Status.PASS
    assert outcome.summary == "No test image is in the training data."


@pytest.mark.parametrize(
    ("distance", "allowed", "status"),
    [(8, 8, Status.FAIL), (8, 6, Status.PASS), (6, 6, Status.FAIL), (0, 0, Status.FAIL)],
)
def test_distance_boundary(distance: int, allowed: int, status: Status) -> None:
    overlap = _overlap(_pair("x.png", distance=distance))
    assert SplitOverlap(max_distance=allowed).run(overlap, None).status is status


@pytest.mark.parametrize(("share", "status"), [(0.02, Status.PASS), (0.0199, Status.FAIL)])
def test_a_share_may_be_allowed(share: float, status: Status) -> None:
    overlap = _overlap(_pair("x.png"), _pair("y.png"))
    assert SplitOverlap(max_share=share).run(overlap, None).status is status


def test_an_image_with_many_copies_counts_once() -> None:
    outcome = SplitOverlap().run(_overlap(_pair("x.png", "1"), _pair("x.png", "2")), None)
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["x.png"]
    assert "1 of 100" in outcome.summary


def test_one_picture_under_two_labels_fails() -> None:
    within = (_pair("x.png", "y.png", labels=("a", "b")),)
    outcome = SplitOverlap().run(_overlap(within=within), None)
    assert outcome.status is Status.FAIL
    assert any("a here, b as y.png" in finding.note for finding in outcome.findings)


def test_one_picture_twice_under_one_label_passes() -> None:
    within = (_pair("x.png", "y.png"),)
    assert SplitOverlap().run(_overlap(within=within), None).status is Status.PASS


def test_without_training_data_leakage_is_not_looked_at() -> None:
    outcome = SplitOverlap().run(_overlap(trained=None), None)
    assert outcome.status is Status.SKIP
    within = (_pair("x.png", "y.png", labels=("a", "b")),)
    assert SplitOverlap().run(_overlap(within=within, trained=None), None).status is Status.FAIL


def test_without_a_readable_test_image_nothing_is_shown() -> None:
    outcome = SplitOverlap().run(_overlap(signed=0), None)
    assert outcome.status is Status.INCONCLUSIVE


def test_without_a_readable_training_image_nothing_is_shown() -> None:
    outcome = SplitOverlap().run(_overlap(trained=0), None)
    assert outcome.status is Status.INCONCLUSIVE
    assert "no training image could be read" in outcome.summary


@pytest.mark.parametrize(
    ("unread", "share", "status"),
    [
        (0, 0.0, Status.PASS),
        (1, 0.0, Status.INCONCLUSIVE),
        (1, 0.02, Status.PASS),
        (2, 0.02, Status.INCONCLUSIVE),
    ],
)
def test_an_unread_training_image_may_be_a_copy(unread: int, share: float, status: Status) -> None:
    pairs = [_pair("x.png")] if share else []
    outcome = SplitOverlap(max_share=share).run(_overlap(*pairs, unread=unread), None)
    assert outcome.status is status
    if status is Status.INCONCLUSIVE:
        assert f"{unread} training images could not be read" in outcome.findings[-1].note


def test_a_predicted_image_that_was_not_compared_is_not_clean(
    predictions: Callable[..., Predictions],
) -> None:
    test = predictions({"a": {"a": 100}}, ["a", "b"])
    assert SplitOverlap().run(_overlap(signed=100), test).status is Status.PASS
    assert SplitOverlap().run(_overlap(signed=99), test).status is Status.INCONCLUSIVE


def test_inflation_is_shown(predictions: Callable[..., Predictions]) -> None:
    test = predictions({"a": {"a": 60, "b": 40}})
    leaked = [_pair(image) for image in test.images[:20]]
    outcome = SplitOverlap().run(_overlap(*leaked), test)
    (finding,) = [f for f in outcome.findings if f.unit == "points"]
    assert finding.observed == pytest.approx(60 / 100 - 40 / 80)
    assert finding.status is Status.SKIP


@pytest.mark.parametrize("distance", [-1, 9])
def test_the_radius_is_bounded(distance: int) -> None:
    with pytest.raises(ValidationError):
        SplitOverlap(max_distance=distance)
