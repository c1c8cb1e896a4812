"""What a machine that looked at a share of the images leaves beside its parts, to be put together.

Shares of one pass agree on what was made of which images by what; where they differ, they are
refused, and nothing is mixed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from auditor.data.samples import Samples
from auditor.engine.assembling import about_of
from auditor.engine.collecting import Task
from auditor.engine.observation import Observing
from auditor.engine.shards import PART, Shard
from auditor.engine.ways import MAY_DIFFER, difference, joined, said_by
from auditor.errors import InputError
from auditor.store import Store
from auditor.store.columns import telling_schema
from auditor.store.parts import Parts
from auditor.wording import plural
from auditor.writing import write_text

__all__ = ["Share", "merge", "write_share"]


class Share(BaseModel):
    """A share of a pass, as one machine left it."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^\w+$")
    key: str
    method: str
    content: str
    """Of the images: see ``Samples.content``."""
    images: int
    """Of the whole."""
    parts: int = Field(ge=0)
    """Of the whole."""
    number: int = Field(ge=1)
    of: int
    about: dict[str, Any]
    origin: dict[str, str]

    @model_validator(mode="after")
    def _is_one_of_all(self) -> Self:
        if self.number > self.of:
            raise ValueError("its number is above that of all")
        return self

    @property
    def shard(self) -> Shard:
        """Which share it is."""
        return Shard(self.number, self.of)


class _Place:
    """A share, and where it lies."""

    def __init__(self, file: Path, given: Path) -> None:
        self.file, self.given, self.kept = file, given, Parts(file.parent)
        try:
            self.share = Share.model_validate_json(file.read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(f"{file}: harmed; gather that shard again") from error

    def __str__(self) -> str:
        return f"shard {self.share.shard} in {self.given}"

    @property
    def parts(self) -> range:
        """The parts that fell to it."""
        return self.share.shard.parts(self.share.parts)

    def said(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield its parts, and how each says that it was made."""
        for number, schema in self.kept.schemas(self.parts):
            yield number, said_by(schema, self.share.about)


def write_share(task: Task, samples: Samples, each: Observing, shard: Shard) -> None:
    """Say beside the parts of a share what they are, in the place of what it was before."""
    share = Share(
        name=task.name,
        key=task.key,
        method=each.method,
        content=samples.content,
        images=len(task.rows),
        parts=task.part_count,
        number=shard.number,
        of=shard.of,
        about=about_of(task, task.parts.schemas(shard.parts(task.part_count))),
        origin=dict(each.origin),
    )
    file = task.parts.share(*shard)
    write_text(file, share.model_dump_json(indent=1) + "\n")
    for earlier in file.parent.parent.glob(f"*/share-{shard.number}-of-*.json"):
        if earlier != file:  # of other data, another model, or another number of shards
            earlier.unlink(missing_ok=True)


def why_nothing(shard: Shard, samples: Samples, tasks: Iterable[Task]) -> str:
    """Say why no image falls to a share, as a sentence; nothing where one does."""
    parts = max(task.part_count for task in tasks)
    if shard.parts(parts):
        return ""
    return (
        f"no image of {samples.source} falls to shard {shard}: its {len(samples):,} images make "
        f"{plural(parts, 'part')} of {PART}, which are not divided"
    )


def merge(folders: Sequence[Path], store: Store) -> dict[str, int]:
    """Put the shares of every pass together and store the whole.

    Parameters
    ----------
    folders
        Where ``auditor gather --shard`` wrote to: audits, or their ``evidence/``.
    store
        Where the whole goes. Nothing is stored unless everything fits together.

    Returns
    -------
    dict of str to int
        Evidence name → images.

    Raises
    ------
    InputError
        A share is missing, there twice, harmed, or of other data or another model than the rest.
    """
    passes = defaultdict[str, list[_Place]](list)
    for folder in folders:
        for place in _shares(folder):
            passes[place.share.name].append(place)
    for places in passes.values():
        _require_one_pass(places)
        places.sort(key=lambda place: place.share.number)
        _require_all(places)
    for name, places in sorted(passes.items()):
        _store(name, places, store)
    return {name: places[0].share.images for name, places in sorted(passes.items())}


def _shares(folder: Path) -> list[_Place]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name what `auditor gather --shard` wrote to")
    found = [
        *folder.glob("*.parts/*/share-*.json"),
        *folder.glob("evidence/*.parts/*/share-*.json"),
    ]
    if not found:
        raise InputError(
            f"{folder}: no shard was gathered there; `auditor gather --shard 1/8 --output "
            f"{folder}` gathers the first of eight"
        )
    return [_Place(file, folder) for file in sorted(found)]


def _require_one_pass(places: Sequence[_Place]) -> None:
    first = places[0]
    for place in places[1:]:
        for field, said in _SAME.items():
            if getattr(place.share, field) != getattr(first.share, field):
                raise InputError(
                    f"{place} was gathered {said} than {first}{_in_what(place, first)}; nothing "
                    "was merged: gather again what is out of date, or leave it out"
                    f"{_file_of_one(place, first)}"
                )
        _require_one_way(place, first)


def _in_what(place: _Place, other: _Place) -> str:
    said = difference(place.share.about, other.share.about, MAY_DIFFER)
    return f" ({said})" if said else ""


def _file_of_one(place: _Place, other: _Place) -> str:
    """Say what to delete where two shares lie in one folder, so that none can be left out."""
    if place.given != other.given:
        return ""
    return f" by deleting its description, {other.file} or {place.file}"


def _require_one_way(place: _Place, first: _Place) -> None:
    if said := difference(place.share.about, first.share.about, MAY_DIFFER):
        raise InputError(
            f"{place} and {first} ran differently: {said}; nothing was merged: gather one of them "
            "as the other"
        )


_SAME = {
    "method": "by another model, version or settings",
    "content": "from other data",
    "of": "in another number of shards",
    "parts": "with another number of parts",
}


def _require_all(places: Sequence[_Place]) -> None:
    of, numbers = places[0].share.of, [place.share.number for place in places]
    for place, after in pairwise(places):
        if place.share.number == after.share.number:
            raise InputError(f"{place} is in {after.given} too; name one of them")
    missing = [str(Shard(number, of)) for number in range(1, of + 1) if number not in numbers]
    if missing:
        raise InputError(
            f"{places[0].share.name}: {len(missing)} of {of} shards missing: "
            f"{', '.join(missing[:8])}; `auditor gather --shard {missing[0]}` gathers that one"
        )
    for place in places:
        lost = set(place.parts) - place.kept.numbers(again=True)
        if lost:
            raise InputError(
                f"{place}: part {min(lost)} of {place.share.name} is missing or harmed; run "
                f"`auditor gather --shard {place.share.shard}` there again"
            )
        _require_what_is_said(place)


def _require_what_is_said(place: _Place) -> None:
    """Refuse parts that were made again, in another way, since they were described."""
    for number, said in place.said():
        if phrase := difference(said, place.share.about, MAY_DIFFER):
            raise InputError(
                f"{place}: part {number} of {place.share.name} was made in another way than the "
                f"rest: {phrase}; run `auditor gather --shard {place.share.shard}` there again"
            )


def _store(name: str, places: Sequence[_Place], store: Store) -> None:
    first = places[0].share
    keys = sorted({place.share.key for place in places})
    key = keys[0] if len(keys) == 1 else hashlib.sha256(repr(keys).encode()).hexdigest()
    parts = [(place.kept, number) for place in places for number in place.parts]
    schema = pa.unify_schemas([s for kept, number in parts for _, s in kept.schemas([number])])
    said = [said for place in places for _, said in place.said()] or [first.about]
    schema = telling_schema(schema, joined(said), first.method)
    tables: Iterator[pa.Table] = (kept.read(number) for kept, number in parts)
    store.save_stream(name, key, tables, schema, first.origin, first.method)
