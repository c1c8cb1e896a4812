"""Puts together what a pass saw and what was known before, in the order of the split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from auditor.data.samples import Samples
from auditor.engine.collecting import Task, described
from auditor.engine.shards import PART
from auditor.engine.ways import MAY_DIFFER, PLACE, difference, joined, made_here, said_by
from auditor.errors import InputError
from auditor.store.columns import telling_schema

__all__ = ["about_of", "whole"]


def about_of(task: Task, stored: Iterable[tuple[int, pa.Schema]]) -> dict[str, Any]:
    """Return what is to be said of some stored parts: how they were made, wherever that was.

    Parameters
    ----------
    task
        Whose parts they are.
    stored
        Their numbers and columns.

    Raises
    ------
    InputError
        They were made in different ways, as on a cluster of unlike nodes. Those of the rarer ways
        are forgotten.
    """
    here = made_here(task.observer)
    said = {part: said_by(schema, here) for part, schema in stored}
    if not said:
        return here
    ways = Counter(json.dumps(each, sort_keys=True) for each in said.values())
    common = json.loads(max(ways, key=ways.__getitem__))
    phrases = {part: difference(each, common, MAY_DIFFER) for part, each in said.items()}
    odd = {part: phrase for part, phrase in phrases.items() if phrase}
    for part in odd:
        task.parts.forget(part)
    if odd:
        raise InputError(
            f"{task.name} was made in different ways: {min(odd.values())}; set [engine] device and "
            "backend, so that all machines do it in one, and run it again: the rest is kept"
        )
    return joined([*said.values()])


def whole(task: Task, samples: Samples, method: str) -> tuple[Iterator[pa.Table], pa.Schema]:
    """Return the table of a finished pass in pieces, and all its columns.

    Parameters
    ----------
    task
        What was to be seen; all of its parts are stored.
    samples
        The split.
    method
        What the rows were made by, whatever the data.
    """
    known = _known(task, samples)
    nothing = pa.schema({"image": pa.string(), "error": pa.string()}).empty_table()
    stored = [*task.parts.schemas(range(task.part_count))]
    about, schemas = about_of(task, stored), [schema for _, schema in stored]
    if task.known is not None and known.any():
        about = _with_place(about, [*([about] if stored else []), task.known.about])
    schemas.append(described(nothing, samples, np.empty(0, np.int64), task.observer).schema)
    if known.any():
        schemas.append(_known_part(task, samples, np.flatnonzero(known)[:1]).schema)
    schema = telling_schema(pa.unify_schemas(schemas), about, method)
    return _pieces(task, samples, known), schema


def _with_place(about: dict[str, Any], said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Name all places where rows were made, and no other."""
    places = [{name: each[name] for name in PLACE if name in each} for each in said]
    return {name: value for name, value in about.items() if name not in PLACE} | joined(places)


def _known(task: Task, samples: Samples) -> NDArray[np.bool_]:
    """Tell which images are known and wanted, shape (n,)."""
    if task.known is None:
        return np.zeros(len(samples), bool)
    known = np.asarray(task.known.place >= 0)
    if (images := task.observer.images) is not None:
        known &= np.array([image in images for image in samples.images], bool)
    return known


def _known_part(task: Task, samples: Samples, rows: NDArray[np.int64]) -> pa.Table:
    assert task.known is not None
    return described(task.known.at(rows), samples, rows, task.observer)


def _pieces(task: Task, samples: Samples, known: NDArray[np.bool_]) -> Iterator[pa.Table]:
    new = _InTurn(task.parts.read(number) for number in range(task.part_count))
    every = np.union1d(np.flatnonzero(known), task.rows)
    for start in range(0, len(every), PART):
        rows = every[start : start + PART]
        old = known[rows]
        pieces = [_known_part(task, samples, rows[old])] if old.any() else []
        pieces += [] if old.all() else [new.take(int((~old).sum()))]
        order = np.argsort(np.concatenate([rows[old], rows[~old]]))
        yield pa.concat_tables(pieces, promote_options="default").take(order)


class _InTurn:
    """Gives out rows of one table after the other."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._waiting: pa.Table | None = None

    def take(self, n: int) -> pa.Table:
        """Return the next ``n`` rows."""
        waiting = self._waiting if self._waiting is not None else next(self._tables)
        while waiting.num_rows < n:
            waiting = pa.concat_tables([waiting, next(self._tables)], promote_options="default")
        self._waiting = waiting.slice(n)
        return waiting.slice(0, n)
