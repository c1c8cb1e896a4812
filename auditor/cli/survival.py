"""Outlives a crash of the whole process, such as a broken file can cause in a decoder.

The work is done in a child process. Where that dies of itself, another one goes on from what was
stored, having found out which image it was (``auditor.engine.journal``).
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import math
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import BufferedWriter, TextIOWrapper
from types import FrameType
from typing import NoReturn

from auditor.terminal import say

__all__ = ["leave", "surviving"]

_CRASHES = {
    signal.Signals[name]
    for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
    if name in signal.Signals.__members__
}
_ATTEMPTS = 6
"""Processes that may die; each finds at least one image, if it was an image."""
_NO_VERDICT, _INTERRUPTED = 70, 130
_PR_SET_PDEATHSIG = 1
_TWICE = 0.5
"""Seconds within which a second interrupt is the first one again."""


def surviving(work: Callable[[], int]) -> int:
    """Do some work in a child process, and again where that crashes; return the exit status.

    What the user sends reaches the child. Where processes cannot fork, the work is simply done.
    """
    for _ in range(_ATTEMPTS):
        parent, returned = os.getpid(), mmap.mmap(-1, 1)  # shared: what the child returned, plus 1
        child = _fork()
        if child is None:
            return work()
        if not child:
            signal.signal(signal.SIGINT, _Interrupts())
            _die_with(parent)
            status = work()
            _flush()
            returned[0] = status + 1
            return status
        ended = _wait(child)
        if returned[0]:  # it has printed all there is; what it met on its way out is nothing to it
            os._exit(returned[0] - 1)
        if ended == _INTERRUPTED:  # before it could say so
            os._exit(_INTERRUPTED)
        if ended >= 0:
            os._exit(_cut_short(ended))
        died = signal.Signals(-ended)
        if died is signal.SIGINT:  # the second one met it on its way out
            os._exit(_INTERRUPTED)
        if died not in _CRASHES:
            _die_of(died)
        os.environ["AUDITOR_CRASHED"] = died.name
        say(f"auditor: the process died ({died.name}); going on from there", err=True)
    say(
        f"auditor: {_ATTEMPTS} processes died of {died.name}; this is no verdict. What was "
        "gathered is kept, and the same command goes on from there",
        err=True,
    )
    return _NO_VERDICT


def _fork() -> int | None:
    """Return the id of a child, 0 in the child; None where the system has none to give."""
    try:
        return os.fork() if hasattr(os, "fork") else None
    except OSError:
        return None


def leave(status: int) -> NoReturn:
    """End a child of ``surviving`` as multiprocessing does: what is to be called at the end is.

    No more than that, for to take apart all that was imported, and CUDA, takes a second or two.
    What a module of the user has written and not closed would then be written, and is here.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
        atexit._run_exitfuncs()
        _flush()
        _write_out()
    finally:
        os._exit(status)


def _write_out() -> None:
    ctypes.CDLL(None).fflush(None)
    for each in gc.get_objects():
        if issubclass(type(each), (TextIOWrapper, BufferedWriter)):  # nothing foreign is asked
            with suppress(Exception):  # closed, or never to be written
                each.flush()


def _flush() -> None:
    """Print what waits; who listens no more, or never did, does not change what was found."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()


def _cut_short(status: int) -> int:
    """Say that something ended the process as it likes, as Ray does without its node: by 1."""
    say(
        f"auditor: a library ended the process (exit status {status}); this is no verdict. What "
        "was gathered is kept, and the same command goes on from there",
        err=True,
    )
    return _NO_VERDICT


def _wait(child: int) -> int:
    """Wait for a child; return its exit status, or the negative number of the signal."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Interrupts:
    """Takes the interrupts of a terminal, which reach the child twice, for one."""

    def __init__(self) -> None:
        self._last = -math.inf

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Interrupt what is being done."""
        now, last = time.monotonic(), self._last
        self._last = now
        if now - last > _TWICE:
            signal.default_int_handler(number, frame)


def _die_with(parent: int) -> None:
    """Let the child go with its parent, where the system can: a kill must not leave it behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_NO_VERDICT)


def _die_of(number: signal.Signals) -> None:
    """Let the parent end as its child did, so that whoever waits for it knows."""
    if number is not signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
