from __future__ import annotations

import re
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditor.check import Check, Finding, IntervalMethod, Outcome, Status, allows_none, decide

NAN = float("nan")
SHARES = st.floats(0, 1)


@pytest.mark.parametrize("status", [Status.PASS, Status.FAIL])
@pytest.mark.parametrize("missing", [{"observed": None}, {"observed": 0.5, "n": 0}])
def test_nothing_observed_is_no_pass_and_no_failure(
    status: Status, missing: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="nothing was observed"):
        Finding(subject="x", metric="m", status=status, **missing)


@pytest.mark.parametrize("field", ["observed", "limit"])
@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_nan_is_no_value(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Finding.model_validate({"subject": "x", "metric": "m", field: value})


def test_nan_is_no_bound() -> None:
    with pytest.raises(ValidationError):
        Finding(subject="x", metric="m", interval=(NAN, 1.0))
    with pytest.raises(ValidationError):
        Finding.judged("x", "m", 0.5, (NAN, NAN), 0.4, n=5)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("interval", [(NAN, NAN), (NAN, 1.0), (0.0, NAN)])
def test_nan_decides_nothing(interval: tuple[float, float], higher: bool) -> None:
    assert decide(interval, 0.5, higher_is_better=higher) is Status.INCONCLUSIVE
    assert decide((0.1, 0.9), NAN, higher_is_better=higher) is Status.INCONCLUSIVE


@given(SHARES, SHARES, SHARES, st.booleans())
def test_no_finding_contradicts_its_interval(
    a: float, b: float, limit: float, higher: bool
) -> None:
    """A pass has its whole interval on the right side of the limit, a failure never has."""
    low, high = sorted((a, b))
    right = low >= limit if higher else high <= limit
    told = {"subject": "x", "metric": "m", "observed": low, "limit": limit, "n": 9}
    told |= {"interval": (low, high), "higher_is_better": higher}
    assert Finding.model_validate(told | {"status": "inconclusive"}).limit == limit
    for status in ("pass", "fail"):
        if right is (status == "pass"):
            assert Finding.model_validate(told | {"status": status}).status == status
        else:
            with pytest.raises(ValidationError, match=f"x: m: .* the status cannot be {status}"):
                Finding.model_validate(told | {"status": status})


@given(SHARES, SHARES, st.booleans())
def test_without_an_interval_the_observed_value_is_held_to_the_limit(
    observed: float, limit: float, higher: bool
) -> None:
    right = observed >= limit if higher else observed <= limit
    told = {"subject": "x", "metric": "m", "observed": observed, "limit": limit}
    told |= {"higher_is_better": higher}
    found = Finding.fact("x", "m", observed, limit, unit="share", higher_is_better=higher)
    assert found == Finding.model_validate(told | {"status": "pass" if right else "fail"})
    with pytest.raises(ValidationError, match="the status cannot be"):
        Finding.model_validate(told | {"status": "fail" if right else "pass"})


@pytest.mark.parametrize("status", list(Status))
def test_an_interval_that_ends_before_it_begins_is_none(status: Status) -> None:
    with pytest.raises(ValidationError, match=r"\[0.95, 0.6\] ends before it begins"):
        Finding(subject="x", metric="m", observed=0.8, interval=(0.95, 0.6), status=status)
    with pytest.raises(ValidationError, match="ends before it begins"):
        Finding.judged("dog", "recall", 0.80, (0.95, 0.60), 0.85, n=20)
    assert Finding.judged("dog", "recall", 0.80, (0.60, 0.95), 0.85, n=20).status == "inconclusive"


@pytest.mark.parametrize("interval", ["exact", "wilson"])
def test_alpha_is_no_confidence(interval: IntervalMethod) -> None:
    with pytest.raises(ValueError, match=r"confidence of 0.05 is not in \[0.5, 1\)"):
        Finding.rate("dog", "recall", 8, 10, 0.85, 0.05, interval)
    found = Finding.rate("dog", "recall", 8, 10, 0.85, 0.95, interval)
    assert found.status is Status.INCONCLUSIVE


@given(SHARES, SHARES, SHARES)
def test_the_whole_interval_decides(a: float, b: float, limit: float) -> None:
    low, high = sorted((a, b))
    up = decide((low, high), limit, higher_is_better=True)
    down = decide((low, high), limit, higher_is_better=False)
    assert (up is Status.PASS) == (low >= limit)
    assert (up is Status.FAIL) == (high < limit)
    assert (down is Status.PASS) == (high <= limit)
    assert (down is Status.FAIL) == (low > limit)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"interval": "wald"}, '"wald" is no method; give "exact" or "wilson"'),
        ({"successes": 7.5}, "7.5 is no whole number"),
        ({"successes": float("nan")}, "nan is no whole number"),
        ({"n": 9.5}, "9.5 is no whole number"),
        ({"n": 0, "successes": 0, "interval": "wald"}, '"wald" is no method'),
        ({"minimum": 85}, "a minimum of 85 is not in [0, 1]"),
        ({"minimum": -0.1}, "a minimum of -0.1 is not in [0, 1]"),
        ({"minimum": float("nan")}, "a minimum of nan is not in [0, 1]"),
    ],
)
def test_what_is_no_rate_is_refused(told: dict[str, Any], said: str) -> None:
    rate = {"successes": 8, "n": 10, "minimum": 0.85, "confidence": 0.95}
    with pytest.raises(ValueError, match=re.escape(said)):
        Finding.rate("dog", "recall", **{**rate, **told})


def test_a_rate_on_nothing_is_inconclusive() -> None:
    finding = Finding.rate("x", "recall", 0, 0, 0.85, 0.95)
    assert finding.status is Status.INCONCLUSIVE
    assert finding.observed is None
    assert "19 samples" in finding.note


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize(("better", "status"), [(0, "pass"), (1, "pass"), (-1, "fail")])
def test_a_fact_on_its_limit_is_within(better: int, status: str, higher: bool) -> None:
    observed = 5 + better if higher else 5 - better
    found = Finding.fact("x", "bytes", observed, 5, unit="bytes", higher_is_better=higher)
    assert found.status == status


@pytest.mark.parametrize(("why", "note"), [("", ""), ("no budget", ": no budget")])
@pytest.mark.parametrize("observed", [None, 0.1])
def test_what_is_only_shown_is_judged_by_nobody(
    observed: float | None, why: str, note: str
) -> None:
    shown = Finding.shown("x", "recall", observed, n=3, why=why)
    assert (shown.status, shown.limit) == (Status.SKIP, None)
    assert (shown.observed, shown.n, shown.note) == (observed, 3, f"shown, not judged{note}")
    judged = Finding.fact("x", "bytes", 4, 5, unit="bytes")
    assert Outcome.of([shown], "").status is Status.SKIP
    assert Outcome.of([shown, judged], "").status is Status.PASS


@pytest.mark.parametrize("status", [Status.FAIL, Status.INCONCLUSIVE, Status.ERROR, Status.SKIP])
def test_an_outcome_cannot_pass_on_a_worse_finding(status: Status) -> None:
    finding = Finding(subject="x", metric="m", observed=0.1, status=status)
    with pytest.raises(ValidationError, match="passes only on findings"):
        Outcome(status=Status.PASS, summary="fine", findings=(finding,))


def test_an_outcome_cannot_pass_on_nothing() -> None:
    with pytest.raises(ValidationError, match="passes only on findings"):
        Outcome(status=Status.PASS, summary="fine")


@pytest.mark.parametrize(
    ("annotation", "optional"),
    [
        ("Predictions | None", True),
        ("None | Predictions", True),
        ("Predictions", False),
        ("Optional[Predictions]", True),
        ("typing.Optional[Predictions]", True),
        (Optional[int], True),  # noqa: UP045
        (int | None, True),
        (int, False),
        ("dict[str, int | None]", False),
        ("NoneSuch", False),
    ],
)
def test_what_may_be_absent(annotation: object, optional: bool) -> None:
    assert allows_none(annotation) is optional


class Two(Check):
    id = "two"
    title = "Two"
    limit: float = 1.0
    """A number."""

    def run(self, test: int, other: str | None) -> Outcome:
        return Outcome(status=Status.SKIP, summary=f"{test} {other}")


def test_a_check_needs_what_its_run_asks_for() -> None:
    assert Two.needs() == {"test": True, "other": False}


@pytest.mark.parametrize("value", [NAN, float("inf"), "many"])
def test_no_option_is_nan(value: object) -> None:
    with pytest.raises(ValidationError):
        Two.model_validate({"limit": value})


def test_options_are_frozen_and_known() -> None:
    with pytest.raises(ValidationError):
        Two().limit = 2.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Two.model_validate({"limits": 1.0})


class Once(Check):
    id = "once"
    title = "Once"
    blocks_once = "a budget is given"

    def blocks_now(self, available: frozenset[str]) -> bool:
        return "budget" in available

    def run(self, test: int) -> Outcome:
        return Outcome(status=Status.SKIP, summary=f"{test}")


def test_what_blocks_once_something_is_given_advises_until_then() -> None:
    assert Once().default_level(frozenset()) == "advise"
    assert Once().default_level(frozenset({"budget"})) == "block"


class Budgeted(Two):
    id = "budgeted"

    @property
    def has_budget(self) -> bool:
        return self.limit > 1


def test_a_budget_that_nothing_was_held_to_is_not_settled() -> None:
    silent, told = Budgeted().not_run("there is no model"), Budgeted(limit=2.0).not_run("no model")
    assert (silent.status, silent.summary) == (Status.SKIP, "there is no model")
    assert told.status is Status.INCONCLUSIVE
    assert told.summary == "no budget was judged: no model"
