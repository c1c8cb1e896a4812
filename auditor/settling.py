"""How many more images, or repeats, would settle a figure, and that in words.

Of rates it is counted exactly where few do, else found by trying numbers; of ratios of times, whose
bounds draw near as the root of the number grows, it is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from auditor import stats
from auditor.wording import plural

if TYPE_CHECKING:
    from auditor.check import IntervalMethod

__all__ = [
    "NEVER",
    "fewest_images",
    "repeats_to_settle",
    "samples_for_perfect",
    "samples_to_settle",
    "what_would_settle",
    "what_would_settle_gap",
]

NEVER = "no number of images shows 100%; ask for less"
_MOST = 10_000_000
_COUNTED_EXACTLY = 20_000


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
    low, high = start, _MOST
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


def repeats_to_settle(
    observed: float, interval: tuple[float, float], limit: float, n: int
) -> int | None:
    """Return about how many more pairs would bring a ratio's bounds to one side of a limit.

    Bounds come closer with the square root of n. None where the ratio stands on the limit, or ten
    million would not do.

    >>> repeats_to_settle(1.05, (1.00, 1.12), 1.10, 100)
    91
    """
    if observed <= 0 or interval[0] <= 0 or math.isinf(interval[1]):
        return n
    bound = interval[1] if observed <= limit else interval[0]
    room, reach = abs(math.log(limit / observed)), abs(math.log(bound / observed))
    if not room:
        return None
    more = max(math.ceil(n * (reach / room) ** 2) - n, 1)
    return more if n + more <= _MOST else None


def samples_for_perfect(
    minimum: float, confidence: float = 0.95, method: IntervalMethod = "exact"
) -> int:
    """Return the fewest samples that, all right, show a rate of at least ``minimum``.

    >>> samples_for_perfect(0.80), samples_for_perfect(0.80, method="wilson")
    (14, 11)
    """
    if minimum >= 1.0:
        raise ValueError("no number of samples shows a rate of 1")
    if minimum <= 0.0:
        return 1
    if method == "wilson":
        return int(np.ceil(special.ndtri(confidence) ** 2 * minimum / (1 - minimum)))
    return int(np.ceil(np.log(1 - confidence) / np.log(minimum)))


@lru_cache(maxsize=4096)
def samples_to_settle(
    rate: float,
    limit: float,
    confidence: float = 0.95,
    method: IntervalMethod = "exact",
    beyond: int = 0,
) -> int | None:
    """Return the total samples at which the bounds around ``rate`` clear ``limit``.

    The first beyond those there are; if it takes over 20,000 more, about the first. None where ten
    million would not do. Successes are rounded to the side that is harder to settle.

    Examples
    --------
    >>> [samples_to_settle(rate, 0.80) for rate in (1.0, 0.95, 0.90, 0.85)]
    [14, 30, 50, 193]
    """

    def settled(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        right = np.floor(rate * n + 1e-9) if rate >= limit else np.ceil(rate * n - 1e-9)
        return _shown(right.astype(np.int64), n, limit, confidence, method, at_least=rate >= limit)

    if found := _first(lambda more: settled(beyond + more)):
        return beyond + found
    more = fewest_images(settled, beyond + _COUNTED_EXACTLY)
    return None if more is None else beyond + _COUNTED_EXACTLY + more


@lru_cache(maxsize=4096)
def what_would_settle(
    successes: int,
    n: int,
    limit: float,
    confidence: float,
    method: IntervalMethod = "exact",
    family: int = 1,
) -> str:
    """Say in one sentence how many more samples an inconclusive rate needs.

    Below the limit that is a failure, which must hold among ``family`` rates tested together; the
    most that Holm may ask of one of them is Bonferroni's level, of an exact test.
    """
    if limit >= 1.0:
        return NEVER
    rate = successes / n
    among = rate < limit and family > 1
    strict = 1 - (1 - confidence) / family if among else confidence
    total = samples_to_settle(rate, limit, strict, "exact" if among else method, n)
    extra = _extra_if_all_right(successes, n, limit, confidence, method)
    best = f"{extra:,}" if extra else f"more than {_COUNTED_EXACTLY:,}"
    if total is None:
        return f"the rate stands on the limit; {best} more, all right, would settle it"
    what = plural(total - n, "more sample")
    return f"about {what} at this rate would settle it; {best} if all are right"


def _extra_if_all_right(
    successes: int, n: int, limit: float, confidence: float, method: IntervalMethod
) -> int | None:
    def shown(extra: NDArray[np.int64]) -> NDArray[np.bool_]:
        right, total = successes + extra, n + extra
        return _shown(right, total, limit, confidence, method, at_least=True)

    return _first(shown)


def _shown(
    successes: NDArray[np.int64],
    n: NDArray[np.int64],
    limit: float,
    confidence: float,
    method: IntervalMethod,
    *,
    at_least: bool,
) -> NDArray[np.bool_]:
    """Tell whether a bound clears the limit, by its p-value: much faster than by the bound."""
    if at_least:  # enough successes are few enough failures
        return np.asarray(
            stats.shortfall_p_values(n - successes, n, 1 - limit, method) <= 1 - confidence
        )
    # A bound that stands on the limit shows nothing, whatever the last digit of its p-value.
    level = (1 - confidence) * (1 - 1e-12)
    return np.asarray(stats.shortfall_p_values(successes, n, limit, method) < level)


def _first(holds: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> int | None:
    """Return the first count for which something holds, looking in growing steps."""
    start, stop = 1, 64
    while start <= _COUNTED_EXACTLY:
        counts = np.arange(start, min(stop, _COUNTED_EXACTLY) + 1)
        found = np.flatnonzero(holds(counts))
        if found.size:
            return int(counts[found[0]])
        start, stop = stop + 1, stop * 4
    return None
