"""Reads ``auditor.toml``, lays the flags over it, and complains with file, line and next step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auditor.config.complaints import explained
from auditor.config.paths import arms, place_modules, placed
from auditor.config.source import ConfigSource
from auditor.config.tables import Config, Waiver
from auditor.errors import InputError, did_you_mean
from auditor.table import Table

__all__ = ["FLAGS", "load_config"]


_FILE = "auditor.toml"


def load_config(
    path: Path | None, overrides: Mapping[str, Any] | None = None
) -> tuple[Config, ConfigSource]:
    """Read ``auditor.toml`` and lay the overrides over it.

    Parameters
    ----------
    path
        The file, or a folder with one; None where the overrides are enough alone. Paths in it are
        relative to it, and modules are sought beside it first.
    overrides
        Nested tables as in the file. Paths in them are relative to the working directory, and
        modules are sought there first.

    Raises
    ------
    InputError
        With the file, the line and the next step.
    """
    if path is not None and path.is_dir():
        path /= _FILE
    source = ConfigSource() if path is None else ConfigSource(_read(path), path)
    content = _absolute(source)
    told = {n: v for n, v in (overrides or {}).items() if not _should_be_table(n, content)}
    try:
        config = Config.model_validate(_merge(content, told))
    except ValidationError as error:
        raise _first_complaint(error, source) from None
    place_modules(config, told, source)
    return config, source


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors begin with a mark
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `auditor init` writes one") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error}") from None
    except ValueError:
        raise InputError(f"{str(path)!r} is no path: it holds a NUL") from None


def _absolute(source: ConfigSource) -> dict[str, Any]:
    """Return what the file says, its paths resolved before overrides are laid over them."""
    content, file = dict(source.tables), source.path
    if file is None:
        return content
    for name, told in source.tables.items():
        table = _table(name)
        if table is not None and isinstance(told, dict):
            content[name] = placed(table, told, file)
    output = content.get("output", {})
    if isinstance(output, dict):
        content["output"] = {"directory": str(file.parent / "audit"), **output}
    return content


def _should_be_table(name: str, content: Mapping[str, Any]) -> bool:
    """Tell whether the file holds something else in the place of a table, which none may hide."""
    is_one = name == "checks" or _table(name) is not None
    return is_one and not isinstance(content.get(name, {}), dict)


FLAGS = {
    "model": ("candidate", "model"),
    "checkpoint": ("candidate", "checkpoint"),
    "module": ("candidate", "module"),
    "classes": ("candidate", "classes"),
    "train": ("data", "train"),
    "test": ("data", "test"),
    "predictions": ("predictions", "test"),
    "train_predictions": ("predictions", "train"),
    "baseline": ("baseline", "audit"),
    "policy": ("policy", "preset"),
    "device": ("engine", "device"),
    "output": ("output", "directory"),
    "formats": ("output", "formats"),
}
"""Flag of the command line → table and key of ``auditor.toml``."""


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _first_complaint(error: ValidationError, source: ConfigSource) -> InputError:
    errors = error.errors()  # an unknown key explains a missing one
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        return source.complain(place, _unknown_key(place))
    if not place:
        return source.complain(place, first["msg"].removeprefix("Value error, "))
    same = [each for each in errors if _place(each["loc"]) == place]
    return source.complain(place, explained(same, place))


def _place(loc: Sequence[str | int]) -> Sequence[str | int]:
    """Cut what pydantic appends below an option, such as the arm of a union."""
    depth = {"checks": 3, "waivers": 3, "deployment": 4}
    return loc[: depth.get(str(loc[0]), 2)] if loc else loc


def _unknown_key(place: Sequence[str | int]) -> str:
    key = str(place[-1])
    if len(place) == 1:
        return f'"{key}" is not a table of auditor.toml{did_you_mean(key, Config.model_fields)}'
    known = _fields_of(str(place[0]))
    table = f"[{place[0]}]" if place[0] != "waivers" else "[[waivers]]"
    return f'"{key}" is not an option of {table}{did_you_mean(key, known)}'


def _fields_of(name: str) -> list[str]:
    table = Waiver if name == "waivers" else _table(name)
    return [] if table is None else list(table.model_fields)


def _table(name: str) -> type[Table] | None:
    """Return the type of a table; None where there is none, or there may be several."""
    field = Config.model_fields.get(name)
    kinds = () if field is None else arms(field.annotation)
    return next((kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, Table)), None)
