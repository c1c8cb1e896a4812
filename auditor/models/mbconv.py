"""Reads the plan of an EfficientNet, its channels and repeats, from a model's convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NotRecognised", "Skeleton", "read_skeleton"]

_STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
"""Kernel, stride and expansion of each stage (table 1 of the paper)."""


@dataclass(frozen=True)
class NotRecognised:
    """Why a model is not taken for an EfficientNet."""

    reason: str

    def __str__(self) -> str:
        return f"Not an EfficientNet: {self.reason}."


class Skeleton(NamedTuple):
    """What scaling changes.

    Parameters
    ----------
    channels
        Of the stem, the seven stages and the head.
    repeats
        Blocks of each stage.
    """

    channels: tuple[int, ...]
    repeats: tuple[int, ...]


class _Conv(NamedTuple):
    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int

    @property
    def pointwise(self) -> bool:
        return self.kernel == 1 and self.groups == 1

    @property
    def depthwise(self) -> bool:
        return self.groups == self.inputs == self.outputs > 1


class _Block(NamedTuple):
    """A mobile inverted bottleneck with squeeze-and-excitation."""

    kernel: int
    stride: int
    expansion: float
    outputs: int


def read_skeleton(model: nn.Module) -> Skeleton | NotRecognised:
    """Return channels and repeats of an EfficientNet, or why it is none.

    Stages are told apart by stride and kernel, never by width, so that any scaling is read.
    """
    convs = list(_convolutions(model))
    if len(convs) < 3 or (convs[0].kernel, convs[0].stride) != (3, 2):
        return NotRecognised("it does not begin with a 3×3 convolution of stride 2")
    head = convs[-1]
    blocks: list[_Block] = []
    place, width = 1, convs[0].outputs
    while place < len(convs) - 1:
        block, used = _block(convs[place:-1], width)
        if block is None:
            return NotRecognised(
                f"block {len(blocks) + 1} is not an inverted bottleneck with squeeze-and-excitation"
            )
        blocks.append(block)
        place, width = place + used, block.outputs
    if not head.pointwise or head.inputs != width:
        return NotRecognised("it does not end with a 1×1 convolution")
    return _skeleton(convs[0].outputs, blocks, head.outputs)


def _convolutions(model: nn.Module) -> Iterator[_Conv]:
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            yield _Conv(
                module.in_channels,
                module.out_channels,
                max(module.kernel_size),
                max(module.stride),
                module.groups,
            )


def _block(convs: Sequence[_Conv], width: int) -> tuple[_Block | None, int]:
    """Return the block that the sequence begins with, and of how many convolutions it is made."""
    expands = not convs[0].depthwise
    parts = convs[1 if expands else 0 :][:4]
    if len(parts) < 4 or (expands and not convs[0].pointwise) or convs[0].inputs != width:
        return None, 0
    deep, squeeze, excite, project = parts
    chained = (
        deep.depthwise
        and all(part.pointwise for part in (squeeze, excite, project))
        and deep.inputs == (convs[0].outputs if expands else width)
        and squeeze.inputs == excite.outputs == project.inputs == deep.outputs
        and squeeze.outputs == excite.inputs < deep.outputs
    )
    block = _Block(deep.kernel, deep.stride, deep.outputs / width, project.outputs)
    return (block if chained else None), 4 + expands


def _skeleton(stem: int, blocks: Sequence[_Block], head: int) -> Skeleton | NotRecognised:
    stages: list[list[_Block]] = []
    for block in blocks:
        before = stages[-1][-1] if stages else None
        new = before is None or block.stride > 1 or block.kernel != before.kernel
        # Only the first stage does not expand, and it is not strided either.
        if new or (before is not None and block.expansion != before.expansion):
            stages.append([])
        stages[-1].append(block)
    plan = tuple((s[0].kernel, s[0].stride, round(s[0].expansion, 2)) for s in stages)
    uneven = any(block.outputs != stage[0].outputs for stage in stages for block in stage)
    if plan != _STAGES or uneven:
        return NotRecognised("its stages differ from EfficientNet's in kernel, stride or expansion")
    channels = (stem, *(stage[0].outputs for stage in stages), head)
    return Skeleton(channels, tuple(len(stage) for stage in stages))
