"""Models that come as one file, graph and weights together, and run as they were exported.

torch is imported here at once, so import this module where a model is loaded and not before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from auditor.errors import InputError

__all__ = ["CHANNELS", "GraphInput", "GraphModel", "named_types"]

CHANNELS = (1, 3)
"""How many an image has."""
_FEW = 0.01
"""Share of the weights below which a type is not named."""


@dataclass(frozen=True)
class GraphInput:
    """What a graph takes.

    Parameters
    ----------
    fewest, most
        Images that it takes at once; `most` is None where there is no limit.
    channels, height, width
        None where any will do.
    channels_last
        Whether the channels come after the pixels (NHWC).
    dtype
        What numbers it wants.
    """

    fewest: int = 1
    most: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_last: bool = False
    dtype: torch.dtype = torch.float32

    @property
    def takes_several(self) -> bool:
        """Whether it takes one number of images alone, and more than one."""
        return self.fewest == self.most != 1

    def size(self, side: int | None, file: str) -> tuple[int, int, int] | None:
        """Return channels, height and width where the graph, or else the user, fixes them.

        Raises
        ------
        InputError
            The user's side is not the graph's, or images have no such channels.
        """
        if self.channels not in (None, *CHANNELS):
            raise InputError(f"{file} takes {self.channels} channels; images have 1 or 3")
        height, width = self.height or side, self.width or side
        if side is not None and (height, width) != (side, side):
            raise InputError(
                f"{file} takes images of {height}×{width}; input_size {side} is not possible, "
                "leave it out or export again"
            )
        return (self.channels or 3, height, width) if height and width else None


class GraphModel(nn.Module):
    """Runs a graph on any number of images.

    Parameters
    ----------
    file
        What messages call it.
    run
        The graph: images in its own layout → scores. Where it is a module, its weights count.
    taken
        What the graph takes.
    classes
        Class names in the order of the outputs, if the file has them.
    way
        What runs it, as a phrase.
    numbers
        Of what type its weights are, as a phrase: ``float16``.
    notes
        What a reviewer must know of how it was read, one sentence each.
    """

    def __init__(
        self,
        file: str,
        run: Callable[[Tensor], Tensor],
        taken: GraphInput,
        classes: tuple[str, ...] | None = None,
        way: str = "torch, as exported",
        numbers: str = "float32",
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.file, self.run, self.taken, self.file_classes = file, run, taken, classes
        self.way, self.numbers, self.notes = way, numbers, notes
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Return scores, shape (n, classes), for images of shape (n, channels, height, width)."""
        images = images.contiguous()  # an exported view() may not fit another layout in memory
        if self.taken.channels_last:
            images = images.permute(0, 2, 3, 1).contiguous()
        images = images.to(self.taken.dtype)
        rows = [self._scores(padded)[:n] for padded, n in self._batches(images)]
        return torch.cat(rows).float()

    def _scores(self, images: Tensor) -> Tensor:
        scores = self.run(images)
        is_tensor = isinstance(scores, Tensor)  # what a graph returns nobody vouches for
        if not is_tensor or scores.ndim != 2 or len(scores) != len(images):
            found = tuple(scores.shape) if is_tensor else f"a {type(scores).__name__}"
            raise InputError(
                f"{self.file} returned {found} for {len(images)} images; it must "
                "return one row of scores for each; export it again"
            )
        return scores

    def _batches(self, images: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Yield batches that the graph takes, filled up with black, and how many are real."""
        for batch in torch.split(images, self.taken.most or len(images)):
            missing = max(0, self.taken.fewest - len(batch))
            fill = (0, 0) * (batch.ndim - 1) + (0, missing)
            yield functional.pad(batch, fill) if missing else batch, len(batch)

    def train(self, mode: bool = True) -> Self:
        """Stay as exported: a graph has no other mode."""
        del mode
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device; the graph's own types and memory layout stay.

        Raises
        ------
        InputError
            Other types are asked for.
        """
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if dtype not in (None, torch.float32):
            asked = str(dtype).removeprefix("torch.")
            raise InputError(
                f"{self.file} runs in the types that it was exported with, not in {asked}; leave "
                '[engine] dtype at "float32"'
            )
        return self if device is None else super().to(device)


def named_types(weights: Iterable[tuple[str, int]]) -> str:
    """Return the types of which weights are, the most frequent first; float32 where there are none.

    Parameters
    ----------
    weights
        The type of each tensor, and its values.

    Examples
    --------
    >>> named_types([("int8", 900), ("float32", 100), ("int64", 2)])
    'int8 and float32'
    """
    values = Counter[str]()
    for kind, count in weights:
        values[kind] += count
    many = [kind for kind, count in values.most_common() if count >= _FEW * values.total()]
    return " and ".join(many) or "float32"
