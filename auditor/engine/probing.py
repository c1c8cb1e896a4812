"""Finds the images that kill who looks at them: another process looks at one after the other."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from auditor.data.samples import Samples
from auditor.engine.journal import NoJournal
from auditor.engine.looking import Wanted, look
from auditor.errors import AuditorError
from auditor.provider import Observer

__all__ = ["deadly", "environment", "main"]

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


def deadly(
    samples: Samples, looks: Looks, dumps: Callable[[Any], bytes] = pickle.dumps
) -> dict[int, str]:
    """Return the images that kill a process, and how.

    Parameters
    ----------
    samples
        The split.
    looks
        The images to try, and who prepares each.
    dumps
        How they are pickled.
    """
    found: dict[int, str] = {}
    looks = [(row, wanting) for row, wanting in looks if 0 <= row < len(samples)]
    while looks:
        try:
            pickled = dumps((samples, looks))
        except Exception:  # foreign observers may hold anything
            return found
        trial = _tried(len(looks), pickled)
        if trial.survived is None or trial.survived == len(looks):
            return found
        found[looks[trial.survived][0]] = trial.died_of
        looks = looks[trial.survived + 1 :]
    return found


def _tried(images: int, pickled: bytes) -> _Trial:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE],
            input=pickled,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE + images,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        dots = len(late.stdout or b"")
        return _Trial(dots - 1 if dots else None, "the process that looked at it never came back")
    except OSError:  # no process can be had
        return _Trial(None, "")
    return _Trial(len(done.stdout) - 1 if done.stdout else None, _end(done.returncode))


def environment() -> dict[str, str]:
    """Return that of another Python which is to find the modules that this one finds."""
    path = [place for place in sys.path if place and isinstance(place, str)]  # as Python does
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _end(status: int) -> str:
    if status < 0:
        return f"it killed the process that looked at it ({signal.Signals(-status).name})"
    return f"it ended the process that looked at it (exit status {status})"


def main() -> None:
    """Look at the images of the pickle on standard input; write a dot before and after each."""
    told = os.dup(1)
    os.dup2(2, 1)  # whatever is printed is no dot
    samples, looks = pickle.load(sys.stdin.buffer)  # written by the process that asks
    os.write(told, b".")
    for row, wanting in looks:
        whole = not all(eye.reduced for eye in wanting.values())
        with suppress(AuditorError):  # which kills nobody
            look(samples, Wanted(row, wanting, whole), NoJournal({}, here=False))
        os.write(told, b".")
