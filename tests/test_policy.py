from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.check import Finding, Level, Outcome, Status, worst
from auditor.config import CheckTable, Preset, Waiver
from auditor.policy import apply_waivers, decide_verdict, describe_policy, hold_to_level
from auditor.record import Audit, CheckResult, Verdict

TODAY = datetime.date(2026, 11, 23)
LEVELS: tuple[Level, ...] = ("block", "block", "advise", "off")
PRESETS: tuple[Preset, ...] = ("sign-off", "pull-request")
OBSERVED = {Status.PASS: 1.0, Status.FAIL: 0.0, Status.INCONCLUSIVE: 0.5}


def _finding(status: Status, subject: str = "x", metric: str = "m") -> Finding:
    return Finding(subject=subject, metric=metric, observed=OBSERVED.get(status), status=status)


def _result(
    status: Status,
    level: Level = "block",
    *,
    id: str = "c",
    findings: Sequence[Finding] | None = None,
) -> CheckResult:
    found = (_finding(status),) if findings is None else tuple(findings)
    return CheckResult(
        id=id, version=1, title="t", level=level, status=status, summary="s", findings=found
    )


def _waiver(
    subject: str | None = None, metric: str | None = None, *, days: int = 1, check: str = "c"
) -> Waiver:
    expires = TODAY + datetime.timedelta(days)
    return Waiver(check=check, subject=subject, metric=metric, reason="agreed", expires=expires)


@pytest.mark.parametrize(
    ("status", "preset", "verdict"),
    [
        (Status.PASS, "sign-off", "accepted"),
        (Status.FAIL, "sign-off", "rejected"),
        (Status.INCONCLUSIVE, "sign-off", "undecided"),
        (Status.SKIP, "sign-off", "accepted"),
        (Status.ERROR, "sign-off", "undecided"),
        (Status.PASS, "pull-request", "accepted"),
        (Status.FAIL, "pull-request", "rejected"),
        (Status.INCONCLUSIVE, "pull-request", "accepted"),
        (Status.SKIP, "pull-request", "accepted"),
        (Status.ERROR, "pull-request", "undecided"),
    ],
)
def test_one_blocking_check_beside_a_pass(status: Status, preset: Preset, verdict: Verdict) -> None:
    results = [_result(Status.PASS, id="good"), _result(status, id="other")]
    found, summary = decide_verdict(results, preset)
    assert found == verdict
    assert ("other" in summary) == (status is not Status.PASS)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("level", ["advise", "off"])
@pytest.mark.parametrize("status", list(Status))
def test_what_does_not_block_decides_nothing(status: Status, level: Level, preset: Preset) -> None:
    passing = _result(Status.PASS, id="good")
    assert decide_verdict([passing, _result(status, level)], preset)[0] == "accepted"
    assert decide_verdict([_result(status, level)], preset)[0] == "undecided"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("status", [Status.SKIP, Status.INCONCLUSIVE, Status.ERROR])
def test_without_a_blocking_pass_nothing_was_shown(status: Status, preset: Preset) -> None:
    assert decide_verdict([_result(status)], preset)[0] == "undecided"


@pytest.mark.parametrize("preset", PRESETS)
def test_zero_checks_are_undecided(preset: Preset) -> None:
    verdict, summary = decide_verdict([], preset)
    assert verdict == "undecided"
    assert "nothing was shown" in summary


@pytest.mark.parametrize("preset", PRESETS)
def test_a_failure_outweighs_a_crash(preset: Preset) -> None:
    results = [_result(Status.ERROR, id="a"), _result(Status.FAIL, id="b")]
    verdict, summary = decide_verdict(results, preset)
    assert verdict == "rejected"
    assert "1 of 2 blocking checks fails" in summary
    assert "b" in summary.split(": ")[1]


@pytest.mark.parametrize("preset", PRESETS)
def test_what_else_stands_in_the_way_is_named(preset: Preset) -> None:
    crashed, unsettled = _result(Status.ERROR, id="a"), _result(Status.INCONCLUSIVE, id="b")
    passing = _result(Status.PASS, id="good")
    _, summary = decide_verdict([passing, crashed, unsettled], preset)
    assert summary == "1 of 3 blocking checks ended in an error: a; not settled: b."
    failing = _result(Status.FAIL, id="c")
    _, summary = decide_verdict([passing, crashed, unsettled, failing], preset)
    assert summary == "1 of 4 blocking checks fails: c; ended in an error: a; not settled: b."


def test_what_was_not_settled_or_skipped_is_said() -> None:
    results = [
        _result(Status.PASS, id="a"),
        _result(Status.INCONCLUSIVE, id="b"),
        _result(Status.SKIP, id="d"),
    ]
    _, summary = decide_verdict(results, "pull-request")
    assert "not settled, noted: b" in summary
    assert "not run: d" in summary


NOTHING = Finding.unmeasured("test", "accuracy difference", "not comparable")
OPEN = _finding(Status.INCONCLUSIVE, "y")
SHOWN = Finding.shown("test", "top-1 accuracy", 0.9, n=10)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "findings",
    [
        [],
        [NOTHING],
        [SHOWN],
        [NOTHING, SHOWN],
        [NOTHING, _finding(Status.PASS, "y")],
        [NOTHING, OPEN],
        [OPEN, NOTHING],
    ],
)
def test_what_was_not_measured_is_no_lack_of_proof(preset: Preset, findings: list[Finding]) -> None:
    """No figure of something else stands for it."""
    blind = _result(Status.INCONCLUSIVE, id="blind", findings=findings)
    results = [_result(Status.PASS, id="a"), _result(Status.INCONCLUSIVE, id="b"), blind]
    verdict, summary = decide_verdict(results, preset)
    assert verdict == "undecided"
    assert "blind" in summary


@pytest.mark.parametrize(
    "findings", [[OPEN], [OPEN, SHOWN], [OPEN, Finding.shown("test", "kappa", None)]]
)
def test_what_was_measured_and_is_not_settled_is_noted_in_a_pull_request(
    findings: list[Finding],
) -> None:
    seen = _result(Status.INCONCLUSIVE, findings=findings)
    verdict, summary = decide_verdict([_result(Status.PASS, id="a"), seen], "pull-request")
    assert (verdict, summary) == (
        "accepted",
        "1 of 2 blocking checks passes; not settled, noted: c.",
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("judges", ["data", "cost"])
def test_costs_and_data_alone_show_nothing_of_the_candidate(
    preset: Preset, judges: Literal["data", "cost"]
) -> None:
    passes = _result(Status.PASS).model_copy(update={"judges": judges})
    assert decide_verdict([passes], preset)[0] == "undecided"
    assert decide_verdict([passes, _result(Status.PASS, id="b")], preset)[0] == "accepted"


def test_what_passed_and_shows_nothing_of_the_candidate_is_named() -> None:
    order = _result(Status.PASS, id="order").model_copy(update={"judges": "data"})
    cost = _result(Status.PASS, id="cost").model_copy(update={"judges": "cost"})
    nothing = "No blocking check that judges the candidate passed, so nothing was shown"
    _, summary = decide_verdict([order, _result(Status.FAIL, "advise", id="gap")], "sign-off")
    assert summary == (
        f"{nothing}; passed, and says nothing of how well it predicts: order; "
        "advising and failing: gap."
    )
    _, summary = decide_verdict([order, cost], "sign-off")
    assert summary == f"{nothing}; passed, and say nothing of how well it predicts: order, cost."
    assert decide_verdict([_result(Status.SKIP)], "sign-off")[1] == f"{nothing}."


def test_an_accepted_candidate_is_told_what_advises_against_it() -> None:
    results = [
        _result(Status.PASS, id="good"),
        _result(Status.FAIL, "advise", id="gap"),
        _result(Status.ERROR, "advise", id="broken"),
        apply_waivers(_result(Status.FAIL, "advise", id="c"), [_waiver()], TODAY),
        *(_result(s, "advise", id="fine") for s in (Status.PASS, Status.SKIP)),
        _result(Status.FAIL, "off", id="silent"),
    ]
    _, summary = decide_verdict(results, "sign-off")
    assert summary == (
        "1 of 1 blocking check passes; advising and failing: gap; "
        "advising and ended in an error: broken."
    )


@pytest.mark.parametrize(
    ("others", "verdict"),
    [([], "accepted"), ([Status.FAIL], "rejected"), ([Status.ERROR], "undecided")],
)
def test_gates_that_were_removed_are_named(others: list[Status], verdict: Verdict) -> None:
    gone = [
        _result(Status.SKIP, "off", id="rare"),
        _result(Status.PASS, "advise", id="gap"),
        _result(Status.SKIP, "off", id="top1"),
    ]
    usual = [each.model_copy(update={"own_level": "block"}) for each in gone]
    beside = [
        _result(Status.PASS, id="good").model_copy(update={"own_level": "block"}),
        _result(Status.SKIP, "off", id="never").model_copy(update={"own_level": "advise"}),
        _result(Status.SKIP, "off", id="of-an-older-audit"),
        *(_result(status, id="bad") for status in others),
    ]
    found, summary = decide_verdict([*usual, *beside], "sign-off")
    assert found == verdict
    assert summary.endswith("; switched off here: rare, top1; only advising here: gap.")
    assert "here" not in decide_verdict(beside, "sign-off")[1]


class TestWaivers:
    def _verdict(
        self, result: CheckResult, *waivers: Waiver, preset: Preset = "sign-off"
    ) -> tuple[CheckResult, Verdict, str, str]:
        waived = apply_waivers(result, waivers, TODAY)
        verdict, summary = decide_verdict([waived, _result(Status.PASS, id="good")], preset)
        states = describe_policy(preset, waivers, [waived], TODAY).waivers
        return waived, verdict, summary, ",".join(w.state for w in states)

    def test_an_active_waiver_accepts_and_is_shown(self) -> None:
        result, verdict, summary, state = self._verdict(_result(Status.FAIL), _waiver("x"))
        assert result.status is Status.FAIL
        assert result.waived
        assert result.waived_findings == {"x": ("m",)}
        assert (verdict, state) == ("accepted", "active")
        assert "failed and waived: c" in summary

    def test_without_a_subject_it_covers_all(self) -> None:
        result = _result(Status.FAIL, findings=[_finding(Status.FAIL, s) for s in "xyz"])
        waived, verdict, *_ = self._verdict(result, _waiver())
        assert waived.waived_findings == {"x": ("m",), "y": ("m",), "z": ("m",)}
        assert verdict == "accepted"

    @pytest.mark.parametrize(
        ("days", "verdict", "state"),
        [(1, "accepted", "active"), (0, "accepted", "active"), (-1, "rejected", "expired")],
    )
    def test_the_last_day_counts(self, days: int, verdict: str, state: str) -> None:
        _, found, _, became = self._verdict(_result(Status.FAIL), _waiver("x", days=days))
        assert (found, became) == (verdict, state)

    def test_partly_covered_is_not_covered(self) -> None:
        result = _result(Status.FAIL, findings=[_finding(Status.FAIL, s) for s in "xy"])
        waived, verdict, _, state = self._verdict(result, _waiver("x"))
        assert not waived.waived
        assert waived.waived_findings == {"x": ("m",)}
        assert (verdict, state) == ("rejected", "active")

    @pytest.mark.parametrize(
        ("waivers", "covered", "verdict"),
        [
            ([("x", "m")], {"x": ("m",)}, "rejected"),
            ([(None, "m")], {"x": ("m",), "y": ("m",)}, "rejected"),
            ([("x", None)], {"x": ("m", "k")}, "rejected"),
            ([("x", "m"), ("y", "m")], {"x": ("m",), "y": ("m",)}, "rejected"),
            ([(None, "m"), ("x", "k")], {"x": ("m", "k"), "y": ("m",)}, "accepted"),
            ([("x", None), ("y", "m")], {"x": ("m", "k"), "y": ("m",)}, "accepted"),
            ([(None, "m"), (None, "k")], {"x": ("m", "k"), "y": ("m",)}, "accepted"),
        ],
    )
    def test_with_a_metric_it_covers_nothing_else_of_the_subject(
        self,
        waivers: list[tuple[str | None, str | None]],
        covered: dict[str, tuple[str, ...]],
        verdict: Verdict,
    ) -> None:
        failing = [_finding(Status.FAIL, s, m) for s, m in ("xm", "xk", "ym")]
        result = _result(Status.FAIL, findings=[*failing, _finding(Status.PASS, "y", "k")])
        waived, found, _, states = self._verdict(result, *(_waiver(*each) for each in waivers))
        assert waived.waived_findings == covered
        assert waived.waived is (verdict == "accepted")
        assert (found, set(states.split(","))) == (verdict, {"active"})

    def test_two_waivers_cover_two_subjects(self) -> None:
        result = _result(Status.FAIL, findings=[_finding(Status.FAIL, s) for s in "xy"])
        _, verdict, _, state = self._verdict(result, _waiver("x"), _waiver("y"))
        assert (verdict, state) == ("accepted", "active,active")

    def test_an_expired_one_does_not_complete_an_active_one(self) -> None:
        result = _result(Status.FAIL, findings=[_finding(Status.FAIL, s) for s in "xy"])
        _, verdict, _, state = self._verdict(result, _waiver("x"), _waiver("y", days=-1))
        assert (verdict, state) == ("rejected", "active,expired")

    @pytest.mark.parametrize(
        "waiver",
        [
            _waiver("other"),
            _waiver("x", "other"),
            _waiver("other", "m"),
            _waiver(metric="other"),
            _waiver(check="good"),
            _waiver("x", check="good"),
        ],
    )
    def test_one_that_matches_nothing_is_stale(self, waiver: Waiver) -> None:
        result, verdict, _, state = self._verdict(_result(Status.FAIL), waiver)
        assert not result.waived
        assert (verdict, state) == ("rejected", "stale")

    @pytest.mark.parametrize("status", [Status.PASS, Status.INCONCLUSIVE, Status.SKIP])
    def test_what_does_not_fail_needs_none(self, status: Status) -> None:
        result, _, _, state = self._verdict(_result(status), _waiver())
        assert not result.waived
        assert state == "stale"

    def test_waived_is_never_a_pass(self) -> None:
        result = apply_waivers(_result(Status.FAIL), [_waiver()], TODAY)
        for preset in PRESETS:
            assert decide_verdict([result], preset)[0] == "undecided"

    def test_waived_beside_passing_findings_is_never_a_pass(self) -> None:
        findings = [_finding(Status.FAIL), _finding(Status.PASS, "y")]
        result = apply_waivers(_result(Status.FAIL, findings=findings), [_waiver()], TODAY)
        assert decide_verdict([result], "pull-request")[0] == "undecided"

    @pytest.mark.parametrize("other", [Status.INCONCLUSIVE, Status.ERROR])
    def test_what_else_was_found_still_counts(self, other: Status) -> None:
        findings = [_finding(Status.FAIL), _finding(other, "y")]
        result = _result(Status.FAIL, findings=findings)
        _, verdict, *_ = self._verdict(result, _waiver())
        assert verdict == "undecided"

    def test_a_crash_cannot_be_waived(self) -> None:
        result = _result(Status.ERROR, findings=[_finding(Status.FAIL)])
        for preset in PRESETS:
            _, verdict, *_ = self._verdict(result, _waiver(), preset=preset)
            assert verdict == "undecided"

    def test_a_failure_without_findings_cannot_be_waived(self) -> None:
        _, verdict, *_ = self._verdict(_result(Status.FAIL, findings=()), _waiver())
        assert verdict == "rejected"


STATUS = st.sampled_from(list(Status))
FINDINGS = st.lists(
    st.builds(_finding, STATUS, st.sampled_from("xyz"), st.sampled_from("mk")), max_size=4
)
WAIVERS = st.lists(
    st.builds(
        _waiver,
        st.sampled_from([None, "x", "y"]),
        st.sampled_from([None, "m", "k"]),
        days=st.sampled_from([-1, 0, 1]),
        check=st.sampled_from("ab"),
    ),
    max_size=3,
)


@st.composite
def results(draw: st.DrawFn) -> list[CheckResult]:
    """Results of several checks, honest ones and ones that contradict their findings."""
    made = []
    for id in draw(st.sets(st.sampled_from("abcd"))):
        findings = draw(FINDINGS)
        honest = worst(f.status for f in findings)
        status = draw(st.sampled_from([honest, *Status]))
        level: Level = draw(st.sampled_from(LEVELS))
        made.append(_result(status, level, id=id, findings=findings))
    return made


def _agreed(waiver: Waiver, check: str, finding: Finding) -> bool:
    """Tell whether somebody accepted this very failure, and still does."""
    named = [(waiver.check, check), (waiver.subject, finding.subject)]
    named.append((waiver.metric, finding.metric))
    return waiver.expires >= TODAY and all(told in (None, found) for told, found in named)


@settings(max_examples=600)
@given(results(), WAIVERS, st.sampled_from(PRESETS))
def test_accepted_is_earned(made: list[CheckResult], waivers: list[Waiver], preset: Preset) -> None:
    after = [apply_waivers(result, waivers, TODAY) for result in made]
    assert [r.status for r in after] == [r.status for r in made]
    verdict, _ = decide_verdict(after, preset)
    blocking = [r for r in after if r.level == "block"]
    if verdict == "accepted":
        assert any(r.status is Status.PASS for r in blocking)
        assert not [r for r in blocking if r.status is Status.ERROR]
        assert all(r.waived for r in blocking if r.status is Status.FAIL)
        if preset == "sign-off":
            assert not [r for r in blocking if r.status is Status.INCONCLUSIVE]
    if verdict == "rejected":
        assert [r for r in blocking if r.status is Status.FAIL and not r.waived]


@settings(max_examples=300)
@given(results(), WAIVERS)
def test_each_failure_is_accepted_by_somebody_or_not(
    made: list[CheckResult], waivers: list[Waiver]
) -> None:
    for result in (apply_waivers(result, waivers, TODAY) for result in made):
        failing = [f for f in result.findings if f.status is Status.FAIL]
        agreed = [f for f in failing if any(_agreed(w, result.id, f) for w in waivers)]
        assert result.waived is (bool(failing) and agreed == failing)
        told = {(s, metric) for s, metrics in result.waived_findings.items() for metric in metrics}
        assert told == {(f.subject, f.metric) for f in agreed}


@given(results(), WAIVERS)
def test_an_expired_waiver_changes_nothing(made: list[CheckResult], waivers: list[Waiver]) -> None:
    later = TODAY + datetime.timedelta(2)
    assert [apply_waivers(result, waivers, later) for result in made] == made


@given(FINDINGS)
def test_the_status_of_an_outcome_is_its_worst_finding(findings: list[Finding]) -> None:
    status = Outcome.of(findings, "s").status
    judged = {f.status for f in findings} - {Status.SKIP}
    if status is Status.PASS:
        assert judged == {Status.PASS}
    if Status.FAIL in judged:
        assert status is Status.FAIL
    if not judged:
        assert status is Status.SKIP


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.SKIP])
def test_what_was_judged_stays_as_it_is_where_the_file_tells_to_block(status: Status) -> None:
    result = _result(status)
    assert hold_to_level(result, {"c": CheckTable(level="block")}) == result


@pytest.mark.parametrize("level", [None, "advise", "off"])
def test_only_what_the_file_tells_to_block_is_demanded(level: Level | None) -> None:
    """A table that sets options alone demands nothing."""
    result = _result(Status.SKIP)
    assert hold_to_level(result, {"c": CheckTable(level=level)}) == result
    assert hold_to_level(result, {"other": CheckTable(level="block")}) == result


DEMANDED = (
    "baseline-regression",
    "cheaper-inference",
    "efficiency",
    "group-overlap",
    "latency",
    "operating-point",
    "overfitting",
    "preprocessing",
    "split-overlap",
)


@pytest.mark.parametrize("check", DEMANDED)
def test_what_the_file_tells_to_block_and_is_not_judged_is_not_settled(
    run: Callable[..., Audit], saved: Callable[..., Path], check: str
) -> None:
    """Where nothing is said of its level, it is skipped, and noted."""
    given: dict[str, Any] = {"test": saved({"a": {"a": 300}, "b": {"b": 300}})}
    silent = run(predictions=given)
    assert silent.check(check).status is Status.SKIP
    assert silent.verdict == "accepted"
    told = {"predictions": given, "checks": {check: {"level": "block"}}}
    audit = run(**told)
    assert audit.check(check).status is Status.INCONCLUSIVE
    assert silent.check(check).summary in audit.check(check).summary
    assert audit.verdict == "undecided"
    eased = run(**told, policy={"preset": "pull-request"})
    assert eased.verdict == "undecided"
    assert f"left something unmeasured: {check}" in eased.summary
    assert run(predictions=given, checks={check: {"level": "advise"}}).verdict == "accepted"
