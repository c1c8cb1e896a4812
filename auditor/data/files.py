"""The files that hold many images: found by a pattern, and known again when they change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from auditor.data.folder import natural
from auditor.data.single import Stamp, stamp_of
from auditor.errors import InputError

__all__ = ["SPLITS", "Container", "matching", "named", "refuse_splits"]

SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
"""What the parts of a data set are called."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_SPLIT = re.compile(rf"(?:^|.*?[-_.])({'|'.join(SPLITS)})(?:[-_.]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """A file with many images in it, as it was when they were listed.

    Parameters
    ----------
    path
        Where it lies.
    stamp
        Its size in bytes and its times of change, in nanoseconds.
    """

    path: Path
    stamp: Stamp

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the file as it is now; ``InputError`` where it cannot be had."""
        try:
            return cls(path, stamp_of(path.stat()))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None

    def read(self, offset: int, size: int) -> bytes:
        """Return some of its bytes; the file is opened for this alone, so threads do not mind."""
        with self.path.open("rb", buffering=0) as file:
            self._require(stamp_of(os.fstat(file.fileno())))
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise OSError(f"{self.path.name} ends before it")
        return data

    def require_unchanged(self) -> None:
        """Raise ``InputError`` where the file is not the one that was listed."""
        self._require(stamp_of(self.path.stat()))

    def _require(self, stamp: Stamp) -> None:
        if stamp != self.stamp:
            raise InputError(f"{self.path}: changed while it was read; run again when it is still")


def matching(pattern: Path) -> list[Path]:
    """Return the files that a path, a glob or a range such as ``shards-{000..099}.tar`` names.

    Globs are in natural order. Every file of a range must be there.

    Raises
    ------
    InputError
        Nothing matches, a file of the range is missing, or a glob takes in several splits.
    """
    if pattern.is_file():
        return [pattern]
    if ranged := _ranged(str(pattern)):
        return _all_there(pattern, [Path(name) for name in ranged])
    found = [file for file in pattern.parent.glob(pattern.name) if file.is_file()]
    if not found:
        missing = "no file matches" if set("*?[") & set(pattern.name) else "no such file"
        raise InputError(f"{pattern}: {missing}; a range is written {{000..099}}, a glob *")
    refuse_splits(pattern, found)
    return sorted(found, key=lambda path: natural(str(path)))


def refuse_splits(place: Path, files: Iterable[Path]) -> None:
    """Raise ``InputError`` where files found in one place are called after several splits.

    ``train-00000-of-00002.parquet`` beside ``test-00000-of-00001.parquet`` would be one data set.
    """
    patterns: dict[str, Path] = {}
    for file in files:
        if found := _SPLIT.match(file.stem):
            patterns.setdefault(found[1].lower(), file.with_name(f"{found[0]}*{file.suffix}"))
    if len(patterns) > 1:
        splits = sorted(patterns)
        raise InputError(f"{place}: holds {', '.join(splits)}; name one: {patterns[splits[0]]}")


def named(files: list[Path]) -> dict[str, Path]:
    """Return the files by their names from the folder that all of them lie in."""
    base = os.path.commonpath([file.parent for file in files])
    return {file.relative_to(base).as_posix(): file for file in files}


def _ranged(pattern: str) -> list[str]:
    """Return what the ranges stand for, of equal width where the first number has zeros."""
    found = _RANGE.search(pattern)
    if found is None:
        return []
    first, last = found[1], found[2]
    if int(last) < int(first):
        raise InputError(f"{pattern}: the range {found[0]} is empty; write the lower number first")
    numbers = (f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1))
    names = [pattern[: found.start()] + number + pattern[found.end() :] for number in numbers]
    return [deep for name in names for deep in (_ranged(name) or [name])]


def _all_there(pattern: Path, files: list[Path]) -> list[Path]:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InputError(
            f"{pattern}: {len(missing):,} of {len(files):,} missing, first "
            f"{', '.join(missing[:3])}; copy what is missing, or name those that are there"
        )
    return files
