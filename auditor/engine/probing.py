"""Finds the images that kill who looks at them: another process looks at one after the other."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from auditor.data.samples import Samples
from auditor.engine.cluster import import_ray
from auditor.engine.journal import NoJournal
from auditor.engine.looking import Wanted, looked_at
from auditor.evidence.provider import Observer

__all__ = ["deadly", "main"]

_PATIENCE = 60
"""Seconds for the start of the process, and for an image that its decoder does not come back from.
"""
_PROBE = "from auditor.engine.probing import main; main()"

Looks = Sequence[tuple[int, Mapping[str, Observer]]]
"""Rows of a split, and who wants to see each."""


class _Trial(NamedTuple):
    """What came of a process."""

    survived: int | None
    """Images that it lived through; None where it did not even start."""
    died_of: str


def deadly(samples: Samples, looks: Looks) -> dict[int, str]:
    """Return the images that kill a process, and how.

    Parameters
    ----------
    samples
        The split.
    looks
        The images to try, and who prepares each.
    """
    found: dict[int, str] = {}
    while looks:
        trial = _tried(samples, looks)
        if trial.survived is None or trial.survived == len(looks):
            return found
        found[looks[trial.survived][0]] = trial.died_of
        looks = looks[trial.survived + 1 :]
    return found


def _tried(samples: Samples, looks: Looks) -> _Trial:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            input=import_ray().cloudpickle.dumps((samples, looks)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE + len(looks),
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        dots = len(late.stdout or b"")
        return _Trial(dots - 1 if dots else None, "the decoder did not come back from it")
    return _Trial(len(done.stdout) - 1 if done.stdout else None, _end(done.returncode))


def _end(status: int) -> str:
    if status < 0:
        return f"the decoder died of it ({signal.Signals(-status).name})"
    return f"the decoder ended the process (exit status {status})"


def main() -> None:
    """Look at the images of the pickle on standard input; write a dot before and after each."""
    told = os.dup(1)
    os.dup2(2, 1)  # whatever is printed is no dot
    samples, looks = pickle.load(sys.stdin.buffer)  # written by the process that asks
    os.write(told, b".")
    for _ in _one_by_one(samples, looks):
        os.write(told, b".")


def _one_by_one(samples: Samples, looks: Looks) -> Iterator[object]:
    wanted = (
        Wanted(row, wanting, not all(eye.reduced for eye in wanting.values()))
        for row, wanting in looks
    )
    with ThreadPoolExecutor(1) as pool:
        yield from looked_at(samples, wanted, pool, 1, NoJournal({}, here=False))
