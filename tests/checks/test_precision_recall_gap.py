from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from scipy.stats import binom

from auditor.check import Finding, Status
from auditor.checks.precision_recall_gap import PrecisionRecallGap
from auditor.evidence.confusion import Confusion
from tests.references import difference_bounds

Make = Callable[..., Confusion]


def _status(found: Confusion, subject: str, metric: str) -> Status:
    outcome = PrecisionRecallGap().run(found)
    return next(f.status for f in outcome.findings if (f.subject, f.metric) == (subject, metric))


GAP = "gap between precision and recall"


def test_false_alarms_fail(confusion: Make) -> None:
    found = confusion({"empty": {"empty": 800, "deer": 200}, "deer": {"deer": 100}})
    outcome = PrecisionRecallGap().run(found)
    assert outcome.status is Status.FAIL
    assert "deer (precision 33%" in outcome.summary
    assert _status(found, "deer", "recall") is Status.PASS
    assert _status(found, "deer", GAP) is Status.FAIL


def test_misses_fail(confusion: Make) -> None:
    found = confusion({"empty": {"empty": 900}, "deer": {"deer": 50, "empty": 50}})
    assert _status(found, "deer", "precision") is Status.PASS
    assert _status(found, "deer", "recall") is Status.FAIL
    assert _status(found, "deer", GAP) is Status.FAIL


def test_the_clean_twin_passes(confusion: Make) -> None:
    found = confusion({"empty": {"empty": 490, "deer": 10}, "deer": {"deer": 490, "empty": 10}})
    outcome = PrecisionRecallGap().run(found)
    assert outcome.status is Status.PASS
    assert outcome.summary == "Precision and recall are high and close in each of the 2 classes."


def test_the_confidence_is_that_of_the_options(confusion: Make) -> None:
    """20 of 200 missed: above a recall of 85% as sure as 95%, and not as sure as 99%."""
    found = confusion({"a": {"a": 180, "b": 20}, "b": {"b": 20_000}})
    for confidence, status in ((0.95, Status.PASS), (0.99, Status.INCONCLUSIVE)):
        check = PrecisionRecallGap(min_recall=0.85, max_gap=1.0, confidence=confidence)
        assert check.run(found).status is status


def test_thousands_of_classes_are_counted_as_elsewhere(confusion: Make) -> None:
    found = confusion({str(i): {str(i): 2} for i in range(1_200)})
    assert "1,200 of 1,200 have too few" in PrecisionRecallGap().run(found).summary


@pytest.mark.parametrize(
    ("lenient", "failing"),
    [("min_precision", ("a", "recall")), ("min_recall", ("b", "precision"))],
)
def test_precision_and_recall_have_a_limit_each(
    confusion: Make, lenient: str, failing: tuple[str, str]
) -> None:
    check = PrecisionRecallGap.model_validate({lenient: 0.5, "max_gap": 1.0})
    outcome = check.run(confusion({"a": {"a": 700, "b": 300}, "b": {"b": 1000}}))
    failed = [(f.subject, f.metric) for f in outcome.findings if f.status is Status.FAIL]
    assert failed == [failing]


def test_cat_and_dog(confusion: Make) -> None:
    found = confusion({"cat": {"cat": 90, "dog": 10}, "dog": {"cat": 5, "dog": 95}})
    outcome = PrecisionRecallGap().run(found)
    observed = {(f.subject, f.metric): f.observed for f in outcome.findings}
    assert observed["cat", "precision"] == pytest.approx(0.947, abs=5e-4)
    assert observed["cat", "recall"] == pytest.approx(0.900)
    assert observed["cat", GAP] == pytest.approx(0.047, abs=5e-4)


def test_a_class_that_is_never_named_has_no_precision(confusion: Make) -> None:
    found = confusion({"a": {"a": 100}, "b": {"a": 100}})
    assert _status(found, "b", "precision") is Status.INCONCLUSIVE
    assert _status(found, "b", "recall") is Status.FAIL


def test_an_absent_class_is_inconclusive(confusion: Make) -> None:
    found = confusion({"a": {"a": 200}, "b": {"b": 200}}, ["a", "b", "ghost"])
    outcome = PrecisionRecallGap().run(found)
    assert outcome.status is Status.INCONCLUSIVE
    assert "1 of 3 has too few" in outcome.summary


@pytest.mark.parametrize("there", [False, True])
def test_only_a_class_with_test_images_has_a_precision(confusion: Make, there: bool) -> None:
    """Predicted 40 times, never rightly: where the test set holds none of it, nobody could be."""
    table = {"a": {"a": 1900, "c": 20}, "b": {"b": 1900, "c": 20}}
    found = confusion(table | ({"c": {"c": 1, "a": 39}} if there else {}), ["a", "b", "c"])
    outcome = PrecisionRecallGap().run(found)
    assert outcome.status is (Status.FAIL if there else Status.INCONCLUSIVE)
    precision = next(f for f in outcome.findings if (f.subject, f.metric) == ("c", "precision"))
    assert (precision.observed is None) is not there
    assert ("no test image of this class" in precision.note) is not there


def test_the_precision_of_an_absent_class_is_of_no_family(confusion: Make) -> None:
    """Seven figures: of two classes all three, and the recall of one that is never predicted."""
    table = {"a": {"a": 200, "ghost": 50}, "b": {"b": 200}, "c": {"a": 9}}
    outcome = PrecisionRecallGap().run(confusion(table, ["a", "b", "c", "ghost"]))
    notes = {f.note.split(":")[0] for f in outcome.findings if f.status is Status.FAIL}
    assert notes == {"Benjamini–Hochberg over 7 figures"}


@pytest.mark.parametrize("table", [{"a": {"a": 1}, "b": {"b": 1}}, {}])
def test_one_or_no_image_never_passes(confusion: Make, table: dict[str, dict[str, int]]) -> None:
    outcome = PrecisionRecallGap().run(confusion(table, ["a", "b"]))
    assert outcome.status is Status.INCONCLUSIVE


def test_the_gap_is_judged_on_its_size_either_way(confusion: Make) -> None:
    found = confusion({"a": {"a": 300, "b": 200}, "b": {"b": 300}})
    gaps = [f for f in PrecisionRecallGap().run(found).findings if f.metric == GAP]
    for gap in gaps:
        assert gap.observed is not None
        assert gap.interval is not None
        assert 0 <= gap.interval[0] <= gap.observed <= gap.interval[1]
        assert gap.status is Status.FAIL


def test_a_gap_of_which_the_sign_is_not_known_may_be_none(confusion: Make) -> None:
    found = confusion({"a": {"a": 8, "b": 2}, "b": {"b": 9, "a": 1}})
    gap = next(f for f in PrecisionRecallGap().run(found).findings if f.metric == GAP)
    low, high = difference_bounds(8, 9, 8, 10)
    assert low < 0 < high
    assert gap.interval == pytest.approx((0.0, max(-low, high)))


def test_it_says_how_many_images_would_settle_a_gap(confusion: Make) -> None:
    def gap(times: int) -> Finding:
        table = {"a": {"a": 18 * times}, "b": {"a": 2 * times, "b": 20 * times}}
        findings = PrecisionRecallGap().run(confusion(table)).findings
        return next(f for f in findings if f.subject == "a" and f.metric.startswith("gap"))

    assert gap(1).status is Status.INCONCLUSIVE
    found = re.match(r"about ([\d,]+) more images at these rates", gap(1).note)
    assert found is not None
    times = 1 + int(found[1].replace(",", "")) / 18
    assert gap(round(1.1 * times)).status is not Status.INCONCLUSIVE
    assert gap(round(0.9 * times)).status is Status.INCONCLUSIVE


def test_it_advises() -> None:
    assert PrecisionRecallGap().default_level(frozenset()) == "advise"


def _one_low(good: int, right: int, wrong: int) -> dict[str, dict[str, int]]:
    table = {f"good{i}": {f"good{i}": 200} for i in range(good)}
    return table | {"low": {"low": right, "good0": wrong}}


def test_what_is_listed_survives_benjamini_and_hochberg(confusion: Make) -> None:
    few = confusion(_one_low(1, 11, 8))
    many = confusion(_one_low(30, 11, 8))
    assert _status(few, "low", "recall") is Status.FAIL
    assert _status(many, "low", "recall") is Status.INCONCLUSIVE
    assert _status(confusion(_one_low(30, 12, 28)), "low", "recall") is Status.FAIL


def test_what_is_listed_is_tested_exactly_with_wilson_too(confusion: Make) -> None:
    """Of 93 figures one is low, at p = 0.0008; the score test would say 0.0001, and list it."""
    found = confusion(_one_low(30, 11, 9))
    assert 93 * binom.cdf(11, 20, 0.85) > 0.05
    outcome = PrecisionRecallGap(interval="wilson").run(found)
    recall = next(f for f in outcome.findings if (f.subject, f.metric) == ("low", "recall"))
    assert recall.status is Status.INCONCLUSIVE


def test_the_family_is_named(confusion: Make) -> None:
    outcome = PrecisionRecallGap().run(confusion(_one_low(30, 12, 28)))
    notes = [f.note for f in outcome.findings if f.status is Status.FAIL]
    assert notes
    assert all(note.startswith("Benjamini–Hochberg over 93 figures: p ") for note in notes)


@pytest.mark.parametrize(("n", "said"), [(2000, "p ≤ 1.5e-12"), (40, "p = ")])
def test_a_gap_that_is_surer_than_was_looked_for_has_a_bound(
    confusion: Make, n: int, said: str
) -> None:
    found = confusion({"a": {"a": n, "b": n}, "b": {"b": 3 * n}})
    outcome = PrecisionRecallGap(min_recall=0.6).run(found)
    gaps = [f for f in outcome.findings if f.unit == "points" and f.subject == "a"]
    assert [f.status for f in gaps] == [Status.FAIL]
    assert said in gaps[0].note


def test_many_failures_uphold_each_other(confusion: Make) -> None:
    low = {f"low{i}": {f"low{i}": 11, "good": 8} for i in range(30)}
    found = confusion({"good": {"good": 5000}} | low)
    assert _status(found, "low0", "recall") is Status.FAIL


def test_a_gap_is_corrected_by_its_own_p_value(confusion: Make) -> None:
    gaps = {k: _status(confusion(_one_low(k, 30, 22)), "low", GAP) for k in (1, 60)}
    assert gaps == {1: Status.FAIL, 60: Status.INCONCLUSIVE}


def test_wilson_may_be_asked_for(confusion: Make) -> None:
    found = confusion({"a": {"a": 16}, "b": {"b": 16}})
    assert PrecisionRecallGap(interval="wilson", max_gap=1.0).run(found).status is Status.PASS
    assert PrecisionRecallGap(max_gap=1.0).run(found).status is Status.INCONCLUSIVE
