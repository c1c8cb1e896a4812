"""Runs batches of any size on what takes batches of certain sizes.

torch is imported here at once, so import this module where a model is loaded and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FixedSizes"]

Run = Callable[[Tensor], Tensor]


class FixedSizes(nn.Module):
    """Cuts a batch into pieces of known sizes.

    An image's logits so depend on how its batch is cut, and not on how large the batch was.

    Parameters
    ----------
    make
        Number of images → what runs exactly that many, contiguous and float32; called once a size.
    sizes
        The sizes, largest first. What is left is filled up to the smallest.
    streams
        How many batches may run beside each other, each in the thread that asks.
    """

    def __init__(
        self, make: Callable[[int], Run], sizes: tuple[int, ...], streams: int = 1
    ) -> None:
        super().__init__()
        self.streams = streams
        self._make, self._sizes, self._made = make, sizes, dict[int, Run]()

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits, shape (n, classes), for a batch (n, channels, height, width)."""
        return torch.cat([self._run(piece) for piece in self._pieces(batch.contiguous())])

    def images_for_all(self, least: int) -> int:
        """Return how many images, at least so many, are cut into pieces of every size."""
        return next(
            images
            for images in count(max(least, sum(self._sizes)))
            if {*self._sizes} <= {*self._lengths(images)}
        )

    def _pieces(self, batch: Tensor) -> Iterator[Tensor]:
        start = 0
        for size in self._lengths(len(batch)):
            yield batch[start : start + size]
            start += size

    def _lengths(self, images: int) -> Iterator[int]:
        while images:
            size = next((size for size in self._sizes if size <= images), images)
            yield size
            images -= size

    def _run(self, piece: Tensor) -> Tensor:
        size = max(len(piece), self._sizes[-1])
        if size not in self._made:
            self._made[size] = self._make(size)
        missing = size - len(piece)
        filled = functional.pad(piece, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else piece
        return self._made[size](filled)[: len(piece)]
