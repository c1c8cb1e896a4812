"""Finds checks: ours by scanning ``auditor.checks``, others by the entry-point group of that name.

Find, load and configure are separate steps. What does not load is kept with its reason: a plug-in
that is broken must never look like one that passed.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from auditor.check import Check, Judges, Level
from auditor.config import CheckTable, Config, ConfigSource, beside, explained
from auditor.errors import InputError, did_you_mean

__all__ = ["BrokenCheck", "ConfiguredCheck", "Registry", "configure", "find_checks", "placed"]

_GROUP = "auditor.checks"


class BrokenCheck(NamedTuple):
    """A check that could not be loaded."""

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


def find_checks() -> Registry:
    """Load every check, ours first; a second check with a taken id is broken, not chosen."""
    found = {cls.id: cls for module in _built_in() for cls in _checks_in(module)}
    broken: list[BrokenCheck] = []
    for entry in sorted(entry_points(group=_GROUP), key=lambda e: e.name):
        try:
            cls = _loaded(entry.load())
        except (Exception, SystemExit) as error:
            broken.append(BrokenCheck(entry.name, f"{entry.value}: {_said(error)}"))
            continue
        if cls.id in found:
            broken.append(BrokenCheck(entry.name, f'{entry.value}: the id "{cls.id}" is taken'))
        else:
            found[cls.id] = cls
    return Registry(dict(sorted(found.items())), tuple(broken))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _built_in() -> Iterator[ModuleType]:
    import auditor.checks

    for info in pkgutil.iter_modules(auditor.checks.__path__):
        yield importlib.import_module(f"auditor.checks.{info.name}")


def _checks_in(module: ModuleType) -> Iterator[type[Check]]:
    for value in vars(module).values():
        if (
            inspect.isclass(value)
            and issubclass(value, Check)
            and value.__module__ == module.__name__
        ):
            yield value


def _loaded(value: object) -> type[Check]:
    if inspect.isclass(value) and issubclass(value, Check):
        for name in ("id", "title", "run"):
            if not hasattr(value, name):
                raise TypeError(f"{value.__name__} has no {name}")
        if wrong := _misdeclared(value):
            raise TypeError(f"{value.__name__}.{wrong}")
        return value
    raise TypeError(f"{value!r} is not a subclass of auditor.Check")


def _misdeclared(cls: type[Check]) -> str:
    """Say which class variable is none that an audit can hold; nothing where all are well."""
    version: object = cls.version
    if not isinstance(cls.id, str) or not re.fullmatch(r"[\w-]+", cls.id):
        return f"id is {cls.id!r}, not a name in letters, digits and hyphens"
    if not isinstance(cls.title, str) or not cls.title.strip():
        return f"title is {cls.title!r}, not a sentence"
    if not isinstance(version, int) or isinstance(version, bool):
        return f"version is {version!r}, not a whole number"
    if cls.level not in get_args(Level):
        return f"level is {cls.level!r}, not a level"
    if cls.judges not in get_args(Judges):
        return f"judges is {cls.judges!r}, neither of {' and '.join(get_args(Judges))}"
    return ""


def placed(config: Config, registry: Registry, source: ConfigSource) -> Config:
    """Resolve the paths among the checks' options that the file names against its folder.

    Those that were laid over it are relative to the working directory.
    """
    if source.path is None:
        return config
    told, tables = tomllib.loads(source.text).get("checks", {}), dict(config.checks)
    for id, cls in registry.checks.items():
        if id in told and id in tables:
            options = _placed(cls, tables[id].options, told[id], source.path)
            tables[id] = CheckTable(level=tables[id].level, **options)
    return config.model_copy(update={"checks": tables})


def _placed(
    cls: type[Check], options: Mapping[str, Any], told: Mapping[str, Any], file: Path
) -> dict[str, Any]:
    """Return the options, those that are paths and as the file told them beside it."""
    kinds = {name: field.annotation for name, field in cls.model_fields.items()}
    paths = {
        n for n, v in options.items() if n in kinds and v == told.get(n) and _is_path(kinds[n])
    }
    return {n: _beside(file, v, _words(kinds[n])) if n in paths else v for n, v in options.items()}


def _is_path(annotation: Any) -> bool:
    return annotation is Path or any(map(_is_path, get_args(annotation)))


def _words(annotation: Any) -> set[str]:
    """Return what may be said in the place of a path."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return set[str]().union(*map(_words, get_args(annotation)))


def _beside(file: Path, value: Any, words: Collection[str]) -> Any:
    """Resolve a path, or each of a list; what is neither is complained of where it is validated."""
    if isinstance(value, list):
        return [_beside(file, each, words) for each in value]
    is_path = isinstance(value, str) and value and value not in words
    return beside(file, value) if is_path else value


def configure(
    registry: Registry,
    tables: Mapping[str, CheckTable],
    source: ConfigSource,
    available: frozenset[str] = frozenset(),
) -> list[ConfiguredCheck]:
    """Give every check its options and its level.

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
    broken = {check.id for check in registry.broken}
    for id in tables:
        if id not in registry.checks and id not in broken:
            raise source.complain(("checks", id), unknown(id, registry.checks))
    configured = []
    for id, cls in registry.checks.items():
        table = tables.get(id, CheckTable())
        check = _with_options(cls, table, source)
        configured.append(ConfiguredCheck(check, table.level or check.default_level(available)))
    return configured


def _with_options(cls: type[Check], table: CheckTable, source: ConfigSource) -> Check:
    try:
        return cls(**table.options)
    except ValidationError as error:
        errors = error.errors()
        option = errors[0]["loc"][:1]
        place = ("checks", cls.id, *option)
        if errors[0]["type"] == "extra_forbidden":
            message = f'"{option[0]}" is not an option of {cls.id}'
            message += did_you_mean(str(option[0]), ["level", *cls.model_fields])
        else:
            message = explained([each for each in errors if each["loc"][:1] == option], place)
        raise source.complain(place, message) from None
