"""Shows the images of a split to those who want to see them, in this process."""

from __future__ import annotations

import json
import operator
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from auditor.data.samples import Samples
from auditor.engine.collecting import Collector, Task
from auditor.engine.journal import Journal, NoJournal
from auditor.engine.looking import Threads, Wanted
from auditor.engine.probing import deadly
from auditor.engine.shards import Shard
from auditor.engine.stumbles import Stumbles
from auditor.engine.ways import LAST_BITS, difference, made_here, said_by
from auditor.engine.workers import Processes, lookers
from auditor.errors import NotWritten
from auditor.progress import Progress

__all__ = ["Plan", "show", "show_rows"]


@dataclass
class Plan:
    """What is left to be seen of a split, and by whom.

    Parameters
    ----------
    samples
        The split.
    tasks
        Who is to see what.
    todo
        Observer → the parts that it has still to make, ascending.
    stumbles
        Is told of every image that an observer crashes on.
    """

    samples: Samples
    tasks: Sequence[Task]
    todo: dict[str, list[int]]
    stumbles: Stumbles
    shard: Shard | None = None
    """The share of a machine that is one of several."""
    poison: Mapping[int, str] = field(default_factory=dict)
    """Images that are known to kill who opens them, and how."""

    @classmethod
    def of(
        cls,
        samples: Samples,
        tasks: Sequence[Task],
        shard: Shard | None,
        poison: Mapping[int, str],
        *,
        here: bool,
    ) -> Self:
        """Leave out what is stored; of each task only the share of a shard counts, if any.

        What this machine made in another way than it would now is made again; of what others will
        do, nothing can be known yet. A share that is made again is described when it is whole.
        """
        plan = cls(samples, tasks, {}, Stumbles(), shard, poison)
        plan.todo = {task.name: plan._left(task, shard or Shard(1, 1), here) for task in tasks}
        for task in tasks:
            if shard is not None and plan.todo[task.name]:
                task.parts.share(*shard).unlink(missing_ok=True)
        return plan

    @property
    def rows(self) -> NDArray[np.int64]:
        """Places in the split of what somebody has still to see, shape (n,), ascending."""
        n = len(self.samples)
        masks = [_mask(task, self.todo[task.name], n) for task in self.tasks]
        return np.flatnonzero(np.any(masks, axis=0)) if masks else np.arange(0)

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Whether somebody has to see each image of the split at its full size, shape (n,).

        Today or at another time, so that what the others see does not depend on how far anybody is.
        """
        full = np.zeros(len(self.samples), bool)
        for task in self.tasks:
            if not task.observer.reduced:
                full[task.rows] = True
        return full

    @property
    def journal(self) -> Path:
        """Where the images in hand are remembered: who looks at another share has his own."""
        folder = self.tasks[0].parts.folder
        return folder / f"shard-{self.shard.number}-of-{self.shard.of}" if self.shard else folder

    def deadly(
        self, rows: Sequence[int], dumps: Callable[[Any], bytes] = pickle.dumps
    ) -> dict[int, str]:
        """Return which of some images kill who looks at them, and how; see ``probing.deadly``."""
        wanted = [(task.name, task.observer, {*task.rows.tolist()}) for task in self.tasks]
        looks = [(row, {name: eye for name, eye, of in wanted if row in of}) for row in rows]
        return deadly(self.samples, looks, dumps)

    def _left(self, task: Task, shard: Shard, here: bool) -> list[int]:
        """Return the parts that are not stored; remember whether the observer ever worked."""
        kept, mine = task.parts.numbers(), shard.parts(task.part_count)
        if here and kept:
            kept -= set(_made_otherwise(task, kept))
        there = (task.parts.read(number) for number in mine if number in kept)
        self.stumbles.note(task.name, [], task.known is not None or any(map(_worked, there)))
        return [number for number in mine if number not in kept]


def show(plan: Plan, progress: Progress, workers: int, total: int) -> dict[str, BaseException]:
    """Show what is left, and store it in parts.

    Parameters
    ----------
    plan
        What is left.
    progress
        Who is told how far it is.
    workers
        Threads or processes that read, decode and prepare.
    total
        Images of the pass, those that are not left among them.

    Returns
    -------
    dict of str to BaseException
        What became of the observers that failed.

    Raises
    ------
    NotWritten
        What was seen cannot be stored.
    """
    rows = plan.rows
    if not len(rows):
        return plan.stumbles.hopeless()
    label = f"looking at {plan.samples.source}"
    observers = {task.name: task.observer for task in plan.tasks}
    with (
        Journal(plan.journal, plan.deadly, progress) as journal,
        lookers(plan.samples, observers, workers, len(rows)) as eyes,
        progress.stage(label, total, done=total - len(rows)) as advance,
    ):
        journal.poison.update(plan.poison)
        failed = show_rows(plan, rows, advance, eyes, journal)
    return plan.stumbles.hopeless() | failed


def show_rows(
    plan: Plan,
    rows: NDArray[np.int64],
    advance: Callable[[int], None],
    eyes: Threads | Processes,
    journal: NoJournal,
) -> dict[str, BaseException]:
    """Show some images; return what failed by itself, once all that was seen is stored."""
    with ThreadPoolExecutor(1, "save") as writer:
        return _shown(plan, rows, advance, eyes, journal, writer)


def _shown(
    plan: Plan,
    rows: NDArray[np.int64],
    advance: Callable[[int], None],
    eyes: Threads | Processes,
    journal: NoJournal,
    writer: Executor,
) -> dict[str, BaseException]:
    failed: dict[str, BaseException] = {}
    masks = {task.name: _mask(task, plan.todo[task.name], len(plan.samples)) for task in plan.tasks}
    whole = plan.whole

    def wanted() -> Iterator[Wanted]:
        for row in map(int, rows):
            living = (t for t in plan.tasks if masks[t.name][row] and t.name not in failed)
            if wanting := {task.name: task.observer for task in living}:
                yield Wanted(row, wanting, bool(whole[row]))

    ahead, collectors = [1], list[Collector]()
    for task in plan.tasks:
        _unless_failed(failed, task.name, partial(_ask, ahead, task))
    looked_at = eyes.looked_at(wanted(), max(ahead), journal)  # processes begin here
    for task in plan.tasks:  # how many images it is shown at once, an observer finds out here
        _unless_failed(failed, task.name, partial(_collect, collectors, plan, task, writer))
    for seen in looked_at:
        for collector in collectors:
            if masks[collector.task.name][seen.row]:
                _unless_failed(failed, collector.task.name, partial(collector.add, seen))
        advance(1)
    for collector in collectors:
        _unless_failed(failed, collector.task.name, collector.finish)
    return failed


def _made_otherwise(task: Task, parts: Iterable[int]) -> Iterator[int]:
    now = made_here(task.observer)
    for part, schema in task.parts.schemas(parts):
        if difference(said_by(schema, now), json.loads(json.dumps(now)), LAST_BITS):
            yield part


def _worked(part: pa.Table) -> bool:
    return bool(part["error"].null_count)


def _mask(task: Task, todo: Sequence[int], n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    for part in todo:
        mask[task.rows_of(part)] = True
    return mask


def _ask(ahead: list[int], task: Task) -> None:
    ahead.append(operator.index(task.observer.ahead))


def _collect(collectors: list[Collector], plan: Plan, task: Task, writer: Executor) -> None:
    todo = plan.todo[task.name]
    collectors.append(Collector(task, plan.samples, todo, plan.stumbles, writer))


def _unless_failed(failed: dict[str, BaseException], name: str, do: Callable[[], None]) -> None:
    if name in failed:
        return
    try:
        do()
    except NotWritten:
        raise
    except (Exception, SystemExit) as crash:
        failed[name] = crash
