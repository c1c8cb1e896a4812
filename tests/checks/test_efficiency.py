from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.check import Finding, Outcome, Status
from auditor.checks.efficiency import Efficiency
from auditor.config import load_config, placed_options
from auditor.errors import InputError
from auditor.evidence.baseline import Baseline
from auditor.evidence.complexity import Complexity
from auditor.evidence.confusion import Confusion
from auditor.evidence.own_audits import OwnAudits
from auditor.evidence.predictions import Predictions
from auditor.evidence.signatures import Signatures
from auditor.record import Audit, CandidateInfo, DataInfo, PolicyInfo, Provenance, SplitInfo
from auditor.registry import configure, find_checks

B0 = Complexity(5_288_548, 385_814_752, 6_700_000, (3, 224, 224), 21_000_000)


@pytest.fixture
def balanced(confusion: Callable[..., Confusion]) -> Confusion:
    return confusion({"a": {"a": 50}, "b": {"b": 50}})


def _baseline(
    predictions: Predictions | None = None, name: str = "old", **costs: int | None
) -> Baseline:
    given: dict[str, int | None] = {"parameters": 5_000_000, "macs": 380_000_000}
    given |= {"activations": 6_600_000, "bytes_on_disk": 20_500_000, **costs}
    candidate = CandidateInfo.model_validate({"name": name, **given})
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
    return Baseline(audit, predictions, "" if predictions else "not kept")


def _status(outcome: Outcome, subject: str, metric: str) -> Status:
    return _finding(outcome, subject, metric).status


def _finding(outcome: Outcome, subject: str, metric: str) -> Finding:
    return next(f for f in outcome.findings if (f.subject, f.metric) == (subject, metric))


def test_over_the_budget_fails(balanced: Confusion) -> None:
    outcome = Efficiency.model_validate({"max_parameters": "5 M"}).run(B0, balanced, None)
    assert outcome.status is Status.FAIL
    assert "5,288,548 parameters exceed the budget of 5,000,000" in outcome.summary


def test_a_cost_that_is_not_known_keeps_no_budget(balanced: Confusion) -> None:
    why = ("mv may multiply and is not counted",)
    cost = Complexity(None, None, None, (3, 224, 224), 21_000_000, unknown=why)
    options = {"max_parameters": "1 K", "max_macs": "1 K", "max_bytes": "22 MB"}
    outcome = Efficiency.model_validate(options).run(cost, balanced, None)
    assert outcome.status is Status.INCONCLUSIVE
    assert _status(outcome, "candidate", "parameters") is Status.INCONCLUSIVE
    assert why[0] in _finding(outcome, "candidate", "MACs").note
    assert _status(outcome, "candidate", "bytes") is Status.PASS
    assert why[0] in outcome.summary
    published = Efficiency(reference="imagenet-1k").run(cost, balanced, None)
    assert published.status is Status.INCONCLUSIVE
    assert Efficiency().run(cost, balanced, None).status is Status.SKIP


def _check(**options: object) -> Efficiency:
    return Efficiency.model_validate(options)


def test_within_the_budget_passes(balanced: Confusion) -> None:
    check = _check(
        max_parameters=5_288_548,
        max_macs="385814752 MACs",
        max_activations="6.7 M",
        max_bytes="21 MB",
    )
    assert check.run(B0, balanced, None).status is Status.PASS


@pytest.mark.parametrize(
    ("option", "limit"),
    [
        ("max_parameters", 5_288_547),
        ("max_macs", "385814751 MACs"),
        ("max_activations", 6_699_999),
        ("max_bytes", "20999999 B"),
    ],
)
def test_one_below_the_budget_fails(balanced: Confusion, option: str, limit: object) -> None:
    assert _check(**{option: limit}).run(B0, balanced, None).status is Status.FAIL


def test_what_exceeds_beyond_the_first_three_is_counted(balanced: Confusion) -> None:
    budgets = {"max_parameters": 9, "max_macs": "9 MACs", "max_activations": 9, "max_bytes": "9 B"}
    assert _check(**budgets).run(B0, balanced, None).summary.endswith("; and 1 more.")
    del budgets["max_bytes"]
    assert "more" not in _check(**budgets).run(B0, balanced, None).summary


def test_without_a_budget_nothing_is_judged(balanced: Confusion) -> None:
    outcome = Efficiency().run(B0, balanced, None)
    assert outcome.status is Status.SKIP
    assert all(f.status is Status.SKIP for f in outcome.findings)


def test_an_unknown_cost_cannot_pass_its_budget(balanced: Confusion) -> None:
    bare = Complexity(1, 1, 1, (3, 8, 8), None)
    outcome = _check(max_bytes="10 B").run(bare, balanced, None)
    assert outcome.status is Status.INCONCLUSIVE


SAME: dict[str, Any] = {
    "parameters": B0.parameters,
    "macs": B0.macs,
    "activations": B0.activations,
    "bytes_on_disk": B0.bytes_on_disk,
}


def test_costlier_than_the_baseline_fails(balanced: Confusion) -> None:
    outcome = Efficiency(tolerance=0.05).run(B0, balanced, _baseline())
    assert outcome.status is Status.FAIL
    assert _status(outcome, "baseline old", "parameters") is Status.FAIL
    assert _status(outcome, "baseline old", "MACs") is Status.PASS
    assert "too many beside the baseline old" in outcome.summary


def test_an_identical_candidate_is_no_regression(balanced: Confusion) -> None:
    assert Efficiency().run(B0, balanced, _baseline(**SAME)).status is Status.PASS


@pytest.mark.parametrize("cost", list(SAME))
def test_a_single_one_more_is_a_regression(balanced: Confusion, cost: str) -> None:
    figure = SAME[cost]
    before = _baseline(**(SAME | {cost: figure - 1}))
    assert Efficiency().run(B0, balanced, before).status is Status.FAIL
    assert Efficiency(tolerance=0.01).run(B0, balanced, before).status is Status.PASS


@pytest.mark.parametrize("old", [800, 1_234_567_890_123])
@pytest.mark.parametrize("percent", [0, 15])
def test_growth_of_exactly_the_tolerance_is_none(
    balanced: Confusion, old: int, percent: int
) -> None:
    """1.15 times 800 are 919.9999999999999 to a computer."""
    allowed = old * (100 + percent) // 100
    for parameters, status in ((allowed, Status.PASS), (allowed + 1, Status.FAIL)):
        before = _baseline(**(SAME | {"parameters": old}))
        found = replace(B0, parameters=parameters)
        outcome = Efficiency(tolerance=percent / 100).run(found, balanced, before)
        assert _status(outcome, "baseline old", "parameters") is status


def test_a_baseline_without_figures_is_inconclusive(balanced: Confusion) -> None:
    nothing = _baseline(parameters=None, macs=None, activations=None, bytes_on_disk=None)
    outcome = Efficiency().run(B0, balanced, nothing)
    assert outcome.status is Status.INCONCLUSIVE
    assert "not settled: parameters (baseline old), MACs (baseline old), " in outcome.summary
    assert (
        "the figure of the baseline is not known; audit it anew with its model" in outcome.summary
    )


@pytest.mark.parametrize(
    ("cost", "metric"),
    [("parameters", "parameters"), ("macs", "MACs"), ("activations", "activations")],
)
def test_a_count_that_neither_model_has_is_not_settled(
    balanced: Confusion, cost: str, metric: str
) -> None:
    """Of bytes alone is it said that neither has any: what is run has parameters."""
    counts: dict[str, Any] = {cost: None}
    outcome = Efficiency().run(replace(B0, **counts), balanced, _baseline(**(SAME | counts)))
    finding = _finding(outcome, "baseline old", metric)
    assert (finding.status, outcome.status) == (Status.INCONCLUSIVE, Status.INCONCLUSIVE)
    assert finding.note == "the figure of the candidate and of the baseline is not known"


NO_FILE = replace(B0, bytes_on_disk=None)


def test_two_models_that_come_from_no_file_have_no_bytes_to_compare(balanced: Confusion) -> None:
    before = _baseline(**(SAME | {"bytes_on_disk": None}))
    outcome = Efficiency().run(NO_FILE, balanced, before)
    assert outcome.status is Status.PASS
    finding = _finding(outcome, "baseline old", "bytes")
    assert (finding.status, finding.observed) == (Status.SKIP, None)
    assert "neither comes from a file" in finding.note
    asked = _check(max_bytes="10 MB").run(NO_FILE, balanced, before)
    assert asked.status is Status.INCONCLUSIVE
    assert "not settled: bytes (candidate)" in asked.summary


@pytest.mark.parametrize(
    ("candidate", "stored", "lacking"),
    [(NO_FILE, B0.bytes_on_disk, "candidate"), (B0, None, "baseline")],
)
def test_bytes_that_one_model_alone_has_are_not_settled(
    balanced: Confusion, candidate: Complexity, stored: int | None, lacking: str
) -> None:
    outcome = Efficiency().run(candidate, balanced, _baseline(**(SAME | {"bytes_on_disk": stored})))
    assert outcome.status is Status.INCONCLUSIVE
    assert f"bytes (baseline old): the figure of the {lacking} is not known" in outcome.summary


def test_what_is_not_settled_beside_the_baseline_says_why(balanced: Confusion) -> None:
    why = ("mv may multiply and is not counted",)
    unsure = replace(B0, macs=None, unknown=why)
    outcome = Efficiency().run(unsure, balanced, _baseline(**SAME))
    assert outcome.summary.endswith(
        f"not settled: MACs (baseline old): the figure of the candidate is not known; {why[0]}."
    )


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


@pytest.mark.parametrize(
    "names",
    [
        [f"n{i:08}" for i in range(10)],
        [f"class {i:03}" for i in range(1000)],
        [*(f"n{i:08}" for i in range(999)), "cat"],
    ],
    ids=["ten synsets", "a thousand other names", "999 synsets and a cat"],
)
def test_only_a_thousand_synsets_are_imagenet(
    confusion: Callable[..., Confusion], names: list[str]
) -> None:
    found = confusion({name: {names[0]: 10} for name in names}, names)
    outcome = Efficiency().run(B0, found, None)
    assert not [f for f in outcome.findings if f.subject.startswith("published")]


def _imagenet(confusion: Callable[..., Confusion], right: int) -> Confusion:
    names = [f"n{i:08}" for i in range(1000)]
    table = {name: {name if i < right else names[0]: 10} for i, name in enumerate(names)}
    return confusion(table, names)


@pytest.mark.parametrize(
    ("macs", "right", "status"),
    [
        (800_000_000, 755, Status.FAIL),  # B0 does it with 386 M
        (800_000_000, 765, Status.INCONCLUSIVE),  # B0 or B1, as the interval has it
        (700_000_000, 765, Status.PASS),
        (30_000_000_000, 790, Status.FAIL),
        (37_745_884_192, 843, Status.PASS),
        (37_745_884_192, 840, Status.INCONCLUSIVE),
    ],
)
def test_many_macs_for_little_accuracy(
    confusion: Callable[..., Confusion], macs: int, right: int, status: Status
) -> None:
    found = _imagenet(confusion, right)
    outcome = Efficiency(accuracy_tolerance=1).run(
        Complexity(1, macs, 1, (3, 224, 224)), found, None
    )
    finding = next(f for f in outcome.findings if f.metric == "MACs for its accuracy")
    assert finding.status is status
    if status is Status.FAIL:
        assert "times the MACs of EfficientNet-B" in outcome.summary


def test_without_a_limit_given_it_says_what_it_was_judged_by(
    confusion: Callable[..., Confusion],
) -> None:
    """Planted: nothing was given, and the summary is not of limits. Its twin has a budget."""
    found = _imagenet(confusion, 0)  # all named as the first class
    small = Complexity(360_000, 57_500_000, 1, (3, 32, 32))
    outcome = Efficiency().run(small, found, None)
    assert outcome.status is Status.PASS
    assert outcome.summary == (
        "0.36 M parameters, 57.50 M MACs at 32 × 32; no budget and no baseline was given; it takes "
        f"{57_500_000 / 385_814_752:.3f} times the MACs of EfficientNet-B0, the smallest published "
        "EfficientNet that is at least as accurate (76.9%)."
    )
    given = _check(max_macs="60 M").run(small, found, None)
    assert given.summary.endswith(" at 32 × 32; within every limit given.")
    beside = Efficiency().run(B0, _imagenet(confusion, 800), _baseline(**SAME)).summary
    assert beside.endswith("within every limit given.")


def test_more_accurate_than_all_published_is_not_judged(
    confusion: Callable[..., Confusion],
) -> None:
    outcome = Efficiency().run(
        Complexity(1, 10**12, 1, (3, 600, 600)), _imagenet(confusion, 900), None
    )
    assert _status(outcome, "published family", "MACs for its accuracy") is Status.SKIP


def test_it_says_by_how_much_it_is_dominated(confusion: Callable[..., Confusion]) -> None:
    outcome = Efficiency().run(
        Complexity(1, 2_000_000_000, 1, (3, 224, 224)), _imagenet(confusion, 770), None
    )
    note = _finding(outcome, "published EfficientNet-B3", "top-1 accuracy").note
    assert "4.6 points more at no more MACs" in note
    assert "EfficientNet-B1 is no less accurate with 66% fewer MACs" in note


def _predicted(right: int, n: int = 400, *, classes: str = "ab", lost: int = 0) -> Predictions:
    """Predictions of which the first ones are right, but for some at the beginning."""
    label = [classes[i % 2] for i in range(n)]
    wrong = {classes[0]: classes[1], classes[1]: classes[0]}
    said = [c if lost <= i < right + lost else wrong[c] for i, c in enumerate(label)]
    return Predictions.of(label, said)


def _ran(predictions: Predictions) -> Predictions:
    """The same, said by weights that are known."""
    return replace(predictions, about={"candidate": {"weights_digest": "5f" * 32}})


def _among(own: Baseline, right: int, **others: Baseline) -> Outcome:
    test = _ran(_predicted(right))
    audits = OwnAudits((own, *others.values()))
    return Efficiency().run(B0, Confusion.of(test), None, test, audits)


@pytest.mark.parametrize(
    ("right", "status"),
    [(300, Status.FAIL), (389, Status.INCONCLUSIVE), (390, Status.INCONCLUSIVE)],
)
def test_dominated_by_a_model_of_ones_own(right: int, status: Status) -> None:
    outcome = _among(_baseline(_predicted(390), "small", macs=200_000_000), right)
    finding = _finding(outcome, "own small", "accuracy difference")
    assert finding.status is status
    assert finding.observed == pytest.approx((right - 390) / 400)
    if status is Status.FAIL:
        assert "own small takes 52% of the MACs and is 22.5 points more accurate" in outcome.summary


def test_shown_better_than_a_model_of_ones_own() -> None:
    outcome = _among(_baseline(_predicted(300), "small", macs=200_000_000), 390)
    assert _status(outcome, "own small", "accuracy difference") is Status.PASS
    assert outcome.summary.endswith(
        "; no budget and no baseline was given; own small takes 52% of the MACs and is 22.5 points "
        "less accurate on the same images."
    )


def test_a_costlier_model_of_ones_own_cannot_dominate() -> None:
    outcome = _among(_baseline(_predicted(400), "large", macs=10**9), 300)
    assert _status(outcome, "own large", "accuracy difference") is Status.SKIP


def test_more_models_of_ones_own_widen_the_intervals() -> None:
    one = _baseline(_predicted(390), "small", macs=1)
    alone = _finding(_among(one, 370), "own small", "accuracy difference").interval
    other = _baseline(_predicted(380), "other", macs=1)
    both = _finding(_among(one, 370, other=other), "own small", "accuracy difference").interval
    assert alone is not None
    assert both is not None
    assert both[0] < alone[0] < alone[1] < both[1]


def test_without_the_candidates_macs_no_model_of_ones_own_is_known_to_be_cheaper() -> None:
    why, test = ("mv may multiply and is not counted",), _predicted(300)
    own = OwnAudits((_baseline(_predicted(390), "small", macs=1),))
    cost = replace(B0, macs=None, unknown=why)
    outcome = Efficiency().run(cost, Confusion.of(test), None, test, own)
    assert outcome.status is Status.INCONCLUSIVE
    finding = _finding(outcome, "own audits", "MACs")
    assert finding.note == f"the figure is not known: {why[0]}"


def _signed(images: Sequence[str], file: bytes, pixels: bytes) -> Signatures:
    """Signatures by which all these images are one picture."""
    n = len(images)
    return Signatures(
        tuple(images), ("a",) * n, (file,) * n, (pixels,) * n,
        np.zeros(n, np.uint64), np.ones(n, np.float32), np.zeros((n, 256), np.int8),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "pixels", "status"),
    [
        (b"file", b"decoded otherwise", Status.FAIL),
        (b"saved again", b"pixels", Status.FAIL),
        (b"another", b"picture", Status.SKIP),
    ],
)
def test_a_model_of_ones_own_was_tested_on_the_same_pictures(
    file: bytes, pixels: bytes, status: Status
) -> None:
    test = _predicted(300)
    pictures = dict.fromkeys(test.images, (b"file", b"pixels"))
    small = replace(_baseline(_predicted(390), "small", macs=1), pictures=pictures)
    signed = _signed(test.images, file, pixels)
    outcome = Efficiency().run(B0, Confusion.of(test), None, test, OwnAudits((small,)), signed)
    finding = _finding(outcome, "own small", "accuracy difference")
    assert finding.status is status
    assert ("other pictures under the same names" in finding.note) is (status is Status.SKIP)


ELSEWHERE = replace(_predicted(390), images=tuple(f"other/{n}.jpg" for n in range(400)))


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (_baseline(_predicted(390, 200), "few"), "share only 200 of 400"),
        (_baseline(ELSEWHERE, "elsewhere", macs=200_000_000), "tested on other images"),
        (_baseline(_predicted(390, classes="ax"), "renamed"), "other classes"),
        (_baseline(None, "bare"), "not kept"),
        (_baseline(_predicted(390), "uncounted", macs=None), "does not hold its MACs"),
        (_baseline(_ran(_predicted(300)), "itself", macs=B0.macs), "the same model"),
    ],
)
def test_what_does_not_compare_is_named_and_left_out(own: Baseline, reason: str) -> None:
    outcome = _among(own, 300)
    finding = _finding(outcome, f"own {own.audit.candidate.name}", "accuracy difference")
    assert finding.status is Status.SKIP
    assert finding.observed is None
    assert "left out" in finding.note
    assert reason in finding.note


def test_budgets_without_units_are_refused_with_the_line(
    write: Callable[[str, str], Path],
) -> None:
    path = write("auditor.toml", "[checks.efficiency]\nmax_parameters = 1\nmax_macs = 400000\n")
    config, source = load_config(path)
    with pytest.raises(InputError, match=r":3: checks.efficiency.max_macs: give the unit.*400 MM"):
        configure(find_checks(), config.checks, source)


def test_audits_lie_relative_to_the_file(write: Callable[[str, str], Path]) -> None:
    path = write("deep/auditor.toml", '[checks.efficiency]\naudits = ["../b0", "b1/audit.json"]\n')
    config, source = load_config(path)
    config = placed_options(config, find_checks().checks, source)
    found = config.checks["efficiency"].options["audits"]
    assert found == [str(path.parents[1] / "b0"), str(path.parent / "b1/audit.json")]


def test_it_blocks_once_there_is_something_to_hold_it_to() -> None:
    assert Efficiency().default_level(frozenset()) == "advise"
    budgets = {"max_macs": "1 G", "max_parameters": 1, "max_activations": 1, "max_bytes": "1 MB"}
    for budget, value in budgets.items():
        assert _check(**{budget: value}).default_level(frozenset()) == "block"
    assert Efficiency().default_level(frozenset({"baseline"})) == "block"
