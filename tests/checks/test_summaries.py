"""No figure in a summary is rounded across the limit that it stands beside, or to a certainty."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.check import Status
from auditor.checks.accuracy_paradox import AccuracyParadox
from auditor.checks.precision_recall_gap import PrecisionRecallGap
from auditor.checks.rare_class_recall import RareClassRecall
from auditor.checks.top1_accuracy import Top1Accuracy
from auditor.evidence.confusion import Confusion
from auditor.evidence.counts import ClassCounts

Make = Callable[..., Confusion]

FIGURE = r"([\d.]+)%"


def shares(text: str) -> list[Fraction]:
    return [Fraction(figure) / 100 for figure in re.findall(FIGURE, text)]


def require_true(summary: str, true: Fraction, limit: Fraction) -> None:
    """Require what is said to lie where the figure does: beside its limit, and beside certainty."""
    said, wanted = shares(summary)
    assert wanted == limit
    assert (said > wanted) == (true > wanted)
    assert (said < wanted) == (true < wanted)
    assert (said in (0, 1)) == (true in (0, 1))


@given(n=st.integers(1, 20_000), of=st.floats(0, 1), limit=st.integers(1, 1000))
def test_accuracy_stands_on_its_side_of_the_minimum(
    confusion: Make, n: int, of: float, limit: int
) -> None:
    right = round(of * n)
    found = confusion({"cat": {"cat": right, "dog": n - right}, "dog": {}})
    outcome = Top1Accuracy(min_accuracy=limit / 1000).run(found)
    require_true(outcome.summary, Fraction(right, n), Fraction(limit, 1000))


@given(n=st.integers(1, 20_000), of=st.floats(0, 1), limit=st.integers(1, 1000))
def test_recall_stands_on_its_side_of_the_minimum(
    confusion: Make, n: int, of: float, limit: int
) -> None:
    right = round(of * n)
    found = confusion({"cat": {"cat": right, "dog": n - right}, "dog": {"dog": 5}})
    check = RareClassRecall(classes=("cat",), min_recall=limit / 1000)
    outcome = check.run(found, ClassCounts(found.classes, {"cat": n, "dog": 5}, None))
    require_true(outcome.summary, Fraction(right, n), Fraction(limit, 1000))


def test_what_is_missed_is_never_recognised_in_all(confusion: Make) -> None:
    found = confusion({"cat": {"cat": 3996, "dog": 4}, "dog": {"dog": 4000}})
    passing = Top1Accuracy(min_accuracy=0.995).run(found)
    assert passing.status is Status.PASS
    assert passing.summary == "99.95% of 8,000 test images are right; at least 99.5% is required."
    counts = ClassCounts(found.classes, {"cat": 4000, "dog": 4000}, None)
    outcome = RareClassRecall(classes=("cat",), min_recall=0.996).run(found, counts)
    assert outcome.summary.endswith(
        "cat is recognised in 99.9% of 4,000 test images (at least 99.6% required)."
    )


def test_an_accuracy_near_chance_is_told_from_it(confusion: Make) -> None:
    found = confusion({"a": {"a": 90_010}, "b": {"a": 9_989, "b": 1}})
    summary = AccuracyParadox(missed_below=0, dead_below=0).run(found).summary
    assert summary == (
        "Accuracy is 90.011%; always naming the commonest class gives 90.010%, which 100,000 "
        "images cannot settle."
    )


def test_a_figure_just_short_is_told_from_the_limit(confusion: Make) -> None:
    short = {"a": 84_600, "b": 15_400}
    found = confusion({"a": short, "b": {"b": 100_000}})
    assert "a (recall 84.6%" in PrecisionRecallGap().run(found).summary


def test_one_more_class_is_one(confusion: Make) -> None:
    found = confusion({name: {"z": 90, name: 10} for name in "abcd"} | {"z": {"z": 90}})
    summary = PrecisionRecallGap(max_gap=1.0, min_precision=0).run(found).summary
    assert summary.startswith("4 of 5 classes fall short")
    assert summary.endswith("; and 1 more class.")


def test_of_two_classes_one_falls_short(confusion: Make) -> None:
    found = confusion({"a": {"a": 900}, "b": {"a": 40, "b": 60}})
    check = PrecisionRecallGap(max_gap=1.0, min_precision=0)
    assert check.run(found).summary.startswith("1 of 2 classes falls short: b (")
    unsure = confusion({"a": {"a": 900}, "b": {"b": 3}})
    assert "1 of 2 has too few" in check.run(unsure).summary


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (
            1,
            "100.0% of 1 test image is right; at least 80% is required, which 1 image cannot",
        ),
        (2, "100.0% of 2 test images are right; at least 80% is required, which 2 images cannot"),
    ],
)
def test_one_test_image_is_one(confusion: Make, n: int, said: str) -> None:
    summary = Top1Accuracy().run(confusion({"a": {"a": n}}, ["a", "b"])).summary
    assert summary.startswith(said)


@pytest.mark.parametrize(("limit", "said"), [(0.8, "80%"), (0.9995, "99.95%"), (1 / 3, "33.3")])
def test_a_limit_is_said_as_it_was_set(confusion: Make, limit: float, said: str) -> None:
    found = confusion({"cat": {"cat": 8, "dog": 2}, "dog": {"dog": 5}})
    summary = Top1Accuracy(min_accuracy=limit).run(found).summary
    assert f"at least {said}" in summary


def test_a_gap_is_in_points_and_a_correlation_is_no_share(confusion: Make) -> None:
    found = confusion({"a": {"a": 988, "b": 12}, "b": {"b": 12, "a": 88}})
    said = "b (precision 50%, recall 12%, gap between precision and recall 38 points)"
    assert said in PrecisionRecallGap().run(found).summary
    units = {f.metric: f.unit for f in AccuracyParadox().run(found).findings}
    assert (units["Matthews correlation"], units["Cohen's kappa"]) == ("none", "none")
