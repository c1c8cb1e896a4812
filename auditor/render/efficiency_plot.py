"""Draws accuracy against cost, beside the published EfficientNets or the user's own models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditor import wording
from auditor.naming import short_names
from auditor.record import EfficiencyExhibit, EfficiencyPoint
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_efficiency"]


def draw_efficiency(exhibit: EfficiencyExhibit) -> Picture:
    """Draw Top-1 against MACs: the candidate, the baseline, and what they compare with."""
    ours = [exhibit.candidate, *([exhibit.baseline] if exhibit.baseline else ())]
    parts = "; ".join(_described(p, exhibit.comparable or bool(exhibit.own)) for p in ours)
    alt = f"Top-1 accuracy against MACs. {parts}."
    for title, points in (("Own models", exhibit.own), ("Published", _family(exhibit))):
        if points:
            alt += f" {title}: {'; '.join(_described(point, True) for point in points)}."
    return picture(lambda figure, ink: _efficiency(figure, ink, exhibit), (7.2, 4.0), alt)


def _family(exhibit: EfficiencyExhibit) -> Sequence[EfficiencyPoint]:
    """Return the published models, unless only the user's own are on the candidate's data."""
    return exhibit.reference if exhibit.comparable or not exhibit.own else ()


def _described(point: EfficiencyPoint, comparable: bool) -> str:
    accuracy = wording.quantity(point.top1 if comparable else None, "share")
    shown = f"{wording.magnitude(point.macs)} MACs"
    return f"{point.name} {shown}" + (f", {accuracy}" if accuracy != wording.MISSING else "")


def _efficiency(figure: Figure, ink: Ink, exhibit: EfficiencyExhibit) -> None:
    axes = figure.add_subplot()
    _cost_and_accuracy(axes)
    _frontier(axes, ink, exhibit)
    _line(axes, ink.right, _family(exhibit), "EfficientNet as published")
    _line(axes, ink.text, _sorted(exhibit.own), "your own models")
    ours = [exhibit.candidate, *([exhibit.baseline] if exhibit.baseline else ())]
    short = short_names([point.name for point in ours], 30)
    for role, point in zip(("candidate", "baseline"), ours, strict=False):
        first = role == "candidate"
        if first or point not in exhibit.own:
            compares = exhibit.comparable or (first and bool(exhibit.own))
            colour = ink.wrong if first else ink.text
            _model(axes, colour, f"{role}: {short[point.name]}", point, compares)
    axes.legend(loc="best")


def _cost_and_accuracy(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.grid(True, which="major")
    axes.set_axisbelow(True)
    axes.set_xlabel("multiply–accumulate operations of one image (log scale)")
    axes.set_ylabel("Top-1 accuracy")
    axes.xaxis.set_major_formatter(lambda value, _: wording.magnitude(value))
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.margins(x=0.08, y=0.14)


def _frontier(axes: Axes, ink: Ink, exhibit: EfficiencyExhibit) -> None:
    """Draw the published frontier within the family's range: what lies beyond says little here."""
    low, high = exhibit.candidate.macs / 8, 8 * exhibit.candidate.macs
    for point in exhibit.reference:
        low, high = min(low, point.macs), max(high, point.macs)
    frontier = [(p.macs, p.top1) for p in exhibit.frontier if p.top1 is not None]
    if near := [point for point in frontier if low <= point[0] <= high]:
        x, y = [point[0] for point in near], [point[1] for point in near]
        axes.plot(x, y, ".", color=ink.line, mec=ink.text, mew=0.4, ms=6, label="timm's frontier")


def _sorted(points: Sequence[EfficiencyPoint]) -> list[EfficiencyPoint]:
    return sorted(points, key=lambda point: point.macs)


def _line(axes: Axes, colour: str, points: Sequence[EfficiencyPoint], label: str) -> None:
    known = [
        (p.macs, p.top1, p.name.removeprefix("EfficientNet-")) for p in points if p.top1 is not None
    ]
    if not known:
        return
    x, y = [k[0] for k in known], [k[1] for k in known]
    axes.plot(x, y, "o-", color=colour, ms=4, lw=1.4, label=label)
    short = short_names([name for *_, name in known], 18)
    for macs, top1, name in known:
        axes.annotate(
            short[name],
            (macs, top1),
            xytext=(-6, 4),
            textcoords="offset points",
            ha="right",
            color=colour,
        )


def _model(axes: Axes, colour: str, called: str, point: EfficiencyPoint, comparable: bool) -> None:
    """Draw a model where it stands, or only its cost where its accuracy does not compare."""
    label = f"{called}, {wording.magnitude(point.macs)} MACs"
    first = called.startswith("candidate: ")
    if comparable and point.top1 is not None:
        face = colour if first else "none"
        axes.plot([point.macs], [point.top1], "D", color=colour, mfc=face, ms=7, label=label)
    else:
        axes.axvline(point.macs, color=colour, lw=1.5, ls="--" if first else ":", label=label)
