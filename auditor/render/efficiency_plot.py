"""Draws accuracy against cost, beside the published EfficientNet family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditor.record import EfficiencyExhibit, EfficiencyPoint
from auditor.render import wording
from auditor.render.figures import Ink, Picture, picture, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_efficiency"]


def draw_efficiency(exhibit: EfficiencyExhibit) -> Picture:
    """Draw Top-1 against MACs: the published family, the candidate and the baseline."""
    points = [exhibit.candidate, *([exhibit.baseline] if exhibit.baseline else ())]
    described = [_described(point, exhibit.comparable) for point in points]
    family = [_described(point, True) for point in exhibit.reference]
    alt = f"Top-1 accuracy against MACs. {'; '.join(described)}. Published: {'; '.join(family)}."
    return picture(lambda figure, ink: _efficiency(figure, ink, exhibit), (7.2, 4.0), alt)


def _described(point: EfficiencyPoint, comparable: bool) -> str:
    accuracy = wording.quantity(point.top1 if comparable else None, "share")
    shown = f"{wording.magnitude(point.macs)} MACs"
    return f"{point.name} {shown}" + (f", {accuracy}" if accuracy != wording.MISSING else "")


def _efficiency(figure: Figure, ink: Ink, exhibit: EfficiencyExhibit) -> None:
    axes = figure.add_subplot()
    _cost_and_accuracy(axes)
    _family(axes, ink, exhibit.reference)
    _model(axes, ink.wrong, "candidate", exhibit.candidate, exhibit.comparable)
    if exhibit.baseline:
        _model(axes, ink.text, "baseline", exhibit.baseline, exhibit.comparable)
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


def _family(axes: Axes, ink: Ink, reference: Sequence[EfficiencyPoint]) -> None:
    known = [(p.macs, p.top1, p.name.rpartition("-")[2]) for p in reference if p.top1 is not None]
    axes.plot([k[0] for k in known], [k[1] for k in known], "o-", color=ink.right, ms=4, lw=1.4)
    for macs, top1, name in known:
        axes.annotate(
            short_name(name),
            (macs, top1),
            xytext=(-6, 4),
            textcoords="offset points",
            ha="right",
            color=ink.right,
        )


def _model(axes: Axes, colour: str, role: str, point: EfficiencyPoint, comparable: bool) -> None:
    """Draw a model where it stands, or only its cost where its accuracy does not compare."""
    name = short_name(point.name, 30)
    label = f"{role}: {name}, {wording.magnitude(point.macs)} MACs"
    first = role == "candidate"
    if comparable and point.top1 is not None:
        face = colour if first else "none"
        axes.plot([point.macs], [point.top1], "D", color=colour, mfc=face, ms=7, label=label)
    else:
        axes.axvline(point.macs, color=colour, lw=1.5, ls="--" if first else ":", label=label)
