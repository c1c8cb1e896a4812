"""timm's evaluation transform on 8-bit tensors: 4 times as fast as on PIL's pictures, within a
grey level or two of it.

torch's resizing of 8-bit tensors is Pillow's own algorithm, with the same filters and antialiasing;
its sums are rounded elsewhere. What it cannot do is left to the reference: filters other than
bilinear and bicubic, and crops with a border. What it leaves is normalising, which is done for a
batch at once (``Preprocessing.normalise``).

It does without torchvision, whose import takes workers longer than all that they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.data.decode import to_pixels
from auditor.models.resized import resized

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = ["OnTensors", "on_tensors"]


def on_tensors(steps: Any) -> OnTensors | None:
    """Return the same steps on 8-bit tensors; None where there is no such way.

    Parameters
    ----------
    steps
        What ``timm.data.create_transform`` returned for evaluation.

    Returns
    -------
    OnTensors or None
        Can be pickled.
    """
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    kinds = [type(step).__name__ for step in steps.transforms]
    if kinds != ["Resize", "CenterCrop", "MaybeToTensor", "Normalize"]:
        return None
    resize, crop, *_ = steps.transforms
    filters = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    if not isinstance(resize, transforms.Resize) or resize.interpolation not in filters:
        return None
    return OnTensors(resize.size, resize.interpolation.value, crop.size)


@dataclass(frozen=True)
class OnTensors:
    """Resizes and crops.

    Parameters
    ----------
    size
        Of the shorter side in pixels, or height and width.
    interpolation
        The filter: bilinear or bicubic.
    crop
        Height and width of what is kept in the middle.
    """

    size: int | list[int]
    interpolation: str
    crop: tuple[int, int]

    @property
    def fills_the_crop(self) -> bool:
        """Whether a resized image is nowhere smaller than what is kept of it."""
        sides = [self.size] * 2 if isinstance(self.size, int) else self.size
        return all(side >= kept for side, kept in zip(sides, self.crop, strict=True))

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a resized image, as torchvision rounds them."""
        return resized(self.size, height, width)

    def offsets(self, height: int, width: int) -> tuple[int, int]:
        """Return the first row and column of a resized image that the crop keeps."""
        return self._middle(self.resized(height, width))

    def __call__(self, image: Image) -> Tensor:
        """Return the grey levels of an image in mode RGB or L, (channels, height, width)."""
        import torch
        from torch.nn.functional import interpolate

        levels = torch.from_numpy(to_pixels(image))
        height, width = levels.shape[:2]
        # Of a batch that is channels_last, whatever the picture: torch keeps that order.
        pixels = levels.view(1, height, width, -1).permute(0, 3, 1, 2)
        new = self.resized(height, width)
        if new != (height, width):
            pixels = interpolate(pixels, new, mode=self.interpolation, antialias=True)
        return self._cropped(pixels[0])

    def _cropped(self, pixels: Tensor) -> Tensor:
        """Keep the middle; what is missing there is black."""
        from torch.nn.functional import pad

        sides = zip(self.crop, pixels.shape[1:], strict=True)
        down, across = (max(kept - side, 0) for kept, side in sides)
        if down or across:
            pixels = pad(pixels, (across // 2, -(-across // 2), down // 2, -(-down // 2)))
        (rows, columns), (top, left) = self.crop, self._middle(pixels.shape[1:])
        return pixels[:, top : top + rows, left : left + columns]

    def _middle(self, sides: Sequence[int]) -> tuple[int, int]:
        top, left = (
            round((side - kept) / 2.0) for side, kept in zip(sides, self.crop, strict=True)
        )
        return top, left
