"""Models that the user's own function returns: ``package.module:function``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.crashes import kept_in_folder, named
from auditor.errors import InputError, did_you_mean
from auditor.models.identity import digest_file
from auditor.models.imports import find_source, own_sources, require_as_found

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "call_factory",
    "factory_source",
    "factory_sources",
    "imported_by_factories",
    "imported_for_others",
]

_IMPORTED: dict[str, Path | None] = {}
"""Module that any factory was the first to import, by whatever means → the folder given then."""
_LEFT_IN: dict[str, Path] = {}
"""Module → the folder that it went to when it was imported, where its functions may read."""
_PUT: list[str] = []
"""Folders that were not on the search path before."""


def call_factory(reference: str, num_classes: int | None, folder: Path | None = None) -> nn.Module:
    """Return the module that the user's function makes.

    Parameters
    ----------
    reference
        ``package.module:function``; found as ``python -m`` would find it, working folder first.
    num_classes
        Passed as ``num_classes=`` where it is known and the function has such a parameter.
    folder
        Of the file that gives the reference, if one does: it comes before the working folder.

    Raises
    ------
    InputError
        The reference cannot be imported or its module was imported from elsewhere, or the function
        fails or returns something else.
    """
    from torch import nn

    before = set(sys.modules)
    with kept_in_folder():
        function = _import(reference, folder)
        try:
            model = function(**_arguments(function, num_classes))
        except Exception as error:  # the user's code may raise anything
            raise InputError(f"{reference} failed: {named(error)}") from error
    _IMPORTED.update(dict.fromkeys(sys.modules.keys() - before, folder))
    if not isinstance(model, nn.Module):
        raise InputError(f"{reference} returned {type(model).__name__}, not a torch.nn.Module.")
    return model


def imported_by_factories() -> frozenset[str]:
    """Return the names of the modules that factories were the first to import in this process.

    Not by factory: what one has imported, the next may use without importing it.
    """
    return frozenset(_IMPORTED)


def imported_for_others(folder: Path | None) -> frozenset[str]:
    """Return those of them that were imported while another folder was given."""
    return frozenset(name for name, given in _IMPORTED.items() if given != folder)


def factory_source(reference: str, folder: Path | None = None) -> Path:
    """Return the file that defines a reference's module, importing neither it nor its packages.

    Raises
    ------
    InputError
        The reference is malformed or its module is not found.
    """
    module, _ = _split(reference)
    _search_first(folder)
    if (source := find_source(module)) is None:
        raise InputError(
            f'The module of "{reference}" is not found; is it beside auditor.toml, in the working '
            "folder or on PYTHONPATH?"
        )
    return source


def factory_sources(reference: str, folder: Path | None = None) -> dict[str, str]:
    """Return the SHA-256, in hex, of a reference's module and of each of the user's it imports.

    By module, as ``own_sources`` finds them.

    Raises
    ------
    InputError
        The reference is malformed, or a file cannot be read.
    """
    module, _ = _split(reference)
    _search_first(folder)
    return {name: digest_file(file) for name, file in own_sources(module).items()}


def _split(reference: str) -> tuple[str, str]:
    module, _, function = reference.partition(":")
    if not all(module.split(".")) or not all(function.split(".")):
        raise InputError(f'module = "{reference}" is not of the form "package.module:function".')
    return module, function


def _search_first(folder: Path | None) -> None:
    """Have modules sought in a folder, then in the working folder, then where they were.

    What was put there for another audit is not sought in any more: a module that this one lacks
    would be found there. What stands in this order already stays, in a process that was told where
    to seek, too: a module may have put others before it.
    """
    wanted = [str(place) for place in dict.fromkeys((folder, Path.cwd())) if place]
    sys.path[:] = [place for place in sys.path if place in wanted or place not in _PUT]
    _PUT[:] = [place for place in _PUT if place in wanted]
    behind = len(sys.path)
    for place in reversed(wanted):
        if place not in sys.path[: behind + 1]:
            _put_first(place)
        behind = sys.path.index(place)


def _put_first(place: str) -> None:
    if place in sys.path:
        sys.path.remove(place)
    else:
        _PUT.append(place)
    sys.path.insert(0, place)


def _import(reference: str, folder: Path | None) -> Callable[..., object]:
    name, attribute = _split(reference)
    _search_first(folder)
    try:
        here = Path.cwd()
        module = importlib.import_module(name)
        if Path.cwd() != here:
            _LEFT_IN[name] = Path.cwd()
        os.chdir(_LEFT_IN.get(name, here))  # the second time it goes nowhere by itself
    except Exception as error:  # importing runs the user's code
        raise InputError(f"{name} cannot be imported: {named(error)}") from error
    require_as_found(name)
    try:
        function: object = attrgetter(attribute)(module)
    except AttributeError:
        hint = did_you_mean(attribute, vars(module))
        raise InputError(f"{name} has no function {attribute}{hint}") from None
    if not callable(function):
        raise InputError(f"{reference} is not a function.")
    return function


def _arguments(function: Callable[..., object], num_classes: int | None) -> dict[str, int]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a callable written in C has no signature to read
        return {}
    takes = any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters)
    return {"num_classes": num_classes} if takes and num_classes is not None else {}
