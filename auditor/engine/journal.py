"""Remembers on disk which images are being looked at, so that one that kills the process is found.

A broken file can make a decoder crash in a way that no exception tells of: the process is gone.
What was in its hands then stands in a small mapped file, which outlives it. The next run lets a
process of its own open each of these images, and names those that kill that one too.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from auditor.data.samples import Samples
from auditor.evidence.files import appearing
from auditor.progress import Progress

__all__ = ["CRASHED", "Journal", "NoJournal", "open_and_forget", "probe"]

CRASHED = "AUDITOR_CRASHED"
"""Set for a process that goes on after one that died of itself, not by the user's hand."""

_SLOTS = 256
"""Images that may be looked at at once."""
_NOTHING = 0
_OFTEN = 3
"""Deaths after which an image is given up, though it can be opened by itself. From the first of
them on nothing else is in hand with it, so that no other image is given up in its place.
"""
_PATIENCE = 60
"""Seconds that a decoder may take for one image by itself."""
_PROBE = "from auditor.engine.journal import main; main()"


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
        self.poison, self.here = poison, here

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
    samples
        The split.
    progress
        Is told when images are tried one by one.
    """

    def __init__(self, folder: Path, samples: Samples, progress: Progress) -> None:
        self._file, self._told = folder / "in-hand", folder / "deadly.json"
        self._samples = samples
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        suspects = [row for row in _in_hand(self._file) if str(row) not in deadly]
        if suspects:
            progress.say(f"trying {len(suspects)} images by themselves: a process died at them")
        for row in map(str, suspects):
            deaths[row] = deaths.get(row, 0) + (CRASHED in os.environ)
            reason = probe(self._samples, int(row))
            if reason is None and deaths[row] >= _OFTEN:
                reason = f"the process died {_OFTEN} times while it was looked at"
            if reason is not None:
                deadly[row] = reason
        if suspects:
            with appearing(self._told) as partial:
                partial.write_text(json.dumps({"deadly": deadly, "deaths": deaths}))
        self._suspects = {int(row) for row, times in deaths.items() if times} - {*map(int, deadly)}
        return {int(row): reason for row, reason in deadly.items()}


def _read(path: Path) -> tuple[dict[str, str], dict[str, int]]:
    try:
        content = json.loads(path.read_text())
        return dict(content["deadly"]), dict(content["deaths"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}


def _in_hand(file: Path) -> list[int]:
    try:
        content = file.read_bytes()
    except OSError:
        return []
    rows = struct.unpack(f"<{len(content) // 8}q", content[: len(content) // 8 * 8])
    return sorted({row - 1 for row in rows if row != _NOTHING})


def probe(samples: Samples, row: int) -> str | None:
    """Let another process open an image.

    Returns
    -------
    str or None
        What that process died of; None where it lived, whatever it thinks of the image.
    """
    if not 0 <= row < len(samples):
        return None
    paths = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            input=pickle.dumps(samples.take([row])),
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the decoder did not come back from it within {_PATIENCE} s"
    if done.returncode >= 0:
        return None
    return f"the decoder died of it ({signal.Signals(-done.returncode).name})"


def open_and_forget(samples: Samples, row: int) -> None:
    """Open an image, whole and reduced; a file that is merely broken does not matter."""
    from auditor.overlap.decode import Unreadable, open_image

    try:
        data = samples.read(samples.images[row])
        for reduced in (False, True):
            open_image(data, reduced=reduced).convert("RGB")
    except (OSError, Unreadable, ValueError):
        return


def main() -> None:
    """Open the one image of the pickled split on standard input."""
    open_and_forget(pickle.load(sys.stdin.buffer), 0)  # written by the process that asks
