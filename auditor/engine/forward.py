"""Puts a model where it runs, in the form in which it is judged and timed."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, NamedTuple

from auditor.engine.agreement import change_of
from auditor.engine.backends.choosing import Backend, chosen_backends
from auditor.engine.casting import cast, is_batch_norm
from auditor.engine.folding import fold_batch_norms
from auditor.engine.precision import reproducible
from auditor.errors import first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FOLDS_ON", "TRIED", "Forward", "cpu_batch", "default_batch", "drawn", "ready"]

FOLDS_ON = ("cpu", "float32")
"""Device and dtype in which BatchNorms are folded and backends other than torch may run: elsewhere
their gain or their error is unknown."""
_TOLERANCE = 1e-3
"""Largest change of a logit, as a share of the spread of its image's logits."""
TRIED = 8
"""Images on which a way of running must agree with the plain model."""
_SEED = 0
_FEWEST, _MOST, _PIXELS = 4, 64, 4 * 224 * 224
_TORCH = "torch, channels_last"

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

    Raises
    ------
    InputError
        The dtype cannot hold what the model is made of; see ``auditor.engine.casting``.
    """
    import torch

    model = cast(model, device, getattr(torch, dtype)).to(memory_format=torch.channels_last)
    model.eval()
    return model


def default_batch(device: torch.device, input_size: Size = (3, 224, 224)) -> int:
    """Return how many images a forward pass takes, where the user does not say."""
    return cpu_batch(input_size) if device.type == "cpu" else 128


def cpu_batch(input_size: Size) -> int:
    """Return how many images a CPU's caches hold best: 4 of 224 pixels, 16 of 112, 64 of 32."""
    return max(_FEWEST, min(_MOST, _PIXELS // (input_size[1] * input_size[2])))


class Forward:
    """A model as it is run: on a CPU in the fastest way that changes no prediction.

    Ways are tried in a fixed order: the backends that come into question
    (``auditor.engine.backends``), torch with BatchNorms folded, torch. One is taken if it agrees
    with the plain model on pictures drawn at random, and kept if it does, by ``settle``, on the
    first real ones of the whole, so that each part of a divided or interrupted audit decides alike.

    Parameters
    ----------
    model
        In any state; put on its device, else left as it is.
    device, dtype
        Where and in what it runs.
    input_size
        Channels, height, width.
    backend
        ``auto``, ``torch``, ``onnxruntime``, ``openvino`` or ``inductor``.
    images
        How many are to be run in all: ``auto`` makes a backend ready only where that pays.
    tapped
        Whether layers of the model are listened to, which torch alone lets one do.

    Raises
    ------
    InputError
        The backend that is asked for is not installed, or the dtype cannot hold the model.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        dtype: str,
        input_size: Size,
        *,
        backend: str = "auto",
        images: int = 0,
        tapped: bool = False,
    ) -> None:
        self.model = self._plain = ready(model, device, dtype)
        self._otherwise, self._form, self._refused = "", _form(self._plain), list[str]()
        backends = chosen_backends(backend, images, input_size)
        reason = _only_torch((device.type, dtype), self._plain, tapped=tapped)
        if reason and backend != "auto":
            self._refused += [f"not {each}: {reason}" for each in backends]
        if (device.type, dtype) == FOLDS_ON:
            noise = drawn(input_size)
            for each in backends if not reason else ():
                if self._run_by(each, input_size, noise):
                    return
            self._fold(noise)

    def _run_by(self, backend: Backend, input_size: Size, noise: torch.Tensor) -> bool:
        try:
            with reproducible():  # as it will run: what is compiled depends on torch's switches
                model = backend.build(self._plain, input_size)
        except Exception as error:  # exporters and compilers raise whatever they like
            self._refused.append(f"not {backend}: {first_line(error)}")
            return False
        return self._take(model, str(backend), f"not {backend}", noise)

    def _fold(self, noise: torch.Tensor) -> None:
        import torch

        total = sum(is_batch_norm(module) for module in self._plain.modules())
        folded, count = fold_batch_norms(self._plain)
        if total:
            self._form = f"{_TORCH}, {count} of {total} BatchNorms folded"
        if count:
            model = folded.to(memory_format=torch.channels_last)
            self._take(model, self._form, "BatchNorms not folded", noise)

    def _take(self, model: nn.Module, way: str, otherwise: str, noise: torch.Tensor) -> bool:
        """Run by this from now on, if it agrees; return whether it does."""
        self.model, self._otherwise = model, otherwise
        found = self._compare(noise)
        if found is not None:
            self._form = f"{way}, {found.closeness()}"
        return found is not None

    def settle(self, batch: torch.Tensor) -> None:
        """Compare with the plain model on real images; choose that one if they differ.

        Parameters
        ----------
        batch
            Shape (n, channels, height, width), on the device.
        """
        if not self.is_plain:
            self._compare(batch)

    @property
    def plain(self) -> nn.Module:
        """The model as it came, on its device."""
        return self._plain

    @property
    def is_plain(self) -> bool:
        """Whether the model runs as it came."""
        return self.model is self._plain

    @property
    def streams(self) -> int:
        """How many batches it runs beside each other."""
        from auditor.engine.backends.sizes import FixedSizes

        return self.model.streams if isinstance(self.model, FixedSizes) else 1

    def _compare(self, batch: torch.Tensor) -> _Agreement | None:
        """Return how far the two agree; go on with the plain one, and None, where they do not."""
        import torch

        images = batch.contiguous(memory_format=torch.channels_last)
        again = torch.arange(_images_for_all(self.model, len(images))) % len(images)
        filled = images[again].contiguous(memory_format=torch.channels_last)
        found = None
        # Foreign code; what is wrong with the model itself is said when it runs.
        with torch.inference_mode(), reproducible(), contextlib.suppress(Exception):
            found = _agreement(self.model(filled), self._plain(images)[again])
        if found is not None and found.is_close:
            return found
        self.model, self._form = self._plain, _TORCH
        self._refused.append(f"{self._otherwise}: {found or 'it did not run'}")
        return None

    def __str__(self) -> str:
        """Return how it runs, as a phrase."""
        return "; ".join([self._form, *self._refused])


def _form(model: nn.Module) -> str:
    from auditor.models.graph import GraphModel

    return model.way if isinstance(model, GraphModel) else _TORCH


def _images_for_all(model: nn.Module, least: int) -> int:
    """Return how many images, at least so many, every graph of a backend sees some of."""
    from auditor.engine.backends.sizes import FixedSizes

    return model.images_for_all(least) if isinstance(model, FixedSizes) else least


def _only_torch(place: tuple[str, str], model: nn.Module, *, tapped: bool) -> str:
    """Return why no other backend comes into question; empty where one does."""
    from auditor.models.graph import GraphModel

    if isinstance(model, GraphModel):
        return "the model runs as it was exported"
    if place != FOLDS_ON:
        return "it runs on the CPU and in float32 alone"
    return "the model's features are kept, which torch alone gives" if tapped else ""


def drawn(input_size: Size) -> torch.Tensor:
    """Return images of noise, as they are after normalising; the same each time."""
    import torch

    return torch.randn(TRIED, *input_size, generator=torch.Generator().manual_seed(_SEED))


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


def _agreement(found: torch.Tensor, plain: torch.Tensor) -> _Agreement:
    flips = int((found.argmax(1) != plain.argmax(1)).sum())
    return _Agreement(change_of(found, plain), flips, len(plain))
