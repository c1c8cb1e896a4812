"""The classes that a ladder is followed by: rare ones, or all where none is rare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from auditor import stats
from auditor.comparison.paired import exact_p
from auditor.ladder.record import ClassChange

if TYPE_CHECKING:
    from auditor.comparison import Change, Comparison
    from auditor.ladder.rung import Rung
    from auditor.record import Audit

__all__ = ["class_changes", "rare_classes"]

_SHOWN = 20


def rare_classes(rungs: Sequence[Rung]) -> tuple[str, ...]:
    """Return the classes that any of the audits treats as rare, in the candidates' order."""
    rare = {name for rung in rungs for name in _rare(rung.audit)}
    return tuple(name for name in rungs[0].audit.data.classes if name in rare)


def _rare(audit: Audit) -> set[str]:
    """Return the classes that ``rare-class-recall`` judged, or else those rare by their share."""
    judged = {f.subject for c in audit.checks if c.id == "rare-class-recall" for f in c.findings}
    known = judged.intersection(audit.data.classes)
    return known or {row.name for row in audit.exhibits.per_class if row.rare}


def class_changes(
    comparisons: Sequence[Comparison], followed: Sequence[str], confidence: float
) -> list[tuple[ClassChange, ...]]:
    """Return each step's changes of recall, the largest drop first.

    Corrected over all classes and all steps, which errs no more often than it may with exact
    p-values only; cut to what a reader can look at, but never where a change is shown.
    """
    names = set(followed)
    steps = [[c for c in found.classes if c.name in names] for found in comparisons]
    flat = [change for changes in steps for change in changes]
    lost, won = (np.array([getattr(c, side) or 0 for c in flat], int) for side in ("lost", "won"))
    worse, better = (stats.holm(p).tolist() for p in (exact_p(lost, won), exact_p(won, lost)))
    judged = iter(
        _row(change, _state(down, up, 1 - confidence))
        for change, down, up in zip(flat, worse, better, strict=True)
    )
    return [_shown([next(judged) for _ in changes]) for changes in steps]


def _shown(rows: list[ClassChange]) -> tuple[ClassChange, ...]:
    rows.sort(key=lambda row: (row.difference, row.name))
    some = rows[: _SHOWN // 2] + rows[max(len(rows) - _SHOWN // 2, _SHOWN // 2) :]
    return tuple(row for row in rows if row.state != "not shown" or row in some)


def _state(worse: float, better: float, level: float) -> Literal["better", "worse", "not shown"]:
    return "worse" if worse <= level else "better" if better <= level else "not shown"


def _row(change: Change, state: Literal["better", "worse", "not shown"]) -> ClassChange:
    return ClassChange(
        name=change.name,
        images=change.n_after,
        before=change.before,
        after=change.after,
        difference=change.difference,
        interval=change.interval,
        lost=change.lost or 0,
        won=change.won or 0,
        state=state,
    )
