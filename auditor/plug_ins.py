"""Which other packages take part in an audit, by the entry points that they declare."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from functools import reduce
from importlib.metadata import EntryPoint, entry_points

import auditor.checks

__all__ = ["brought_checks", "brought_packages"]

_CHECKS, _SOURCES = "auditor.checks", "auditor.sources"
_GROUPS = (_CHECKS, "auditor.providers", _SOURCES)


def brought_packages() -> dict[str, str]:
    """Return package → version of all whose checks, providers or sources take part.

    Checks and providers are loaded in every audit, a source where a path may be one of its kind.
    """
    return {
        entry.dist.name: entry.dist.version
        for group in _GROUPS
        for entry in entry_points(group=group)
        if entry.dist is not None and (group != _SOURCES or entry.module in sys.modules)
    }


def brought_checks() -> dict[str, str]:
    """Return check → name and version of the package that it is from; none for Auditor's own.

    A check that did not load is known by its entry's name, as in the audit.
    """
    own = {info.name.replace("_", "-") for info in pkgutil.iter_modules(auditor.checks.__path__)}
    entries = sorted(entry_points(group=_CHECKS), key=lambda e: e.name)
    found: dict[str, str] = {}
    for name, entry in (*_loaded(entries), *((entry.name, entry) for entry in entries)):
        if name not in own:
            found.setdefault(name, _package(entry))
    return found


def _loaded(entries: list[EntryPoint]) -> Iterator[tuple[str, EntryPoint]]:
    """Yield the ids of classes that are loaded already; what failed is not run again for it."""
    for entry in entries:
        cls = reduce(
            lambda part, name: getattr(part, name, None),
            entry.attr.split(".") if entry.attr else (),
            sys.modules.get(entry.module),
        )
        if isinstance(id := getattr(cls, "id", None), str):
            yield id, entry


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
