"""Draws the training log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditor import wording
from auditor.record import TrainingExhibit
from auditor.render.figures import Ink, Picture, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_training"]


def draw_training(exhibit: TrainingExhibit) -> Picture:
    """Draw the loss of both splits and, where it was logged, the validation accuracy."""
    last = exhibit.epochs[-1] if exhibit.epochs else 0
    parts = [f"Training curves over {wording.plural(len(exhibit.epochs), 'epoch')}, to {last:g}"]
    for name, values, unit in _curves(exhibit):
        if known := [value for value in values if value is not None]:
            ends = " to ".join(wording.quantity(value, unit) for value in (known[0], known[-1]))
            parts.append(f"{name} from {ends}")
    size = (7.2, 3.4) if exhibit.validation_top1 else (7.2, 3.0)
    return picture(lambda figure, ink: _training(figure, ink, exhibit), size, "; ".join(parts))


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
