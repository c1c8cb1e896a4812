"""Draws recall against precision of the critical class, and where the candidate would stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import wording
from auditor.naming import short_names
from auditor.record import OperatingExhibit
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_operating"]


def draw_operating(exhibit: OperatingExhibit) -> Picture:
    """Draw the curve on validation images and the chosen threshold on test images."""
    wanted = wording.share(exhibit.wanted)
    parts = [f"Recall and precision of {exhibit.critical}; a recall of {wanted} is wanted"]
    if exhibit.curve:
        ends = (exhibit.curve[0], exhibit.curve[-1])
        said = " to ".join(
            f"recall {wording.share(e.recall)} at precision {wording.share(e.precision)}"
            for e in ends
        )
        parts.append(f"on validation images from {said}")
    if exhibit.recall is not None:
        found = wording.quantity(exhibit.recall, "share")
        precise = wording.quantity(exhibit.precision, "share")
        parts.append(f"on test images recall {found} at precision {precise}")
    return picture(lambda figure, ink: _plot(figure, ink, exhibit), (5.6, 3.8), "; ".join(parts))


def _plot(figure: Figure, ink: Ink, exhibit: OperatingExhibit) -> None:
    axes = figure.add_subplot()
    recall, precision = ([getattr(p, n) for p in exhibit.curve] for n in ("recall", "precision"))
    axes.plot(recall, precision, "-", color=ink.right, lw=1.6, label="validation")
    axes.axvline(exhibit.wanted, ls="--", color=ink.text, lw=1, label="recall wanted")
    _point(axes, ink, exhibit)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.05)
    axes.set_xlabel(f"recall of {short_names([exhibit.critical], 30)[exhibit.critical]}")
    axes.set_ylabel("precision")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.legend(loc="best")


def _point(axes: Axes, ink: Ink, exhibit: OperatingExhibit) -> None:
    x, y = exhibit.recall, exhibit.precision
    if x is None or y is None or not exhibit.recall_interval or not exhibit.precision_interval:
        return
    wide, high = (
        [[value - low], [up - value]]
        for value, (low, up) in ((x, exhibit.recall_interval), (y, exhibit.precision_interval))
    )
    axes.errorbar(
        [x], [y], xerr=wide, yerr=high, fmt="D", color=ink.wrong, ms=6, lw=1.4, label="test"
    )
