"""A process that reads, decodes and prepares images for another one.

One process loads what is needed and forks the workers, which share what it loaded. A worker serves
a socket until that is closed: however the other process ends, none is left behind. Prepared arrays
go through memory that both have mapped; the rest through the socket.
"""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from select import select
from typing import NamedTuple

from auditor.data.samples import Samples
from auditor.engine.journal import NoJournal
from auditor.engine.looking import Seen, Wanted, look
from auditor.engine.packing import Packed, pack, unpack
from auditor.engine.shared_memory import mapped
from auditor.engine.stumbles import portable
from auditor.engine.threads import wait_passively
from auditor.provider import Observer

__all__ = ["Order", "main", "unpacked"]

_LOST = Packed(None, ())
"""Where what came of it cannot be sent."""


class Order(NamedTuple):
    """What a worker is to look at."""

    wanted: Sequence[tuple[int, tuple[str, ...], bool]]
    """Row, who wants to see it, whether it is decoded at its full size."""
    poison: Mapping[int, str]
    """Those of the images that nobody may open, and why."""
    here: bool
    """Whether this is the machine that listed the files."""
    place: int
    room: int
    """Bytes of the mapped memory that the arrays may take, and where they begin."""


def unpacked(reply: Packed, room: memoryview) -> list[Seen] | BaseException | None:
    """Return what a worker saw, or what it raised; None where it does not survive the way.

    Arrays stay in the mapped memory.
    """
    if reply == _LOST:
        return None
    seen: list[Seen] | BaseException | None = None
    with suppress(Exception):  # foreign observers may prepare anything
        seen = unpack(reply, room)
    return seen


def main() -> None:
    """Fork a worker for each socket.

    Arguments: the mapped memory, the file that tells who looks at what, then the sockets.
    """
    wait_passively()
    memory, told, *ends = map(int, sys.argv[1:])
    if not select([sys.stdin], [], [], 0)[0]:  # a model is being loaded, and will be looked for
        import torch.nn.functional  # noqa: F401 - so that it is there

        from auditor.engine import inference  # noqa: F401 - and all that it imports
    sys.stdin.buffer.read()  # until it is told who looks, or nobody is left to tell
    with os.fdopen(told, "rb") as stream:
        stream.seek(0)
        sys.path[:] = pickle.load(stream)  # written by the process that asks
        samples, observers = pickle.load(stream)
    gc.freeze()
    gc.enable()
    while ends:
        if os.fork() == 0:
            for other in ends[1:]:
                os.close(other)  # else it would not be known when that worker dies
            _serve(ends[0], memory, samples, observers)
            os._exit(0)
        os.close(ends.pop(0))
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _serve(end: int, memory: int, samples: Samples, observers: Mapping[str, Observer]) -> None:
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    with Connection(end) as line, mapped(memory) as room:
        line.send(None)  # it is ready
        while True:
            try:
                order = Order(*line.recv())
                seen = _seen(order, samples, observers)
                line.send(tuple(_sent(seen, room[order.place : order.place + order.room])))
            except (EOFError, OSError):
                os._exit(0)  # who asked is gone, or has all that was wanted


def _seen(
    order: Order, samples: Samples, observers: Mapping[str, Observer]
) -> list[Seen] | BaseException:
    journal = NoJournal(order.poison, here=order.here)
    try:
        return [
            _portable(look(samples, Wanted(row, {n: observers[n] for n in names}, whole), journal))
            for row, names, whole in order.wanted
        ]
    except BaseException as error:  # to be raised where it is waited for
        return portable(error)


def _portable(seen: Seen) -> Seen:
    return seen._replace(crashed={name: portable(crash) for name, crash in seen.crashed.items()})


def _sent(seen: list[Seen] | BaseException, room: memoryview) -> Packed:
    try:
        return pack(seen, room)
    except Exception:  # what a foreign observer prepared cannot be pickled
        return _LOST
