"""Moves batches to a device and results back, beside what the device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["Link"]

_COPYING = 4
"""Threads that copy images into a batch: one copies slower than a large GPU computes. numpy copies,
for torch divides each image among all cores, and that takes longer than to copy it."""

Arrays = dict[str, NDArray[Any]]


class Link:
    """The way between this process and a device.

    On CUDA batches lie in pinned memory and go over on a stream of their own, while the batch
    before them is computed. Elsewhere the same calls wait.

    Parameters
    ----------
    device
        The other end.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        self.device = device
        cuda: Any = torch.cuda  # torch leaves streams and events untyped
        self._stream = cuda.Stream(device) if device.type == "cuda" else None
        self._pool = ThreadPoolExecutor(_COPYING, "copy")
        self._aside = ThreadPoolExecutor(1, "stack")

    def stacking(self, images: Sequence[torch.Tensor]) -> Future[torch.Tensor]:
        """Begin to stack images, beside what this thread does next: telling a GPU of its work."""
        return self._aside.submit(self.stack, images)

    def stack(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the images as one batch on the host, ready to be sent.

        Parameters
        ----------
        images
            Of one shape and dtype.
        """
        import torch

        if self._stream is None:
            with torch.inference_mode():
                return torch.stack(list(images))
        shape = (len(images), *images[0].shape)
        batch = torch.empty(shape, dtype=images[0].dtype, pin_memory=True)
        share = -(-len(images) // _COPYING)

        def copy(start: int) -> None:
            part = slice(start, start + share)
            np.stack([image.numpy() for image in images[part]], out=batch[part].numpy())

        deque(self._pool.map(copy, range(0, len(images), share)), maxlen=0)
        return batch

    def pinned(self, values: torch.Tensor) -> torch.Tensor:
        """Return values of the host, ready to be sent; else sending waits for the device."""
        return values if self._stream is None else values.pin_memory()

    def send(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the same batch on the device; what is computed next there waits for it.

        Parameters
        ----------
        batch
            Of any shape and dtype, as ``stack`` or ``pinned`` returned it.
        """
        import torch

        with torch.inference_mode():  # else it is of another kind than was compiled for
            return batch.to(self.device) if self._stream is None else self._sent(batch)

    def _sent(self, batch: torch.Tensor) -> torch.Tensor:
        import torch

        stream, computing = self._stream, torch.cuda.current_stream(self.device)
        assert stream is not None
        with torch.cuda.stream(stream):
            sent = batch.to(self.device, non_blocking=True)
        computing.wait_stream(stream)
        sent.record_stream(computing)  # else its memory were free as soon as the copy is done
        return sent

    def fetch(self, results: Mapping[str, torch.Tensor]) -> Callable[[], Arrays]:
        """Start to copy results back; return what waits for them and returns them.

        They follow the computation on its own stream: there is little of them.

        Parameters
        ----------
        results
            Name → tensor on the device, of any shape; of a dtype that numpy has.

        Returns
        -------
        callable
            Waits, and returns name → array of the same shape and dtype.
        """
        import torch

        if self._stream is None:
            arrays = {name: values.cpu().numpy() for name, values in results.items()}
            return lambda: arrays
        pinned = {name: _pinned(values) for name, values in results.items()}
        cuda: Any = torch.cuda
        done = cuda.Event()
        done.record(cuda.current_stream(self.device))

        def wait() -> Arrays:
            done.synchronize()
            # A copy, since evidence stays and pinned memory is scarce.
            return {name: np.array(values.numpy()) for name, values in pinned.items()}

        return wait


def _pinned(values: torch.Tensor) -> torch.Tensor:
    import torch

    there = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return there.copy_(values, non_blocking=True)
