"""Resizes and crops pictures of many sizes where they lie, a batch at once.

The sums are Pillow's: each output level is a weighted mean of the levels within the filter's reach,
across first and then down, rounded to eight bits after each (``src/libImaging/Resample.c`` of
Pillow; Keys, "Cubic convolution interpolation for digital image processing", 1981, for the cubic).
A pass is one product with a matrix of weights for each picture, so that a batch of pictures takes
some dozen operations, however many sizes they have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from auditor.models.tensor_transform import OnTensors

__all__ = ["resized"]

_PIXELS = 1 << 24
"""Of the pictures that are resized at once, with what they are filled up to: 200 MB."""
_CUBIC = -0.5
_STEPS = 1 << 15
"""Weights are multiples of its inverse: all sums are then exact in float32, in whatever order."""


class _Axis(NamedTuple):
    """How one side of a picture is resized and cropped, in pixels."""

    length: int
    resized: int
    first: int
    """The first pixel of the resized side that the crop keeps."""


def resized(pictures: Sequence[Tensor], steps: OnTensors) -> Tensor:
    """Return what ``steps`` makes of each picture, within a grey level or two.

    Parameters
    ----------
    pictures
        8-bit levels, each (channels, height, width), all on one device.
    steps
        What size, what crop; the crop no larger than the resized picture.

    Returns
    -------
    torch.Tensor
        8-bit levels, shape (n, channels, height, width), on the same device.
    """
    import torch

    order = sorted(range(len(pictures)), key=lambda i: tuple(pictures[i].shape))
    alike = [pictures[i] for i in order]
    axes = [_axes(int(each.shape[1]), int(each.shape[2]), steps) for each in alike]
    device = pictures[0].device
    # At once, for a GPU is waited for whenever something goes there.
    there = torch.tensor(axes, dtype=torch.float64).to(device)
    back = torch.tensor(order).argsort().to(device)
    parts = [_part(alike[p], axes[p], there[p], steps) for p in _parts(alike, max(steps.crop))]
    return torch.cat(parts).index_select(0, back)


def _axes(height: int, width: int, steps: OnTensors) -> tuple[_Axis, _Axis]:
    new, first = steps.resized(height, width), steps.offsets(height, width)
    return _Axis(height, new[0], first[0]), _Axis(width, new[1], first[1])


def _parts(pictures: Sequence[Tensor], kept: int) -> Iterator[slice]:
    """Cut into runs that fit into memory with their weights, each filled up to its largest."""
    start, height, width = 0, 0, 0
    for i, picture in enumerate(pictures):
        height, width = max(height, picture.shape[1]), max(width, picture.shape[2])
        each = max(height * width, kept * (height + width))
        if i > start and (i - start + 1) * each > _PIXELS:
            yield slice(start, i)
            start, height, width = i, picture.shape[1], picture.shape[2]
    yield slice(start, len(pictures))


def _part(
    pictures: Sequence[Tensor],
    axes: Sequence[tuple[_Axis, _Axis]],
    there: Tensor,
    steps: OnTensors,
) -> Tensor:
    import torch

    height, width = (max(pair[side].length for pair in axes) for side in (0, 1))
    count, channels, (rows, columns) = len(pictures), len(pictures[0]), steps.crop
    reach = 2 if steps.is_cubic else 1
    down, across = (
        _weights(there[:, side], kept, length, reach, _taps(axes, side, reach))
        for side, kept, length in ((0, rows, height), (1, columns, width))
    )
    # Rows first and channels second: both passes are then products as the values lie. What is
    # filled up meets weights of zero.
    shape = (count, height, channels, width)
    canvas = torch.empty(shape, dtype=torch.uint8, device=there.device)
    views = [c[: p.shape[1], :, : p.shape[2]] for c, p in zip(canvas, pictures, strict=True)]
    torch._foreach_copy_(views, [picture.permute(1, 0, 2) for picture in pictures])
    levels = canvas.to(torch.float32).view(count, height * channels, width)
    levels = _rounded(levels @ across.mT).view(count, height, channels * columns)
    levels = _rounded(down @ levels).to(torch.uint8)
    return levels.view(count, rows, channels, columns).permute(0, 2, 1, 3)


def _rounded(levels: Tensor) -> Tensor:
    return levels.add_(0.5).floor_().clamp_(0, 255)


def _taps(axes: Sequence[tuple[_Axis, _Axis]], side: int, reach: int) -> int:
    """Return of how many pixels one is made, at most."""
    scale = max(pair[side].length / pair[side].resized for pair in axes)
    return math.ceil(2 * reach * max(scale, 1.0)) + 1


def _weights(axes: Tensor, kept: int, longest: int, reach: int, taps: int) -> Tensor:
    """Return what each pixel of a side weighs in each that is kept, (n, kept, longest)."""
    import torch

    length, new, first = axes.T[..., None]
    scale = length / new
    widened = scale.clamp(min=1)  # a filter reaches over as many pixels as become one
    centre = (torch.arange(kept, device=axes.device) + first + 0.5) * scale
    low = (centre - reach * widened + 0.5).floor().clamp_(min=0)[..., None]
    high = torch.minimum((centre + reach * widened + 0.5).floor(), length)[..., None]
    pixels = low + torch.arange(taps, device=axes.device)
    away = (pixels - centre[..., None] + 0.5) / widened[..., None]
    heights = _filter(away.abs_(), reach) * (pixels < high)
    heights = ((heights / heights.sum(-1, keepdim=True)) * _STEPS).round_().div_(_STEPS)
    places = pixels.clamp_(max=longest - 1).long()  # those beyond weigh nothing
    weights = torch.zeros(len(axes), kept, longest, device=axes.device)
    return weights.scatter_add_(2, places, heights.float())


def _filter(away: Tensor, reach: int) -> Tensor:
    """Return a filter's height at distances from its centre: a triangle, or Keys' cubic."""
    import torch

    if reach == 1:
        return (1 - away).clamp_(min=0)
    near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
    far = (((away - 5) * away + 8) * away - 4) * _CUBIC
    return torch.where(away < 1, near, far * (away < 2))
