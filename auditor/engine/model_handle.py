"""The process that runs a model, as seen by the one that asks it."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from auditor.engine.model_process import ROOM, ROOMS
from auditor.engine.packing import Packed, pack, unpack
from auditor.engine.shared_memory import SharedMemory
from auditor.engine.spawning import ended, started

if TYPE_CHECKING:
    import torch

    from auditor.engine.running import Job

__all__ = ["ModelHandle"]

_PATIENCE = 1.0
"""Seconds after which it is seen whether a process that does not answer is still there."""


class ModelHandle:
    """A process that is started, given a job, and asked; its answers come in the order of that.

    Raises
    ------
    OSError
        No process, socket or memory can be had.
    """

    def __init__(self) -> None:
        self._who = ""
        self.said: dict[str, Any] = {}
        """How it runs, as it last said."""
        self._asked = deque[tuple[int, Future[Any], Any]]()
        self._free = list(range(ROOMS))
        self._rooms = SharedMemory(ROOM * ROOMS)
        self._prepared: SharedMemory | None = None
        try:
            self._line = self._started()
        except OSError:
            self._rooms.close()
            raise

    def _started(self) -> Connection:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            inherited = (theirs.fileno(), self._rooms.file)
            self._process = started("auditor.engine.model_process", inherited)
            return Connection(ours.detach())

    def give(self, job: Job, device: torch.device, prepared: SharedMemory | None) -> None:
        """Say what it is to run, and where.

        Parameters
        ----------
        job
            It loads the model.
        device
            Of this machine.
        prepared
            Where those who prepare images put them, if that is known: from there they are not
            copied.
        """
        self._who, self._prepared = f"{job.candidate.name} on {device}", prepared
        files = [] if prepared is None else [prepared.file]
        with suppress(OSError):  # that it is gone is noticed when it should answer
            with socket.socket(fileno=os.dup(self._line.fileno())) as line:
                socket.send_fds(line, [b"."], files)
            self._line.send(sys.path)
            self._line.send_bytes(pickle.dumps((job.unloaded(), str(device))))

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, name: str, *arguments: Any) -> Future[Any]:
        """Ask for ``sample``, an attribute of its ``Running``, or for what that returns."""
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
            packed = Packed(*self._received())
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

    def _received(self) -> Any:
        """Wait for an answer, and for no longer than there is somebody who may give one.

        The socket alone does not tell: a process that the model started may hold the other end.
        """
        while not self._line.poll(_PATIENCE):
            if not self.lives and not self._line.poll(0):
                raise EOFError
        return self._line.recv()

    def _room(self, number: int) -> memoryview:
        return self._rooms.bytes[number * ROOM : (number + 1) * ROOM]

    def _death(self) -> str:
        status = self._process.wait()
        way = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        short = "; if memory is short here, lower [engine] batch_size or workers"
        said = f"{self._who}: the process that ran it was ended {way}"
        return f"{said}{short if status == -signal.SIGKILL else ''}"

    def end(self) -> None:
        """End it."""
        self._line.close()
        ended(self._process)
        self._rooms.close()
