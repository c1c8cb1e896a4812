"""Where in a model its cost lies: figures by module, gathered into parts that a reader knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["REST", "Stage", "by_stage"]

REST = "(elsewhere)"
"""What belongs to the model and to none of its parts, such as a position embedding."""

_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_MOST, _NEARLY_ALL = 0.5, 0.9
"""Shares of the multiply–adds from which on a container, and any part, says too little."""


@dataclass(frozen=True)
class Stage:
    """A part of a model.

    Parameters
    ----------
    name
        As in the state dict; ``blocks.0–11`` for neighbours whose figures are equal.
    parameters, macs, activations
        Sums over the part. Over all stages they sum to those of the model.
    """

    name: str
    parameters: int
    macs: int
    activations: int

    def __add__(self, other: Stage) -> Stage:
        return Stage(
            self.name,
            self.parameters + other.parameters,
            self.macs + other.macs,
            self.activations + other.activations,
        )


def by_stage(
    model: nn.Module, macs: Mapping[str, int], activations: Mapping[str, int]
) -> tuple[Stage, ...]:
    """Gather figures by module into the model's stages, in the order of its parts.

    A stage is a child of the model. A mere container with most of the multiply–adds, or any child
    with nearly all of them, is opened: its own children are the stages.

    Parameters
    ----------
    model
        Only its parts' names and the sizes of its parameters are read.
    macs, activations
        Module name → figure of what ran while that module was the innermost one.
    """
    parts = tuple(_parts(model, "", macs))
    found = {name: Stage(name, 0, 0, 0) for name in (*parts, REST)}
    for name, parameter in model.named_parameters():
        _put(found, Stage(name, parameter.numel(), 0, 0))
    for name in {*macs, *activations}:
        _put(found, Stage(name, 0, macs.get(name, 0), activations.get(name, 0)))
    return tuple(_joined(s for s in found.values() if s.parameters or s.macs or s.activations))


def _parts(module: nn.Module, prefix: str, macs: Mapping[str, int]) -> Iterator[str]:
    total = sum(macs.values())
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        share = sum(n for place, n in macs.items() if _within(place, path)) / total if total else 0
        most = _MOST if type(child).__name__ in _CONTAINERS else _NEARLY_ALL
        if share > most and any(True for _ in child.children()):
            yield from _parts(child, f"{path}.", macs)
        else:
            yield path


def _within(place: str, part: str) -> bool:
    return place == part or place.startswith(f"{part}.")


def _put(found: dict[str, Stage], figures: Stage) -> None:
    home = next((part for part in found if _within(figures.name, part)), REST)
    found[home] += figures


def _joined(stages: Iterable[Stage]) -> Iterator[Stage]:
    """Put neighbours of one container whose figures are equal into one row."""

    def alike(stage: Stage) -> tuple[str, object, int, int, int]:
        above, _, number = stage.name.rpartition(".")
        own = None if above and number.isdecimal() else stage.name
        return above, own, stage.parameters, stage.macs, stage.activations

    for _, group in groupby(stages, alike):
        first, *others = group
        total = sum(others, start=first)
        last = others[-1].name.rpartition(".")[2] if others else ""
        yield Stage(
            f"{first.name}–{last}" if others else first.name,
            total.parameters,
            total.macs,
            total.activations,
        )
