"""The candidate in processes of its own, one a GPU: each has Python's one lock to itself.

Four threads that decoded on an H200 made 10,400 to 11,000 images a second, and half as many beside
a thread that held the lock for a third of the time, as a pass does that hands out images, gathers
rows and stores them.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property, partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auditor.engine.model_process import ROOM, ROOMS
from auditor.engine.packing import Packed, pack, unpack
from auditor.engine.probing import environment
from auditor.engine.root import worth_it
from auditor.engine.shards import PART
from auditor.engine.shared_memory import SharedMemory, has_shared_memory
from auditor.models.device import counted

if TYPE_CHECKING:
    import torch

    from auditor.engine.link import Arrays
    from auditor.engine.running import Job

__all__ = ["Apart", "apart_on"]

_START = "import gc; gc.disable(); from auditor.engine.model_process import main; main()"
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
        self._processes, self._turn = list[_Process](), 0
        self._ended = weakref.finalize(self, _end, self._processes)
        for device in devices:
            self._processes.append(_Process(job, device, prepared))

    def loaded(self, weights: str) -> bool:
        """Wait until the model is loaded everywhere; tell whether it has the same weights there.

        Parameters
        ----------
        weights
            Their digest here: of random ones there may be others each time.
        """
        return set(self._all("weights")) == {weights}

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


def _end(processes: Sequence[_Process]) -> None:
    for process in processes:
        process.end()


class _Process:
    """One of them, as this process sees it; answers come in the order of what was asked."""

    def __init__(self, job: Job, device: torch.device, prepared: SharedMemory | None) -> None:
        self._who = f"{job.candidate.name} on {device}"
        self.said: dict[str, Any] = {}
        """How it runs, as it last said."""
        self._asked = deque[tuple[int, Future[Any], Any]]()
        self._free = list(range(ROOMS))
        self._rooms, self._prepared = SharedMemory(ROOM * ROOMS), prepared
        try:
            self._line = self._started()
        except OSError:
            self._rooms.close()
            raise
        with suppress(OSError):  # that it is gone is noticed when it should answer
            self._line.send(sys.path)
            self._line.send_bytes(pickle.dumps((job.unloaded(), str(device))))

    def _started(self) -> Connection:
        ours, theirs = socket.socketpair()
        memories = [each.file for each in (self._rooms, self._prepared) if each is not None]
        with ours, theirs:
            inherited = (theirs.fileno(), *memories)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, *map(str, inherited)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=inherited,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for this process
            )
            return Connection(ours.detach())

    def ask(self, name: str, *arguments: Any) -> Future[Any]:
        """Ask for an attribute of its ``Running``, or for what that returns."""
        while not self._free:
            self._take_in()
        number, answer = self._free.pop(), Future[Any]()
        packed = pack((name, arguments), self._room(number), self._prepared)
        self._asked.append((number, answer, arguments))  # what lies elsewhere stays until then
        with suppress(OSError):  # as above
            self._line.send((number, *packed))
        return answer

    def wait(self, answer: Future[Any]) -> Any:
        """Return what was answered, or raise it."""
        while not answer.done():
            self._take_in()
        return answer.result()

    def _take_in(self) -> None:
        number, answer, _ = self._asked.popleft()
        try:
            packed = Packed(*self._line.recv())
        except (EOFError, OSError):
            self._free.append(number)
            answer.set_exception(RuntimeError(self._death()))
            return
        last = max((end for *_, end in packed.places), default=0)
        mine = memoryview(bytearray(self._room(number)[:last]))  # the room is another's from here
        self._free.append(number)
        value, said = unpack(packed, mine)
        self.said = said or self.said
        if isinstance(value, BaseException):
            answer.set_exception(value)
        else:
            answer.set_result(value)

    def _room(self, number: int) -> memoryview:
        return self._rooms.bytes[number * ROOM : (number + 1) * ROOM]

    def _death(self) -> str:
        status = self._process.wait()
        way = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        return (
            f"{self._who}: the process that ran it was ended {way}; if memory is short here, "
            "lower [engine] batch_size or workers"
        )

    def end(self) -> None:
        """End it."""
        self._line.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._rooms.close()
