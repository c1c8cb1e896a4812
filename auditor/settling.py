"""How many more images would settle a figure that is found by trying numbers of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["fewest_images", "what_would_settle_gap"]

_MOST_IMAGES = 10_000_000


def fewest_images(
    settled: Callable[[NDArray[np.int64]], NDArray[np.bool_]], start: int
) -> int | None:
    """Return about how many images more than ``start`` settle it; None where ten million do not.

    Parameters
    ----------
    settled
        Tells of numbers of images, shape (m,), whether each would do.
    start
        Images there are.
    """
    low, high = start, _MOST_IMAGES
    for space in (np.geomspace, np.linspace, np.linspace):  # by powers, then within the step found
        totals = np.unique(np.rint(space(low + 1, high, 50)).astype(np.int64))
        found = np.flatnonzero(settled(totals))
        if not found.size:
            return None
        low, high = int(totals[max(found[0] - 1, 0)]), int(totals[found[0]])
    return high - start


def what_would_settle_gap(
    bounds: Callable[[NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    limit: float,
    start: int,
    what: str = "images",
) -> str:
    """Say in one sentence how many more images an inconclusive gap between two rates needs.

    Parameters
    ----------
    bounds
        Those of the gap, were there so many images at the rates that were seen.
    limit
        The largest gap that is allowed.
    start
        Images there are.
    what
        What they are called.
    """

    def settled(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        low, high = bounds(n)
        return np.asarray((high <= limit) | (low > limit))

    more = fewest_images(settled, start)
    if more is None:
        return f"no number of {what} like these would settle it"
    return f"about {more:,} more {what} at these rates would settle it"
