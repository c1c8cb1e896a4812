"""Remembers on disk which images are being looked at, so that one that kills the process is found.

A broken file can make a decoder crash in a way that no exception tells of: the process is gone.
What was in its hands then stands in a small mapped file, which outlives it. The next run has each
of these images looked at by a process of its own, and names those that kill that one too.
"""

from __future__ import annotations

import json
import mmap
import os
import queue
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from auditor.progress import Progress
from auditor.writing import appearing, write_text

__all__ = ["CRASHED", "Journal", "NoJournal"]

CRASHED = "AUDITOR_CRASHED"
"""Set for a process that goes on after one that died of itself, not by the user's hand."""

_SLOTS = 256
"""Images that may be looked at at once."""
_NOTHING = 0
_OFTEN = 3
"""Deaths after which an image is given up, though it kills nobody by itself. From the first of
them on nothing else is in hand with it, so that no other image is given up in its place.
"""


class NoJournal:
    """Remembers nothing: for a process that others watch.

    Parameters
    ----------
    poison
        Images that nobody may open, and why.
    here
        Whether this is the machine that listed the files, so that their times are known.
    """

    def __init__(self, poison: Mapping[int, str], *, here: bool = True) -> None:
        self.poison, self.here = dict(poison), here

    @contextmanager
    def at(self, row: int) -> Iterator[None]:
        """Look at an image."""
        del row
        yield


class Journal(NoJournal):
    """Holds the images that are being looked at.

    Parameters
    ----------
    folder
        Where it is kept until the pass ends.
    deadly
        Has images looked at by another process; returns those that kill it, and how.
    progress
        Is told when images are tried one by one.
    """

    def __init__(
        self, folder: Path, deadly: Callable[[Sequence[int]], dict[int, str]], progress: Progress
    ) -> None:
        self._file, self._told = folder / "in-hand", folder / "deadly.json"
        self._deadly = deadly
        super().__init__(self._found_out(progress))
        with appearing(self._file) as partial:  # never cut short: another one may have it mapped
            partial.write_bytes(bytes(8 * _SLOTS))
        self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(_SLOTS):
            self._slots.put(slot)
        self._alone = threading.Lock()

    def __enter__(self) -> Self:
        """Begin to write it."""
        with self._file.open("r+b") as stream:
            self._map = mmap.mmap(stream.fileno(), 0)
        return self

    def __exit__(self, *raised: object) -> None:
        """Forget what was in hand: the process lives."""
        self._map.close()
        self._file.unlink(missing_ok=True)

    @contextmanager
    def at(self, row: int) -> Iterator[None]:
        """Look at an image; at one that a process may have died of, while there is no other."""
        with self._alone:
            slots = [self._slots.get() for _ in range(_SLOTS if row in self._suspects else 1)]
        struct.pack_into("<q", self._map, 8 * slots[0], row + 1)
        try:
            yield
        finally:
            struct.pack_into("<q", self._map, 8 * slots[0], _NOTHING)
            for slot in slots:
                self._slots.put(slot)

    def _found_out(self, progress: Progress) -> dict[int, str]:
        """Return the images that killed a process, and how."""
        deadly, deaths = _read(self._told)
        suspects = [row for row in _in_hand(self._file) if row not in deadly]
        if suspects:
            progress.say(f"trying {len(suspects)} images by themselves: a process died at them")
            deadly |= self._deadly(suspects)
        for row in suspects:
            deaths[row] = deaths.get(row, 0) + (CRASHED in os.environ)
            if deaths[row] >= _OFTEN:
                reason = f"the process died {_OFTEN} times while it was looked at"
                deadly.setdefault(row, reason)
        if suspects:
            write_text(self._told, json.dumps({"deadly": deadly, "deaths": deaths}))
        self._suspects = {row for row, times in deaths.items() if times} - {*deadly}
        return deadly


def _read(path: Path) -> tuple[dict[int, str], dict[int, int]]:
    try:
        content = json.loads(path.read_text())
        deadly = {int(row): str(reason) for row, reason in content["deadly"].items()}
        return deadly, {int(row): int(times) for row, times in content["deaths"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}


def _in_hand(file: Path) -> list[int]:
    try:
        content = file.read_bytes()
    except OSError:
        return []
    rows = struct.unpack(f"<{len(content) // 8}q", content[: len(content) // 8 * 8])
    return sorted({row - 1 for row in rows if row != _NOTHING})
