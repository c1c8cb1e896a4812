"""The candidate is quick enough.

What it asks
------------
Does a single image take no longer than the budget, and does a batch bring enough images a second?
Is the candidate slower than the model that it replaces?

Why it matters
--------------
Users wait for it, and machines are paid by the hour. Two timings of one and the same model differ
by half on a busy machine, so a gate that compares two numbers stops good changes and lets slow ones
through.

How it decides
--------------
After a warm-up, each round times one pass of the candidate, of its twin (a copy of it) and of the
baseline model, in an order drawn at random, once with single images and once in batches. Quantiles
and ratios have bounds from order statistics, which assume no distribution.

1. A budget (``max_p50``, ``max_p99``, ``min_throughput``) passes if the whole interval by the clock
   on the wall is within it. It fails if the whole interval is beyond it even without the time that
   was spent waiting for a processor in use by others, and the machine is quiet enough.
2. Against the baseline model it fails if the lower bound of the ratio exceeds 1 + ``tolerance``,
   and passes if the upper bound does not. The ratio is the median over the rounds. On the CPU it is
   one of processor time, all threads summed, because that is steady beside other work; on a GPU it
   is one of wall time. Where processor time passes and a quiet wall clock says slower, it is
   inconclusive: the work is the same and is done less in parallel. The batch sizes share
   1 - ``confidence`` equally.
3. The self-check: the candidate against its twin must come out as 1 within the tolerance, bounds
   and all. Otherwise the machine is too noisy: no ratio passes, and only what exceeds its limit by
   more than the two are apart fails; the rest is inconclusive.
4. Models are timed in eager torch, an ONNX file in ONNX Runtime. Where ``[engine] backend`` asks
   for something else by name, these times are not those of what is meant to run, and settle
   nothing: inconclusive.
5. A latency that the baseline audit holds is not judged: it was measured at another time. Measured
   on other hardware, or with other threads, dtype, backend or torch, it is refused.

Nothing is timed until a budget, a baseline model or ``[latency]`` is given. It blocks once a
budget or a baseline model is.

How to fix
----------
Too noisy: end other work, remove ``evidence/latency.parquet`` and run again. Too few repeats:
raise ``[latency] seconds``. Too slow: a lower resolution, ``[engine] dtype``, a smaller member of
the family. Too slow with single images alone: many small layers, one after the other.

Limits
------
It times the forward pass on inputs in memory, in eager mode: no decoding, no preprocessing, no
server. Bounds of quantiles take repeats for independent; on a machine whose load comes and goes
they are too narrow. Bounds of ratios hold whatever the load, as long as two equal models are equal
to it. Time spent waiting for a processor is known on Linux only.

References
----------
David and Nagaraja, Order Statistics, 3rd edition (2003), section 7.1; Georges, Buytaert and
Eeckhout, OOPSLA 2007; Kalibera and Jones, ISMM 2013.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.efficiency.speed import (
    Budget,
    by_the_wall,
    in_words,
    margin,
    not_slower,
    times,
    too_noisy,
)
from auditor.units import Duration, Rate
from auditor.wording import digits_apart, listed
from auditor.wording import limit as in_per_cent

if TYPE_CHECKING:
    from auditor.engine.timings import Estimate, Timings
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.latency import Latency


class LatencyCheck(Check):
    """Is the candidate quick enough, and no slower than the model that it replaces?"""

    id = "latency"
    title = "The candidate is quick enough"
    version = 4
    level = "advise"
    blocks_once = "a budget or a baseline model is given"
    judges = "cost"

    max_p50: Duration | None = None
    """Longest median time of a single image, such as "20 ms"; kept in seconds."""
    max_p99: Duration | None = None
    """Longest 99th percentile of the times of a single image; kept in seconds."""
    min_throughput: Rate | None = None
    """Fewest images a second in batches, such as "50 img/s"; see ``[engine] batch_size``."""
    tolerance: Fraction | None = None
    """Share by which it may be slower than the baseline; 0.10 on the CPU, 0.05 on a GPU."""

    def blocks_now(self, available: frozenset[str]) -> bool:
        """Tell whether there is something to hold the candidate to."""
        return "baseline_model" in available or self.has_budget

    @property
    def has_budget(self) -> bool:
        """Whether a budget was given."""
        return any((self.max_p50, self.max_p99, self.min_throughput))

    def run(self, latency: Latency, baseline: Baseline | None) -> Outcome:
        """Judge budgets and the ratio to the baseline model; show the self-check."""
        findings = [
            *self._budgets(latency),
            *self._regressions(latency),
            *(self._self_check(latency, timing) for timing in latency.timings),
            *self._stored(latency, baseline),
        ]
        return Outcome.of(findings, _summary(latency, findings))

    def _limit(self, latency: Latency) -> float:
        return 1 + (latency.tolerance if self.tolerance is None else self.tolerance)

    def _budgets(self, latency: Latency) -> Iterator[Finding]:
        one, batch = latency.timings[0], latency.timings[-1]
        for metric, q, limit in (
            ("p50 latency", 0.50, self.max_p50),
            ("p99 latency", 0.99, self.max_p99),
        ):
            wall = one.quantile("candidate", q, self.confidence)
            alone = one.quantile("candidate", q, self.confidence, "undisturbed")
            budget = Budget(metric, "seconds", limit, wall, alone, self.confidence)
            yield self._budget(budget, latency, one)
        wall = batch.throughput("candidate", self.confidence)
        alone = batch.throughput("candidate", self.confidence, "undisturbed")
        limit, told = self.min_throughput, self.confidence
        rate = Budget("throughput", "images/s", limit, wall, alone, told, higher_is_better=True)
        yield self._budget(rate, latency, batch)

    def _budget(self, budget: Budget, latency: Latency, timing: Timings) -> Finding:
        status, note = budget.judged()
        noise = timing.ratio("candidate", "twin", latency.clock, self.confidence)
        if status is Status.FAIL and not budget.exceeded(margin(noise, self._limit(latency))):
            status, note = Status.INCONCLUSIVE, too_noisy(noise)
        finding = Finding(
            subject=_subject(timing),
            metric=budget.metric,
            observed=budget.wall.value,
            limit=budget.limit,
            interval=budget.wall.interval if budget.wall.bounded else None,
            n=budget.wall.n,
            unit=budget.unit,
            higher_is_better=budget.higher_is_better,
            status=status,
            note=note,
        )
        return _settled(latency, finding)

    def _regressions(self, latency: Latency) -> Iterator[Finding]:
        for timing in latency.timings:
            if "baseline" in timing.models:
                yield self._regression(latency, timing)
        if "baseline" not in latency.names:
            yield Finding(
                subject="baseline",
                metric=_RATIO[latency.clock],
                unit="ratio",
                higher_is_better=False,
                note="not judged: no baseline model was given ([baseline] model, module or "
                "checkpoint)",
            )

    def _regression(self, latency: Latency, timing: Timings) -> Finding:
        confidence = 1 - (1 - self.confidence) / len(latency.timings)
        limit, clock = self._limit(latency), latency.clock
        ratio = timing.ratio("candidate", "baseline", clock, confidence)
        noise = timing.ratio("candidate", "twin", clock, self.confidence)
        status, note = not_slower(ratio, noise, limit)
        if status is Status.PASS and clock == "processor":
            status, note = by_the_wall(timing, limit, confidence)
        finding = _ratio_finding(
            f"{_subject(timing)}, baseline {latency.names['baseline']}{_apart(latency)}",
            _RATIO[clock],
            ratio,
            limit,
            status,
            note,
        )
        return _settled(latency, finding)

    def _self_check(self, latency: Latency, timing: Timings) -> Finding:
        limit, clock = self._limit(latency), latency.clock
        noise = timing.ratio("candidate", "twin", clock, self.confidence)
        other = timing.ratio("candidate", "twin", "wall", self.confidence)
        note = "the machine is quiet enough" if noise.within(limit - 1) else too_noisy(noise)
        note += f"; by wall time {times(other)}" if clock != "wall" else ""
        metric = f"{_RATIO[clock]} to itself"
        return _ratio_finding(_subject(timing), metric, noise, limit, Status.SKIP, note)

    def _stored(self, latency: Latency, baseline: Baseline | None) -> Iterator[Finding]:
        from auditor.engine.hardware import different

        before = baseline.audit.exhibits.latency if baseline else None
        if baseline is None or before is None or "baseline" in latency.names:
            return
        other = different(before.hardware, latency.hardware)
        why = f"not comparable: {', '.join(other)}" if other else "measured at another time"
        yield Finding(
            subject=f"baseline {baseline.audit.candidate.name}, as stored",
            metric=_RATIO[latency.clock],
            unit="ratio",
            higher_is_better=False,
            status=Status.INCONCLUSIVE if other else Status.SKIP,
            note=f"{why}; name the baseline model in [baseline] to time both in one run",
        )


def _apart(latency: Latency) -> str:
    """Return what ran the baseline model, where that is not what ran the candidate."""
    ran, beside = (latency.ways.get(role, "") for role in ("candidate", "baseline"))
    return "" if ran == beside else f" ({beside})"


def _settled(latency: Latency, finding: Finding) -> Finding:
    """Let times settle nothing about what did not run: they are no figure of it."""
    if not latency.unlike or finding.status is Status.SKIP:
        return finding
    unknown = {"observed": None, "interval": None, "n": 0}
    said = {"status": Status.INCONCLUSIVE, "note": latency.unlike}
    return finding.model_copy(update={**unknown, **said})


_RATIO = {"processor": "processor time, ratio", "wall": "wall time, ratio"}


def _ratio_finding(
    subject: str, metric: str, ratio: Estimate, limit: float, status: Status, note: str
) -> Finding:
    return Finding(
        subject=subject,
        metric=metric,
        observed=ratio.value if math.isfinite(ratio.value) else None,
        limit=limit,
        interval=ratio.interval if ratio.bounded else None,
        n=ratio.n,
        unit="ratio",
        higher_is_better=False,
        status=status,
        note=note,
    )


def _subject(timing: Timings) -> str:
    return "single images" if timing.batch == 1 else f"batches of {timing.batch}"


def _summary(latency: Latency, findings: list[Finding]) -> str:
    one, batch = latency.timings[0], latency.timings[-1]
    p50, p99 = (one.quantile("candidate", share).value for share in (0.5, 0.99))
    head = f"{in_words(p50, 'seconds')} for a single image (p99 {in_words(p99, 'seconds')})"
    rate = in_words(batch.throughput("candidate").value, "images/s")
    ran = latency.ways.get("candidate", "").partition(",")[0]
    head += f", {rate} in {_subject(batch)}{f', in {ran}' if ran else ''}"
    for status in (Status.FAIL, Status.INCONCLUSIVE):
        if found := [f for f in findings if f.status is status]:
            return f"{head}: {listed([_said(f) for f in found], 2, '; ')}."
    if all(f.status is Status.SKIP for f in findings):
        return f"{head}; no budget and no baseline model to judge it by."
    passed = [f for f in findings if f.status is Status.PASS]
    if all(f.unit == "ratio" for f in passed):
        slower, baseline = in_per_cent((passed[0].limit or 1.0) - 1), latency.names["baseline"]
        return f"{head}; no budget was given; at most {slower} slower than the baseline {baseline}."
    return f"{head}; within every limit given."


def _said(finding: Finding) -> str:
    if finding.status is Status.INCONCLUSIVE:
        return f"{finding.metric} of {finding.subject} is not settled, {finding.note}"
    assert finding.observed is not None
    assert finding.limit is not None
    if finding.unit == "ratio":
        bounds = finding.interval or (0.0, 0.0)
        figures = (finding.observed, *bounds)
        digits = digits_apart(figures, finding.limit, lambda v, d: f"{v:.{d}f}", 2)
        value, low, high, limit = (f"{v:.{digits}f}" for v in (*figures, finding.limit))
        shown = f"{value}× [{low}, {high}]"
        return f"{finding.subject}: {finding.metric} {shown}, more than {limit}×"
    side, unit = "under" if finding.higher_is_better else "over", finding.unit
    digits = digits_apart([finding.observed], finding.limit, lambda v, d: in_words(v, unit, d), 3)
    value, limit = (in_words(v, unit, digits) for v in (finding.observed, finding.limit))
    return f"{finding.metric} {value} is {side} the {limit} allowed"
