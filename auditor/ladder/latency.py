"""Latency as a rung's own audit measured it, and which of them may stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from auditor.engine.hardware import different
from auditor.ladder.record import Latency
from auditor.wording import quantity

if TYPE_CHECKING:
    from auditor.evidence.latency import Latency as Evidence
    from auditor.ladder.record import RungRow

__all__ = ["latency_of", "latency_ratio", "latency_remarks"]


def latency_of(evidence: Evidence, confidence: float) -> Latency:
    """Return the median time of one image by the clock on the wall."""
    one = evidence.timings[0]
    median = one.quantile("candidate", 0.5, confidence)
    alone = one.quantile("candidate", 0.5, confidence, "undisturbed")
    check = one.ratio("twin", "candidate", evidence.clock, confidence)
    lost = 1 - alone.value / median.value if median.value else 0.0
    return Latency(
        seconds=median.value,
        interval=median.interval if median.bounded else None,
        twin_ratio=check.value,
        waited=one.waiting("candidate"),
        steady=check.within(evidence.tolerance) and lost <= evidence.tolerance,
        hardware=dict(evidence.hardware),
    )


def latency_ratio(before: RungRow, after: RungRow) -> float | None:
    """Return how much longer the bigger rung takes.

    None where one was not timed, on another machine, or on one too noisy to say.
    """
    smaller, bigger = before.latency, after.latency
    if not (smaller and bigger and smaller.steady and bigger.steady and smaller.seconds):
        return None
    if different(smaller.hardware, bigger.hardware):
        return None
    return bigger.seconds / smaller.seconds


def latency_remarks(rows: Sequence[RungRow]) -> Iterator[str]:
    """Yield what keeps latencies from standing side by side, and which are unsteady."""
    timed = [(row.name, row.latency) for row in rows if row.latency]
    for name, latency in timed[1:]:
        if apart := different(timed[0][1].hardware, latency.hardware):
            yield (
                f"The latency of {name} does not compare with that of {timed[0][0]}: it was "
                f"measured with other {'; other '.join(apart)}."
            )
    for name, latency in timed:
        if not latency.steady:
            yield (
                f"The machine was too busy when {name} was timed: {_waiting(latency.waited)}a copy "
                f"of it took {latency.twin_ratio:.2f}× as long. Time it on a quiet one."
            )


def _waiting(waited: float) -> str:
    if waited < 0.005:
        return ""
    return (
        f"{quantity(waited, 'seconds', 2)} for each second measured, all threads together, went by "
        "waiting for a processor in use by others, and "
    )
