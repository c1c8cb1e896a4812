from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from auditor.check import Status
from auditor.checks.top1_accuracy import Top1Accuracy
from auditor.evidence.confusion import Confusion

Make = Callable[..., Confusion]


def test_a_clearly_bad_candidate_fails(confusion: Make) -> None:
    outcome = Top1Accuracy().run(confusion({"a": {"a": 50, "b": 50}, "b": {"b": 50, "a": 50}}))
    assert outcome.status is Status.FAIL
    assert outcome.summary == "Bad: 50.0% of 200 test images are right; at least 80% is required."


def test_a_clearly_good_candidate_passes(confusion: Make) -> None:
    outcome = Top1Accuracy().run(confusion({"a": {"a": 95, "b": 5}, "b": {"b": 95, "a": 5}}))
    assert outcome.status is Status.PASS
    (finding,) = outcome.findings
    assert (finding.observed, finding.limit, finding.n) == (0.95, 0.80, 200)
    assert finding.interval is not None
    assert finding.interval[0] >= 0.80


@pytest.mark.parametrize(
    ("right", "n", "status"),
    [
        (14, 14, Status.PASS),
        (13, 13, Status.INCONCLUSIVE),
        (1, 1, Status.INCONCLUSIVE),
        (0, 1, Status.INCONCLUSIVE),
        (0, 13, Status.FAIL),
        (45, 50, Status.PASS),
        (43, 50, Status.INCONCLUSIVE),
        (30, 50, Status.FAIL),
    ],
)
def test_boundaries(confusion: Make, right: int, n: int, status: Status) -> None:
    found = confusion({"a": {"a": right, "b": n - right}}, ["a", "b"])
    assert Top1Accuracy().run(found).status is status


@pytest.mark.parametrize(
    ("confidence", "status"), [(0.95, Status.PASS), (0.99, Status.INCONCLUSIVE)]
)
def test_the_confidence_is_the_users(confusion: Make, confidence: float, status: Status) -> None:
    found = confusion({"a": {"a": 14}}, ["a", "b"])
    assert Top1Accuracy(confidence=confidence).run(found).status is status


def test_no_test_image_is_inconclusive(confusion: Make) -> None:
    outcome = Top1Accuracy().run(confusion({}, ["a", "b"]))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.findings[0].observed is None
    assert "14 samples" in outcome.findings[0].note


def test_too_few_images_says_how_many_more(confusion: Make) -> None:
    outcome = Top1Accuracy().run(confusion({"a": {"a": 9, "b": 1}}))
    assert outcome.status is Status.INCONCLUSIVE
    assert "which 10 images cannot settle" in outcome.summary
    assert "about 40 more samples" in outcome.findings[0].note


def test_a_minimum_of_one_is_never_shown_by_samples(confusion: Make) -> None:
    found = confusion({"a": {"a": 500}, "b": {"b": 500}})
    assert Top1Accuracy(min_accuracy=1.0).run(found).status is Status.INCONCLUSIVE


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, 80])
def test_a_minimum_is_a_share(value: float) -> None:
    with pytest.raises(ValidationError):
        Top1Accuracy(min_accuracy=value)


@pytest.mark.parametrize("value", [float("nan"), 0.79, 0.9991, 1.0, 95])
def test_a_confidence_settles_something_and_not_anything(value: float) -> None:
    with pytest.raises(ValidationError):
        Top1Accuracy(confidence=value)


@pytest.mark.parametrize(("right", "status"), [(11, Status.PASS), (10, Status.INCONCLUSIVE)])
def test_wilson_may_be_asked_for(confusion: Make, right: int, status: Status) -> None:
    found = confusion({"a": {"a": right}}, ["a", "b"])
    assert Top1Accuracy(interval="wilson").run(found).status is status
    assert Top1Accuracy().run(found).status is Status.INCONCLUSIVE


def test_without_images_wilson_names_its_own_number(confusion: Make) -> None:
    outcome = Top1Accuracy(interval="wilson").run(confusion({}, ["a", "b"]))
    assert "11 samples" in outcome.findings[0].note


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(ValidationError):
        Top1Accuracy.model_validate({"interval": "wald"})
