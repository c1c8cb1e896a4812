"""From the rungs to the ladder: match, order, compare step by step, judge, tell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from auditor.comparison import Comparison, compare
from auditor.evidence.baseline import Baseline
from auditor.ladder import telling
from auditor.ladder.gap import gap_changes, gap_of_step
from auditor.ladder.latency import latency_ratio
from auditor.ladder.matching import matched, ordered
from auditor.ladder.paying import Judged, doublings, judge
from auditor.ladder.recall import class_changes, rare_classes
from auditor.ladder.record import ClassChange, GapChange, Ladder, RungRow, Step
from auditor.ladder.row import row
from auditor.ladder.rung import Rung

__all__ = ["climb"]


def climb(rungs: Sequence[Rung], min_gain: float = 0.005, confidence: float = 0.95) -> Ladder:
    """Compare several candidates step by step, the cheapest first.

    Parameters
    ----------
    rungs
        As ``read_rung`` returns them, in any order.
    min_gain
        Accuracy that every step is wanted to gain, in shares.
    confidence
        Of each bound, one-sided.

    Returns
    -------
    Ladder
        With those left out that cannot be compared, each with its reason; without steps where
        fewer than two are left.
    """
    same, left = matched(rungs)
    kept, ordered_by = ordered(same)
    leaked = frozenset[str]().union(*(rung.overlapping or () for rung in kept))
    seen = [rung.without(leaked) for rung in kept]
    total = len(kept[0].test or ()) if kept else 0
    clean = len(seen[0].test or ()) if seen else 0
    if not clean:
        seen = []
    rare = rare_classes(seen) if seen else ()
    followed = rare or (seen[0].audit.data.classes if seen else ())
    rows = tuple(row(rung, followed, confidence) for rung in seen)
    steps = _steps(seen, rows, followed, min_gain, confidence)
    unlooked = [rung.name for rung in kept if rung.overlapping is None]
    told = telling.tell(rows, steps, min_gain, confidence, clean, total - clean, unlooked)
    return Ladder(
        summary=told.summary,
        remarks=told.remarks,
        state=told.state,
        stops_at=told.stops_at,
        min_gain=min_gain,
        confidence=confidence,
        ordered_by=ordered_by,
        test_images=clean,
        left_out=total - clean,
        classes=len(seen[0].audit.data.classes) if seen else 0,
        rare=rare,
        rungs=rows,
        steps=steps,
        not_compared=left,
    )


class _Figures(NamedTuple):
    """All that is known of one step."""

    comparison: Comparison
    judged: Judged
    classes: tuple[ClassChange, ...]
    gap: GapChange | str


def _steps(
    rungs: Sequence[Rung],
    rows: Sequence[RungRow],
    followed: Sequence[str],
    min_gain: float,
    confidence: float,
) -> tuple[Step, ...]:
    pairs = list(pairwise(rungs))
    found = [_compared(before, after, confidence) for before, after in pairs]
    gaps = [gap_of_step(*pair, c.overall) for pair, c in zip(pairs, found, strict=True)]
    figures = map(
        _Figures,
        found,
        judge(found, min_gain, confidence),
        class_changes(found, followed, confidence),
        gap_changes(gaps, confidence),
    )
    return tuple(_step(*ends, f) for ends, f in zip(pairwise(rows), figures, strict=True))


def _compared(before: Rung, after: Rung, confidence: float) -> Comparison:
    assert after.test is not None
    smaller = Baseline(before.audit, before.test)  # that the pictures agree was seen already
    return compare(after.test, smaller, confidence)


def _step(before: RungRow, after: RungRow, figures: _Figures) -> Step:
    found, change = figures.comparison, figures.comparison.overall
    exact, mid = found.mcnemar or (1.0, 1.0)
    times = doublings(before.macs, after.macs)
    return Step(
        before=before.name,
        after=after.name,
        gain=change.difference,
        interval=change.interval,
        lost=change.lost or 0,
        won=change.won or 0,
        changed=found.changed or 0,
        identical=found.identical,
        mcnemar_exact=exact,
        mcnemar_mid_p=mid,
        **figures.judged._asdict() | ({"state": "same cost"} if _same_cost(before, after) else {}),
        macs_ratio=_ratio(before.macs, after.macs),
        parameters_ratio=_ratio(before.parameters, after.parameters),
        latency_ratio=latency_ratio(before, after),
        gain_per_doubling=times and change.difference / times,
        per_doubling_interval=times and tuple(bound / times for bound in change.interval),
        classes=figures.classes,
        gap=figures.gap if isinstance(figures.gap, GapChange) else None,
        gap_missing="" if isinstance(figures.gap, GapChange) else figures.gap,
    )


def _same_cost(before: RungRow, after: RungRow) -> bool:
    """Tell whether two rungs cost the same, as far as is known of both."""
    costs = (before.macs, after.macs), (before.parameters, after.parameters)
    known = [pair for pair in costs if None not in pair]
    return bool(known) and all(smaller == bigger for smaller, bigger in known)


def _ratio(before: float | None, after: float | None) -> float | None:
    return after / before if before and after else None
