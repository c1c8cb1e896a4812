"""Draws a ladder: accuracy against what it costs, a rung a point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from auditor import wording
from auditor.engine.hardware import different
from auditor.naming import short_names
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from auditor.ladder import Ladder
    from auditor.ladder.record import RungRow

__all__ = ["draw_by_latency", "draw_by_macs"]

_LINES = {"pays": "-", "not shown": "--", "does not pay": ":", "same cost": "-."}


class _Cost(NamedTuple):
    """What is along the horizontal axis."""

    label: str
    unit: str
    known: Callable[[RungRow], float | None]

    def of(self, rung: RungRow) -> float:
        """Return what a rung costs; 0 where that is not known, which no logarithm shows."""
        return self.known(rung) or 0.0


_MACS = _Cost(
    "multiply–accumulate operations of one image (log scale)", "MACs", lambda rung: rung.macs
)
_PARAMETERS = _Cost("parameters (log scale)", "parameters", lambda rung: rung.parameters)
_LATENCY = _Cost(
    "latency of one image (log scale)",
    "seconds",
    lambda rung: rung.latency.seconds if rung.latency and rung.latency.steady else None,
)


def draw_by_macs(ladder: Ladder) -> Picture | None:
    """Draw accuracy against multiply–adds, or parameters where those are not known."""
    return _drawn(ladder, _PARAMETERS if ladder.ordered_by == "parameters" else _MACS)


def draw_by_latency(ladder: Ladder) -> Picture | None:
    """Draw accuracy against latency; None where there are not two that compare."""
    timed = [r.latency.hardware for r in ladder.rungs if r.latency and r.latency.steady]
    if any(different(timed[0], hardware) for hardware in timed[1:]):
        return None
    return _drawn(ladder, _LATENCY)


def _drawn(ladder: Ladder, cost: _Cost) -> Picture | None:
    """Draw what has a cost; None where there are not two of it."""
    if sum(bool(cost.of(rung)) for rung in ladder.rungs) < 2:
        return None
    told = [_told(rung, cost) for rung in ladder.rungs if cost.of(rung)]
    states = [f"{step.before} to {step.after} {step.state}" for step in ladder.steps]
    what = cost.label.removesuffix(" (log scale)")
    alt = f"Accuracy against {what}. {'; '.join(told)}. {'; '.join(states)}."
    return picture(lambda figure, ink: _plot(figure, ink, ladder, cost), (7.2, 4.0), alt)


def _told(rung: RungRow, cost: _Cost) -> str:
    train = rung.train_accuracy
    learnt = f", {wording.share(train)} on training images" if train is not None else ""
    amount = wording.quantity(cost.of(rung), cost.unit)
    unit = "" if cost.unit == "seconds" else f" {cost.unit}"
    return f"{rung.name}: {amount}{unit}, {wording.share(rung.accuracy)}{learnt}"


def _plot(figure: Figure, ink: Ink, ladder: Ladder, cost: _Cost) -> None:
    axes = figure.add_subplot()
    there = {rung.name: rung for rung in ladder.rungs if cost.of(rung)}
    _cost_and_accuracy(axes, cost, [cost.of(rung) for rung in there.values()])
    named: set[str] = set()
    for step in ladder.steps:
        if step.before in there and step.after in there:
            ends = [there[step.before], there[step.after]]
            label = None if step.state in named else f"step {step.state}"
            _line(axes, ink, ends, cost, _LINES[step.state], label)
            named.add(step.state)
    _points(axes, ink, [*there.values()], cost)
    axes.legend(loc="best")


def _cost_and_accuracy(axes: Axes, cost: _Cost, costs: Sequence[float]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.grid(True, which="major")
    axes.set_axisbelow(True)
    axes.set_xlabel(cost.label)
    axes.set_ylabel("Top-1 accuracy")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(costs, [wording.quantity(each, cost.unit) for each in costs])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    axes.margins(x=0.12, y=0.14)


def _line(
    axes: Axes, ink: Ink, ends: Sequence[RungRow], cost: _Cost, style: str, label: str | None
) -> None:
    places, heights = [cost.of(rung) for rung in ends], [rung.accuracy for rung in ends]
    axes.plot(places, heights, style, color=ink.right, lw=1.4, label=label)


def _points(axes: Axes, ink: Ink, rungs: Sequence[RungRow], cost: _Cost) -> None:
    """Draw each rung with its bounds, and hollow what it does on the images it learnt from."""
    places, heights = [cost.of(rung) for rung in rungs], [rung.accuracy for rung in rungs]
    bounds = [
        [r.accuracy - r.interval[0] for r in rungs],
        [r.interval[1] - r.accuracy for r in rungs],
    ]
    axes.errorbar(
        places, heights, bounds, fmt="o", color=ink.right, ms=5, lw=1, capsize=3, label="test"
    )
    learnt = [(cost.of(rung), rung.train_accuracy) for rung in rungs if rung.train_accuracy]
    if learnt:
        axes.plot(*zip(*learnt, strict=True), "o", color=ink.wrong, mfc="none", label="training")
    short = short_names([rung.name for rung in rungs], 14)
    for rung, place in zip(rungs, places, strict=True):
        axes.annotate(
            short[rung.name],
            (place, rung.interval[0]),
            xytext=(0, -12),
            textcoords="offset points",
            ha="center",
            color=ink.text,
        )
