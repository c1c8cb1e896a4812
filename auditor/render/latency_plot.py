"""Draws the repeats of a timing, and the ratios with the tolerance that they are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auditor import wording
from auditor.record import LatencyExhibit, LatencyRatio, LatencyRow
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["batch_name", "draw_latency", "ratio_name"]

CLOCK = {"processor": "processor time", "wall": "wall time"}
_ROW = 0.34
"""Inches that a ratio takes."""


def draw_latency(exhibit: LatencyExhibit) -> Picture:
    """Draw how the repeats of single images are spread, and every ratio beside 1."""
    single = [row for row in exhibit.rows if row.batch == exhibit.rows[0].batch]
    said = [
        f"{row.role} {row.name}: p50 {wording.quantity(row.p50.value, 'seconds')}, "
        f"p90 {wording.quantity(row.p90.value, 'seconds')}, "
        f"p99 {wording.quantity(row.p99.value, 'seconds')}"
        for row in single
    ]
    said += [
        f"{ratio_name(ratio)}: {wording.quantity(ratio.ratio.value, 'ratio')} "
        f"{wording.interval(ratio.ratio.interval, 'ratio')}"
        for ratio in exhibit.ratios
    ]
    alt = f"Times of {batch_name(single[0].batch)}, and ratios. {'; '.join(said)}."
    height = max(3.0, 1.2 + _ROW * len(exhibit.ratios))
    return picture(lambda figure, ink: _both(figure, ink, exhibit, single), (8.6, height), alt)


def batch_name(batch: int) -> str:
    """Say how many images a pass took."""
    return "single images" if batch == 1 else f"batches of {batch}"


def ratio_name(ratio: LatencyRatio) -> str:
    """Say what is compared with what, by which clock."""
    to = "to the baseline" if ratio.to == "baseline" else "to itself"
    return f"{to}, {batch_name(ratio.batch)}, {CLOCK[ratio.clock]}"


def _both(figure: Figure, ink: Ink, exhibit: LatencyExhibit, single: list[LatencyRow]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    _spread(left, ink, single)
    _ratios(right, ink, exhibit)


def _spread(axes: Axes, ink: Ink, single: list[LatencyRow]) -> None:
    """Draw the share of repeats that took no longer than so many milliseconds."""
    from matplotlib.ticker import LogLocator

    for row, colour, style in zip(single, (ink.right, ink.text), ("-", "--"), strict=False):
        times = 1e3 * np.array(row.seconds)
        shares = np.arange(1, len(times) + 1) / len(times)
        axes.plot(times, shares, style, color=colour, lw=1.6, label=row.role)
        for share, value in ((0.5, row.p50.value), (0.9, row.p90.value), (0.99, row.p99.value)):
            axes.plot([1e3 * value], [share], "o", color=colour, ms=4)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel(f"milliseconds of a pass, {batch_name(single[0].batch)} (log scale)")
    axes.set_ylabel("share of passes")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")


def _ratios(axes: Axes, ink: Ink, exhibit: LatencyExhibit) -> None:
    """Draw a row a ratio; the band is what the tolerance allows."""
    limit = 1 + exhibit.tolerance
    axes.axvspan(1 / limit, limit, color=ink.line, alpha=0.45, lw=0)
    axes.axvline(1, color=ink.text, lw=1)
    names = []
    for y, ratio in enumerate(exhibit.ratios):
        _ratio(axes, ink, ratio, y)
        names.append(ratio_name(ratio).replace(", ", ",\n", 1) + (" *" if ratio.decides else ""))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(f"candidate ÷ other; grey: within {wording.share(exhibit.tolerance, 0)}")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _ratio(axes: Axes, ink: Ink, ratio: LatencyRatio, y: int) -> None:
    colour = ink.right if ratio.decides else ink.text
    if ratio.ratio.interval:
        axes.plot(ratio.ratio.interval, [y, y], "-", color=colour, lw=2.4 if ratio.decides else 1.2)
    axes.plot([ratio.ratio.value], [y], "o", color=colour, ms=5, mfc=colour)
