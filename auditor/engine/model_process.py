"""A process that runs the candidate on one device, for another one that prepares the images.

It serves a socket until that is closed: however the other process ends, it is not left behind.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from select import select
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.engine.packing import Packed, pack, unpack
from auditor.engine.shared_memory import mapped
from auditor.engine.stumbles import portable
from auditor.engine.threads import wait_passively

if TYPE_CHECKING:
    from auditor.engine.running import Running
    from auditor.engine.sample_outputs import Sample

__all__ = ["ROOM", "ROOMS", "main"]

ROOMS = 8
"""Batches that may be under way: seven that are run, and one that is handed over."""
ROOM = 4 << 30
"""Bytes of the shared memory for one of them; what is not written takes none."""


def main() -> None:
    """Load the model and answer what is asked of it.

    Arguments: the socket, and the memory of batches. That of what workers prepare comes with the
    job.
    """
    wait_passively()
    end, memory = map(int, sys.argv[1:])
    if not select([end], [], [], 0)[0]:  # the job is being found out
        _import_what_it_will_need()
    status = 1
    try:
        with socket.socket(fileno=os.dup(end)) as line:
            _, files, *_ = socket.recv_fds(line, 1, 1)
        _work(Connection(end), mapped(memory), mapped(files[0]) if files else None)
    except (EOFError, OSError):  # nobody asks any more
        status = 0
    finally:  # else threads of the model would be waited for
        os._exit(status)


def _import_what_it_will_need() -> None:
    import timm  # noqa: F401

    import auditor.engine.running  # noqa: F401

    with suppress(Exception):  # it is not installed, or there is no GPU
        import_module("torchcodec.decoders")


class _Model(NamedTuple):
    """What questions are about."""

    sample: Sample
    running: Running


def _work(line: Connection, shared: memoryview, prepared: memoryview | None) -> None:
    sys.path[:] = line.recv()
    started = line.recv_bytes()
    try:
        model: _Model | BaseException = _made(started)
    except BaseException as error:  # to be raised where it is waited for
        model = portable(error)
    gc.freeze()
    gc.enable()
    _serve(line, shared, prepared, model)


def _made(started: bytes) -> _Model:
    job, name = pickle.loads(started)  # written by the process that asks
    from auditor.engine.ahead import start_ahead

    start_ahead(name, decodes=job.candidate.engine.preprocessing == "device")
    import torch

    from auditor.engine.running import Running
    from auditor.engine.sample_outputs import Sample

    sample = Sample.of(job.candidate.loaded)  # before it is put where it runs
    return _Model(sample, Running(job, torch.device(name)))


def _serve(
    line: Connection,
    shared: memoryview,
    prepared: memoryview | None,
    model: _Model | BaseException,
) -> None:
    under_way = deque[tuple[memoryview, Callable[[], Any]]]()
    while True:
        if under_way and (len(under_way) == ROOMS or not line.poll()):
            room, finish = under_way.popleft()
            line.send(tuple(pack(_answer(finish, model), room)))
        else:
            number, *packed = line.recv()
            room = shared[number * ROOM : (number + 1) * ROOM]
            under_way.append((room, _begun(model, *unpack(Packed(*packed), room, prepared))))


def _begun(
    model: _Model | BaseException, name: str, arguments: tuple[Any, ...]
) -> Callable[[], Any]:
    """Begin what is asked for; return what waits for it."""
    if isinstance(model, BaseException):
        return partial(_raised, model)
    try:
        found = getattr(model if name == "sample" else model.running, name)
        value = found(*arguments) if callable(found) else found
    except BaseException as error:
        return partial(_raised, error)
    return value if name == "start" else lambda: value


def _raised(error: BaseException) -> Any:
    raise error


def _answer(finish: Callable[[], Any], model: _Model | BaseException) -> tuple[Any, Any]:
    """Return what was asked for, or what was raised; and how the model runs, once it does."""
    try:
        value = finish()
    except BaseException as error:
        return portable(error), None
    assert not isinstance(model, BaseException)
    return value, model.running.about() if model.running.runs else None
