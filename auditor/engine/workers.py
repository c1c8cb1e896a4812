"""Worker processes beside this one: with many cores, threads would wait for Python's one lock.

On 16 cores of an H200's host, threads prepared 813 JPEGs a second, worker processes 5,113.
"""

from __future__ import annotations

import pickle
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from typing import Any, Self

import numpy as np

from auditor.data.samples import Samples
from auditor.engine.ahead import foreseen
from auditor.engine.journal import NoJournal
from auditor.engine.looking import Seen, Threads, Wanted
from auditor.engine.packing import Packed
from auditor.engine.probing import deadly
from auditor.engine.root import SHARED, Root, worth_it
from auditor.engine.shared_memory import SharedMemory
from auditor.engine.worker import Order, unpacked
from auditor.provider import Observer

__all__ = ["Processes", "lookers"]

_CHUNK = 16
"""Images that a worker is given at once."""
_BUSY = 2
"""Chunks that keep a worker busy: one in hand and one that waits."""
_QUEUED = 6
"""Chunks that a worker has at most: while this process waits for a GPU, nobody gets another."""
_AT_FIRST = 48
"""Chunks that a worker is given at first, for until they are wanted this process may find out for
seconds how a GPU runs the model; as many as wait in a socket."""
_ROOM = 16 << 20
"""Bytes of the shared memory that the arrays of a chunk may take."""
_ROOMS = SHARED // _ROOM
"""2,048 are enough for six GPUs: sixteen batches of 32 chunks ahead, one that is gathered, 42 under
way. What finds no room goes through a socket, which is slower."""
_OFTEN = 3
"""Deaths at the same images, none of which kills by itself, after which processes are given up."""


def lookers(
    samples: Samples, observers: Mapping[str, Observer], count: int, images: int
) -> Threads | Processes:
    """Return who looks at the images of a split: processes where they pay, else threads.

    Parameters
    ----------
    samples
        The split.
    observers
        Name → who prepares images.
    count
        How many.
    images
        How many are to be looked at.
    """
    threads = Threads(samples, count)
    if not worth_it(images, count):
        return threads
    _ = samples.looks  # found out here, where the files were listed
    try:
        pickled = pickle.dumps((samples, observers))
    except Exception:  # foreign observers may hold anything
        return threads
    return Processes(samples, pickled, threads, count)


@dataclass
class _Chunk:
    """Images that are looked at together."""

    wanted: list[Wanted]
    seen: list[Seen] | None = None
    deaths: int = 0


@dataclass(eq=False)
class _Worker:
    line: Connection
    ready: bool = False
    chunks: deque[tuple[_Chunk, memoryview]] = field(default_factory=deque)


@dataclass
class _Queue:
    """The images of a pass, as they are given out and come back."""

    remaining: Iterator[Wanted]
    most: int
    """Chunks that may be begun."""
    begun: deque[_Chunk] = field(default_factory=deque)
    """All that the pass waits for, in order."""
    todo: deque[_Chunk] = field(default_factory=deque)
    """Those of them that nobody has."""

    def fill(self) -> None:
        """Begin as many as may be."""
        while len(self.begun) < self.most and (images := [*islice(self.remaining, _CHUNK)]):
            self.begun.append(_Chunk(images))
            self.todo.append(self.begun[-1])


class Processes:
    """Processes that look at images for this one, as ``Threads`` does.

    While they start, threads of this one look at the first images. An image that kills a process is
    found, by looking at each by itself, and named. Where processes die of something else, or cannot
    be had, threads of this one go on.

    Parameters
    ----------
    samples
        The split.
    pickled
        It and the observers by name.
    threads
        Who goes on where no process can.
    count
        How many.
    """

    def __init__(self, samples: Samples, pickled: bytes, threads: Threads, count: int) -> None:
        self._samples, self._pickled, self._threads = samples, pickled, threads
        self._count, self._journal = count, NoJournal({})
        self._workers: list[_Worker] = []
        self._root: Root | None = None
        self._foreseen = False
        self._memory: SharedMemory | None = None
        self._free = list(range(_ROOMS))

    def __enter__(self) -> Self:
        """Start them; they load what they need beside what this process does next."""
        self._threads.__enter__()
        with suppress(OSError):  # a limit on files or processes: threads do it all
            loading = foreseen(self._count)
            root = loading or Root(self._count)
            self._foreseen = loading is not None
            self._root, self._memory = root, root.memory
            self._tell(root)
        return self

    def __exit__(self, *raised: object) -> None:
        """Let them go."""
        self._dismiss(deque())
        if self._memory is not None:
            self._memory.close()
        self._threads.__exit__(*raised)

    def _tell(self, root: Root) -> None:
        self._root = root
        root.tell(self._pickled)
        self._workers = [_Worker(line) for line in root.lines]

    def looked_at(self, wanted: Iterable[Wanted], ahead: int, journal: NoJournal) -> Iterator[Seen]:
        """Yield images in order; parameters as of ``Threads.looked_at``.

        Processes that had time to start begin now, not when the first image is asked for.
        """
        self._journal = journal
        queue = _Queue(iter(wanted), max(_BUSY * self._count, ahead // _CHUNK))
        if started := [worker for worker in self._workers if worker.ready or self._foreseen]:
            queue.fill()
            self._hand_out(queue.todo, started, _AT_FIRST)
        return self._seen(queue, ahead)

    def _seen(self, queue: _Queue, ahead: int) -> Iterator[Seen]:
        begun, todo = queue.begun, queue.todo
        self._take_in(todo, 0)  # who is ready by now
        while True:
            queue.fill()
            if not begun or not self._workers:
                break
            if ready := [worker for worker in self._workers if worker.ready]:
                self._hand_out(todo, ready, _QUEUED)
            else:  # nobody has started yet, or ever will: what they load may wait for this process
                chunk = begun[0]
                if todo and todo[0] is chunk:
                    todo.popleft()
                chunk.seen = [*self._threads.looked_at(chunk.wanted, _CHUNK, self._journal)]
            self._take_in(todo, None if begun[0].seen is None else 0)
            while begun and (seen := begun[0].seen) is not None:
                begun.popleft()
                yield from seen
        left = chain.from_iterable(chunk.wanted for chunk in begun)
        yield from self._threads.looked_at(chain(left, queue.remaining), ahead, self._journal)

    def _hand_out(self, todo: deque[_Chunk], workers: Sequence[_Worker], most: int) -> None:
        for queued in range(most):  # so that each has one before any has two
            for worker in workers:
                if todo and len(worker.chunks) == queued:
                    self._give(worker, todo.popleft())

    def _give(self, worker: _Worker, chunk: _Chunk) -> None:
        place, room = self._room()
        worker.chunks.append((chunk, room))
        wanted = [(each.row, tuple(each.wanting), each.whole) for each in chunk.wanted]
        known, here = self._journal.poison, self._journal.here
        poison = {row: known[row] for row, *_ in wanted if row in known}
        with suppress(OSError):  # that it is gone is noticed when it should answer
            worker.line.send(tuple(Order(wanted, poison, here, place, len(room))))

    def _room(self) -> tuple[int, memoryview]:
        """Return where arrays may be put; the place is free again when none of them is left."""
        assert self._memory is not None
        if not self._free:
            return 0, self._memory.bytes[:0]
        number = self._free.pop()
        place = number * _ROOM
        array = np.frombuffer(self._memory.bytes[place : place + _ROOM], np.uint8)
        weakref.finalize(array, self._free.append, number)
        return place, memoryview(array)  # type: ignore[arg-type]  # arrays are buffers

    def _take_in(self, todo: deque[_Chunk], timeout: float | None) -> None:
        """Take what workers have done, waiting for the first of it if there is time."""
        lines: dict[Any, _Worker] = {worker.line: worker for worker in self._workers}
        for worker in [lines[line] for line in wait(list(lines), timeout)]:
            if worker not in self._workers:  # dismissed on account of one before it
                continue
            try:
                reply = worker.line.recv()
            except (EOFError, OSError):
                self._bury(worker, todo)
                continue
            if worker.ready:
                self._accept(worker, Packed(*reply), todo)
            worker.ready = True

    def _accept(self, worker: _Worker, reply: Packed, todo: deque[_Chunk]) -> None:
        """Take what a worker saw; threads go on where that comes through no socket."""
        seen = unpacked(reply, worker.chunks[0][1])
        if seen is None:
            self._dismiss(todo)
        elif isinstance(seen, BaseException):
            raise seen
        else:
            chunk, _ = worker.chunks.popleft()
            chunk.seen = seen

    def _bury(self, worker: _Worker, todo: deque[_Chunk]) -> None:
        """Find out what a worker died of; let others do what it had."""
        worker.line.close()
        self._workers.remove(worker)
        chunks = [chunk for chunk, _ in worker.chunks if chunk.seen is None]
        todo.extendleft(reversed(chunks))
        if not worker.ready:  # what it is made of cannot be loaded elsewhere
            self._dismiss(todo)
        elif chunks:
            self._learn(chunks[0], todo)

    def _learn(self, chunk: _Chunk, todo: deque[_Chunk]) -> None:
        """Find the images of a chunk that kill; see that somebody is left."""
        poison = self._journal.poison
        looks = [(each.row, each.wanting) for each in chunk.wanted if each.row not in poison]
        found = deadly(self._samples, looks)
        poison |= found
        chunk.deaths += not found
        if chunk.deaths >= _OFTEN:
            self._dismiss(todo)
        elif not self._workers and self._memory is not None:
            self._dismiss(todo)
            with suppress(OSError):  # threads go on
                self._tell(Root(self._count, self._memory))

    def _dismiss(self, todo: deque[_Chunk]) -> None:
        for worker in self._workers:
            worker.line.close()
            chunks = (chunk for chunk, _ in reversed(worker.chunks) if chunk.seen is None)
            todo.extendleft(chunks)
        self._workers = []
        if self._root is not None:
            self._root.end()
            self._root = None  # its number may be another's from here on
