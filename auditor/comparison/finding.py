"""A change as a check's finding: held to a margin, and in words."""

from __future__ import annotations

from auditor.check import Finding, Status, decide
from auditor.comparison.result import Change, Comparison
from auditor.wording import share

__all__ = ["flipped", "held_to", "shown"]


def held_to(comparison: Comparison, margin: float) -> Status:
    """Judge the accuracy difference: non-inferior within a margin, or worse.

    Parameters
    ----------
    comparison
        Of which the whole test set is judged.
    margin
        Largest drop that is allowed, in shares.

    Returns
    -------
    Status
        It fails only where the interval lies wholly below ``-margin`` and McNemar's test, or
        Fisher's on other images, agrees.
    """
    status = decide(comparison.overall.interval, -margin, higher_is_better=True)
    if status is Status.FAIL and comparison.overall.p_worse > comparison.level:
        return Status.INCONCLUSIVE
    return status


def shown(change: Change, metric: str, margin: float, status: Status, note: str) -> Finding:
    """Return a change as a finding; it was judged before."""
    return Finding(
        subject=change.name,
        metric=metric,
        observed=change.difference,
        limit=-margin,
        interval=change.interval,
        n=change.n_after,
        unit="points",
        status=status,
        note=note,
    )


def flipped(change: Change) -> str:
    """Say how many images flipped or, on other images, what the baseline had."""
    if change.lost is None:
        return f"{share(change.before)} of {change.n_before:,} images before"
    return f"{change.lost:,} lost, {change.won:,} won"
