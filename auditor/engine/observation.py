"""One pass over the images of a split: each file is read and decoded once, for every observer.

What cannot be read, and what an observer cannot prepare, is a row with an error; the rest goes on.
An observer that prepares nothing does not work, and fails as a whole.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from auditor.data.samples import Samples
from auditor.engine.stumbles import Stumbles
from auditor.evidence.provider import Observer
from auditor.evidence.store import Store
from auditor.overlap.decode import Unreadable, open_image
from auditor.progress import Progress

__all__ = ["Observed", "observe_samples"]

_PART = 512
"""Images a stored part: what an interrupted pass can lose."""
_BATCH = 64
"""Images a batch where no observer minds."""

Item = TypeVar("Item")


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)  # itertools.batched needs Python 3.12
    while batch := list(islice(remaining, size)):
        yield batch


class Observed(NamedTuple):
    """What came of a pass: a table for each observer, or what it died of."""

    tables: dict[str, pa.Table]
    failed: dict[str, BaseException]


class _Seen(NamedTuple):
    """What the observers prepared from one image, or why they could not."""

    image: str
    prepared: dict[str, Any]
    crashed: dict[str, BaseException]
    error: str | None = None


def observe_samples(
    samples: Samples,
    observers: Mapping[str, tuple[str, Observer]],
    store: Store,
    progress: Progress,
    *,
    workers: int | None = None,
) -> Observed:
    """Show every image to the observers that want it; return a table for each.

    Parameters
    ----------
    samples
        The split.
    observers
        Evidence name → its key in the store and the observer.
    workers
        Threads that read, decode and prepare; the number of cores where None.

    Returns
    -------
    Observed
        Evidence name → table with ``image``, ``label``, ``error`` (null where it was read), the
        observer's columns and the split's metadata. An image that an observer cannot prepare is
        an error in its table alone. An observer that prepares nothing, or raises otherwise, is
        left out of the rest of the pass; the others go on.
    """
    living, failed, stumbles = dict(observers), dict[str, BaseException](), Stumbles()
    parts: dict[str, list[pa.Table]] = {name: [] for name in observers}
    sizes = [observer.batch_size for _, observer in observers.values()]
    batch_size = min((size for size in sizes if size is not None), default=_BATCH)
    wanted = _wanted(samples, [observer for _, observer in observers.values()])
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        progress.stage(f"looking at {samples.source}", len(wanted)) as advance,
    ):
        for number, rows in enumerate(_batched(wanted, _PART)):
            part = samples.take(rows)
            kept = _kept_parts(part, living, store, number)
            missing = {name: living[name] for name in living if name not in kept}
            for name, table in kept.items():
                stumbles.note(name, [], bool(table["error"].null_count))
            before = stumbles.crashes.copy()
            seen = _observe_part(part, missing, pool, batch_size, advance, stumbles)
            for name, table in seen.tables.items():
                if stumbles.crashes[name] == before[name]:  # else it is tried again
                    store.save_part(name, living[name][0], number, table)
            for name, table in {**kept, **seen.tables}.items():
                parts[name].append(table)
            failed |= seen.failed
            living = {name: pair for name, pair in living.items() if name not in failed}
            if not living:
                break
            if not missing:
                advance(len(part))
    failed |= stumbles.hopeless()
    living = {name: pair for name, pair in living.items() if name not in failed}
    tables = {name: _finished(observer, parts[name]) for name, (_, observer) in living.items()}
    return Observed(tables, failed)


def _kept_parts(
    part: Samples, observers: Mapping[str, tuple[str, Observer]], store: Store, number: int
) -> dict[str, pa.Table]:
    """Return what an earlier, interrupted pass kept of these images."""
    kept = {
        name: _fitting(store.load_part(name, key, number), part, observer)
        for name, (key, observer) in observers.items()
    }
    return {name: table for name, table in kept.items() if table is not None}


def _wanted(samples: Samples, observers: Sequence[Observer]) -> list[int]:
    sets = [observer.images for observer in observers]
    if any(images is None for images in sets):
        return list(range(len(samples)))
    union: set[str] = set().union(*(images for images in sets if images is not None))
    return [row for row, image in enumerate(samples.images) if image in union]


def _fitting(table: pa.Table | None, part: Samples, observer: Observer) -> pa.Table | None:
    """Return a stored part if it holds these images: beside other observers it may hold others."""
    wanted = [image for image in part.images if _wants(observer, image)]
    same = table is not None and sorted(table["image"].to_pylist()) == sorted(wanted)
    return table if same else None


def _wants(observer: Observer, image: str) -> bool:
    return observer.images is None or image in observer.images


def _observe_part(
    part: Samples,
    observers: Mapping[str, tuple[str, Observer]],
    pool: ThreadPoolExecutor,
    batch_size: int,
    advance: Any,
    stumbles: Stumbles,
) -> Observed:
    tables: dict[str, list[pa.Table]] = {name: [] for name in observers}
    failed: dict[str, BaseException] = {}
    if not observers:
        return Observed({}, {})
    for batch in _batched(_looked_at(part, observers, pool, 4 * batch_size), batch_size):
        for name in observers.keys() - failed.keys():
            try:
                crashes = [s.crashed[name] for s in batch if name in s.crashed]
                stumbles.note(name, crashes, any(name in s.prepared for s in batch))
                tables[name].append(_rows(name, observers[name][1], batch))
            except (Exception, SystemExit) as crash:
                failed[name] = crash
        if len(failed) == len(observers):
            break
        advance(len(batch))
    described = _description(part)
    joined = {
        name: _joined(pa.concat_tables(found, promote_options="default"), described)
        for name, found in tables.items()
        if name not in failed
    }
    return Observed(joined, failed)


def _looked_at(
    part: Samples,
    observers: Mapping[str, tuple[str, Observer]],
    pool: ThreadPoolExecutor,
    ahead: int,
) -> Iterator[_Seen]:
    """Yield images in order, with at most ``ahead`` of them in flight: memory stays bounded."""
    flying: deque[Future[_Seen]] = deque()
    for image in part.images:
        flying.append(pool.submit(_look, part, image, observers))
        if len(flying) >= ahead:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


def _look(part: Samples, image: str, observers: Mapping[str, tuple[str, Observer]]) -> _Seen:
    wanting = {name: o for name, (_, o) in observers.items() if _wants(o, image)}
    if not wanting:
        return _Seen(image, {}, {})
    try:
        data = part.read(image)
        picture = open_image(data, reduced=all(o.reduced for o in wanting.values()))
    except OSError as error:
        return _Seen(image, {}, {}, (error.strerror or str(error)).lower())
    except Unreadable as error:
        return _Seen(image, {}, {}, str(error))
    seen = _Seen(image, {}, {})
    for name, observer in wanting.items():
        try:
            seen.prepared[name] = observer.prepare(picture, data)
        except (Exception, SystemExit) as crash:
            seen.crashed[name] = crash
    return seen


def _rows(name: str, observer: Observer, batch: Sequence[_Seen]) -> pa.Table:
    seen = [s for s in batch if name in s.prepared]
    lost = {s.image: s.error for s in batch if s.error and _wants(observer, s.image)}
    for s in batch:
        if (crash := s.crashed.get(name)) is not None:
            maker = type(observer).__name__
            lost[s.image] = f"{maker} failed on it: {type(crash).__name__}: {crash}"
    columns: dict[str, Any] = {"image": pa.array([s.image for s in seen], pa.string())}
    if seen:
        columns |= observer.rows([s.image for s in seen], [s.prepared[name] for s in seen])
    schema = pa.schema({"image": pa.string(), "error": pa.string()})
    errors = pa.table([list(lost), list(lost.values())], schema=schema)
    return pa.concat_tables([pa.table(columns), errors], promote_options="default")


def _description(part: Samples) -> pa.Table:
    columns = {"image": part.images, "label": part.labels}
    columns |= {f"meta.{name}": values for name, values in part.metadata.items()}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _joined(found: pa.Table, described: pa.Table) -> pa.Table:
    """Add label and metadata by image; Arrow's own join takes no list columns."""
    import pyarrow.compute as pc

    rows = pc.index_in(found["image"], value_set=described["image"].combine_chunks())
    extra = described.take(rows)
    for name in extra.column_names[1:]:
        found = found.append_column(name, extra[name])
    return found


def _finished(observer: Observer, parts: Sequence[pa.Table]) -> pa.Table:
    table = pa.concat_tables(parts, promote_options="default")
    # What an observer knew before, it puts beside what it saw now.
    whole = getattr(observer, "whole", None)
    table = table if whole is None else whole(table)
    about = json.dumps(observer.about(), sort_keys=True)
    return table.replace_schema_metadata({"about": about})
