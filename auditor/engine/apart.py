"""The candidate in processes of its own, one a GPU: each has Python's one lock to itself.

Four threads that decoded on an H200 made half as many images a second beside a thread that held the
lock for a third of the time, as a pass does that hands out images, gathers rows and stores them. In
a process of its own the GPU itself was what bound them (tests/benchmarks/RESULTS.md).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auditor.engine.ahead import foreseen_model
from auditor.engine.model_handle import ModelHandle
from auditor.engine.root import worth_it
from auditor.engine.shards import PART
from auditor.engine.shared_memory import SharedMemory, has_shared_memory
from auditor.models.device import counted

if TYPE_CHECKING:
    import torch

    from auditor.engine.link import Arrays
    from auditor.engine.running import Job
    from auditor.engine.sample_outputs import Sample

__all__ = ["Apart", "apart_on"]

_LEAST = "batch_size_halved_to"


def apart_on(
    devices: Sequence[torch.device], images: int, workers: int, *, decodes: bool
) -> Sequence[torch.device]:
    """Return for which devices processes pay; none where this process runs the model as well.

    Parameters
    ----------
    devices
        Those there are; a further one pays for each stored part.
    images
        How many are to be run.
    workers
        Who prepares them.
    decodes
        Whether files are decoded on the device, which takes most of this process's time.
    """
    if not has_shared_memory():
        return ()
    several = devices[: -(-images // PART)]
    busy = decodes and several[0].type == "cuda" and worth_it(images, workers)
    return several if busy or len(several) > 1 else ()


class Apart:
    """A job on several devices in turn, or on one; what is asked of it is what ``Running`` is.

    Parameters
    ----------
    job
        What is run. Each process loads the model itself, beside this one.
    devices
        Where; one may stand there twice.
    prepared
        Where those who prepare images put them: from there they are not copied.

    Raises
    ------
    OSError
        No process, socket or memory can be had.
    """

    def __init__(
        self, job: Job, devices: Sequence[torch.device], prepared: SharedMemory | None = None
    ) -> None:
        self._processes, self._turn = list[ModelHandle](), 0
        self._ended = weakref.finalize(self, _end, self._processes)
        for device in devices:
            self._processes.append(foreseen_model() or ModelHandle())
            self._processes[-1].give(job, device, prepared)

    def holds(self, here: Sample) -> bool:
        """Wait until the model is loaded everywhere; tell whether it is the same as here.

        It is not where weights are drawn at random, or a module is found elsewhere. Raises what
        came up there.
        """
        return all(here.is_like(there) for there in self._all("sample"))

    @property
    def is_plain(self) -> bool:
        """Whether the model runs as it came, everywhere; see ``Running.is_plain``."""
        return all(self._all("is_plain"))

    def settle(self, first: torch.Tensor) -> None:
        """Choose between ways of running the model; see ``Running.settle``."""
        self._all("settle", first)

    @property
    def runs(self) -> bool:
        """Whether it is known how many images are run at once, and with it how it runs."""
        return "batch_size" in vars(self)

    @cached_property
    def batch_size(self) -> int:
        """How many images are run at once, on each device."""
        size: int = min(self._all("largest_batch"))
        self._all("use_batch", size)
        return size

    @cached_property
    def under_way(self) -> int:
        """How many batches may be begun before the first is waited for, on all devices."""
        return sum(self._all("under_way"))

    def start(
        self, images: Sequence[str], prepared: Sequence[Any], label: NDArray[np.integer]
    ) -> Callable[[], Arrays]:
        """Run a batch on the next device; see ``Running.start``."""
        process = self._processes[self._turn % len(self._processes)]
        self._turn += 1
        return partial(process.wait, process.ask("start", list(images), list(prepared), label))

    def about(self) -> dict[str, Any]:
        """Return how it runs, as of the last results; see ``Running.about``."""
        _ = self.batch_size
        every = [process.said for process in self._processes]
        said = {name: _joined(name, every) for name in dict.fromkeys(n for s in every for n in s)}
        return {**said, "device": counted([each["device"] for each in every])}

    def end(self) -> None:
        """End the processes, who have nothing to lose."""
        self._ended()

    def _all(self, name: str, *arguments: Any) -> list[Any]:
        asked = [(process, process.ask(name, *arguments)) for process in self._processes]
        return [process.wait(answer) for process, answer in asked]


def _joined(name: str, every: Sequence[dict[str, Any]]) -> Any:
    values = list(dict.fromkeys(said[name] for said in every if name in said))
    if len(values) == 1:
        return values[0]
    return min(values) if name == _LEAST else ", ".join(map(str, values))


def _end(processes: Sequence[ModelHandle]) -> None:
    for process in processes:
        process.end()
