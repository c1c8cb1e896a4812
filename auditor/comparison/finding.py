"""A change as a check's finding: held to a margin, and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from auditor.check import Finding, Status, decide
from auditor.comparison.paired import together
from auditor.comparison.result import Change, Comparison
from auditor.comparison.settling import what_would_settle
from auditor.wording import ALL_RARE, beside, listed, p_value, plural, share

__all__ = ["allowed", "flipped", "of_all", "of_classes", "said_of_classes", "shown", "within"]

_NAMED = 3


def of_all(comparison: Comparison, margin: float) -> Finding:
    """Judge the accuracy difference on the whole test set: non-inferior within a margin, or worse.

    Parameters
    ----------
    comparison
        Of which the whole test set is judged.
    margin
        Largest drop that is allowed, in shares.

    Returns
    -------
    Finding
        A failure only where the interval lies wholly below ``-margin`` and McNemar's test, or
        Fisher's on other images, agrees; where it is inconclusive the note says what would settle
        it.
    """
    change = comparison.overall
    status, note = _held_to(comparison, margin), flipped(change)
    if status is Status.INCONCLUSIVE:
        note += what_would_settle(change, margin, comparison.confidence)
    return shown(change, "accuracy difference", margin, status, note)


def _held_to(comparison: Comparison, margin: float) -> Status:
    status = decide(comparison.overall.interval, -margin, higher_is_better=True)
    if status is Status.FAIL and comparison.overall.p_worse > comparison.level:
        return Status.INCONCLUSIVE
    return status


def of_classes(comparison: Comparison, margin: float) -> list[Finding]:
    """Judge the rare classes together, then every class that moved, the largest drop first.

    A class fails that fell by more than the margin and significantly. It is inconclusive where the
    drop is suspect, or its images are too few to ever tell; elsewhere it is shown. The rare classes
    together are a finding only where they fail.

    Parameters
    ----------
    comparison
        Of which the classes are judged.
    margin
        Largest drop of recall that is allowed, in shares.
    """
    chance = comparison.falls_like_chance(margin)
    level = comparison.class_level
    found = [_of_class(change, level, margin, chance) for change in comparison.moved]
    failed = {finding.subject for finding in found if finding.status is Status.FAIL}
    return [*_together(comparison, failed, margin), *found]


def _together(comparison: Comparison, failed: Set[str], margin: float) -> Iterator[Finding]:
    """Yield a failure of the rare classes together, but for those that fail by name."""
    names = comparison.pooled - failed
    if len(names) < 2:
        return
    rest = [change for change in comparison.classes if change.name in names]
    change = together(rest, comparison.confidence)
    if change.difference < -margin and change.p_worse <= comparison.pooled_level:
        note = f"{len(rest):,} classes together that do not fail by name"
        note = f"{flipped(change)}; {note}: p {p_value(change.p_worse)}"
        yield shown(change, "recall difference", margin, Status.FAIL, note)


def _of_class(change: Change, level: float, margin: float, chance: bool) -> Finding:
    status, note = Status.SKIP, flipped(change)
    if change.interval.low >= -margin:
        status = Status.PASS
    elif change.difference < -margin:
        status, why = _fallen(change, level, chance)
        note += f"; {why}"
    return shown(change, "recall difference", margin, status, note)


def _fallen(change: Change, level: float, chance: bool) -> tuple[Status, str]:
    """Judge a class that fell by more than the margin, where others may by chance."""
    if change.p_worse <= level:
        return Status.FAIL, f"p {p_value(change.p_worse)} after Holm"
    if change.q_worse <= level:
        return Status.INCONCLUSIVE, f"suspect: q {p_value(change.q_worse)}, but not after Holm"
    if change.blind:
        are = "is" if change.n_after == 1 else "are"
        few = f"{plural(change.n_after, 'image')} {are} too few to tell"
        return (
            (Status.SKIP, f"{few}, and as many such classes rose")
            if chance and not change.died
            else (Status.INCONCLUSIVE, few)
        )
    return Status.SKIP, "not significant among the classes"


def said_of_classes(found: Sequence[Finding], comparison: Comparison) -> str:
    """Say which classes fell, which may have, and which are better, as the end of a sentence."""
    said = [f"{_named(f)} fell by {_drop(f)}" for f in found if f.status is Status.FAIL]
    text = f"; {listed(said, noun='class')}" if said else ""
    open_ = [f"{f.subject} ({_drop(f)})" for f in found if f.status is Status.INCONCLUSIVE]
    text += f"; not settled whether by chance lower: {listed(open_, noun='class')}" if open_ else ""
    text += _perhaps_lower([f for f in found if _is_lower_alone(f)], comparison)
    gained = [change.name for change in comparison.better]
    return f"{text}; better: {listed(gained)}" if gained else text


def _is_lower_alone(found: Finding) -> bool:
    """Tell whether a class that is not judged is lower by its own interval."""
    if found.status is not Status.SKIP or found.interval is None or found.limit is None:
        return False
    return found.interval[1] < found.limit


def _perhaps_lower(alone: Sequence[Finding], comparison: Comparison) -> str:
    """Name the classes that are; where so many are by chance, their number alone."""
    if not alone:
        return ""
    of = len(comparison.classes)
    if _NAMED < len(alone) <= round(1 - comparison.confidence, 9) * of:
        return f"; perhaps lower: {len(alone):,} of {of:,} classes, as by chance some are"
    names = [f"{f.subject} ({_drop(f)})" for f in alone]
    return f"; perhaps lower: {listed(names, _NAMED, noun='class')}"


def _named(fallen: Finding) -> str:
    return f"{fallen.subject} together" if fallen.subject == ALL_RARE else fallen.subject


def _drop(fallen: Finding) -> str:
    assert fallen.observed is not None
    assert fallen.limit is not None
    return beside(fallen.observed, fallen.limit, "points", 2).removeprefix("−")


def within(margin: float) -> str:
    """Say that what is surely worse is allowed to be, to follow how it is worse."""
    return f", within the {allowed(margin)} allowed"


def allowed(margin: float) -> str:
    """Return a margin as it was given, in points."""
    return f"{100 * margin:.10g} {'point' if margin == 0.01 else 'points'}"


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
