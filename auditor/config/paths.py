"""Paths and modules in ``auditor.toml`` lie beside it; which keys are paths, their types say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from auditor.config.source import ConfigSource
from auditor.config.tables import CheckTable, Config, ModelTable
from auditor.table import Table

__all__ = ["arms", "beside", "place_modules", "placed", "placed_options"]


def beside(file: Path, path: str) -> str:
    """Resolve a path that a file names against the file's folder."""
    try:
        path = os.fspath(Path(path).expanduser())
    except RuntimeError:  # of no user that there is: said where the path is validated
        return path
    return os.path.normpath(file.parent / path)


def placed(table: type[Table], told: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return what a file tells of a table, its paths resolved against the file's folder."""
    kinds = {name: field.annotation for name, field in table.model_fields.items()}
    found = {k: _placed(v, [kinds[k]], file) if k in kinds else v for k, v in told.items()}
    if issubclass(table, ModelTable) and _is_file(told.get("model")):
        found["model"] = beside(file, told["model"])
    return found


def placed_options(
    config: Config, checks: Mapping[str, type[Table]], source: ConfigSource
) -> Config:
    """Resolve the paths among the checks' options that the file names against its folder.

    Those that were laid over it are relative to the working directory.
    """
    if source.path is None:
        return config
    told, tables = source.tables.get("checks", {}), dict(config.checks)
    for id in checks.keys() & told.keys() & tables.keys():
        options, written = tables[id].options, told[id]
        if not isinstance(written, dict):  # all of it was laid over what is no table
            continue
        from_file = {k: v for k, v in options.items() if k in written and v == written[k]}
        options |= placed(checks[id], from_file, source.path)
        tables[id] = CheckTable(level=tables[id].level, **options)
    return config.model_copy(update={"checks": tables})


def place_modules(config: Config, overrides: Mapping[str, Any], source: ConfigSource) -> None:
    """Have the modules that the file names sought in its folder first."""
    if source.path is None:
        return
    for name in ("candidate", "baseline"):
        table, above = getattr(config, name), overrides.get(name, {})
        if table is None or table.module is None:
            continue
        if isinstance(above, Mapping) and "module" not in above:
            table.seek_module_in(source.path.parent.resolve())


def arms(annotation: Any) -> Iterator[Any]:
    """Yield the types that a value may have."""
    if get_origin(annotation) in (Union, UnionType):
        yield from chain.from_iterable(map(arms, get_args(annotation)))
    elif get_origin(annotation) is Annotated:
        yield from arms(get_args(annotation)[0])
    else:
        yield annotation


def _placed(value: Any, annotations: Iterable[Any], file: Path) -> Any:
    """Resolve a path, or each of a list; what is neither is complained of where it is validated."""
    kinds = [*chain.from_iterable(map(arms, annotations))]
    if isinstance(value, list):
        inner = [*chain.from_iterable(map(get_args, kinds))]
        return [_placed(each, inner, file) for each in value]
    if isinstance(value, str) and value and Path in kinds and value not in _words(kinds):
        return beside(file, value)
    return value


def _is_file(model: object) -> bool:
    """Tell whether the name of a model is that of a file which holds all of it."""
    from auditor.models.single_file import MODEL_FILES

    return isinstance(model, str) and model.lower().endswith(MODEL_FILES)


def _words(kinds: Sequence[Any]) -> set[Any]:
    """Return what may be said in the place of a path."""
    return {word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)}
