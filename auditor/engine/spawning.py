"""Starts processes of our own, and ends them with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from auditor.engine.probing import environment

__all__ = ["ended", "started"]

_START = "import gc; gc.disable(); from {} import main; main()"
"""Looking for garbage in what is imported took a third of the time that it takes to start."""


def started(
    module: str,
    inherited: Sequence[int],
    *,
    stdin: int = subprocess.DEVNULL,
    besides: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that runs a module's ``main``.

    Parameters
    ----------
    module
        Its name; it looks for garbage again when it says so.
    inherited
        Numbers of files that the process has, too; they are its arguments.
    stdin
        As for ``subprocess.Popen``.
    besides
        Variables of its environment, besides those of this process.

    Raises
    ------
    OSError
        There is no process to be had.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _START.format(module), *map(str, inherited)],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=inherited,
        env={**environment(), **(besides or {})},
        start_new_session=True,  # Ctrl-C is for this process
    )


def ended(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started, who have nothing to lose."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
