"""The list of classes, in the order of the candidate's outputs, and where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from auditor.errors import InputError, did_you_mean

__all__ = ["ClassList", "class_list", "require_known"]


class ClassList(NamedTuple):
    """Names in the order of the outputs, and a sentence on where the order came from."""

    names: tuple[str, ...]
    order: str

    @property
    def identity(self) -> str:
        """What evidence is keyed by."""
        return repr((self.names, self.order))


def class_list(given: Sequence[str] | Path) -> ClassList:
    """Return the classes that the user gave, from a list or from a file with one name a line."""
    if isinstance(given, Path):
        return ClassList(_checked(_lines(given), str(given)), f"as in {given.name}")
    return ClassList(_checked(tuple(given), "classes"), "as given in the configuration")


def stored_classes(names: tuple[str, ...], where: str) -> ClassList:
    """Return the classes that a candidate's file names; ``InputError`` where one stands twice."""
    return ClassList(_checked(names, where), "as stored in the checkpoint")


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: the class file cannot be read: {why}") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _checked(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    if len(names) < 2:
        raise InputError(f"{where}: {len(names)} class; a classifier needs at least two")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f'{where}: the class "{twice}" stands twice; give [candidate] classes, each with a '
            "name of its own"
        )
    return names


def require_known(labels: Iterable[str], classes: Sequence[str], where: str) -> None:
    """Raise ``InputError`` for the first label that is not a class."""
    known = set(classes)
    for label in labels:
        if label not in known:
            raise InputError(
                f'{where}: "{label}" is not a class of the candidate'
                f"{did_you_mean(label, classes)} (it has {len(classes)}: "
                f"{', '.join(classes[:5])}{', …' if len(classes) > 5 else ''}); {_advice(label)}"
            )


def _advice(label: str) -> str:
    if label.isdecimal():
        return "if the data's labels are places in the list of classes, give [candidate] classes"
    return "if it is one, name them all in --classes or [candidate] classes"
