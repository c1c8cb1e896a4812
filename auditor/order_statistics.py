"""Bounds of quantiles and of ratios that assume no distribution: order statistics, over scipy.

Times are skewed, have heavy tails and several humps, so no bound here rests on a mean or a standard
deviation. As everywhere in Auditor a pair of bounds is two one-sided bounds, each held with the
stated confidence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from auditor.stats import Interval

__all__ = [
    "quantile",
    "quantile_interval",
    "ratio",
    "ratio_interval",
    "repeats_for_quantile",
]

Floats = NDArray[np.float64]


def quantile(values: Floats, q: float) -> float:
    """Return the smallest value that at least a share ``q`` of the values does not exceed.

    >>> quantile(np.array([4.0, 1.0, 3.0, 2.0]), 0.5)
    2.0
    """
    return float(np.quantile(values, q, method="inverted_cdf"))


def quantile_interval(values: Floats, q: float, confidence: float = 0.95) -> Interval:
    """Return two order statistics that bound a quantile, whatever the distribution.

    How many of n independent values lie at or below the quantile is binomial (n, q), so the r-th
    smallest one is a lower bound with probability P(B ≥ r), the s-th an upper one with P(B < s)
    (David and Nagaraja, Order Statistics, 3rd edition, section 7.1).

    Parameters
    ----------
    values
        Shape (n,), independent and of one distribution.
    q
        In (0, 1).
    confidence
        Of each bound, one-sided.

    Returns
    -------
    Interval
        Infinite on the side where n values are too few for any bound.

    Examples
    --------
    >>> quantile_interval(np.arange(1.0, 61.0), 0.5)
    Interval(low=24.0, high=37.0)
    >>> quantile_interval(np.arange(1.0, 299.0), 0.99).high
    inf
    """
    from scipy.stats import binom  # half a second, which the list of checks need not wait for

    from auditor.stats import Interval

    ordered, n = np.sort(np.asarray(values, float)), len(values)
    low = int(binom.ppf(1 - confidence, n, q)) if n else 0
    high = int(binom.ppf(confidence, n, q)) + 1
    return Interval(
        float(ordered[low - 1]) if low >= 1 else -math.inf,
        float(ordered[high - 1]) if high <= n else math.inf,
    )


def repeats_for_quantile(q: float, confidence: float = 0.95) -> int:
    """Return how many values it takes for a quantile to have an upper bound at all.

    >>> repeats_for_quantile(0.99), repeats_for_quantile(0.5)
    (299, 5)
    """
    return math.ceil(math.log(1 - confidence) / math.log(q))


def ratio(numerator: Floats, denominator: Floats) -> float:
    """Return the median of the ratios of paired values, shape (n,) each; NaN without any."""
    logs = _log_ratios(numerator, denominator)
    return math.exp(float(np.median(logs))) if len(logs) else math.nan


def ratio_interval(numerator: Floats, denominator: Floats, confidence: float = 0.95) -> Interval:
    """Return bounds of the median ratio of paired values: the inverted sign test.

    Where two equal things are timed in random order within each pair, either is the slower one with
    probability one half, whatever else the machine does: the bounds then hold exactly, by the
    randomisation alone. Pairs without a positive time on both sides count as neither.

    Returns
    -------
    Interval
        (0, inf) where the pairs are too few.
    """
    from auditor.stats import Interval

    low, high = quantile_interval(_log_ratios(numerator, denominator), 0.5, confidence)
    return Interval(math.exp(low), math.exp(high))


def _log_ratios(numerator: Floats, denominator: Floats) -> Floats:
    a, b = np.asarray(numerator, float), np.asarray(denominator, float)
    known = (a > 0) & (b > 0)
    return np.asarray(np.log(a[known] / b[known]))
