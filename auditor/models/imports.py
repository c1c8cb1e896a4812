"""What a module of the user's imports, told from its source: nothing is imported for it."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from auditor.errors import InputError

__all__ = [
    "find_source",
    "imported_names",
    "is_own",
    "own_sources",
    "require_as_found",
    "with_packages",
]

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def find_source(module: str) -> Path | None:
    """Return the file that a module would be loaded from, importing neither it nor its packages.

    As a new process would find it: what this one has imported under its name may be another.
    """
    names = module.split(".")
    spec = _found_first(names[0]) if names[0] != "__main__" else None
    for name in names[1:]:
        # PathFinder and the last part alone, because a dotted name would run the parent packages
        places = list(spec.submodule_search_locations or ()) if spec else []
        spec = importlib.machinery.PathFinder.find_spec(name, places)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return Path(spec.origin)


def _found_first(name: str) -> ModuleSpec | None:
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    specs = (find(name, None) for find in finders if find is not None)
    return next((spec for spec in specs if spec is not None), None)


def require_as_found(module: str) -> None:
    """Refuse a module that this process imported from another file than it would be now.

    Python would take the one for the other, as where two audits have modules of one name.

    Raises
    ------
    InputError
        With both files.
    """
    here, found = getattr(sys.modules.get(module), "__file__", None), find_source(module)
    if here and found is not None and Path(here).resolve() != found.resolve():
        raise InputError(
            f"{module} was imported from {here} by this process, and now means {found}; give one "
            "of them another name, or audit each in a process of its own"
        )


def own_sources(module: str) -> dict[str, Path]:
    """Return the files that a module and all that it imports lie in, as far as they are the user's.

    By name, its packages among them. What is imported by other means than a statement is not seen.
    """
    found: dict[str, Path] = {}
    seen: set[str] = set()
    waiting = [*with_packages(module)]
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] in sys.stdlib_module_names:
            continue
        seen.add(name)
        file = find_source(name)
        if file is not None and is_own(name, module, file):
            found[name] = file
            package = name if file.stem == "__init__" else name.rpartition(".")[0]
            waiting += imported_names(file.read_bytes(), package)
    return found


def is_own(module: str, factory: str | None, file: Path) -> bool:
    """Tell whether a module is the user's: of the factory's package, or not an installed one."""
    first = module.partition(".")[0]
    if factory and first == factory.partition(".")[0]:
        return True
    return first != "auditor" and not _INSTALLED & set(file.parts)


def imported_names(source: bytes, package: str) -> Iterator[str]:
    """Yield the names that a module's source imports, wherever in it, and their packages.

    Parameters
    ----------
    source
        The text; of an extension in C nothing is known.
    package
        What relative imports begin at; empty where the module is in none.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, package)


def with_packages(module: str) -> Iterator[str]:
    """Yield a module's name and those of the packages that it is in."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    dotted = "." * node.level + (node.module or "")
    try:
        base = importlib.util.resolve_name(dotted, package or None)
    except ImportError:  # a relative import that never ran
        return
    yield from with_packages(base)
    yield from (f"{base}.{alias.name}" for alias in node.names)
