"""Other packages that take part, by the entry points that they declare; whose failure it is."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from auditor.crashes import kept_in_folder, named
from auditor.errors import InputError

__all__ = [
    "CHECKS",
    "PROVIDERS",
    "SOURCES",
    "blamed",
    "broken",
    "brought_checks",
    "brought_packages",
    "called",
    "entries",
    "loaded",
]

CHECKS, PROVIDERS, SOURCES = "auditor.checks", "auditor.providers", "auditor.sources"


def entries(group: str) -> list[EntryPoint]:
    """Return the entry points of a group in the order of their names."""
    return sorted(entry_points(group=group), key=lambda entry: entry.name)


def loaded(entry: EntryPoint) -> Any:
    """Return what an entry point names; loading it may raise anything."""
    if not _well_formed(entry):
        raise ValueError("it is not of the form package.module:name")
    with kept_in_folder():
        return entry.load()


def called(entry: EntryPoint) -> str:
    """Return what an entry point is called in a message, and where it leads."""
    return f"{entry.name} ({entry.value})"


def broken(said: str) -> InputError:
    """Return the error of a plug-in, from its name and what is wrong with it."""
    return InputError(f"the plug-in {said}; repair or uninstall it")


@contextmanager
def blamed(said: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Say of whatever a plug-in fails with whose failure it is.

    Parameters
    ----------
    said
        The plug-in, and what it failed at.
    but
        What it may raise on purpose.

    Raises
    ------
    InputError
        In the place of any other error.
    """
    try:
        yield
    except but:
        raise
    except (Exception, SystemExit) as error:
        raise broken(f"{said}: {named(error)}") from error


def brought_packages() -> dict[str, str]:
    """Return package → version of all whose checks, providers or sources take part.

    Checks and providers are loaded in every audit, a source where a path may be one of its kind.
    """
    return {
        entry.dist.name: entry.dist.version
        for group in (CHECKS, PROVIDERS, SOURCES)
        for entry in entries(group)
        if entry.dist is not None and (group != SOURCES or _module(entry))
    }


def brought_checks() -> dict[str, str]:
    """Return check → name and version of the package that it is from; none for Auditor's own.

    A check that did not load is known by its entry's name, as in the audit.
    """
    import auditor.checks

    own = {info.name.replace("_", "-") for info in pkgutil.iter_modules(auditor.checks.__path__)}
    brought, found = entries(CHECKS), dict[str, str]()
    for name, entry in (*_loaded(brought), *((entry.name, entry) for entry in brought)):
        if name not in own:
            found.setdefault(name, _package(entry))
    return found


def _loaded(entries: list[EntryPoint]) -> Iterator[tuple[str, EntryPoint]]:
    """Yield the ids of classes that are loaded already; what failed is not run again for it."""
    for entry in entries:
        cls: object = _module(entry)
        names = entry.attr.split(".") if cls and entry.attr else ()
        cls = reduce(lambda part, name: getattr(part, name, None), names, cls)
        if isinstance(id := getattr(cls, "id", None), str):
            yield id, entry


def _module(entry: EntryPoint) -> ModuleType | None:
    """Return the module that an entry point names, where it is loaded."""
    return sys.modules.get(entry.module) if _well_formed(entry) else None


def _well_formed(entry: EntryPoint) -> bool:
    """Tell whether its module can be asked for; of any other entry that raises."""
    return entry.pattern.match(entry.value) is not None


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
