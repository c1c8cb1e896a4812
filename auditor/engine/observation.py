"""One pass over the images of a split: each file is read and decoded once, for every observer.

What cannot be read, and what an observer cannot prepare, is a row with an error; the rest goes on.
An observer that prepares nothing does not work, and fails as a whole. What was seen is stored in
parts as the pass goes, and put together from them at its end: memory does not grow with the data,
and a pass that was interrupted, divided among machines, or went through at once ends alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auditor.config import EngineTable
from auditor.data.samples import Samples
from auditor.engine.assembling import whole
from auditor.engine.collecting import Task
from auditor.engine.hardware import workers_of
from auditor.engine.known import Digests, digest_of, known_rows
from auditor.engine.shards import Shard
from auditor.engine.showing import Plan, show
from auditor.engine.trying import try_out
from auditor.progress import Progress
from auditor.provider import Observer
from auditor.store import Store

__all__ = ["Observing", "observe_samples", "task_of"]


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
    engine: EngineTable | None = None,
    *,
    shard: Shard | None = None,
) -> dict[str, BaseException]:
    """Show every image to the observers that want it, and store a table for each.

    A table has ``image``, ``error`` (null where it was read), the observer's columns, ``label``,
    how the file looked (``file.size``, ``file.stamp``, ``file.inode``, ``file.digest``), and the
    split's metadata. An observer that prepares nothing, or raises, is left out of the rest.

    Parameters
    ----------
    samples
        The split.
    observers
        Evidence name → who looks, for what entry of the store.
    store, progress
        Where parts and tables are kept; who is told of every image.
    engine
        Where the pass runs, and in how many threads.
    shard
        The share of the images that is looked at; parts are stored then, and not put together.

    Returns
    -------
    dict of str to BaseException
        What became of those that failed.

    Raises
    ------
    NotWritten
        What was seen cannot be stored; the parts that were are kept.
    """
    with ExitStack() as at_the_end:
        for each in observers.values():
            at_the_end.callback(_let_go, each.observer)
        return _observed(samples, observers, store, progress, engine or EngineTable(), shard)


def _let_go(observer: Observer) -> None:
    with suppress(Exception, SystemExit):  # foreign code; all that it saw is stored
        observer.end()


def _observed(
    samples: Samples,
    observers: Mapping[str, Observing],
    store: Store,
    progress: Progress,
    engine: EngineTable,
    shard: Shard | None,
) -> dict[str, BaseException]:
    failed, poison = try_out(samples, _trying(observers, store, shard), progress)
    digests = None if shard else Digests(samples, progress)
    able = [name for name in observers if name not in failed]
    tasks = [task_of(name, samples, observers[name], store, digests) for name in able]
    plan = Plan.of(samples, tasks, shard, poison, here=engine.kind == "local")
    failed |= _shown(plan, progress, engine, len(plan.rows) if shard else len(samples))
    if shard is None:
        for task in tasks:
            if task.name not in failed:
                _put_together(task, samples, observers[task.name], store)
    return failed


def _put_together(task: Task, samples: Samples, observing: Observing, store: Store) -> None:
    pieces, schema = whole(task, samples, observing.method)
    store.save_stream(task.name, task.key, pieces, schema, observing.origin, observing.method)


def _trying(
    observers: Mapping[str, Observing], store: Store, shard: Shard | None
) -> dict[str, tuple[Observer, Path]]:
    """Return who tries out what, and where it is remembered: for each share apart."""
    place = f"tried-{shard.number}-of-{shard.of}" if shard else "tried"
    return {
        name: (each.observer, store.parts(name, each.key).folder / place)
        for name, each in observers.items()
    }


def _shown(
    plan: Plan, progress: Progress, engine: EngineTable, total: int
) -> dict[str, BaseException]:
    if engine.kind == "local":
        return show(plan, progress, workers_of(engine), total)
    from auditor.engine.on_ray import show_on_ray

    return show_on_ray(plan, progress, engine, total)


def task_of(
    name: str, samples: Samples, observing: Observing, store: Store, digests: Digests | None = None
) -> Task:
    """Return what an observer has to see: not what is known, where digests of the files tell it.

    A pass that is divided knows nothing: its machines may have seen different things.
    """
    key, observer = observing.key, observing.observer
    known = None
    if observing.earlier is not None and digests is not None:
        known = known_rows(observing.earlier, samples, observer, observing.method, digests)
    wanted = np.arange(len(samples))
    if (images := observer.images) is not None:
        wanted = np.flatnonzero([image in images for image in samples.images])
    rows = wanted if known is None else wanted[known.place[wanted] < 0]
    among = "" if known is None else digest_of(rows.tobytes()).hex()[:16]
    return Task(name, key, observer, rows, store.parts(name, key, among), known)
