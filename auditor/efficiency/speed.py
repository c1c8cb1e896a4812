"""Decides whether times keep a limit, or why that cannot be told; and what is shown of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from auditor.check import Status, decide
from auditor.engine.timings import Clock, Estimate, Timings
from auditor.order_statistics import repeats_for_quantile
from auditor.record import Figure, LatencyExhibit, LatencyRatio, LatencyRow

if TYPE_CHECKING:
    from auditor.evidence.latency import Latency

__all__ = [
    "Budget",
    "by_the_wall",
    "in_words",
    "margin",
    "not_slower",
    "show",
    "times",
    "too_noisy",
]


class Budget(NamedTuple):
    """A figure by the wall clock and without the time spent waiting, and its bar."""

    metric: str
    unit: str
    limit: float | None
    wall: Estimate
    undisturbed: Estimate
    confidence: float
    higher_is_better: bool = False

    def exceeded(self, margin: float) -> bool:
        """Tell whether the work alone breaks the limit, and by more than a factor."""
        assert self.limit is not None
        if self.higher_is_better:
            return self.undisturbed.high * margin < self.limit
        return self.undisturbed.low > self.limit * margin

    def judged(self) -> tuple[Status, str]:
        """Return the status, and what would settle it."""
        if self.limit is None:
            return Status.SKIP, "shown, not judged: no budget was given"
        status, alone = (
            decide(found.interval, self.limit, higher_is_better=self.higher_is_better)
            for found in (self.wall, self.undisturbed)
        )
        if status is Status.FAIL and alone is not Status.FAIL:
            return Status.INCONCLUSIVE, (
                "the processor was in use by others: without the waiting it would be "
                f"{in_words(self.undisturbed.value, self.unit)}"
            )
        if status is not Status.INCONCLUSIVE:
            return status, ""
        if not self.wall.bounded:
            q = 0.99 if "99" in self.metric else 0.5
            needed = repeats_for_quantile(q, self.confidence)
            return status, f"{self.wall.n} repeats give no upper bound, {needed:,} would{_MORE}"
        return status, _what_would_settle(self.wall, self.limit)


_MORE = " ([latency] seconds)"


def _what_would_settle(figure: Estimate, limit: float) -> str:
    from auditor.settling import repeats_to_settle

    more = repeats_to_settle(figure.value, figure.interval, limit, figure.n)
    if more is None:
        return "it stands on the limit, and no number of repeats would settle it"
    times = f"{(figure.n + more) / figure.n:.1f} times as long"
    return f"about {more:,} more repeats would settle it: measure {times}{_MORE}"


def not_slower(ratio: Estimate, noise: Estimate, limit: float) -> tuple[Status, str]:
    """Judge a ratio as far as the machine lets itself be measured."""
    if not ratio.bounded:
        return Status.INCONCLUSIVE, f"{ratio.n} rounds are too few for bounds{_MORE}"
    if not noise.within(limit - 1) and ratio.low <= limit * margin(noise, limit):
        return Status.INCONCLUSIVE, too_noisy(noise)
    status = decide(ratio.interval, limit, higher_is_better=False)
    if status is not Status.INCONCLUSIVE:
        return status, ""
    return status, _what_would_settle(ratio, limit)


def by_the_wall(timing: Timings, limit: float, confidence: float) -> tuple[Status, str]:
    """Withhold a pass where the wall clock says slower by more than its own noise."""
    ratio = timing.ratio("candidate", "baseline", "wall", confidence)
    noise = timing.ratio("candidate", "twin", "wall", confidence)
    if ratio.low > limit * margin(noise, limit):
        return Status.INCONCLUSIVE, (
            f"no more processor time, yet {times(ratio)} the wall time: it does less in parallel"
        )
    return Status.PASS, f"by wall time {times(ratio)}"


def margin(noise: Estimate, limit: float) -> float:
    """Return by what factor a figure must exceed its limit to do so surely.

    1 on a machine where the candidate equals its own twin within the tolerance, else as far as the
    two may be apart.
    """
    if noise.within(limit - 1):
        return 1.0
    return max(noise.high, 1 / noise.low) if noise.bounded else math.inf


def too_noisy(noise: Estimate) -> str:
    """Say how far the candidate is from its own twin."""
    return (
        f"the machine is too noisy for {noise.n:,} repeats: the candidate takes {times(noise)} its "
        f"own time; end other work, or measure longer{_MORE}"
    )


def times(ratio: Estimate) -> str:
    """Return a ratio with its bounds."""
    return f"{ratio.value:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}]"


def in_words(value: float, unit: str, digits: int = 3) -> str:
    """Return a time in milliseconds, from 1 s on in seconds, or a rate."""
    if unit != "seconds":
        return f"{_rounded(value, digits)} images/s"
    if float(f"{value:.{digits}g}") >= 1:  # as it is written: 999.6 ms are 1 s in three digits
        return f"{_rounded(value, digits)} s"
    return f"{_rounded(1e3 * value, digits)} ms"


def _rounded(value: float, digits: int) -> str:
    """Return a figure to so many significant digits, or whole where it has more before the point.

    >>> _rounded(0.01234, 3), _rounded(9.0, 3), _rounded(1000.4, 3)
    ('0.0123', '9', '1,000')
    """
    power = math.floor(math.log10(value)) if value > 0 else 0
    whole, point, part = f"{value:,.{max(digits - 1 - power, 0)}f}".partition(".")
    return f"{whole}{point}{part.rstrip('0')}".rstrip(".")


_DRAWN = 400
"""Repeats of a model that the report draws; all are in evidence."""


def show(latency: Latency, tolerance: float, confidence: float) -> LatencyExhibit:
    """Return what the report shows: quantiles, ratios, and the repeats themselves."""
    return LatencyExhibit(
        hardware=dict(latency.hardware),
        state=dict(latency.state),
        clock=latency.clock,
        tolerance=tolerance,
        rows=tuple(
            _row(timing, role, name, confidence)
            for timing in latency.timings
            for role, name in latency.names.items()
        ),
        ratios=tuple(
            found for timing in latency.timings for found in _ratios(latency, timing, confidence)
        ),
    )


def _row(timing: Timings, role: str, name: str, confidence: float) -> LatencyRow:
    times = timing.seconds(role)
    drawn = np.linspace(0, len(times) - 1, min(len(times), _DRAWN)).astype(int)
    p50, p90, p99 = (_figure(timing.quantile(role, q, confidence)) for q in (0.5, 0.9, 0.99))
    return LatencyRow(
        role=role,
        name=name,
        batch=timing.batch,
        repeats=timing.rounds,
        settled=timing.settled[role],
        p50=p50,
        p90=p90,
        p99=p99,
        throughput=_figure(timing.throughput(role, confidence)),
        waited=timing.waiting(role),
        seconds=tuple(float(f"{value:.6g}") for value in np.sort(times)[drawn]),
    )


def _ratios(latency: Latency, timing: Timings, confidence: float) -> Iterator[LatencyRatio]:
    clocks: tuple[Clock, ...] = ("processor", "wall") if latency.on_cpu else ("wall",)
    shared = 1 - (1 - confidence) / len(latency.timings)
    for other, level in (("baseline", shared), ("twin", confidence)):
        for clock in clocks if other in timing.models else ():
            yield LatencyRatio(
                batch=timing.batch,
                to=other,
                clock=clock,
                decides=clock == latency.clock,
                ratio=_figure(timing.ratio("candidate", other, clock, level)),
            )


def _figure(found: Estimate) -> Figure:
    return Figure(value=found.value, interval=found.interval if found.bounded else None)
