"""Batches that are made beside the model: stacked here, or decoded where it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from auditor.engine.decoding import no_memory
from auditor.engine.link import Arrays
from auditor.engine.memory import release
from auditor.errors import first_line

if TYPE_CHECKING:
    import torch

__all__ = ["Waiting", "make_again"]


class Waiting:
    """A batch that is being made, and then run.

    Parameters
    ----------
    make
        Begins to make it, of shape (n, channels, height, width).
    labels
        The true class of each image, shape (n,).
    """

    def __init__(self, make: Callable[[], Future[torch.Tensor]], labels: torch.Tensor) -> None:
        self.make, self.labels = make, labels
        self.batch = make()
        self.begun: Future[Callable[[], Arrays]] = Future()

    @property
    def no_room(self) -> str:
        """What was said where memory ran out for it, once that is known; empty where none did."""
        error = self.batch.exception()
        return first_line(error) if error is not None and no_memory(error) else ""


def make_again(batches: Sequence[Waiting], device: torch.device) -> None:
    """Make those anew that failed, once none of them is under way and holds memory.

    Parameters
    ----------
    batches
        All that are being made.
    device
        Where.
    """
    wait([each.batch for each in batches])
    lost = [each for each in batches if each.batch.exception()]
    for each in lost:
        del each.batch  # its error's traceback held what had been allocated
    release(device)
    for each in lost:
        each.batch = each.make()
