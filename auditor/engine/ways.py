"""In what way rows were made: what the parts of one pass must have in common.

A pass may be interrupted and go on elsewhere, or be divided among machines. Each part says how it
was made, so that what one machine computed in half precision and another with other kernels never
stands in one table under one name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from auditor.models.identity import installed_versions
from auditor.naming import short_names
from auditor.provider import Observer
from auditor.store.columns import telling, told

__all__ = [
    "LAST_BITS",
    "MAY_DIFFER",
    "PLACE",
    "accepted",
    "difference",
    "joined",
    "made_here",
    "packages_here",
    "said_by",
    "said_of",
    "saying",
]

LAST_BITS = ("source", "threads", "batch_size", "batch_size_halved_to", "compiled")
"""What one machine may have otherwise when it goes on."""
MAY_DIFFER = (*LAST_BITS, "device")
"""What machines of one pass need not have in common; the whole names what all of them said."""
PLACE = ("device", "threads")
"""Where rows were made; those that were known before were made elsewhere."""

_LONG = 400
"""Characters from which a value stands in a part as its digest."""
_SHOWN = 80
"""Characters of a value that are shown where two differ."""
_DIGEST = "sha256:"
_PACKAGES = "packages"


def made_here(observer: Observer) -> dict[str, Any]:
    """Return how rows are made here: what the observer says of it, and what decodes pictures."""
    return {**said_of(observer), **packages_here()}


def said_of(observer: Observer) -> dict[str, Any]:
    """Return what an observer says of itself; name it where that is no JSON object."""
    said, about = f"{type(observer).__name__}.about returned", observer.about()
    if not isinstance(about, Mapping):
        raise TypeError(f"{said} {type(about).__name__}, not a dictionary")
    try:
        json.dumps(about, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{said} what JSON cannot hold: {error}") from None
    return about


def packages_here() -> dict[str, Any]:
    """Return what decodes pictures; to look it up takes as long as some hundred images."""
    return {_PACKAGES: installed_versions()}


def accepted(observer: Observer, about: Mapping[str, Any]) -> bool:
    """Tell whether rows that were made as described are as good as new ones."""
    said = {name: value for name, value in about.items() if name != _PACKAGES}
    return about.get(_PACKAGES) == installed_versions() and observer.accepts(said)


def saying(table: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """Return a part that says how it was made."""
    short = {name: _shortened(value) for name, value in about.items()}
    return telling(table, short)


def _shortened(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) < _LONG else _DIGEST + hashlib.sha256(text.encode()).hexdigest()


def said_by(schema: pa.Schema, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a part says that it was made.

    Parameters
    ----------
    schema
        Of a table that ``saying`` returned.
    about
        Has the long values, where they are the same.
    """
    short = told(schema)
    same = {name for name, value in about.items() if _shortened(value) == short.get(name)}
    return {
        name: about[name] if name in same else _lengthened(text) for name, text in short.items()
    }


def _lengthened(text: str) -> Any:
    return text if text.startswith(_DIGEST) else json.loads(text)


def difference(
    one: Mapping[str, Any], other: Mapping[str, Any], may_differ: Collection[str]
) -> str | None:
    """Return the first thing in which two differ that must not, as a phrase.

    Parameters
    ----------
    one, other
        What observers said of themselves.
    may_differ
        Names that do not matter.
    """
    for name in sorted({*one, *other} - {*may_differ}):
        here, there = one.get(name), other.get(name)
        if here == there:
            continue
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            return f"{name}: {difference(here, there, ())}"
        texts = [json.dumps(value, sort_keys=True) for value in (here, there)]
        short = short_names(texts, _SHOWN)
        return f"{name} is {short[texts[0]]} and {short[texts[1]]}"
    return None


def joined(said: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several say of one pass, with all that may differ named."""
    whole = dict(said[0])
    for name in MAY_DIFFER:
        values = list(dict.fromkeys(about[name] for about in said if name in about))
        if values:
            whole[name] = values[0] if len(values) == 1 else _listed(values)
    return whole


def _listed(values: Sequence[object]) -> str:
    """Return values in one line, each once: one may be such a line itself."""
    return ", ".join(dict.fromkeys(each for value in values for each in str(value).split(", ")))
