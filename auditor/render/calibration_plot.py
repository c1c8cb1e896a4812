"""Draws the reliability diagram: how often the candidate is right when it says how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import wording
from auditor.record import CalibrationExhibit
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_calibration"]


def draw_calibration(exhibit: CalibrationExhibit) -> Picture:
    """Draw a point a bin, with its interval, beside the diagonal on which they should lie."""
    said = [
        f"{wording.share(b.right / b.images)} of {wording.plural(b.images, 'image')} right at "
        f"{wording.share(b.confidence)}"
        for b in exhibit.bins
    ]
    error = wording.quantity(exhibit.error, "points").removeprefix("+")
    alt = f"Reliability diagram, expected calibration error {error}: {'; '.join(said)}"
    return picture(lambda figure, ink: _diagram(figure, ink, exhibit), (4.6, 4.2), alt)


def _diagram(figure: Figure, ink: Ink, exhibit: CalibrationExhibit) -> None:
    axes = figure.add_subplot()
    sure = [b.confidence for b in exhibit.bins]
    right = [b.right / b.images for b in exhibit.bins]
    spread = (
        [r - b.interval[0] for r, b in zip(right, exhibit.bins, strict=True)],
        [b.interval[1] - r for r, b in zip(right, exhibit.bins, strict=True)],
    )
    axes.plot([0, 1], [0, 1], "--", color=ink.text, lw=1, label="as sure as right")
    axes.errorbar(sure, right, yerr=spread, fmt="o", color=ink.right, ms=5, lw=1.2, label="a bin")
    axes.vlines(sure, right, sure, color=ink.wrong, lw=2.4, alpha=0.6, label="error")
    least = min([*sure, *(b.interval[0] for b in exhibit.bins)], default=0.0)
    axes.set_xlim(max(0.0, least - 0.03), 1.02)
    axes.set_ylim(max(0.0, least - 0.03), 1.02)
    axes.set_xlabel("mean confidence")
    axes.set_ylabel("share right")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(True)
    axes.set_axisbelow(True)
    # What is right more often than sure lies above the diagonal, so that there is room below it.
    above = sum(b.right - b.images * b.confidence for b in exhibit.bins) > 0
    axes.legend(loc="lower right" if above else "upper left")
