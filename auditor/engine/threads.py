"""How torch's threads behave beside other work on the same machine."""

from __future__ import annotations

import os

__all__ = ["wait_passively"]


def wait_passively() -> None:
    """Let idle OpenMP threads sleep instead of spin; call before torch is imported.

    Beside one other busy process on two cores, spinning made a small EfficientNet 10 to 15 times
    slower: every layer ends in a barrier, and a spinning thread holds the core that the last one
    needs. A policy that the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
