"""Finds checks: ours by scanning ``auditor.checks``, others by the entry-point group of that name.

Find, load and configure are separate steps. What does not load is kept with its reason: a plug-in
that is broken must never look like one that passed.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple, get_args

from pydantic import ValidationError

from auditor.check import Check, Judges, Level
from auditor.config import CheckTable, ConfigSource, explained
from auditor.crashes import named
from auditor.errors import InputError, did_you_mean
from auditor.plug_ins import CHECKS, entries, loaded

__all__ = [
    "BrokenCheck",
    "Configured",
    "ConfiguredCheck",
    "Registry",
    "configure",
    "find_checks",
]


class BrokenCheck(NamedTuple):
    """A check that could not be loaded, or not be configured."""

    id: str
    reason: str


@dataclass(frozen=True)
class Registry:
    """Every check that is installed, by id, and what did not load."""

    checks: Mapping[str, type[Check]]
    broken: tuple[BrokenCheck, ...] = ()

    def get(self, id: str) -> type[Check]:
        """Return a check's class; ``InputError`` with a suggestion where there is none."""
        if id not in self.checks:
            raise InputError(unknown(id, self.checks))
        return self.checks[id]


def unknown(id: str, known: Mapping[str, type[Check]]) -> str:
    """Say that there is no such check."""
    return f'"{id}" is not a check{did_you_mean(id, known)} (`auditor list` lists them)'


class ConfiguredCheck(NamedTuple):
    """A check with its options, and its level under the policy."""

    check: Check
    level: Level
    own_level: Level | None
    """What its level is where the configuration names none; None where that cannot be told."""


class Configured(NamedTuple):
    """Every check that can run, and what cannot."""

    checks: list[ConfiguredCheck]
    broken: list[BrokenCheck]


def find_checks() -> Registry:
    """Load every check, ours first; a second check with a taken id is broken, not chosen.

    Raises
    ------
    InputError
        Where two files of ours hold one id: neither is the one that is meant.
    """
    found, lost = _built_in()
    for entry in entries(CHECKS):
        try:
            cls = _loaded(loaded(entry))
        except (Exception, SystemExit) as error:
            lost.append(_Lost(entry.name, entry.value, named(error)))
            continue
        if cls.id in found:
            lost.append(_Lost(entry.name, entry.value, f'the id "{cls.id}" is taken'))
        else:
            found[cls.id] = cls
    return Registry(dict(sorted(found.items())), _broken(lost, found))


class _Lost(NamedTuple):
    """What did not load: under which name, from where and why."""

    name: str
    place: str
    reason: str


def _broken(lost: Iterable[_Lost], found: Collection[str]) -> tuple[BrokenCheck, ...]:
    """Give what did not load an id that nothing else has."""
    reasons: dict[str, list[str]] = {}
    for name, place, reason in lost:
        id = f"{name} ({place})" if name in found else name
        reasons.setdefault(id, []).append(f"{place}: {reason}")
    return tuple(BrokenCheck(id, "; ".join(said)) for id, said in reasons.items())


def _built_in() -> tuple[dict[str, type[Check]], list[_Lost]]:
    """Return our checks by id, and what does not load."""
    import auditor.checks

    modules, lost = [], []
    for info in pkgutil.iter_modules(auditor.checks.__path__):
        try:
            modules.append(importlib.import_module(f"auditor.checks.{info.name}"))
        except (Exception, SystemExit) as error:
            lost.append(_Lost(*_file(info.name), named(error)))
    found: dict[str, type[Check]] = {}
    for cls in itertools.chain.from_iterable(map(_checks_in, modules)):
        id, file = _file(cls.__module__)
        try:
            _loaded(cls)
        except (Exception, SystemExit) as error:
            lost.append(_Lost(id, file, named(error)))
            continue
        if cls.id in found:
            other = _file(found[cls.id].__module__)[1]
            raise InputError(f'{other} and {file} both hold the id "{cls.id}"; give each its own')
        found[cls.id] = cls
    return found, lost


def _file(module: str) -> tuple[str, str]:
    """Return the id that a file of ours should hold, and its place."""
    name = module.rpartition(".")[2]
    return name.replace("_", "-"), f"checks/{name}.py"


def _checks_in(module: ModuleType) -> Iterator[type[Check]]:
    """Yield the checks of a file; one without an id that others derive from is their base."""
    for value in vars(module).values():
        if not inspect.isclass(value) or not issubclass(value, Check):
            continue
        has_id = "id" in value.model_fields or hasattr(value, "id")
        is_base = not has_id and value.__subclasses__()
        if value.__module__ == module.__name__ and not is_base:
            yield value


def _loaded(value: object) -> type[Check]:
    if inspect.isclass(value) and issubclass(value, Check):
        if wrong := _misdeclared(value):
            raise TypeError(f"{value.__name__}{wrong}")
        return value
    raise TypeError(f"{value!r} is not a subclass of auditor.Check")


_DECLARED = ("id", "title", "version", "level", "blocks_once", "judges", "run")


def _misdeclared(cls: type[Check]) -> str:
    """Say which class variable is none that an audit can hold; nothing where all are well."""
    for name in _DECLARED:
        if name in cls.model_fields:
            return f".{name} is an option by its annotation; write {name} = … without one"
        if not hasattr(cls, name):
            return f" has no {name}"
    version: object = cls.version
    if not isinstance(cls.id, str) or not re.fullmatch(r"[\w-]+", cls.id):
        return f".id is {cls.id!r}, not a name in letters, digits and hyphens"
    if not _is_text(cls.title):
        return f".title is {cls.title!r}, not a sentence"
    if not isinstance(version, int) or isinstance(version, bool):
        return f".version is {version!r}, not a whole number"
    if cls.level not in get_args(Level):
        return f".level is {cls.level!r}, not a level"
    if cls.judges not in get_args(Judges):
        return f".judges is {cls.judges!r}, none of {', '.join(get_args(Judges))}"
    if not callable(cls.run):
        return f".run is {cls.run!r}, not a method"
    cls.needs()  # of a run whose parameters cannot be told it raises
    if not _is_text(cls.documentation()):
        return ".documentation() is no text"
    return _wrong_default(cls)


def _wrong_default(cls: type[Check]) -> str:
    """Say which option is by default what none could give it; nothing where all are well."""
    with suppress(Exception, SystemExit):  # said where it is configured
        try:
            cls()
        except ValidationError as error:
            wrong = (e for e in error.errors() if e["loc"] and e["type"] != "missing")
            for each in wrong:
                return f": the default of {explained([each], each['loc'][:1])}"
    return ""


def _is_text(value: object) -> bool:
    """Tell whether it is text, and some that a document can hold."""
    return (
        isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)
    )


def configure(
    registry: Registry,
    tables: Mapping[str, CheckTable],
    source: ConfigSource,
    available: frozenset[str] = frozenset(),
) -> Configured:
    """Give every check its options and its level; one that crashes over them is broken.

    Parameters
    ----------
    registry
        What is installed.
    tables
        ``[checks.*]`` of the configuration.
    source
        Its text, for the line of a complaint.
    available
        Evidence that was given, which may change a check's own level (see ``Check``).

    Raises
    ------
    InputError
        For an unknown check or option, or a value out of range.
    """
    broken = [*registry.broken]
    for id in tables:
        if id not in registry.checks and id not in {check.id for check in broken}:
            raise source.complain(("checks", id), unknown(id, registry.checks))
    checks = []
    for id, cls in registry.checks.items():
        table = tables.get(id, CheckTable())
        try:
            check = _with_options(cls, table, source)
            checks.append(ConfiguredCheck(check, *_levels(check, table, available)))
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            broken.append(BrokenCheck(id, f"{cls.__module__}:{cls.__name__}: {named(error)}"))
    return Configured(checks, broken)


def _levels(
    check: Check, table: CheckTable, available: frozenset[str]
) -> tuple[Level, Level | None]:
    if table.level is None:
        own = _own_level(check, available)
        return own, own
    with suppress(Exception, SystemExit):
        return table.level, _own_level(check, available)
    return table.level, None


def _own_level(check: Check, available: frozenset[str]) -> Level:
    level = check.default_level(available)
    if level not in get_args(Level):
        raise TypeError(f"default_level() is {level!r}, not a level")
    return level


def _with_options(cls: type[Check], table: CheckTable, source: ConfigSource) -> Check:
    try:
        check = cls(**table.options)
        check.model_dump_json()  # of options that the record cannot hold it raises
        return check
    except ValidationError as error:
        errors = error.errors()
        option = errors[0]["loc"][:1]
        if not option and not table.options:
            raise  # its defaults fit each other ill, which nobody wrote into the file
        place = ("checks", cls.id, *option)
        if errors[0]["type"] == "extra_forbidden":
            message = f'"{option[0]}" is not an option of {cls.id}'
            message += did_you_mean(str(option[0]), ["level", *cls.model_fields])
        else:
            message = explained([each for each in errors if each["loc"][:1] == option], place)
        raise source.complain(place, message) from None
