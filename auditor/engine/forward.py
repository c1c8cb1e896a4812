"""Puts a model where it runs, in the form in which it is judged and timed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from auditor.engine.folding import fold_batch_norms

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FOLDS_ON", "Forward", "default_batch", "ready"]

FOLDS_ON = ("cpu", "float32")
"""Device and dtype in which BatchNorms are folded: elsewhere its gain or its error is unknown."""
_TOLERANCE = 1e-3
"""Largest change of a logit, as a share of the spread of its image's logits."""
_TRIED = 8
"""Images on which the folded model must agree with the plain one."""
_SEED = 0

Size = tuple[int, int, int]


def ready(model: nn.Module, device: torch.device, dtype: str) -> nn.Module:
    """Return a model on its device, in evaluation mode and ``channels_last``; changed in place.

    Parameters
    ----------
    model
        In any state.
    device
        Where it runs.
    dtype
        ``float32``, ``bfloat16`` or ``float16``.
    """
    import torch

    model = model.to(device, dtype=getattr(torch, dtype))
    return model.to(memory_format=torch.channels_last).eval()


def default_batch(device: torch.device) -> int:
    """Return how many images a forward pass takes, where the user does not say."""
    return 16 if device.type == "cpu" else 128


class Forward:
    """A model as it is run: on a CPU with its BatchNorms folded, if that changes no prediction.

    Folded and plain are compared on pictures drawn at random, so that each part of a divided or
    interrupted audit decides alike, and by ``settle`` on real ones.

    Parameters
    ----------
    model
        In any state; put on its device, else left as it is.
    device, dtype
        Where and in what it runs.
    input_size
        Channels, height, width.
    """

    def __init__(self, model: nn.Module, device: torch.device, dtype: str, input_size: Size):
        self.model = self._plain = ready(model, device, dtype)
        self._settled, self._form = True, ""
        if (device.type, dtype) == FOLDS_ON:
            self._fold(input_size)

    def _fold(self, input_size: Size) -> None:
        import torch

        total = sum(_is_batch_norm(module) for module in self._plain.modules())
        folded, count = fold_batch_norms(self._plain)
        if total:
            self._form = f", {count} of {total} BatchNorms folded"
        if count:
            self.model, self._settled = folded.to(memory_format=torch.channels_last), False
            generator = torch.Generator().manual_seed(_SEED)
            found = self._compare(torch.randn(_TRIED, *input_size, generator=generator))
            self._form += f", {found.closeness()}" if self.model is folded and found else ""

    def settle(self, batch: torch.Tensor) -> None:
        """Compare folded and plain on the first real batch; choose the plain one if they differ.

        Parameters
        ----------
        batch
            Shape (n, channels, height, width), on the device.
        """
        if not self._settled:
            self._settled = True
            self._compare(batch[:_TRIED])

    def _compare(self, batch: torch.Tensor) -> _Agreement | None:
        """Return how far the two agree; go on with the plain one where they do not."""
        import torch

        images = batch.contiguous(memory_format=torch.channels_last)
        try:
            with torch.inference_mode():
                found = _agreement(self.model(images), self._plain(images))
        except Exception:  # foreign code; what is wrong with the model itself is said when it runs
            found = None
        if found is None or not found.is_close:
            self.model, self._settled = self._plain, True
            self._form = f", BatchNorms not folded: {found or 'the folded model did not run'}"
        return found

    def __str__(self) -> str:
        """Return how it runs, as a phrase."""
        return f"torch, channels_last{self._form}"


class _Agreement(NamedTuple):
    change: float
    """Largest change of a logit, as a share of the spread of its image's."""
    flips: int
    images: int

    @property
    def is_close(self) -> bool:
        return self.change <= _TOLERANCE and not self.flips  # NaN is not

    def closeness(self) -> str:
        # A power of ten, so that the last bit of a sum does not change the evidence.
        power = math.ceil(math.log10(self.change)) if self.change else 0
        return f"logits within 1e{power} of their spread" if self.change else "logits equal"

    def __str__(self) -> str:
        return (
            f"it changed logits by {self.change:.2g} of their spread and "
            f"{self.flips} of {self.images} predictions"
        )


def _agreement(folded: torch.Tensor, plain: torch.Tensor) -> _Agreement:
    change = (folded - plain).abs().amax(1)
    spread = plain.amax(1) - plain.amin(1)
    share = float((change / spread).max()) if change.any() else 0.0
    flips = int((folded.argmax(1) != plain.argmax(1)).sum())
    return _Agreement(share, flips, len(plain))


def _is_batch_norm(module: nn.Module) -> bool:
    from torch.nn.modules.batchnorm import _BatchNorm

    return isinstance(module, _BatchNorm)
