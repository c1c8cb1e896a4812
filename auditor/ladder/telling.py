"""The ladder in sentences: "not shown" is never told as "does not pay"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from auditor.ladder.latency import latency_remarks
from auditor.wording import interval, limit, listed, plural, points, roughly, share

if TYPE_CHECKING:
    from auditor.ladder.record import Paying, RungRow, SameCost, Step

__all__ = ["Told", "tell"]

_NAMED = 3


class Told(NamedTuple):
    """What the ladder amounts to."""

    summary: str
    remarks: tuple[str, ...]
    state: Paying | SameCost | Literal["not comparable"]
    stops_at: str | None


def tell(
    rows: Sequence[RungRow],
    steps: Sequence[Step],
    min_gain: float,
    confidence: float,
    images: int,
    left_out: int,
    unlooked: Sequence[str] = (),
) -> Told:
    """Put the ladder into words.

    Parameters
    ----------
    rows, steps
        The cheapest first.
    min_gain
        Wanted from every step, in shares.
    confidence
        Of each bound, one-sided.
    images, left_out
        Test images that all saw, and how many more overlap training.
    unlooked
        Rungs of which it is not known which test images overlap their training.
    """
    if not steps:
        return Told(_not_comparable(images, left_out), (), "not comparable", None)
    equal = [step for step in steps if step.state == "same cost"]
    stop = next((i for i, step in enumerate(steps) if step.state != "pays"), None)
    remarks = (*_unlooked(unlooked, len(rows)), *_remarks(rows, steps, None if equal else stop))
    if equal:
        return Told(_not_told(equal), remarks, "same cost", None)
    if stop is None:
        wanted = f"more than {_wanted(min_gain)} at {limit(confidence)} confidence"
        each = "The step up" if len(steps) == 1 else f"Each of the {len(steps)} steps"
        text = f"Scaling pays up to {steps[-1].after}: {each.lower()} gains {wanted}."
        return Told(text, remarks, "pays", None)
    step = steps[stop]
    return Told(_stopping(step, min_gain, images), remarks, step.state, step.after)


def _unlooked(names: Sequence[str], rungs: int) -> Iterator[str]:
    if names:
        of = "any rung" if len(names) == rungs else listed(names, _NAMED)
        yield (
            f"Nobody looked whether test images overlap the training images of {of}: what was "
            "learned by heart counts as gained. Give each audit [data] train."
        )


def _not_comparable(images: int, left_out: int) -> str:
    if left_out and not images:
        return f"Not comparable: all {plural(left_out, 'test image')} overlap the training data."
    return "Not comparable: fewer than two rungs were audited on the same test images."


def _not_told(equal: Sequence[Step]) -> str:
    """Name the rungs of one cost: which of them a step leads from or to is the order given."""
    pairs = listed([f"{step.before} and {step.after}" for step in equal], _NAMED, "; ")
    return (
        f"It is not told whether scaling pays: {pairs} cost the same, so that neither is a step up "
        "from the other. Give one rung of each cost; auditor diff compares two of one."
    )


def _stopping(step: Step, min_gain: float, images: int) -> str:
    verb = "it gains" if step.gain > 0 else "accuracy changes by"
    gain = f"over {step.before} {verb} {_bounded(step.gain, step.interval)}"
    cost = f" for {step.macs_ratio:.2g}× the MACs" if step.macs_ratio else ""
    wanted = _wanted(min_gain)
    if step.identical:
        gain = f"it predicts as {step.before} does on every image, as one model would"
    if step.state == "does not pay":
        return f"Scaling stops paying at {step.after}: {gain}{cost}, surely less than {wanted}."
    return (
        f"Scaling is not shown to pay at {step.after}: {gain}{cost}, and "
        f"{plural(images, 'test image')} cannot settle whether that is more than {wanted}; "
        f"{_more(step)}."
    )


def _more(step: Step) -> str:
    if step.images_to_settle is None:
        return "the gain stands on the minimum, so no number of further images would"
    return f"about {roughly(step.images_to_settle)} more would, if they flip as these do"


def _bounded(difference: float, bounds: tuple[float, float]) -> str:
    return f"{points(difference)} {interval(bounds, 'points')}"


def _wanted(min_gain: float) -> str:
    """Return the minimum in points.

    >>> _wanted(0.005), _wanted(0.01)
    ('0.5 points', '1 point')
    """
    return f"{100 * min_gain:g} point{'' if min_gain == 0.01 else 's'}"


def _remarks(rows: Sequence[RungRow], steps: Sequence[Step], stop: int | None) -> Iterator[str]:
    yield from _later(steps, stop)
    for step in steps:
        fallen = [change for change in step.classes if change.state == "worse"]
        for change in fallen[:_NAMED]:
            yield (
                f"{step.after} recognises {change.name} less than {step.before}: "
                f"{share(change.before)} → {share(change.after)} of {change.images:,}, "
                f"{_bounded(change.difference, change.interval)}."
            )
        if len(fallen) > _NAMED:
            yield f"{step.after} recognises {plural(len(fallen) - _NAMED, 'more class')} less."
    gaps = {row.name: row.gap for row in rows}
    for step in steps:
        if step.gap and step.gap.state == "grows":
            yield (
                f"{step.after} overfits more than {step.before}: the train–test gap goes from "
                f"{points(gaps[step.before] or 0.0)} to {points(gaps[step.after] or 0.0)}, "
                f"{_bounded(step.gap.difference, step.gap.interval)}."
            )
    yield from latency_remarks(rows)


def _later(steps: Sequence[Step], stop: int | None) -> Iterator[str]:
    if stop is None:
        return
    for step in steps[stop + 1 :]:
        if step.state == "pays":
            yield (
                f"Further up a step pays again: {step.after} gains "
                f"{_bounded(step.gain, step.interval)} over {step.before}."
            )
