from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from auditor.check import Status
from auditor.checks.unreadable_images import UnreadableImages
from auditor.data.samples import LeftOut
from auditor.evidence.predictions import Predictions

Make = Callable[..., Predictions]


@pytest.fixture
def seen(predictions: Make) -> Callable[..., Predictions]:
    def make(n: int, unreadable: Mapping[str, str]) -> Predictions:
        found: Predictions = predictions({"a": {"a": n}}, ["a", "b"])
        return replace(found, unreadable=unreadable, about={"candidate": {"name": "m"}})

    return make


def test_one_broken_file_fails_and_is_listed(seen: Make) -> None:
    outcome = UnreadableImages().run(seen(99, {"a/7.jpg": "truncated"}), None)
    assert outcome.status is Status.FAIL
    assert outcome.summary == "1 of 100 test images cannot be read; first: a/7.jpg (truncated)."
    assert [(f.subject, f.note) for f in outcome.findings[1:]] == [("a/7.jpg", "truncated")]


def test_whole_files_pass(seen: Make) -> None:
    assert UnreadableImages().run(seen(100, {}), None).status is Status.PASS


@pytest.mark.parametrize(("allowed", "status"), [(0.02, Status.PASS), (0.019, Status.FAIL)])
def test_a_share_may_be_allowed(seen: Make, allowed: float, status: Status) -> None:
    lost = {"x": "gone", "y": "gone"}
    assert UnreadableImages(max_share=allowed).run(seen(98, lost), None).status is status


def test_nothing_readable_fails(seen: Make) -> None:
    outcome = UnreadableImages().run(seen(0, {"x": "empty file"}), None)
    assert outcome.status is Status.FAIL
    assert outcome.findings[0].observed == 1.0


def test_training_images_are_listed_not_judged(seen: Make) -> None:
    outcome = UnreadableImages().run(seen(5, {}), seen(5, {"t": "damaged"}))
    assert outcome.status is Status.PASS
    assert [(f.subject, f.status) for f in outcome.findings[1:]] == [("t", Status.SKIP)]


LEFT_OUT = LeftOut(2, "a/1.bak", "2 files whose suffix is no image's, first a/1.bak")


@pytest.mark.parametrize(
    ("allowed", "status"),
    [(0.0, Status.INCONCLUSIVE), (0.0199, Status.INCONCLUSIVE), (0.02, Status.PASS)],
)
def test_files_that_may_be_images_are_not_left_out_unseen(
    seen: Make, allowed: float, status: Status
) -> None:
    clean = seen(98, {})
    test = replace(clean, about={**clean.about, "left_out": list(LEFT_OUT)})
    outcome = UnreadableImages(max_share=allowed).run(test, None)
    assert outcome.status is status
    assert outcome.summary == (
        f"All 98 test images could be read; left out, though they may be images: {LEFT_OUT.said}."
    )
    unmeasured = [f.note for f in outcome.findings if f.observed is None]
    assert bool(unmeasured) is (status is Status.INCONCLUSIVE)
    assert all(LEFT_OUT.said in note for note in unmeasured)


def test_a_share_that_is_allowed_is_as_many_as_in_decimals(seen: Make) -> None:
    """In binary 0.29 * 100 is below 29."""
    left = LeftOut(29, "a/1.bak", "29 files")
    test = seen(71, {})
    test = replace(test, about={**test.about, "left_out": list(left)})
    assert UnreadableImages(max_share=0.29).run(test, None).status is Status.PASS


def test_files_that_were_left_out_of_what_was_predicted_elsewhere(predictions: Make) -> None:
    test = replace(predictions({"a": {"a": 5}}, ["a"]), about={"left_out": list(LEFT_OUT)})
    assert UnreadableImages().run(test, None).status is Status.INCONCLUSIVE
    assert UnreadableImages(max_share=0.5).run(test, None).status is Status.SKIP


def test_saved_predictions_read_no_image(predictions: Make) -> None:
    outcome = UnreadableImages().run(predictions({"a": {"a": 5}}, ["a", "b"]), None)
    assert outcome.status is Status.SKIP
