"""How torch's threads behave beside other work on the same machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["taking_turns_sooner", "wait_passively"]

_TURN = 0.0005
"""Seconds after which a thread lets another one have Python's lock that asks for it."""


def wait_passively() -> None:
    """Let idle OpenMP threads sleep instead of spin; call before torch is imported.

    Beside one other busy process on two cores, spinning made a small EfficientNet 10 to 15 times
    slower: every layer ends in a barrier, and a spinning thread holds the core that the last one
    needs. A policy that the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def taking_turns_sooner() -> Iterator[None]:
    """Have no thread wait long for Python's lock, which Python keeps for 5 ms by itself.

    Each of some hundred requests that tell a GPU of a batch lets go of the lock; the thread that
    made it waits for all that others do meanwhile. On an H200's host it gave 10% more images.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
