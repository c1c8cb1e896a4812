from __future__ import annotations

from collections.abc import Callable

import pytest

from auditor.check import Status
from auditor.checks.precision_recall_gap import PrecisionRecallGap
from auditor.evidence.confusion import Confusion

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
    assert outcome.summary == "Precision and recall are high and close in all 2 classes."


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
    assert "1 of 3 have too few" in outcome.summary


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


def test_it_advises() -> None:
    assert PrecisionRecallGap().default_level(frozenset()) == "advise"
