"""Draws the confusion matrix, or all errors of more classes than can be named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor import wording
from auditor.record import ConfusionExhibit
from auditor.render.confusion import OTHERS, Counts, Matrix, binned, merged
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["draw_errors", "draw_matrix"]

COUNTS_PRINTED_UP_TO = 21
"""Classes in a matrix whose cells still have room for a number (20 and "all others")."""

_FULL_COLOUR = 0.6
"""Share of a class from which a cell has its full colour."""


def draw_matrix(matrix: Matrix) -> Picture:
    """Draw a matrix, each row scaled to its class: right answers in one hue, errors in another."""
    n = len(matrix.names)
    side = _beside(matrix) + 0.42 * n if n <= COUNTS_PRINTED_UP_TO else 9.0
    size = (side + 0.6, side)
    described = _described(matrix)
    return picture(lambda figure, ink: _matrix(figure, ink, matrix), size, described, mixed=True)


def _beside(matrix: Matrix) -> float:
    """Return the inches that the names take beside the cells."""
    longest = max(map(len, matrix.labels), default=0)
    return max(2.0, 0.7 + 0.075 * longest)


def _described(matrix: Matrix) -> str:
    counts, named = matrix.counts, [name for name in matrix.names if name != OTHERS]
    total, right = int(counts.sum()), int(counts.trace())
    errors = counts[: len(named), : len(named)] * ~np.eye(len(named), dtype=bool)
    label, predicted = divmod(int(errors.argmax()), max(1, len(named)))
    text = f"Confusion matrix of {wording.plural(len(named), 'class')}"
    text += " and all others as one" if len(named) < len(matrix.names) else ""
    text += f": {right:,} of {total:,} images on the diagonal, {total - right:,} off it"
    if errors.any():
        text += f"; most often, in {wording.plural(int(errors.max()), 'image')}, "
        text += f"{matrix.labels[label]} was taken for {matrix.labels[predicted]}"
    return text + "."


def _matrix(figure: Figure, ink: Ink, matrix: Matrix) -> None:
    axes, n = figure.add_subplot(), len(matrix.names)
    support = matrix.counts.sum(axis=1, keepdims=True)
    rates = matrix.counts / np.maximum(support, 1)
    diagonal = np.eye(n, dtype=bool)
    for colour, hidden in ((ink.right, ~diagonal), (ink.wrong, diagonal)):
        _image(axes, np.ma.masked_where(hidden | (rates == 0), rates), colour)
    _matrix_axes(axes, matrix.labels)
    _frame(axes, ink)
    if n <= COUNTS_PRINTED_UP_TO:
        _print_counts(axes, ink, matrix.counts, rates)


def _image(axes: Axes, rates: NDArray[np.float64], colour: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb

    clear, full = (*to_rgb(colour), 0.0), (*to_rgb(colour), 1.0)
    shades = LinearSegmentedColormap.from_list("shades", [clear, full])
    # The square root keeps one confused image in a hundred visible.
    norm = PowerNorm(0.5, vmin=0, vmax=_FULL_COLOUR)
    axes.imshow(rates, cmap=shades, norm=norm, interpolation="nearest", aspect="equal")


def _matrix_axes(axes: Axes, names: Sequence[str]) -> None:
    positions = range(len(names))
    small = 9 if len(names) <= COUNTS_PRINTED_UP_TO else 6.5
    axes.set_xticks(positions, names, rotation=90 if len(names) > 12 else 45, fontsize=small)
    axes.set_yticks(positions, names, fontsize=small)
    if len(names) <= 12:
        for label in axes.get_xticklabels():
            label.set(horizontalalignment="right", rotation_mode="anchor")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("labelled class")
    axes.tick_params(length=0)


def _frame(axes: Axes, ink: Ink) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, color=ink.line)


def _print_counts(axes: Axes, ink: Ink, counts: Counts, rates: NDArray[np.float64]) -> None:
    size = 8.5 if len(counts) <= 12 else 7
    for (row, column), images in np.ndenumerate(counts):
        if images:
            text = f"{images:,}" if images < 10_000 else wording.magnitude(int(images))
            cell = _over(
                ink.paper, ink.right if row == column else ink.wrong, float(rates[row, column])
            )
            colour = _legible_on(cell)
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def _over(paper: str, colour: str, rate: float) -> NDArray[np.float64]:
    """Return the colour of a cell as it looks on its page."""
    from matplotlib.colors import to_rgb

    strength = min(1.0, rate / _FULL_COLOUR) ** 0.5
    return np.average([to_rgb(colour), to_rgb(paper)], axis=0, weights=[strength, 1 - strength])


def _legible_on(colour: NDArray[np.float64]) -> str:
    """Return black or white, whichever has a contrast of at least 4.5 (WCAG 2, 1.4.3)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "#000000" if luminance > 0.179 else "#ffffff"


def draw_errors(exhibit: ConfusionExhibit) -> Picture:
    """Draw the errors alone, on a logarithmic scale, for more classes than can be named."""
    counts, n, shared = binned(exhibit), len(exhibit.classes), merged(exhibit)
    alt = (
        f"Image of all errors between {n:,} classes: {int(counts.sum()):,} images in "
        f"{int((counts > 0).sum()):,} cells; the fullest cell holds {int(counts.max()):,}"
        f"{shared and '; '}{shared}."
    )

    def plot(figure: Figure, ink: Ink) -> None:
        _errors(figure, ink, counts, n)

    return picture(plot, (7.2, 6.2), alt, raster=True)


def _errors(figure: Figure, ink: Ink, counts: Counts, n: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

    axes = figure.add_subplot()
    faint = (*to_rgb(ink.wrong), 0.6)
    shades = LinearSegmentedColormap.from_list(
        "shades", [faint, to_rgb(ink.wrong), to_rgb(ink.text)]
    )
    image = axes.imshow(
        np.ma.masked_equal(counts, 0),
        cmap=shades,
        norm=LogNorm(vmin=1, vmax=max(2, int(counts.max()))),
        interpolation="nearest",
        extent=(-0.5, n - 0.5, n - 0.5, -0.5),
    )
    axes.set_xlabel("predicted class, by position in the class list")
    axes.set_ylabel("labelled class, by position")
    _frame(axes, ink)
    if (most := int(counts.max())) > 1:
        _colour_bar(figure, axes, ink, image, most)


def _colour_bar(figure: Figure, axes: Axes, ink: Ink, image: AxesImage, most: int) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.6, label="images in error (log scale)")
    bar.outline.set_edgecolor(ink.line)
    steps = [digit * 10**power for power in range(10) for digit in (1, 2, 5)]
    steps = [step for step in steps if step <= most]
    bar.set_ticks(steps, labels=[f"{step:,}" for step in steps], minor=False)
    bar.minorticks_off()
