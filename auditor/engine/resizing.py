"""Resizes and crops pictures of many sizes where they lie, a batch at once.

The sums are Pillow's: each output level is a weighted mean of the levels within the filter's reach,
across first and then down, rounded to eight bits after each (``src/libImaging/Resample.c`` of
Pillow; Keys, "Cubic convolution interpolation for digital image processing", 1981, for the cubic).
A pass is one product with a matrix of weights for each picture, so that a batch of pictures takes
some dozen operations, however many sizes they have: what an operation costs is telling a GPU of it.
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
    reach = 2 if steps.interpolation == "bicubic" else 1
    places, weights = _filters(there, max(steps.crop), reach, _taps(axes, reach))
    parts = [
        _part(alike[part], places[part], weights[part], steps.crop)
        for part in _parts(alike, max(steps.crop))
    ]
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
    pictures: Sequence[Tensor], places: Tensor, weights: Tensor, crop: tuple[int, int]
) -> Tensor:
    import torch

    height, width = (max(int(each.shape[side]) for each in pictures) for side in (1, 2))
    count, channels, (rows, columns) = len(pictures), len(pictures[0]), crop
    down = _matrices(places[:, 0, :rows], weights[:, 0, :rows], height)
    across = _matrices(places[:, 1, :columns], weights[:, 1, :columns], width)
    # Rows first and channels second: both passes are then products as the values lie. What is
    # filled up meets weights of zero.
    shape = (count, height, channels, width)
    canvas = torch.empty(shape, dtype=torch.uint8, device=places.device)
    views = [c[: p.shape[1], :, : p.shape[2]] for c, p in zip(canvas, pictures, strict=True)]
    torch._foreach_copy_(views, [picture.permute(1, 0, 2) for picture in pictures])
    levels = canvas.to(torch.float32).view(count, height * channels, width)
    levels = _rounded(levels @ across.mT).view(count, height, channels * columns)
    levels = _rounded(down @ levels).to(torch.uint8)
    return levels.view(count, rows, channels, columns).permute(0, 2, 1, 3)


def _rounded(levels: Tensor) -> Tensor:
    return levels.add_(0.5).floor_().clamp_(0, 255)


def _taps(axes: Sequence[tuple[_Axis, _Axis]], reach: int) -> int:
    """Return of how many pixels one is made, at most."""
    scale = max(axis.length / axis.resized for pair in axes for axis in pair)
    return math.ceil(2 * reach * max(scale, 1.0)) + 1


def _filters(axes: Tensor, kept: int, reach: int, taps: int) -> tuple[Tensor, Tensor]:
    """Return of which pixels of a side each is made, and what they weigh: (n, 2, kept, taps)."""
    import torch

    length, new, first = axes.unbind(-1)
    length, scale = length[..., None, None], (length / new)[..., None]
    widened = scale.clamp(min=1)  # a filter reaches over as many pixels as become one
    centre = (torch.arange(kept, device=axes.device) + (first + 0.5)[..., None]) * scale
    centre, widened = centre[..., None], widened[..., None]
    low = (centre - reach * widened + 0.5).floor_().clamp_(min=0)
    high = torch.minimum((centre + reach * widened + 0.5).floor_(), length)
    pixels = low + torch.arange(taps, device=axes.device)
    away = (pixels - centre + 0.5).div_(widened)
    heights = _filter(away.abs_(), reach).mul_(pixels < high)
    heights.div_(heights.sum(-1, keepdim=True))
    weights = heights.mul_(_STEPS).round_().div_(_STEPS).float()
    return torch.minimum(pixels, length - 1).long(), weights  # those beyond weigh nothing


def _matrices(places: Tensor, weights: Tensor, side: int) -> Tensor:
    """Return what each pixel of a side weighs in each that is kept, (n, kept, side)."""
    import torch

    empty = torch.zeros(*places.shape[:2], side, device=places.device)
    return empty.scatter_add_(2, places, weights)


def _filter(away: Tensor, reach: int) -> Tensor:
    """Return a filter's height at distances from its centre: a triangle, or Keys' cubic."""
    import torch

    if reach == 1:
        return (1 - away).clamp_(min=0)
    near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
    far = (((away - 5) * away + 8) * away - 4) * _CUBIC
    return torch.where(away < 1, near, far * (away < 2))
