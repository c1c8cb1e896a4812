"""Looks at images on a Ray cluster: actors that hold the model are given a few parts at a time.

The parts are the same as on one machine, and so are the batches within them and torch's threads,
so that the evidence is too. Whatever kills an actor, another one does its parts again; an image
that kills every process that looks at it is found, named and counted.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from auditor import __version__
from auditor.config import EngineTable
from auditor.engine.cluster import Cluster, Need, import_ray
from auditor.engine.collecting import Task
from auditor.engine.journal import NoJournal
from auditor.engine.shards import Shard
from auditor.engine.showing import Plan, show_rows
from auditor.engine.stumbles import Stumbles, portable
from auditor.engine.threads import wait_passively
from auditor.engine.workers import lookers
from auditor.errors import AuditorError, InputError, first_line
from auditor.models.identity import DECODING, installed_versions
from auditor.progress import Progress
from auditor.store.parts import Parts

__all__ = ["show_on_ray"]

_MOST_PARTS = 8
"""Parts of an observer that an actor is given at once, at most: what its death can lose."""
_ROUNDS = 4
"""Times that each actor is given some, at least: the fast ones wait for the slow ones."""
_OFTEN = 2
"""Deaths of actors at the same images after which these are tried one by one."""
_GIVEN_UP = 9
"""Deaths at the same images after which the cluster is to blame."""
_ALIKE = (*DECODING, "torch", "timm", "onnxruntime", "openvino", "torchcodec")
"""Packages whose version may change the evidence."""

Todo = dict[str, list[int]]


class _Result(NamedTuple):
    """What an actor says of some parts."""

    parts: list[tuple[str, int, pa.Table, bool]]
    """Observer, part, table, whether it is to be seen again."""
    stumbles: dict[str, tuple[list[BaseException], bool]]
    """Observer → its crashes, and whether it ever worked."""
    failed: dict[str, BaseException]
    images: int


class _Place(NamedTuple):
    """Where the driver runs, and what with; it must be the same for an actor."""

    folder: str
    path: list[str]
    threads: int | None
    """torch's: with others the last bits of its sums are others. None where it is not imported."""
    versions: dict[str, str | None]

    @classmethod
    def here(cls) -> _Place:
        """Return that of this process."""
        torch = sys.modules.get("torch")
        threads = None if torch is None else int(torch.get_num_threads())
        return cls(str(Path.cwd()), [p for p in sys.path if p], threads, _versions())


def show_on_ray(
    plan: Plan, progress: Progress, engine: EngineTable, total: int
) -> dict[str, BaseException]:
    """Do what ``show`` does, on a cluster; parameters and result are the same.

    Raises
    ------
    InputError
        Ray is not installed, there is no such cluster, it gives no actor, or a node of it has
        other versions or other files.
    """
    left = len(plan.rows)
    if not left:
        return plan.stumbles.hopeless()
    place = _Place.here()
    on_device = any(task.observer.on_device for task in plan.tasks)
    cpus = max(engine.workers or 1, place.threads or 1) if on_device else engine.workers or 1
    must = on_device and engine.device.startswith("cuda")
    need = Need(cpus, must or (on_device and engine.device == "auto"), engine.workers, must)
    arguments = (place, _Packed(plan), engine.workers)
    most = max(len(parts) for parts in plan.todo.values())
    with Cluster(engine.address, need, most, _Looker, arguments) as cluster:
        label = f"looking at {plan.samples.source} on Ray"
        with progress.stage(label, total, done=total - left) as advance:
            a_pass = _Pass(plan, cluster, progress)
            for images in a_pass.run(list(_chunks(plan, cluster.size))):
                advance(min(images, left))
                left -= min(images, left)
    return plan.stumbles.hopeless() | a_pass.failed


def _chunks(plan: Plan, actors: int) -> Iterator[Todo]:
    """Divide what is left so that an image is in few chunks, whoever wants to see it."""
    most = max(len(parts) for parts in plan.todo.values())
    size = max(1, min(_MOST_PARTS, most // (_ROUNDS * actors)))
    count = -(-most // size)
    for number in range(1, count + 1):
        yield {
            name: [todo[k] for k in Shard(number, count).parts(len(todo))]
            for name, todo in plan.todo.items()
        }


def _versions() -> dict[str, str | None]:
    return {"auditor": __version__, **installed_versions(_ALIKE)}


class _Packed:
    """The images and who looks at them, unpacked when modules can be found."""

    def __init__(self, plan: Plan) -> None:
        cloudpickle = import_ray().cloudpickle

        _ = plan.samples.looks  # found out here, where the files were listed
        # The parts stay with the driver: paths of this machine mean nothing elsewhere.
        tasks = [(task.name, task.observer, task.rows) for task in plan.tasks]
        self._bytes: bytes = cloudpickle.dumps((plan.samples, tasks))

    def unpacked(self) -> tuple[Any, list[tuple[str, Any, Any]]]:
        """Return the split, and of each task its name, observer and rows."""
        samples, tasks = pickle.loads(self._bytes)  # written by the driver
        return samples, tasks


class _Looker:
    """The actor: holds the observers and looks at what it is given."""

    def __init__(self, place: _Place, packed: _Packed, workers: int | None) -> None:
        wait_passively()
        self._place, self._packed, self._workers = place, packed, workers

    def ready(self) -> None:
        """Be as the driver is, and unpack."""
        ray = import_ray()
        context = ray.get_runtime_context()
        _require_alike(self._place.versions, ray.util.get_node_ip_address())
        sys.path[:] = [*self._place.path, *(p for p in sys.path if p not in self._place.path)]
        if Path(self._place.folder).is_dir():
            os.chdir(self._place.folder)
        self._samples, self._tasks = self._packed.unpacked()
        self._set_threads(self._place.threads)
        workers = self._workers or int(context.get_assigned_resources().get("CPU", 1))
        observers = {name: observer for name, observer, _ in self._tasks}
        most = max(len(rows) for *_, rows in self._tasks)
        self._eyes = lookers(self._samples, observers, workers, most)
        self._eyes.__enter__()  # until the actor ends, which ends them

    def _set_threads(self, threads: int | None) -> None:
        """Let torch have as many as in the driver; Ray would give it one a CPU of the actor."""
        os.environ.pop("OMP_NUM_THREADS", None)
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(threads)  # should it be imported later
            if (torch := sys.modules.get("torch")) is not None:
                torch.set_num_threads(threads)

    def look(self, todo: Todo, poison: Mapping[int, str]) -> _Result:
        """Make some parts; ``poison`` names the images that nobody may open."""
        with tempfile.TemporaryDirectory() as folder:
            plan = self._plan(todo, Path(folder))
            rows, journal = plan.rows, NoJournal(poison, here=False)
            try:
                failed = show_rows(plan, rows, lambda _: None, self._eyes, journal)
            except AuditorError as error:
                raise portable(error) from None
            living = [
                task for task in plan.tasks if plan.todo[task.name] and task.name not in failed
            ]
            return _Result(
                [
                    (task.name, k, task.parts.read(k), task.parts.serves_once(k))
                    for task in living
                    for k in plan.todo[task.name]
                ],
                {task.name: _told(plan.stumbles, task.name) for task in living},
                {name: portable(crash) for name, crash in failed.items()},
                len(rows),
            )

    def deadly(self, rows: Sequence[int]) -> dict[int, str]:
        """Return the images that kill a process, and how."""
        return self._plan({}, Path()).deadly(rows, import_ray().cloudpickle.dumps)

    def _plan(self, todo: Todo, folder: Path) -> Plan:
        tasks = [
            Task(name, "", observer, rows, Parts(folder / name))
            for name, observer, rows in self._tasks
        ]
        todo = {task.name: todo.get(task.name, []) for task in tasks}
        return Plan(self._samples, tasks, todo, Stumbles(patient=True))


def _require_alike(versions: Mapping[str, str | None], node: str) -> None:
    for name, there in _versions().items():
        if there != versions[name]:
            raise InputError(
                f"the Ray node {node} has {name} {there or '(none)'}, this machine "
                f"{versions[name] or '(none)'}: the evidence would differ; install the same"
            )


def _told(stumbles: Stumbles, name: str) -> tuple[list[BaseException], bool]:
    first = stumbles.first.get(name)
    crashes = [] if first is None else [portable(first)] * stumbles.crashes[name]
    return crashes, name in stumbles.working


class _Pass:
    """Hands chunks to actors until all are done."""

    def __init__(self, plan: Plan, cluster: Cluster, progress: Progress) -> None:
        self._plan, self._cluster, self._progress = plan, cluster, progress
        self.failed: dict[str, BaseException] = {}
        """What became of the observers that failed."""
        self._poison = dict(plan.poison)
        self._deaths, self._tried = Counter[int](), set[int]()

    def run(self, chunks: list[Todo]) -> Iterator[int]:
        """Do all chunks; yield how many images were seen, as it goes."""
        self._chunks = chunks
        waiting, under_way = deque(range(len(chunks))), dict[Any, int]()
        while waiting or under_way:
            for actor in self._cluster.idle(len(waiting)):
                number = waiting.popleft()
                under_way[self._begun(actor, number)] = number
            for call, result in self._cluster.done():
                number = under_way.pop(call)
                if isinstance(result, _Result):
                    self._take(result)
                    yield result.images
                else:
                    waiting.appendleft(number)
                    self._learn(number, result)
            waiting = deque(number for number in waiting if self._left(number))

    def _left(self, number: int) -> Todo:
        """Return what is still to be seen of a chunk."""
        todo = self._chunks[number]
        return {k: parts for k, parts in todo.items() if parts and k not in self.failed}

    def _begun(self, actor: Any, number: int) -> Any:
        if self._deaths[number] >= _OFTEN and number not in self._tried:
            return self._cluster.call(actor, "deadly", self._rows(number))
        return self._cluster.call(actor, "look", self._left(number), self._poison)

    def _rows(self, number: int) -> list[int]:
        plan = self._plan
        whole = Plan(plan.samples, plan.tasks, self._chunks[number], plan.stumbles)
        return [int(row) for row in whole.rows]

    def _take(self, result: _Result) -> None:
        parts = {task.name: task.parts for task in self._plan.tasks}
        self.failed |= result.failed
        for name, (crashes, worked) in result.stumbles.items():
            try:
                self._plan.stumbles.note(name, crashes, worked)
            except Exception as crash:  # whatever the observer died of
                self.failed.setdefault(name, crash)
        for name, number, table, again in result.parts:
            if name not in self.failed:
                parts[name].save(number, table, again=again)

    def _learn(self, number: int, result: dict[int, str] | BaseException) -> None:
        """Take in which images kill, or that an actor died."""
        if not isinstance(result, BaseException):
            self._tried.add(number)
            self._poison |= result
            return
        self._deaths[number] += 1
        reason = first_line(result)
        if self._deaths[number] < _GIVEN_UP:
            self._progress.say(f"a Ray actor died, another one does its part: {reason}")
            return
        images, rows = self._plan.samples.images, self._rows(number)
        raise InputError(
            f"{_GIVEN_UP} Ray actors died at the images from {images[rows[0]]} to "
            f"{images[rows[-1]]}: {reason}; what was gathered is kept, and the same command goes "
            "on from there"
        )
