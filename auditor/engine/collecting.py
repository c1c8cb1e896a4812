"""Gathers what one observer is shown into batches, and what it says of them into stored parts."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Sized
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from auditor.crashes import named
from auditor.data.samples import Samples
from auditor.engine.known import DIGEST, LOOKS, Known, without_looks
from auditor.engine.looking import Seen
from auditor.engine.shards import PART
from auditor.engine.stumbles import Stumbles
from auditor.engine.ways import packages_here, said_of, saying
from auditor.provider import BATCH, Observer
from auditor.store.parts import Parts
from auditor.wording import plural

__all__ = ["Collector", "Task", "described"]

Columns = dict[str, pa.Array]

_OURS = frozenset({"image", "error", "label"})
"""Columns of every table."""


class Task(NamedTuple):
    """What one observer has still to see of a split."""

    name: str
    key: str
    observer: Observer
    rows: NDArray[np.int64]
    """Places in the split of all that is not known, ascending; every ``PART`` of them are a part.
    """
    parts: Parts
    known: Known | None = None

    @property
    def part_count(self) -> int:
        """How many parts there are."""
        return -(-len(self.rows) // PART)

    def rows_of(self, part: int) -> NDArray[np.int64]:
        """Return the places in the split that belong to a part, shape (n,), ascending."""
        return self.rows[part * PART : (part + 1) * PART]


class _Begun(NamedTuple):
    """A batch that a device may still be at."""

    part: int
    batch: Sequence[Seen]
    columns: Callable[[], Columns]


class Collector:
    """Shows batches to one observer and stores its parts.

    Parameters
    ----------
    task
        Who is to see what.
    samples
        The split.
    todo
        The parts that are to be made, ascending.
    stumbles
        Is told of every image that the observer crashed on.
    writer
        Stores parts.
    """

    def __init__(
        self,
        task: Task,
        samples: Samples,
        todo: Sequence[int],
        stumbles: Stumbles,
        writer: Executor,
    ) -> None:
        self.task, self._samples, self._stumbles = task, samples, stumbles
        self._left, self._packages = deque(todo), packages_here()
        self.size = operator.index(task.observer.batch_size or BATCH)
        """Images that are shown at once, at most."""
        self._under_way = operator.index(task.observer.under_way)
        self._batch: list[Seen] = []
        self._taken = 0
        self._begun: deque[_Begun] = deque()
        self._chunks: list[pa.Table] = []
        self._again = False
        self._saving: Future[None] | None = None
        self._writer = writer

    def add(self, seen: Seen) -> None:
        """Take the next image that the observer wants."""
        self._batch.append(seen)
        self._taken += 1
        part = self._left[0]
        ended = self._taken == len(self.task.rows_of(part))
        if ended or len(self._batch) == self.size:
            self._begin(part)
        if ended:
            self._left.popleft()
            self._taken = 0

    def finish(self) -> None:
        """Wait for all that has begun, and until it is stored."""
        while self._begun:
            self._end()
        self._wait_for_saved()

    def _begin(self, part: int) -> None:
        if self._saving is not None and self._saving.done():
            self._wait_for_saved()  # that it failed, before more is looked at in vain
        name, batch = self.task.name, self._batch
        self._batch = []
        crashes = [c for seen in batch if seen.crashed and (c := seen.crash(name)) is not None]
        shown = [seen for seen in batch if name in seen.prepared]
        self._stumbles.note(name, crashes, bool(shown))
        self._begun.append(_Begun(part, batch, self._shown(shown)))
        while len(self._begun) > self._under_way - 1:
            self._end()

    def _shown(self, shown: Sequence[Seen]) -> Callable[[], Columns]:
        if not shown:
            return dict
        images = [self._samples.images[seen.row] for seen in shown]
        prepared = [seen.prepared[self.task.name] for seen in shown]
        observer = self.task.observer
        rows = observer.rows(images, prepared)
        return lambda: _sound(observer, rows() if callable(rows) else rows, len(images))

    def _end(self) -> None:
        """Wait for the oldest batch; store its part where it was the last of it."""
        begun = self._begun.popleft()
        self._chunks.append(_table(self.task, self._samples, begun.batch, begun.columns()))
        self._again |= any(
            seen.unread or (seen.crashed and seen.crash(self.task.name) is not None)
            for seen in begun.batch
        )
        if sum(len(chunk) for chunk in self._chunks) == len(self.task.rows_of(begun.part)):
            table = pa.concat_tables(self._chunks, promote_options="default")
            about = {**said_of(self.task.observer), **self._packages}
            self._save(begun.part, saying(table, about))
            self._chunks, self._again = [], False

    def _save(self, part: int, table: pa.Table) -> None:
        """Store a part beside what is done next, which its compression would hold up."""
        self._wait_for_saved()
        save = self.task.parts.save
        self._saving = self._writer.submit(save, part, table, again=self._again)

    def _wait_for_saved(self) -> None:
        if self._saving is not None:
            self._saving.result()


def _sound(observer: Observer, columns: object, n: int) -> Columns:
    """Return what an observer said of ``n`` images; name it where those are no columns of them."""
    said = f"{type(observer).__name__}.rows returned"
    if not isinstance(columns, Mapping):
        raise TypeError(f"{said} {type(columns).__name__}, not columns")
    for name, values in columns.items():
        if not isinstance(name, str) or name in _OURS or name.startswith(("file.", "meta.")):
            raise ValueError(f"{said} a column {name!r}, which is Auditor's own; rename it")
        if not isinstance(values, Sized):
            raise TypeError(f'{said} {type(values).__name__} for "{name}", not a column')
        if len(values) != n:
            raise ValueError(f'{said} {len(values):,} of "{name}" for {plural(n, "image")}')
    return dict(columns)


def _table(task: Task, samples: Samples, batch: Sequence[Seen], columns: Columns) -> pa.Table:
    """Return a row an image, in the order of the split; what was not seen has its reason alone."""
    shown = [seen for seen in batch if task.name in seen.prepared]
    lost = [seen for seen in batch if task.name not in seen.prepared]
    digests = pa.array([seen.digest for seen in shown], pa.binary(16))
    found = pa.table({"image": _names(samples, shown), **columns, DIGEST: digests})
    errors = pa.array([_reason(task, seen) for seen in lost], pa.string())
    both = [found, pa.table({"image": _names(samples, lost), "error": errors})]
    rows = np.array([seen.row for seen in (*shown, *lost)], np.int64)
    table = pa.concat_tables(both, promote_options="default")
    if lost:  # else they are in order, and to take rows is to copy them
        table = table.take(np.argsort(rows))
    table = described(table, samples, np.sort(rows), task.observer)
    unread = {samples.images[seen.row] for seen in lost if seen.unread}
    return without_looks(table, unread) if unread else table


def _names(samples: Samples, batch: Sequence[Seen]) -> pa.Array:
    return pa.array([samples.images[seen.row] for seen in batch], pa.string())


def _reason(task: Task, seen: Seen) -> str:
    crash = seen.crash(task.name)
    if crash is None:
        return str(seen.crashed.get(task.name, seen.error))
    maker = type(task.observer).__name__
    return f"{maker} failed on it: {named(crash)}"


def described(
    table: pa.Table, samples: Samples, rows: NDArray[np.int64], observer: Observer
) -> pa.Table:
    """Add what follows from the split as it is now: how the files look, their labels and the rest.

    Parameters
    ----------
    table
        A row an image.
    samples
        The split.
    rows
        The place of each in it.
    observer
        May have more to say of them.
    """
    places = rows.tolist()
    extra: dict[str, Any] = dict(zip(LOOKS, map(pa.array, samples.looks[rows].T), strict=True))
    extra["label"] = pa.array([samples.labels[place] for place in places], pa.string())
    extra |= observer.describe([samples.images[place] for place in places])
    for name, values in samples.metadata.items():
        extra[f"meta.{name}"] = pa.array([values[place] for place in places], pa.string())
    for name, values in extra.items():
        table = table.append_column(name, values)
    return table
