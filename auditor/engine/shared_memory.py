"""Memory that processes share: what one puts there, others read where it lies."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

import numpy as np

__all__ = ["SharedMemory", "has_shared_memory", "mapped"]


class SharedMemory:
    """Memory under a file's number, which a process that is started may inherit.

    Parameters
    ----------
    size
        Bytes; what is not written takes none.

    Raises
    ------
    OSError
        There is none to be had.
    """

    def __init__(self, size: int) -> None:
        self.file = os.memfd_create("auditor")
        try:
            os.ftruncate(self.file, size)
            self.bytes = mapped(self.file)
        except OSError:
            os.close(self.file)
            raise
        self._begin, self._size = _address(self.bytes), size

    def place(self, raw: memoryview) -> int | None:
        """Return where bytes begin in it; None where they lie elsewhere."""
        if not raw.nbytes:
            return None
        start = _address(raw) - self._begin
        return start if 0 <= start < self._size else None

    def close(self) -> None:
        """Let go of it; it is there until every process has, and nothing points into it."""
        os.close(self.file)
        self._size = 0  # another may be given its addresses
        with suppress(BufferError):  # an array points into it
            self.bytes.release()


def has_shared_memory() -> bool:
    """Tell whether this system has such memory."""
    return hasattr(os, "memfd_create")


def mapped(file: int) -> memoryview:
    """Return all of a memory by its file's number."""
    return memoryview(mmap.mmap(file, 0))


def _address(raw: memoryview) -> int:
    return int(np.frombuffer(raw, np.uint8).__array_interface__["data"][0])
