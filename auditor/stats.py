"""Intervals, p-values and multiplicity: thin and typed, over scipy.special.

All of ``scipy.stats`` takes half a second to import, which is a tenth of judging
50,000 images; the tests hold what is here against them.

Every interval is a pair of one-sided bounds, each held with the stated confidence: a check asks
"is the recall at least 0.85?", and that is a one-sided question. At confidence 0.95 the pair is
the central 90% interval. The p-values are the duals of those bounds: an upper bound at confidence c
lies below a limit exactly where the p-value lies below 1 - c.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

if TYPE_CHECKING:
    from auditor.check import IntervalMethod

__all__ = [
    "LEAST_P",
    "MOST_P",
    "Bounds",
    "Interval",
    "benjamini_hochberg",
    "binomial_cdf",
    "chance_p_value",
    "difference_interval",
    "difference_intervals",
    "excess_p_value",
    "holm",
    "p_above",
    "p_below",
    "proportion_interval",
    "proportion_intervals",
    "require_rate",
    "shortfall_p_values",
    "standardised_reach",
    "weighted_count_bounds",
]

Bounds = Callable[[float], tuple[float, float]]
"""Confidence → lower and upper bound, each one-sided, which part as the confidence grows."""
_MOST = 1 - 1e-12
LEAST_P, MOST_P = 1 - _MOST, 0.5
"""Between which the p-value that belongs to some bounds is looked for."""


class Interval(NamedTuple):
    """Lower and upper bound."""

    low: float
    high: float


@lru_cache(maxsize=65_536)  # thousands of classes share a few counts
def proportion_interval(
    successes: int, n: int, confidence: float = 0.95, method: IntervalMethod = "exact"
) -> Interval:
    """Return the Clopper–Pearson (or Wilson) bounds of a proportion.

    Examples
    --------
    >>> proportion_interval(14, 14).low > 0.80
    True
    >>> proportion_interval(13, 13).low > 0.80
    False
    """
    low, high = proportion_intervals(np.array([successes]), np.array([n]), confidence, method)
    return Interval(float(low[0]), float(high[0]))


def proportion_intervals(
    successes: NDArray[np.integer],
    n: NDArray[np.integer],
    confidence: float = 0.95,
    method: IntervalMethod = "exact",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of many proportions at once; (0, 1) where ``n`` is 0.

    The exact bounds are quantiles of the beta distribution (Clopper and Pearson, Biometrika 1934);
    Wilson's invert the score test (Wilson, JASA 22, 1927).

    Raises
    ------
    ValueError
        Where the confidence is not in [0.5, 1): the upper bound would lie below the lower one; and
        for another method.
    """
    _require_method(method)
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence of {confidence:g} is not in [0.5, 1)")
    k, n = np.asarray(successes, float), np.asarray(n, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        if method == "exact":
            low = special.betaincinv(k, n - k + 1, 1 - confidence)
            high = special.betaincinv(k + 1, n - k, confidence)
        else:
            z = special.ndtri(confidence)
            centre, spread = k + z**2 / 2, z * np.sqrt(k * (n - k) / n + z**2 / 4)
            low, high = (centre - spread) / (n + z**2), (centre + spread) / (n + z**2)
    return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)


@lru_cache(maxsize=65_536)
def difference_interval(
    successes_a: int, n_a: int, successes_b: int, n_b: int, confidence: float = 0.95
) -> Interval:
    """Return the bounds of ``a/n_a - b/n_b``, two independent proportions.

    The exact (Clopper–Pearson) bounds of the two are combined by the method of variance estimates
    recovery: the distances of each rate to its bound, squared and summed (Zou and Donner,
    Statistics in Medicine 27, 2008). With Wilson's bounds in their place it is Newcombe's interval,
    which is too sure of rates near 100%: at confidence 0.95 one of its bounds may miss in 20%
    instead of 5%. By enumeration these miss in at most 6.7% where each side has 20 images, and in
    5.4% where it has 100 (3.7% and 2.0% at 0.99).
    """
    counts = (np.array([count]) for count in (successes_a, n_a, successes_b, n_b))
    low, high = difference_intervals(*counts, confidence=confidence)
    return Interval(float(low[0]), float(high[0]))


def difference_intervals(
    successes_a: NDArray[np.integer],
    n_a: NDArray[np.integer],
    successes_b: NDArray[np.integer],
    n_b: NDArray[np.integer],
    *,
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of ``difference_interval`` for many at once.

    Parameters
    ----------
    successes_a, n_a, successes_b, n_b
        Counts of one shape, or that broadcast to it; each n at least 1.
    confidence
        Of each bound, one-sided, in (0, 1).

    Returns
    -------
    tuple of ndarray
        Lower and upper bounds of that shape, within −1..1.
    """
    p, q = successes_a / n_a, successes_b / n_b
    p_low, p_high = proportion_intervals(successes_a, n_a, confidence)
    q_low, q_high = proportion_intervals(successes_b, n_b, confidence)
    down, up = np.hypot(p - p_low, q_high - q), np.hypot(p_high - p, q - q_low)
    return p - q - down, p - q + up


def weighted_count_bounds(
    total: NDArray[np.float64],
    squares: NDArray[np.float64],
    largest: NDArray[np.float64],
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bounds of weighted sums of counts, by the gamma method of Fay and Feuer.

    It takes each count as Poisson, which holds for mistakes that are few among many images and is
    too wide rather than too narrow where they are not. (Statistics in Medicine 16, 1997.)

    Parameters
    ----------
    total, squares
        The sums of the counts times their weights, and of their variances – for Poisson's, the
        counts – times the squares of what share of the largest each weight is, of one shape. Of
        weights themselves the square may be too small to be a number.
    largest
        The largest weight, which one more image could add; of that shape.
    confidence
        Of each bound, one-sided, in (0, 1).

    Returns
    -------
    tuple of ndarray
        Lower and upper bounds of that shape; of a single count they are Poisson's exact ones.

    Examples
    --------
    >>> one = np.ones(1)
    >>> [float(bound[0].round(2)) for bound in weighted_count_bounds(3 * one, 3 * one, one, 0.95)]
    [0.82, 7.75]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = total / largest
        more, spread = scaled + 1, squares + 1
        low = squares / scaled * special.gammaincinv(scaled**2 / squares, 1 - confidence)
        high = spread / more * special.gammaincinv(more**2 / spread, confidence)
    # Beside the largest weight, what has no square weighs nothing.
    return np.where(squares > 0, largest * low, 0.0), np.where(largest > 0, largest * high, 0.0)


def standardised_reach(
    successes: NDArray[np.integer],
    n: NDArray[np.integer],
    share: NDArray[np.float64],
    confidence: float,
) -> tuple[float, float]:
    """Return how far a directly standardised rate is from its lower and from its upper bound.

    The distances of each rate from its exact bounds, weighted, are squared and summed (Zou and
    Donner, Statistics in Medicine 27, 2008). Among many classes of few images that is too little:
    one without a success has no distance from its lower bound, and one without a failure none from
    its upper one. So it is at least that of the gamma bound of the successes, or of the failures
    (Fay and Feuer), whose variance is taken as binomial: as Poisson's, that of the many among them
    would be several times too large.

    Parameters
    ----------
    successes, n, share
        Of each class, shape (K,); the rate is the sum of ``share * successes / n``, each n at
        least 1.
    confidence
        Of each bound, one-sided, in [0.5, 1).
    """
    rate = successes / n
    low, high = proportion_intervals(successes, n, confidence)
    below, above = (
        max(float(np.linalg.norm(share * apart)), _reach_of_fewest(counts, n, share, confidence))
        for counts, apart in ((successes, rate - low), (n - successes, high - rate))
    )
    return below, above


def _reach_of_fewest(
    counts: NDArray[np.integer],
    n: NDArray[np.integer],
    share: NDArray[np.float64],
    confidence: float,
) -> float:
    """Return how far a weighted sum of counts is from its lower gamma bound."""
    weight = share / n
    largest = weight.max(initial=0.0, keepdims=True)
    # What a count of n varies by, and never nothing: all of five may be luck.
    variance = counts * (n - counts + 1) / n
    total, squares = np.array([weight @ counts]), np.array([(weight / largest) ** 2 @ variance])
    low, _ = weighted_count_bounds(total, squares, largest, confidence)
    return float((total - low)[0])


def require_rate(successes: int, n: int, minimum: float, method: str) -> None:
    """Raise ``ValueError`` for what is no rate that can be held to a minimum, or no method."""
    for count in (successes, n):
        if count % 1 != 0:
            raise ValueError(f"{count} is no whole number")
    if not 0 <= minimum <= 1:
        raise ValueError(f"a minimum of {minimum:g} is not in [0, 1]")
    _require_method(method)


def _require_method(method: str) -> None:
    if method not in ("exact", "wilson"):
        raise ValueError(f'"{method}" is no method; give "exact" or "wilson"')


def binomial_cdf(
    k: NDArray[np.integer], n: NDArray[np.integer], p: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the probability of at most ``k`` of ``n``, each of probability ``p``.

    By the incomplete beta function; ``special.bdtr`` is off by 0.0005 where ``n`` is large.

    >>> binomial_cdf(np.array([1, 2]), np.array([2, 2]), np.array(0.5)).tolist()
    [0.75, 1.0]
    """
    below = special.betainc(np.maximum(n - k, 1), k + 1, 1 - p)  # several times as fast as betaincc
    return np.asarray(np.where(k < n, below, 1.0))


def chance_p_value(correct: int, n: int, no_information_rate: float) -> float:
    """Return the one-sided exact p-value of ``accuracy > no-information rate``, as R's caret.

    >>> round(chance_p_value(980, 1000, 0.97), 3)
    0.033
    """
    return float(
        binomial_cdf(np.array(n - correct), np.array(n), np.array(1 - no_information_rate))
    )


def shortfall_p_values(
    successes: NDArray[np.integer],
    n: NDArray[np.integer],
    limit: float | NDArray[np.float64],
    method: IntervalMethod = "exact",
) -> NDArray[np.float64]:
    """Return one-sided p-values of "the rate is at least ``limit``"; NaN where ``n`` is 0.

    Exact binomial; with ``"wilson"`` the score test, whose inversion is Wilson's interval.

    >>> shortfall_p_values(np.array([10, 18]), np.array([20, 20]), 0.85).round(4).tolist()
    [0.0002, 0.8244]
    """
    _require_method(method)
    k, n = np.asarray(successes), np.asarray(n)
    limits = np.broadcast_to(np.asarray(limit, float), n.shape)
    if method == "exact":
        return np.where(n > 0, binomial_cdf(k, n, limits), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (k / n - limits) / np.sqrt(limits * (1 - limits) / n)
    p = np.where(np.isnan(z), 1.0, special.ndtr(z))  # 0/0: the rate stands on a limit of 0 or 1
    return np.asarray(np.where(n > 0, p, np.nan))


def excess_p_value(
    successes_a: int, n_a: int, successes_b: int, n_b: int, margin: float = 0.0
) -> float:
    """Return the one-sided p-value of "a/n_a - b/n_b is at most ``margin``", two proportions."""
    counts = successes_a, n_a, successes_b, n_b
    return p_above(lambda confidence: difference_interval(*counts, confidence), margin)


def p_above(bounds: Bounds, limit: float) -> float:
    """Return the p-value of "the figure is at most ``limit``".

    It is the least 1 - confidence at which the lower bound is above the limit, from ``LEAST_P`` up
    to ``MOST_P``: either end is returned where it would lie beyond.

    >>> round(p_above(lambda c: proportion_interval(90, 100, c), 0.85), 3)
    0.099
    """
    return _least_level(lambda confidence: bounds(confidence)[0] - limit)


def p_below(bounds: Bounds, limit: float) -> float:
    """Return the p-value of "the figure is at least ``limit``", in the same way."""
    return _least_level(lambda confidence: limit - bounds(confidence)[1])


def _least_level(clearance: Callable[[float], float]) -> float:
    from scipy import optimize

    least, most = 1 - MOST_P, _MOST
    if clearance(least) <= 0:
        return MOST_P
    if clearance(most) > 0:
        return LEAST_P
    return float(1 - optimize.brentq(clearance, least, most))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return adjusted p-values: rejecting those ≤ α errs anywhere in the family with at most α.

    Holds whatever the dependence (Holm, Scandinavian Journal of Statistics 6, 1979). Of shape (n,),
    as those given are; NaN stays NaN and is not of the family.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    return _over_family(p_values, _holm)


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return adjusted p-values: of those ≤ α, at most a share α is expected to be wrong.

    Holds for independent or positively dependent tests (Benjamini and Hochberg, Journal of the
    Royal Statistical Society B 57, 1995). Of shape (n,), as those given are; NaN stays NaN and is
    not of the family.
    """
    return _over_family(p_values, _benjamini_hochberg)


def _over_family(
    p_values: NDArray[np.float64], adjust: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    p = np.array(p_values, float)
    family = ~np.isnan(p)
    if family.any():
        p[family] = adjust(p[family])
    return p


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    # statsmodels' multipletests collects garbage at each call: longer than a whole audit.
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(adjusted, 1.0)


def _benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(p[order] * p.size / np.arange(p.size, 0, -1))
    return np.minimum(adjusted, 1.0)
