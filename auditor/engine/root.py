"""The process that workers are forked from, which loads what they need before it is told who looks.

Loading torch takes a second of a core, and so does loading a model: both can be done at once.
"""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from contextlib import ExitStack
from multiprocessing.connection import Connection

from auditor.engine.shared_memory import SharedMemory, has_shared_memory
from auditor.engine.spawning import ended, started

__all__ = ["SHARED", "Root", "worth_it"]

SHARED = 32 << 30
"""Bytes of memory for what workers prepare; what is not written takes none."""
_FROM_CORES, _FROM_IMAGES = 4, 4096
"""Cores and images from which processes gain more than their start costs: a second of one
core, five where Python keeps no compiled files."""
_ALONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""No threads in a process that is forked."""


class Root:
    """A process that forks workers once it is told who looks at what, and ends where it never is.

    Parameters
    ----------
    count
        How many workers.
    memory
        What they put arrays into; memory of its own where None.

    Raises
    ------
    OSError
        No process, file or memory can be had.
    """

    def __init__(self, count: int, memory: SharedMemory | None = None) -> None:
        with ExitStack() as on_failure:
            if memory is None:
                memory = SharedMemory(SHARED)
                on_failure.callback(memory.close)
            self.count, self.memory = count, memory
            pairs = [socket.socketpair() for _ in range(count)]
            self._told = os.fdopen(os.memfd_create("auditor-observers"), "wb")
            on_failure.callback(self._told.close)
            for ours, _ in pairs:
                on_failure.callback(ours.close)
            try:
                self.process = self._started([theirs.fileno() for _, theirs in pairs])
            finally:
                for _, theirs in pairs:
                    theirs.close()
            on_failure.pop_all()
        self.lines = [Connection(ours.detach()) for ours, _ in pairs]
        """To each worker."""

    def _started(self, ends: list[int]) -> subprocess.Popen[bytes]:
        inherited = (self.memory.file, self._told.fileno(), *ends)
        return started("auditor.engine.worker", inherited, stdin=subprocess.PIPE, besides=_ALONE)

    def tell(self, pickled: bytes) -> None:
        """Say who looks at what; its modules are sought where this process seeks them by now."""
        self._told.write(pickle.dumps(sys.path) + pickled)
        self._close()

    def end(self) -> None:
        """End it and its workers, who have nothing to lose."""
        for line in self.lines:
            line.close()
        ended(self.process)
        self._close()

    def _close(self) -> None:
        assert self.process.stdin is not None
        self._told.close()
        self.process.stdin.close()  # for which it waits


def worth_it(images: int, count: int) -> bool:
    """Tell whether processes are had here, and gain more than their start costs."""
    return count >= _FROM_CORES and images >= _FROM_IMAGES and has_shared_memory()
