"""Looks at images on a Ray cluster: actors that hold the model are given a few parts at a time.

The parts are the same as on one machine, and so are the batches within them and torch's threads,
so that the evidence is too. Whatever kills an actor, another one does its parts again; images that
kill every actor are found by opening them one by one, named and counted.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from auditor.config import EngineTable
from auditor.engine.cluster import Cluster
from auditor.engine.collecting import Task
from auditor.engine.journal import NoJournal
from auditor.engine.shards import Shard
from auditor.engine.showing import Plan, show_rows
from auditor.engine.stumbles import Stumbles
from auditor.engine.threads import wait_passively
from auditor.errors import InputError
from auditor.evidence.parts import Parts
from auditor.progress import Progress

__all__ = ["show_on_ray"]

_PARTS = 2
"""Parts of an observer that an actor is given at once."""
_OFTEN = 3
"""Deaths of actors at the same images after which these are opened a few at a time."""
_GIVEN_UP = 9
"""Deaths at the same images after which the cluster is to blame."""

Todo = dict[str, list[int]]


class _Result(NamedTuple):
    """What an actor says of some parts."""

    parts: list[tuple[str, int, pa.Table, bool]]
    """Observer, part, table, whether it is to be seen again."""
    stumbles: dict[str, tuple[list[BaseException], bool]]
    """Observer → its crashes, and whether it ever worked."""
    failed: dict[str, BaseException]
    images: int


def show_on_ray(
    plan: Plan, progress: Progress, engine: EngineTable, total: int
) -> dict[str, BaseException]:
    """Do what ``show`` does, on a cluster; parameters and result are the same.

    Raises
    ------
    InputError
        Ray is not installed, there is no such cluster, or it gives no actor.
    """
    chunks, left = list(_chunks(plan)), len(plan.rows)
    if not chunks:
        return plan.stumbles.hopeless()
    # The parts stay with the driver: paths of this machine mean nothing elsewhere.
    lean = [(task.name, task.observer, task.rows) for task in plan.tasks]
    with Cluster(engine, _Looker, (plan.samples, lean, _threads(), engine.workers or 1)) as cluster:
        label = f"looking at {plan.samples.source} on Ray"
        with progress.stage(label, total, done=total - left) as advance:
            failed = _Pass(plan, cluster, advance).run(chunks)
    return plan.stumbles.hopeless() | failed


def _threads() -> int | None:
    """Return torch's threads here: with others the last bits of its sums are others."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _chunks(plan: Plan) -> Iterator[Todo]:
    """Divide what is left so that an image is in few chunks, whoever wants to see it."""
    most = max(len(parts) for parts in plan.todo.values())
    count = -(-most // _PARTS)
    for number in range(1, count + 1):
        shares = {
            name: [todo[k] for k in Shard(number, count).parts(len(todo))]
            for name, todo in plan.todo.items()
        }
        if any(shares.values()):
            yield shares


class _Looker:
    """The actor: holds the observers and looks at what it is given."""

    def __init__(self, samples: Any, tasks: Any, threads: int | None, workers: int) -> None:
        wait_passively()
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._samples, self._tasks, self._workers = samples, tasks, workers

    def ready(self) -> None:
        """Answer."""

    def look(self, todo: Todo, poison: Mapping[int, str]) -> _Result:
        """Make some parts; ``poison`` names the images that nobody may open."""
        with tempfile.TemporaryDirectory() as folder:
            plan = self._plan(todo, Path(folder))
            rows = plan.rows
            journal = NoJournal(poison, here=False)
            failed = show_rows(plan, rows, lambda _: None, self._workers, journal)
            living = {name: parts for name, parts in todo.items() if name not in failed}
            kept = {task.name: task.parts for task in plan.tasks}
            return _Result(
                [
                    (name, k, kept[name].read(k), kept[name].serves_once(k))
                    for name, parts in living.items()
                    for k in parts
                ],
                {name: _told(plan.stumbles, name) for name in living},
                {name: _portable(crash) for name, crash in failed.items()},
                len(rows),
            )

    def open(self, first: int, last: int) -> None:
        """Open some images, and do nothing with them: do they kill a process?"""
        from auditor.engine.journal import open_and_forget

        for row in range(first, last):
            open_and_forget(self._samples, row)

    def _plan(self, todo: Todo, folder: Path) -> Plan:
        tasks = [
            Task(name, "", observer, rows, Parts(folder / name))
            for name, observer, rows in self._tasks
            if todo.get(name)
        ]
        return Plan(self._samples, tasks, todo, Stumbles(patient=True))


def _told(stumbles: Stumbles, name: str) -> tuple[list[BaseException], bool]:
    first = stumbles.first.get(name)
    crashes = [] if first is None else [_portable(first)] * stumbles.crashes[name]
    return crashes, name in stumbles.working


def _portable(crash: BaseException) -> BaseException:
    """Return an exception that can travel."""
    try:
        pickle.loads(pickle.dumps(crash))
    except Exception:  # foreign classes fail in ways of their own
        return RuntimeError(f"{type(crash).__name__}: {crash}")
    return crash


class _Pass:
    """Hands chunks to actors until all are done."""

    def __init__(self, plan: Plan, cluster: Cluster, advance: Callable[[int], None]) -> None:
        self._plan, self._cluster, self._advance = plan, cluster, advance
        self._failed: dict[str, BaseException] = {}
        self._poison: dict[int, str] = {}
        self._deaths = Counter[int]()

    def run(self, chunks: list[Todo]) -> dict[str, BaseException]:
        """Do all chunks; return what failed."""
        waiting, under_way = deque(range(len(chunks))), dict[Any, int]()
        while waiting or under_way:
            for actor in self._cluster.idle(len(waiting)):
                number = waiting.popleft()
                todo = {k: v for k, v in chunks[number].items() if k not in self._failed}
                under_way[self._cluster.call(actor, "look", todo, self._poison)] = number
            for call, result in self._cluster.done():
                number = under_way.pop(call)
                if isinstance(result, _Result):
                    self._take(result)
                else:
                    waiting.appendleft(number)
                    self._died(number, chunks[number], result)
        return self._failed

    def _take(self, result: _Result) -> None:
        parts = {task.name: task.parts for task in self._plan.tasks}
        self._failed |= result.failed
        for name, (crashes, worked) in result.stumbles.items():
            try:
                self._plan.stumbles.note(name, crashes, worked)
            except Exception as crash:  # whatever the observer died of
                self._failed.setdefault(name, crash)
        for name, number, table, again in result.parts:
            if name not in self._failed:
                parts[name].save(number, table, again=again)
        self._advance(result.images)

    def _died(self, number: int, todo: Todo, death: BaseException) -> None:
        """Count the death of an actor; look for what killed it where it was not the first."""
        self._deaths[number] += 1
        rows = Plan(self._plan.samples, self._plan.tasks, todo, self._plan.stumbles).rows.tolist()
        if self._deaths[number] == _OFTEN:
            self._poison |= self._deadly(rows)
        if self._deaths[number] >= _GIVEN_UP:
            images = self._plan.samples.images
            raise InputError(
                f"{_GIVEN_UP} Ray actors died at the images from {images[rows[0]]} to "
                f"{images[rows[-1]]}: {str(death).strip().splitlines()[0]}; what was gathered is "
                "kept, and the same command goes on from there"
            )

    def _deadly(self, rows: list[int]) -> dict[int, str]:
        """Return the images that kill a process that opens them, by halves."""
        if self._cluster.survives("open", rows[0], rows[-1] + 1):
            return {}
        if len(rows) == 1:
            return {rows[0]: "every process that opened it died"}
        half = len(rows) // 2
        return self._deadly(rows[:half]) | self._deadly(rows[half:])
