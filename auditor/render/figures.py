"""Draws the report's figures as ``data:`` URIs, once in ink for light pages, once for dark ones.

Equal audits give equal bytes: no dates, no random ids, and ``Figure`` instead of pyplot's state.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.record import ConfusionExhibit, EfficiencyExhibit, EfficiencyPoint, TrainingExhibit
from auditor.render import confusion, wording
from auditor.render.confusion import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Picture",
    "confusion_errors",
    "confusion_matrix",
    "efficiency",
    "training",
]

COUNTS_PRINTED_UP_TO = 21
"""Classes in a matrix whose cells still have room for a number (20 and "all others")."""

_LONGEST_NAME = 18

_FULL_COLOUR = 0.6
"""Share of a class from which a cell has its full colour."""

_STRONG = 0.2
"""Share of a class from which a number needs the ink for strong colours."""


class Picture(NamedTuple):
    """A figure for light and for dark pages, and its numbers in words."""

    light: str
    dark: str
    alt: str


class Ink(NamedTuple):
    """Colours that are legible on one kind of page; the page itself shows through."""

    text: str
    line: str
    paper: str
    right: str
    wrong: str
    accent: str
    on_strong: str


_LIGHT = Ink("#3a4250", "#c9ced6", "#ffffff", "#2f6f9f", "#b4431c", "#b4431c", "#ffffff")
_DARK = Ink("#c3cad5", "#454d5a", "#15181d", "#5ea3d6", "#ee8a5c", "#ee8a5c", "#0d0f12")

Plot = Callable[["Figure", Ink], None]


def _picture(
    plot: Plot, size: tuple[float, float], alt: str, *, pixels: bool = False
) -> Picture:
    light, dark = (_paint(plot, size, ink, pixels) for ink in (_LIGHT, _DARK))
    return Picture(light, dark, wording.visible(alt))


def _paint(plot: Plot, size: tuple[float, float], ink: Ink, pixels: bool) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    # A class named in emoji has no glyph in the font that measures it; the browser has one.
    with rc_context(_style(ink)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=size, layout="constrained")
        plot(figure, ink)
        if pixels:
            figure.savefig(stream, format="png", dpi=144, metadata={"Software": None})
            return _uri("image/png", stream.getvalue())
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    drawing = stream.getvalue().replace(b"'DejaVu Sans'", b"system-ui, 'DejaVu Sans'")
    return _uri("image/svg+xml", drawing)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _style(ink: Ink) -> dict[str, Any]:
    inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(inked, ink.text),
        "axes.edgecolor": ink.line,
        "axes.facecolor": "none",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.facecolor": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "grid.color": ink.line,
        "grid.linewidth": 0.5,
        "legend.frameon": False,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": "auditor",
        "text.parse_math": False,
    }


def _short(name: str, most: int = _LONGEST_NAME) -> str:
    return wording.shorten(" ".join(wording.visible(name).split()), most)


# ── confusion ────────────────────────────────────────────────────────────────────────────────


def confusion_matrix(matrix: Matrix) -> Picture:
    """Draw a matrix, each row scaled to its class: right answers in one hue, errors in another."""
    n = len(matrix.names)
    side = 2.0 + 0.42 * n if n <= COUNTS_PRINTED_UP_TO else 9.0
    counts = matrix.counts
    total, right = int(counts.sum()), int(counts.trace())
    alt = (
        f"Confusion matrix of {wording.plural(n, 'class')}: {right:,} of {total:,} images on the "
        f"diagonal, {total - right:,} off it."
    )
    return _picture(lambda figure, ink: _matrix(figure, ink, matrix), (side + 0.6, side), alt)


def _matrix(figure: Figure, ink: Ink, matrix: Matrix) -> None:
    axes, n = figure.add_subplot(), len(matrix.names)
    support = matrix.counts.sum(axis=1, keepdims=True)
    rates = matrix.counts / np.maximum(support, 1)
    diagonal = np.eye(n, dtype=bool)
    for colour, hidden in ((ink.right, ~diagonal), (ink.wrong, diagonal)):
        _image(axes, np.ma.masked_where(hidden | (rates == 0), rates), colour)
    _matrix_axes(axes, [_short(name) for name in matrix.names])
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


def _matrix_axes(axes: Axes, names: list[str]) -> None:
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


def _print_counts(
    axes: Axes, ink: Ink, counts: NDArray[np.int64], rates: NDArray[np.float64]
) -> None:
    size = 8.5 if len(counts) <= 12 else 7
    for (row, column), images in np.ndenumerate(counts):
        if images:
            strong = rates[row, column] > _STRONG
            text = f"{images:,}" if images < 10_000 else wording.magnitude(int(images))
            colour = ink.on_strong if strong else ink.text
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def confusion_errors(exhibit: ConfusionExhibit) -> Picture:
    """Draw the errors alone, on a logarithmic scale, for more classes than can be named."""
    counts, n = confusion.binned(exhibit), len(exhibit.classes)
    alt = (
        f"Image of all errors between {n:,} classes: {int(counts.sum()):,} images in "
        f"{int((counts > 0).sum()):,} cells; the fullest cell holds {int(counts.max()):,}."
    )

    def plot(figure: Figure, ink: Ink) -> None:
        _errors(figure, ink, counts, n)

    return _picture(plot, (7.2, 6.2), alt, pixels=True)


def _errors(figure: Figure, ink: Ink, counts: NDArray[np.int64], n: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

    axes = figure.add_subplot()
    faint = (*to_rgb(ink.wrong), 0.18)
    shades = LinearSegmentedColormap.from_list("shades", [faint, ink.wrong, ink.text])
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
    bar = figure.colorbar(image, ax=axes, shrink=0.6, label="images in error (log scale)")
    bar.outline.set_edgecolor(ink.line)


# ── efficiency ───────────────────────────────────────────────────────────────────────────────


def efficiency(exhibit: EfficiencyExhibit) -> Picture:
    """Draw Top-1 against MACs: the published family, the candidate and the baseline."""
    points = [exhibit.candidate, *([exhibit.baseline] if exhibit.baseline else ())]
    described = [_described(point, exhibit.comparable) for point in points]
    family = [_described(point, True) for point in exhibit.reference]
    alt = f"Top-1 accuracy against MACs. {'; '.join(described)}. Published: {'; '.join(family)}."
    return _picture(lambda figure, ink: _efficiency(figure, ink, exhibit), (7.2, 4.0), alt)


def _described(point: EfficiencyPoint, comparable: bool) -> str:
    accuracy = wording.quantity(point.top1 if comparable else None, "share")
    shown = f"{wording.magnitude(point.macs)} MACs"
    return f"{point.name} {shown}" + (f", {accuracy}" if accuracy != wording.MISSING else "")


def _efficiency(figure: Figure, ink: Ink, exhibit: EfficiencyExhibit) -> None:
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.grid(True, which="major")
    axes.set_axisbelow(True)
    _family(axes, ink, exhibit.reference)
    _model(axes, ink.accent, "candidate", exhibit.candidate, exhibit.comparable)
    if exhibit.baseline:
        _model(axes, ink.text, "baseline", exhibit.baseline, exhibit.comparable)
    axes.legend(loc="best")
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
        label = _short(name)
        offset = {"xytext": (-6, 4), "textcoords": "offset points", "ha": "right"}
        axes.annotate(label, (macs, top1), color=ink.right, **offset)


def _model(
    axes: Axes, colour: str, role: str, point: EfficiencyPoint, comparable: bool
) -> None:
    """Draw a model where it stands, or only its cost where its accuracy does not compare."""
    name = _short(point.name, 30)
    label = f"{role}: {name}, {wording.magnitude(point.macs)} MACs"
    first = role == "candidate"
    if comparable and point.top1 is not None:
        face = colour if first else "none"
        axes.plot([point.macs], [point.top1], "D", color=colour, mfc=face, ms=7, label=label)
    else:
        axes.axvline(point.macs, color=colour, lw=1.5, ls="--" if first else ":", label=label)


# ── training ─────────────────────────────────────────────────────────────────────────────────


def training(exhibit: TrainingExhibit) -> Picture:
    """Draw the loss of both splits and, where it was logged, the validation accuracy."""
    last = exhibit.epochs[-1] if exhibit.epochs else 0
    parts = [f"Training curves over {wording.plural(len(exhibit.epochs), 'epoch')}, to {last:g}"]
    for name, values, unit in _curves(exhibit):
        if known := [value for value in values if value is not None]:
            ends = " to ".join(wording.quantity(value, unit) for value in (known[0], known[-1]))
            parts.append(f"{name} from {ends}")
    size = (7.2, 3.4) if exhibit.validation_top1 else (7.2, 3.0)
    return _picture(lambda figure, ink: _training(figure, ink, exhibit), size, "; ".join(parts))


def _curves(exhibit: TrainingExhibit) -> list[tuple[str, Sequence[float | None], str]]:
    return [
        ("training loss", exhibit.train_loss, "none"),
        ("validation loss", exhibit.validation_loss, "none"),
        ("validation Top-1", exhibit.validation_top1, "share"),
    ]


def _training(figure: Figure, ink: Ink, exhibit: TrainingExhibit) -> None:
    panels = 2 if exhibit.validation_top1 else 1
    loss, *rest = figure.subplots(1, panels, squeeze=False)[0]
    _curve(loss, exhibit, exhibit.train_loss, ink.right, "training", "-")
    _curve(loss, exhibit, exhibit.validation_loss, ink.wrong, "validation", "--")
    loss.set_title("Loss", loc="left")
    loss.legend()
    for accuracy in rest:
        _curve(accuracy, exhibit, exhibit.validation_top1, ink.wrong, "validation", "--")
        accuracy.set_title("Validation Top-1", loc="left")
        accuracy.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for axes in (loss, *rest):
        axes.grid(True, axis="y")
        axes.set_xlabel("epoch")


def _curve(
    axes: Axes,
    exhibit: TrainingExhibit,
    values: Sequence[float | None],
    colour: str,
    name: str,
    line: str,
) -> None:
    heights = [float("nan") if value is None else value for value in values]
    single = "o" if len(heights) == 1 else None
    axes.plot(exhibit.epochs, heights, line, color=colour, label=name, lw=1.5, marker=single)
