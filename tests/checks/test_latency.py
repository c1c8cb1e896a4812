from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from auditor.check import Finding, Outcome, Status
from auditor.checks.latency import LatencyCheck
from auditor.efficiency.speed import in_words, show
from auditor.engine.timings import Timings
from auditor.evidence.baseline import Baseline
from auditor.evidence.latency import Latency
from auditor.record import (
    Audit,
    CandidateInfo,
    DataInfo,
    Exhibits,
    PolicyInfo,
    Provenance,
    SplitInfo,
)

HARDWARE = {
    "device": "cpu",
    "processor": "some processor",
    "cores": "2",
    "threads": "1",
    "dtype": "float32",
    "backend": "eager, AVX2",
    "torch": "2.6.0",
}
ROLES = ("candidate", "baseline", "twin")
MS = 1e-3


def timing(
    candidate: float,
    baseline: float | None = None,
    *,
    batch: int = 1,
    rounds: int = 400,
    noise: float = 0.05,
    twin: float = 1.0,
    load: float = 0.0,
    wall: float = 1.0,
    seed: int = 0,
) -> Timings:
    """Times in ms: processor time with noise, and a load that holds back the wall clock."""
    random = np.random.default_rng([seed, batch])
    typical = [candidate, baseline, candidate * twin]
    roles = tuple(r for r, ms in zip(ROLES, typical, strict=True) if ms is not None)
    middle = MS * batch * np.array([ms for ms in typical if ms is not None])
    processor = middle * random.lognormal(0, noise, (rounds, len(roles)))
    waited = load * random.exponential(processor.mean(), processor.shape)
    parallel = np.where(np.array(roles) == "baseline", 1.0, wall)
    place = np.argsort(random.random(processor.shape), axis=1)
    settled = dict.fromkeys(roles, True)
    return Timings(batch, roles, processor * parallel + waited, processor, waited, place, settled)


def evidence(candidate: float, baseline: float | None = None, **options: Any) -> Latency:
    hardware = HARDWARE | options.pop("hardware", {})
    timings = tuple(timing(candidate, baseline, batch=n, **options) for n in (1, 16))
    names = {"candidate": "new"} | ({} if baseline is None else {"baseline": "old"})
    return Latency(timings, hardware, {}, names)


def judged(latency: Latency, baseline: Baseline | None = None, **options: Any) -> Outcome:
    return LatencyCheck(**options).run(latency, baseline)


def finding(outcome: Outcome, part: str, metric: str) -> Finding:
    return next(f for f in outcome.findings if part in f.subject and f.metric.startswith(metric))


@pytest.mark.parametrize(
    ("budget", "status"),
    [("11 ms", Status.PASS), ("9 ms", Status.FAIL), ("0.0100 s", Status.INCONCLUSIVE)],
)
def test_a_budget_of_the_median(budget: str, status: Status) -> None:
    outcome = judged(evidence(10), max_p50=budget)
    found = finding(outcome, "single", "p50")
    assert outcome.status is found.status is status
    assert found.unit == "seconds"
    assert found.limit == pytest.approx(float(budget.split()[0]) * (MS if "ms" in budget else 1))
    assert (status is Status.INCONCLUSIVE) == ("[latency] seconds" in found.note)


def test_over_the_budget_is_said_with_its_unit() -> None:
    summary = judged(evidence(10), max_p50="9 ms").summary
    assert re.search(r"p50 latency (9\.\d+|10\.?\d*) ms is over the 9 ms allowed", summary)


@pytest.mark.parametrize(
    ("value", "unit", "digits", "said"),
    [
        (0.01234, "seconds", 3, "12.3 ms"),
        (0.9994, "seconds", 3, "999 ms"),
        (0.9996, "seconds", 3, "1 s"),
        (0.9996, "seconds", 4, "999.6 ms"),
        (1.0, "seconds", 3, "1 s"),
        (1.2367, "seconds", 3, "1.24 s"),
        (1234.5, "seconds", 3, "1,234 s"),
        (0.123, "images/s", 3, "0.123 images/s"),
        (999.7, "images/s", 3, "1,000 images/s"),
        (1000.0, "images/s", 4, "1,000 images/s"),
        (4321.5, "images/s", 3, "4,322 images/s"),
    ],
)
def test_times_and_rates_are_written_without_exponents(
    value: float, unit: str, digits: int, said: str
) -> None:
    assert in_words(value, unit, digits) == said


def test_over_a_budget_of_a_second_is_said_in_seconds() -> None:
    summary = judged(evidence(1240), max_p50="1 s").summary
    assert re.search(r"p50 latency 1\.\d+ s is over the 1 s allowed", summary)


@pytest.mark.parametrize(
    ("rounds", "budget", "status"),
    [
        (400, "15 ms", Status.PASS),
        (400, "10.5 ms", Status.FAIL),
        (200, "15 ms", Status.INCONCLUSIVE),
        (200, "10 ms", Status.FAIL),
    ],
)
def test_a_budget_of_the_99th_percentile(rounds: int, budget: str, status: Status) -> None:
    found = finding(judged(evidence(10, rounds=rounds), max_p99=budget), "single", "p99")
    assert found.status is status
    assert (found.interval is None) == (rounds < 299)
    assert ("299" in found.note) == (status is Status.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("rate", "status"), [("90 img/s", Status.PASS), ("110 images / s", Status.FAIL)]
)
def test_a_budget_of_throughput(rate: str, status: Status) -> None:
    outcome = judged(evidence(10), min_throughput=rate)
    found = finding(outcome, "batches of 16", "throughput")
    assert outcome.status is found.status is status
    assert found.observed == pytest.approx(100, rel=0.02)


def test_a_rate_of_thousands_is_written_out() -> None:
    summary = judged(evidence(0.24), min_throughput="9000 img/s").summary
    assert re.search(r", 4,\d\d\d images/s in batches of 16", summary)


def test_a_busy_machine_does_not_fail_a_budget_that_the_work_keeps() -> None:
    outcome = judged(evidence(10, load=3), max_p50="15 ms")
    assert outcome.status is Status.INCONCLUSIVE
    assert "the processor was in use by others" in outcome.summary


def test_a_busy_machine_fails_a_budget_that_the_work_alone_breaks() -> None:
    assert judged(evidence(10, load=3), max_p50="8 ms").status is Status.FAIL


def test_a_budget_kept_on_a_busy_machine_is_kept() -> None:
    assert judged(evidence(10, load=3, noise=0.8), max_p50="60 ms").status is Status.PASS


def test_a_noisy_machine_fails_no_budget() -> None:
    outcome = judged(evidence(10, twin=1.3), max_p50="8 ms")
    assert outcome.status is Status.INCONCLUSIVE
    assert "too noisy" in outcome.summary


def test_a_fifth_slower_fails() -> None:
    outcome = judged(evidence(12, 10))
    assert outcome.status is Status.FAIL
    for part in ("single images, baseline old", "batches of 16, baseline old"):
        found = finding(outcome, part, "processor time")
        assert found.status is Status.FAIL
        assert found.observed == pytest.approx(1.2, rel=0.02)
        assert found.limit == 1.10
    assert "1.2" in outcome.summary
    assert "more than 1.10×" in outcome.summary


def test_its_equal_passes_and_so_does_a_quicker_one() -> None:
    for other in (10, 12):
        outcome = judged(evidence(10, other))
        assert outcome.status is Status.PASS
        assert outcome.summary.endswith(
            "; no budget was given; at most 10% slower than the baseline old."
        )
    wide = judged(evidence(10, 10), tolerance=0.125).summary
    assert "at most 12.5% slower than the baseline old" in wide


@pytest.mark.parametrize("baseline", [None, 10.0])
def test_within_every_limit_is_said_where_one_was_given(baseline: float | None) -> None:
    outcome = judged(evidence(10, baseline), max_p50="15 ms")
    assert outcome.status is Status.PASS
    assert outcome.summary.endswith("; within every limit given.")


def test_slower_by_less_than_the_tolerance_passes() -> None:
    assert judged(evidence(10.5, 10)).status is Status.PASS
    for tolerance in (0.0, 0.01):
        assert judged(evidence(10.5, 10), tolerance=tolerance).status is not Status.PASS
    assert judged(evidence(12, 10), tolerance=0.3).status is Status.PASS


def test_on_the_limit_it_is_inconclusive_with_the_repeats_that_would_do() -> None:
    outcome = judged(evidence(10.8, 10, rounds=40, noise=0.1))
    assert outcome.status is Status.INCONCLUSIVE
    notes = [f.note for f in outcome.findings if f.status is Status.INCONCLUSIVE]
    assert any("more repeats would settle it: measure" in note for note in notes)


@pytest.mark.parametrize(("twin", "times"), [(1.2, "0.84× [0.83, 0.85]"), (0.8, "1.26× [1.25")])
def test_a_machine_on_which_nothing_equals_itself_decides_nothing(twin: float, times: str) -> None:
    outcome = judged(evidence(12.5, 10, twin=twin))
    assert outcome.status is Status.INCONCLUSIVE
    found = finding(outcome, "single images, baseline", "processor time")
    assert times in found.note
    assert "too noisy" in found.note


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.1])
def test_what_is_slower_by_more_than_all_noise_fails(tolerance: float) -> None:
    """No machine is so quiet that a model equals its twin to the last bit."""
    slow, equal = evidence(20, 10, twin=1.2), evidence(10, 10, twin=1.2)
    assert judged(slow, tolerance=tolerance).status is Status.FAIL
    assert judged(equal, tolerance=tolerance).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("option", "missed", "kept"),
    [("max_p50", "7 ms", "9 ms"), ("min_throughput", "140 img/s", "110 img/s")],
)
def test_a_budget_that_is_missed_by_more_than_all_noise_fails(
    option: str, missed: str, kept: str
) -> None:
    """The candidate is a fifth quicker than its own twin: 10 ms, 100 images a second."""
    for budget, status in ((missed, Status.FAIL), (kept, Status.INCONCLUSIVE)):
        asked: dict[str, Any] = {option: budget}
        assert judged(evidence(10, twin=1.2), tolerance=0.0, **asked).status is status


def test_noise_that_bounds_nothing_decides_nothing() -> None:
    outcome = judged(evidence(12, 10, rounds=12, noise=0.5))
    assert outcome.status is Status.INCONCLUSIVE


def test_too_few_rounds_bound_nothing() -> None:
    outcome = judged(evidence(12, 10, rounds=3))
    assert outcome.status is Status.INCONCLUSIVE
    assert "3 rounds are too few" in outcome.summary
    ratio = finding(outcome, "single images, baseline", "processor time")
    assert ratio.observed == pytest.approx(1.2, rel=0.2), "it was measured, which is noted"
    assert ratio.interval is None


@pytest.mark.parametrize("seed", range(10))
def test_a_load_on_the_wall_is_no_slowdown(seed: int) -> None:
    """Other processes hold back the wall clock by three times, and not evenly."""
    assert judged(evidence(10, 10, load=3, seed=seed)).status is Status.PASS


def test_what_is_too_slow_beyond_the_first_two_is_counted() -> None:
    bars: dict[str, Any] = {"max_p50": "1 ms", "max_p99": "1 ms", "min_throughput": "1000000 img/s"}
    assert judged(evidence(12), **bars).summary.endswith("; and 1 more.")
    assert "more" not in judged(evidence(12), **dict(list(bars.items())[:2])).summary


@pytest.mark.parametrize(("confidence", "needed"), [(0.95, 299), (0.99, 459)])
def test_repeats_for_a_bound_are_those_of_the_confidence(confidence: float, needed: int) -> None:
    """0.99 to the n-th falls below 1 - confidence."""
    outcome = judged(evidence(10, rounds=40), max_p99="20 ms", confidence=confidence)
    assert f"{needed} would" in finding(outcome, "single", "p99").note
    assert 0.99**needed <= 1 - confidence < 0.99 ** (needed - 1)


def test_the_same_work_done_less_in_parallel_does_not_pass() -> None:
    outcome = judged(evidence(10, 10, wall=1.5))
    assert outcome.status is Status.INCONCLUSIVE
    assert "in parallel" in outcome.summary


def test_a_wall_that_is_noisy_itself_withholds_no_pass() -> None:
    """Half as long again by the wall, on which the candidate is not like its own twin either."""
    latency = evidence(10, 10, wall=1.5)
    twin_alone = np.array([1.0, 1.0, 1 / 1.5])  # the columns are ROLES
    noisy = tuple(replace(timed, wall=timed.wall * twin_alone) for timed in latency.timings)
    assert judged(replace(latency, timings=noisy)).status is Status.PASS


def test_a_wall_that_is_slower_by_more_than_its_noise_withholds_a_pass() -> None:
    latency = evidence(10, 10, wall=5)
    twin_alone = np.array([1.0, 1.0, 1 / 1.5])  # the columns are ROLES
    noisy = tuple(replace(timed, wall=timed.wall * twin_alone) for timed in latency.timings)
    outcome = judged(replace(latency, timings=noisy))
    assert outcome.status is Status.INCONCLUSIVE
    assert "in parallel" in outcome.summary


def test_a_wall_that_stands_on_the_limit_withholds_no_pass() -> None:
    latency = evidence(10, 10, wall=1.1)
    for timed in latency.timings:
        ratio = timed.ratio("candidate", "baseline", "wall", 0.975)
        assert ratio.low < 1.1 < ratio.high
    assert judged(latency).status is Status.PASS


def test_single_images_and_batches_share_what_the_confidence_leaves() -> None:
    latency = evidence(10, 11)
    found = finding(judged(latency), "single images, baseline", "processor time")
    expected = latency.timings[0].ratio("candidate", "baseline", "processor", 0.975)
    assert found.interval == expected.interval


@pytest.mark.parametrize("candidate", [5, 20])
def test_times_of_what_did_not_run_settle_nothing(candidate: float) -> None:
    latency = replace(evidence(candidate, 10), unlike="timed in torch, run elsewhere")
    outcome = judged(latency, max_p50="10 ms", min_throughput="100 img/s")
    found = [f for f in outcome.findings if f.status is not Status.SKIP]
    assert len(found) == 4
    assert {(f.status, f.note) for f in found} == {(Status.INCONCLUSIVE, latency.unlike)}
    assert {(f.observed, f.interval) for f in found} == {(None, None)}  # of another way of running


def test_on_a_gpu_the_wall_decides_and_a_twentieth_is_too_much() -> None:
    gpu = {"device": "Some GPU"}
    assert judged(evidence(10, 10, wall=1.08, hardware=gpu)).status is Status.FAIL
    quick, slow = evidence(10, 10, hardware=gpu), evidence(10.8, 10, hardware=gpu)
    assert judged(quick).status is Status.PASS
    assert judged(slow).status is Status.FAIL
    assert finding(judged(slow), "single images, baseline", "wall time").limit == 1.05


def test_a_processor_clock_too_coarse_leaves_the_wall() -> None:
    seen = evidence(10, 10)
    coarse = [
        Timings(t.batch, t.models, t.wall, np.zeros_like(t.wall), t.waited, t.place, t.settled)
        for t in seen.timings
    ]
    latency = Latency(tuple(coarse), seen.hardware, {}, seen.names)
    assert latency.clock == "wall"
    assert judged(latency).status is Status.PASS


def test_without_anything_to_hold_it_to_it_is_shown() -> None:
    outcome = judged(evidence(10))
    assert outcome.status is Status.SKIP
    assert "no budget and no baseline model" in outcome.summary
    assert "no baseline model was given" in finding(outcome, "baseline", "processor time").note
    assert finding(outcome, "single", "p50").observed == pytest.approx(0.010, rel=0.02)


@pytest.fixture
def stored() -> Callable[..., Baseline]:
    """A baseline audit that holds a latency, measured on other hardware where so given."""

    def make(**hardware: str) -> Baseline:
        split = SplitInfo(source="", images=1, predicted=1)
        blank = dict.fromkeys(("created", "repeat", "config", "config_digest", "python"), "")
        audit = Audit(
            verdict="accepted",
            summary="",
            candidate=CandidateInfo(name="old"),
            data=DataInfo(classes=("a", "b"), class_order="", test=split),
            policy=PolicyInfo(preset="sign-off", inconclusive=""),
            checks=(),
            exhibits=Exhibits(latency=show(evidence(5, hardware=hardware), 0.1, 0.95)),
            provenance=Provenance(auditor="0", platform="", **blank),
        )
        return Baseline(audit, None, "not needed here")

    return make


@pytest.mark.parametrize(
    "hardware", [{"processor": "other"}, {"threads": "2"}, {"dtype": "float16"}, {"torch": "2.7"}]
)
def test_latencies_of_different_hardware_are_refused(
    stored: Callable[..., Baseline], hardware: dict[str, str]
) -> None:
    outcome = judged(evidence(10), stored(**hardware), max_p50="11 ms")
    assert outcome.status is Status.INCONCLUSIVE
    (name, text) = next(iter(hardware.items()))
    assert f"not comparable: {name} {text} and {HARDWARE[name]}" in outcome.summary


def test_a_latency_stored_on_the_same_hardware_is_not_judged(
    stored: Callable[..., Baseline],
) -> None:
    outcome = judged(evidence(10), stored(), max_p50="11 ms")
    assert outcome.status is Status.PASS
    assert "measured at another time" in finding(outcome, "as stored", "processor time").note


def test_the_model_timed_in_this_run_is_what_counts(stored: Callable[..., Baseline]) -> None:
    assert judged(evidence(10, 10), stored(torch="2.7")).status is Status.PASS


@pytest.mark.parametrize("value", [20, 0.02, "20", "20 msec", "ms", "-1 ms", "0 ms", "1..2 ms", ""])
def test_times_without_a_unit_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        LatencyCheck.model_validate({"max_p50": value})


@pytest.mark.parametrize("value", [50, "50", "50 ms", "0 img/s", "fast img/s", "50 img"])
def test_rates_without_a_unit_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        LatencyCheck.model_validate({"min_throughput": value})


def test_it_blocks_once_there_is_something_to_hold_it_to() -> None:
    assert LatencyCheck().default_level(frozenset({"baseline"})) == "advise"
    assert LatencyCheck().default_level(frozenset({"baseline_model"})) == "block"


@pytest.mark.parametrize(
    ("budget", "value"), [("max_p50", "1 s"), ("max_p99", "1 s"), ("min_throughput", "5 img/s")]
)
def test_each_budget_blocks_and_is_not_settled_where_nothing_was_timed(
    budget: str, value: str
) -> None:
    check = LatencyCheck.model_validate({budget: value})
    assert check.default_level(frozenset()) == "block"
    assert check.not_run("there is no model").status is Status.INCONCLUSIVE


def test_evidence_survives_its_table() -> None:
    seen = evidence(12, 10, rounds=7)
    again = Latency.from_table(seen.to_table())
    assert (again.hardware, again.names, again.clock) == (seen.hardware, seen.names, seen.clock)
    for before, after in zip(seen.timings, again.timings, strict=True):
        assert (before.batch, before.models, before.settled) == (
            after.batch,
            after.models,
            after.settled,
        )
        for name in ("wall", "processor", "waited", "place"):
            assert (getattr(before, name) == getattr(after, name)).all()
