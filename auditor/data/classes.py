"""The list of classes, in the order of the candidate's outputs, and where it came from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from auditor.errors import InputError, did_you_mean
from auditor.wording import listed, plural

__all__ = [
    "ASSUMED",
    "STORED",
    "ClassList",
    "class_list",
    "refuse_twice",
    "require_known",
    "require_one_order",
    "require_stored_order",
    "stored_classes",
    "told_of_other_names",
]

STORED = "as stored in the checkpoint"
"""What is said of an order that came from there."""
ASSUMED = "assumed: "
"""How what is said of an order begins that nothing names."""
_SHOWN = 5
"""Classes of a list that a complaint shows."""


class ClassList(NamedTuple):
    """Names in the order of the outputs, and a sentence on where the order came from."""

    names: tuple[str, ...]
    order: str
    empty: tuple[str, ...] = ()
    """Those that no image has, where that is known."""

    @property
    def said(self) -> str:
        """How many they are, the first of them, and which no image has."""
        text = f"{plural(len(self.names), 'class')} ({listed(self.names, _SHOWN)})"
        hold = "holds" if len(self.empty) == 1 else "hold"
        return f"{text}, of which {listed(self.empty)} {hold} no image" if self.empty else text

    @property
    def assumed(self) -> bool:
        """Whether nothing names the order."""
        return self.order.startswith(ASSUMED)

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
    return ClassList(_checked(names, where), STORED)


def require_stored_order(given: ClassList, stored: Sequence[str] | None, where: str) -> None:
    """Raise ``InputError`` where a candidate's file has the given names in another order.

    Numbers for labels are places in the given list, and so are outputs: nothing else would tell.
    Names that differ in case, Unicode form or what separates their words alone are the same.
    """
    stored = tuple(stored or ())
    theirs, ours = stored, given.names
    if sorted(theirs) != sorted(ours):
        theirs, ours = tuple(map(_plain, theirs)), tuple(map(_plain, ours))
    if theirs == ours or sorted(theirs) != sorted(ours):
        return
    first = next(i for i, name in enumerate(theirs) if name != ours[i])
    raise InputError(
        f"{where}: its outputs are {_shown(stored, first)} as stored in the checkpoint, but "
        f"{_shown(given.names, first)} {given.order}; give the stored order in [candidate] "
        "classes, or store the right one in the checkpoint"
    )


def told_of_other_names(given: ClassList, stored: Sequence[str] | None) -> tuple[str, ...]:
    """Say that a candidate's file has other names than the given ones; nothing where it has not."""
    pairs = [*zip(stored or (), given.names, strict=False)]
    first = next((i for i, (theirs, ours) in enumerate(pairs) if theirs != ours), None)
    if first is None:
        return ()
    theirs, ours = (_shown(names, first) for names in zip(*pairs, strict=True))
    return (f"The checkpoint calls the outputs {theirs}; here they are {ours}, {given.order}.",)


def require_one_order(train: ClassList, test: ClassList, where: str) -> None:
    """Raise ``InputError`` where two data sets name the same classes in two orders."""
    if train.assumed or test.assumed or sorted(train.names) != sorted(test.names):
        return
    pairs = zip(train.names, test.names, strict=True)
    first = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    if first is not None:
        raise InputError(
            f"{where}: its outputs are {_shown(train.names, first)} as named by the training data, "
            f"but {_shown(test.names, first)} as named by the test data; give [candidate] classes "
            "in the order of the outputs"
        )


def _plain(name: str) -> str:
    """Return what two spellings of one name have in common."""
    words = re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(filter(None, words))


def refuse_twice(names: Sequence[str], where: str, advice: str) -> None:
    """Raise ``InputError`` for the first class that stands twice in a list, with what to do."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f'{where}: the class "{name}" stands twice; {advice}')
        seen.add(name)


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
    refuse_twice(names, where, "give [candidate] classes, each with a name of its own")
    return names


def require_known(labels: Iterable[str], classes: Sequence[str], where: str) -> None:
    """Raise ``InputError`` for the first label that is not a class."""
    known = set(classes)
    for label in labels:
        if label not in known:
            raise InputError(
                f'{where}: "{label}" is not a class of the candidate'
                f"{did_you_mean(label, classes)} (it has {len(classes)}: {_shown(classes)}); "
                f"{_advice(label)}"
            )


def _shown(names: Sequence[str], first: int = 0) -> str:
    """Return a list of classes from a place on, or what fits of it."""
    end = first + _SHOWN
    before, after = "… " if first else "", ", …" if len(names) > end else ""
    return f"{before}{', '.join(names[first:end])}{after}"


def _advice(label: str) -> str:
    if label.isdecimal():
        return (
            "name class folders and labels as the classes, or, where all labels of a table or tar "
            "are places in the list of classes, give [candidate] classes"
        )
    return "if it is one, name them all in --classes or [candidate] classes"
