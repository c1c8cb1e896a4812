"""One pass over the images of a split: each file is read and decoded once, for every observer.

What cannot be read, and what an observer cannot prepare, is a row with an error; the rest goes on.
An observer that prepares nothing does not work, and fails as a whole. What was seen is stored in
parts as the pass goes, and put together from them at its end: memory does not grow with the data,
and a pass that was interrupted, divided among machines, or went through at once ends alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from auditor.data.samples import Samples
from auditor.engine.collecting import BATCH, Collector, Task
from auditor.engine.known import known_rows
from auditor.engine.looking import Wanting, looked_at
from auditor.engine.shards import Shard
from auditor.engine.stumbles import Stumbles
from auditor.engine.whole import whole
from auditor.evidence.provider import Observer
from auditor.evidence.store import Store
from auditor.progress import Progress

__all__ = ["Observing", "observe_samples", "task_of"]

_EVERYTHING = Shard(1, 1)


class Observing(NamedTuple):
    """Who looks at a split, and under what name it is stored."""

    key: str
    observer: Observer
    method: str = ""
    """What it was made by, whatever the data; rows made alike are used again."""
    origin: Mapping[str, str] = {}
    """The identities of what it is made from."""
    earlier: Path | None = None
    """A file of the same method."""


def observe_samples(
    samples: Samples,
    observers: Mapping[str, Observing],
    store: Store,
    progress: Progress,
    *,
    workers: int | None = None,
    shard: Shard | None = None,
) -> dict[str, BaseException]:
    """Show every image to the observers that want it, and store a table for each.

    A table has ``image``, ``error`` (null where it was read), the observer's columns, ``label``,
    how the file looked (``file.size``, ``file.stamp``, ``file.digest``), and the split's metadata. An image
    that an observer cannot prepare is an error in its table alone. An observer that prepares
    nothing, or raises otherwise, is left out of the rest of the pass; the others go on.

    Parameters
    ----------
    samples
        The split.
    observers
        Evidence name → who looks, for what entry of the store.
    workers
        Threads that read, decode and prepare; the number of cores where None.
    shard
        The share of the images that is looked at; then parts are stored, and nothing is put
        together.

    Returns
    -------
    dict of str to BaseException
        What became of those that failed.
    """
    tasks = [task_of(name, samples, each, store, shard) for name, each in observers.items()]
    failed = _look(tasks, samples, progress, workers, shard or _EVERYTHING)
    for task in tasks:
        if task.name in failed:
            task.parts.remove()
        elif shard is None:
            about = task.observer.about()
            each = observers[task.name]
            pieces, schema = whole(task, samples, about)
            store.save_stream(task.name, task.key, pieces, schema, each.origin, each.method)
    return failed


def task_of(
    name: str, samples: Samples, observing: Observing, store: Store, shard: Shard | None = None
) -> Task:
    """Return what an observer has to see: not what is known, unless the pass is divided."""
    key, observer = observing.key, observing.observer
    known = None
    if observing.earlier is not None and shard is None:
        known = known_rows(observing.earlier, samples, observer)
    wanted = np.arange(len(samples))
    if (images := observer.images) is not None:
        wanted = np.flatnonzero([image in images for image in samples.images])
    rows = wanted if known is None else wanted[known.place[wanted] < 0]
    return Task(name, key, observer, rows, store.parts(name, key), known)


def _look(
    tasks: Sequence[Task],
    samples: Samples,
    progress: Progress,
    workers: int | None,
    shard: Shard,
) -> dict[str, BaseException]:
    """Show what is not stored yet; return what failed."""
    stumbles, failed = Stumbles(), dict[str, BaseException]()
    todo = {task.name: _todo(task, shard, stumbles) for task in tasks}
    collectors = [Collector(task, samples, todo[task.name], stumbles) for task in tasks]
    masks = {task.name: _mask(task, todo[task.name], len(samples)) for task in tasks}
    rows = np.flatnonzero(np.any([*masks.values()], axis=0))
    if not len(rows):
        return stumbles.hopeless()
    total = len(rows) if shard.of > 1 else len(samples)
    ahead = 4 * max(task.observer.batch_size or BATCH for task in tasks)
    stage = progress.stage(f"looking at {samples.source}", total, done=total - len(rows))
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool, stage as advance:
        for seen in looked_at(samples, _wanted(tasks, masks, rows, failed), pool, ahead):
            for collector in collectors:
                if masks[collector.task.name][seen.row]:
                    _unless_failed(failed, collector, partial(collector.add, seen))
            advance(1)
        for collector in collectors:
            _unless_failed(failed, collector, collector.finish)
    return stumbles.hopeless() | failed


def _todo(task: Task, shard: Shard, stumbles: Stumbles) -> list[int]:
    """Return the parts that are not stored; remember whether the observer ever worked."""
    kept = task.parts.numbers()
    mine = shard.parts(task.part_count)
    worked = task.known is not None or any(_worked(task.parts.read(k)) for k in mine if k in kept)
    stumbles.note(task.name, [], worked)
    return [number for number in mine if number not in kept]


def _worked(part: pa.Table) -> bool:
    return bool(part["error"].null_count)


def _mask(task: Task, todo: Sequence[int], n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    for part in todo:
        mask[task.rows_of(part)] = True
    return mask


def _wanted(
    tasks: Sequence[Task],
    masks: Mapping[str, NDArray[np.bool_]],
    rows: NDArray[np.int64],
    failed: Mapping[str, BaseException],
) -> Iterator[tuple[int, Wanting]]:
    for row in rows.tolist():
        wanting = {
            task.name: task.observer
            for task in tasks
            if masks[task.name][row] and task.name not in failed
        }
        if wanting:
            yield row, wanting


def _unless_failed(
    failed: dict[str, BaseException], collector: Collector, do: Callable[[], None]
) -> None:
    name = collector.task.name
    if name in failed:
        return
    try:
        do()
    except (Exception, SystemExit) as crash:
        failed[name] = crash
