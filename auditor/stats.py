"""Intervals and sample sizes: thin and typed, over scipy and statsmodels.

Every interval is a pair of one-sided bounds, each held with the stated confidence: a check asks
"is the recall at least 0.85?", and that is a one-sided question. At confidence 0.95 the pair is
the central 90% interval.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import binomtest

__all__ = [
    "Interval",
    "chance_p_value",
    "difference_interval",
    "proportion_interval",
    "proportion_intervals",
    "samples_for_perfect",
    "samples_to_settle",
    "what_would_settle",
]

_COUNTED_EXACTLY = 20_000
_MOST_SAMPLES = 10_000_000


class Interval(NamedTuple):
    """Lower and upper bound."""

    low: float
    high: float


def proportion_interval(
    successes: int,
    n: int,
    confidence: float = 0.95,
    method: Literal["exact", "wilson"] = "exact",
) -> Interval:
    """Return the Clopper–Pearson (or Wilson) bounds of a proportion.

    Examples
    --------
    >>> proportion_interval(14, 14).low > 0.80
    True
    >>> proportion_interval(13, 13).low > 0.80
    False
    """
    if method == "exact":
        low, high = proportion_intervals(np.array([successes]), np.array([n]), confidence)
        return Interval(float(low[0]), float(high[0]))
    ci = binomtest(successes, n).proportion_ci(2 * confidence - 1, method=method)
    return Interval(float(ci.low), float(ci.high))


def proportion_intervals(
    successes: NDArray[np.integer], n: NDArray[np.integer], confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Clopper–Pearson bounds for many proportions at once; (0, 1) where ``n`` is 0.

    The bounds are quantiles of the beta distribution (Clopper and Pearson, Biometrika 1934).
    """
    k, n = np.asarray(successes, float), np.asarray(n, float)
    with np.errstate(invalid="ignore"):
        low = special.betaincinv(k, n - k + 1, 1 - confidence)
        high = special.betaincinv(k + 1, n - k, confidence)
    return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)


def difference_interval(
    successes_a: int, n_a: int, successes_b: int, n_b: int, confidence: float = 0.95
) -> Interval:
    """Return Newcombe's hybrid-score bounds of ``a/n_a - b/n_b``, two independent proportions.

    Newcombe, Statistics in Medicine 17 (1998), method 10.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        successes_a,
        n_a,
        successes_b,
        n_b,
        method="newcomb",
        compare="diff",
        alpha=2 * (1 - confidence),
    )
    return Interval(float(low), float(high))


def chance_p_value(correct: int, n: int, no_information_rate: float) -> float:
    """Return the one-sided exact p-value of ``accuracy > no-information rate``, as R's caret.

    >>> round(chance_p_value(980, 1000, 0.97), 3)
    0.033
    """
    return float(binomtest(correct, n, no_information_rate, alternative="greater").pvalue)


def samples_for_perfect(minimum: float, confidence: float = 0.95) -> int:
    """Return the fewest samples that, all right, show a rate of at least ``minimum``.

    >>> samples_for_perfect(0.80)
    14
    """
    if minimum >= 1.0:
        return _MOST_SAMPLES
    if minimum <= 0.0:
        return 1
    return int(np.ceil(np.log(1 - confidence) / np.log(minimum)))


@lru_cache(maxsize=4096)
def samples_to_settle(rate: float, limit: float, confidence: float = 0.95) -> int | None:
    """Return the total samples at which the bounds around ``rate`` first clear ``limit``.

    Exact up to 20,000 samples, by the normal approximation beyond; None where the rate stands on
    the limit and no number would do.

    Examples
    --------
    >>> [samples_to_settle(rate, 0.80) for rate in (1.0, 0.95, 0.90, 0.85)]
    [14, 30, 50, 193]
    """

    def settled(n: NDArray[np.int64]) -> NDArray[np.bool_]:
        right = np.floor(rate * n + 1e-9).astype(np.int64)
        low, high = proportion_intervals(right, n, confidence)
        return np.asarray(low >= limit if rate >= limit else high < limit)

    if found := _first(settled):
        return found
    gap = abs(rate - limit)
    z = float(special.ndtri(confidence))
    total = z**2 * rate * (1 - rate) / gap**2 if gap else np.inf
    return int(np.ceil(total)) if total < _MOST_SAMPLES else None


def what_would_settle(successes: int, n: int, limit: float, confidence: float) -> str:
    """Say in one sentence how many more samples an inconclusive rate needs."""
    total = samples_to_settle(successes / n, limit, confidence)
    extra = _extra_if_all_right(successes, n, limit, confidence)
    best = f"{extra:,}" if extra else f"more than {_COUNTED_EXACTLY:,}"
    if total is None:
        return f"the rate stands on the limit; {best} more, all right, would settle it"
    more = max(total - n, 1)
    return f"about {more:,} more samples at this rate would settle it; {best} if all are right"


def _extra_if_all_right(successes: int, n: int, limit: float, confidence: float) -> int | None:
    return _first(
        lambda extra: proportion_intervals(successes + extra, n + extra, confidence)[0] >= limit
    )


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
