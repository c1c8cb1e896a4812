from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from auditor.check import Status
from auditor.checks.unreadable_images import UnreadableImages
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


def test_saved_predictions_read_no_image(predictions: Make) -> None:
    outcome = UnreadableImages().run(predictions({"a": {"a": 5}}, ["a", "b"]), None)
    assert outcome.status is Status.SKIP
