from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from auditor.check import Finding, Outcome, Status
from auditor.checks.efficiency import Efficiency
from auditor.evidence.baseline import Baseline
from auditor.evidence.complexity import Complexity
from auditor.evidence.confusion import Confusion
from auditor.record import Audit, CandidateInfo, DataInfo, PolicyInfo, Provenance, SplitInfo

B0 = Complexity(5_288_548, 385_814_752, 6_700_000, (3, 224, 224), 21_000_000)


@pytest.fixture
def balanced(confusion: Callable[..., Confusion]) -> Confusion:
    return confusion({"a": {"a": 50}, "b": {"b": 50}})


def _baseline(**costs: int | None) -> Baseline:
    given = {"parameters": 5_000_000, "macs": 380_000_000, "bytes_on_disk": 20_500_000, **costs}
    candidate = CandidateInfo.model_validate({"name": "old", **given})
    audit = Audit(
        verdict="accepted",
        summary="",
        candidate=candidate,
        data=DataInfo(
            classes=("a", "b"),
            class_order="",
            test=SplitInfo(source="", images=1, predicted=1),
        ),
        policy=PolicyInfo(preset="sign-off", inconclusive=""),
        checks=(),
        provenance=Provenance(
            auditor="0", created="", repeat="", config="", config_digest="", python="", platform=""
        ),
    )
    return Baseline(audit, None, "not needed here")


def _status(outcome: Outcome, subject: str, metric: str) -> Status:
    return _finding(outcome, subject, metric).status


def _finding(outcome: Outcome, subject: str, metric: str) -> Finding:
    return next(f for f in outcome.findings if (f.subject, f.metric) == (subject, metric))


def test_over_the_budget_fails(balanced: Confusion) -> None:
    outcome = Efficiency.model_validate({"max_parameters": "5 M"}).run(B0, balanced, None)
    assert outcome.status is Status.FAIL
    assert "5,288,548 parameters exceed the budget of 5,000,000" in outcome.summary


def test_within_the_budget_passes(balanced: Confusion) -> None:
    check = Efficiency(max_parameters=5_288_548, max_macs=385_814_752, max_bytes=21_000_000)
    assert check.run(B0, balanced, None).status is Status.PASS


def test_one_below_the_budget_fails(balanced: Confusion) -> None:
    assert Efficiency(max_macs=385_814_751).run(B0, balanced, None).status is Status.FAIL


def test_without_a_budget_nothing_is_judged(balanced: Confusion) -> None:
    outcome = Efficiency().run(B0, balanced, None)
    assert outcome.status is Status.SKIP
    assert all(f.status is Status.SKIP for f in outcome.findings)


def test_an_unknown_cost_cannot_pass_its_budget(balanced: Confusion) -> None:
    bare = Complexity(1, 1, 1, (3, 8, 8), None)
    outcome = Efficiency(max_bytes=10).run(bare, balanced, None)
    assert outcome.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("text", "value"),
    [("5.3 M", 5_300_000), ("0.4G", 400_000_000), ("20 MB", 20_000_000), ("1 KiB", 1024)],
)
def test_amounts_have_units(text: str, value: int) -> None:
    assert Efficiency.model_validate({"max_bytes": text}).max_bytes == value


@pytest.mark.parametrize(
    "value", ["5 X", "1..2 M", "", "many", 0, -1, float("nan"), float("inf"), "0 M"]
)
def test_other_amounts_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Efficiency.model_validate({"max_parameters": value})


def test_costlier_than_the_baseline_fails(balanced: Confusion) -> None:
    outcome = Efficiency().run(B0, balanced, _baseline())
    assert outcome.status is Status.FAIL
    assert _status(outcome, "baseline old", "parameters") is Status.FAIL
    assert _status(outcome, "baseline old", "MACs") is Status.PASS


def test_an_identical_candidate_is_no_regression(balanced: Confusion) -> None:
    same = _baseline(parameters=B0.parameters, macs=B0.macs, bytes_on_disk=B0.bytes_on_disk)
    assert Efficiency(tolerance=0.0).run(B0, balanced, same).status is Status.PASS


def test_a_baseline_without_figures_is_inconclusive(balanced: Confusion) -> None:
    nothing = _baseline(parameters=None, macs=None, bytes_on_disk=None)
    assert Efficiency().run(B0, balanced, nothing).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("right", "status"),
    [(70, Status.FAIL), (76, Status.INCONCLUSIVE), (80, Status.PASS)],
)
def test_dominated_by_the_published_family(
    confusion: Callable[..., Confusion], right: int, status: Status
) -> None:
    names = [f"n{i:08}" for i in range(1000)]
    table = {name: {name if i < 10 * right else names[0]: 10} for i, name in enumerate(names)}
    found = confusion(table, names)
    outcome = Efficiency().run(B0, found, None)
    assert _status(outcome, "published EfficientNet-B0", "top-1 accuracy") is status


def test_published_accuracies_say_nothing_of_other_data(balanced: Confusion) -> None:
    outcome = Efficiency().run(B0, balanced, None)
    assert not [f for f in outcome.findings if f.metric == "top-1 accuracy"]


def test_it_blocks_once_there_is_something_to_hold_it_to() -> None:
    assert Efficiency().default_level(frozenset()) == "advise"
    assert Efficiency(max_macs=1).default_level(frozenset()) == "block"
    assert Efficiency().default_level(frozenset({"baseline"})) == "block"
