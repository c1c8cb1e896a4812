"""P-values from one-sided bounds, and what still stands among several steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy import optimize

from auditor import stats

__all__ = ["Bounds", "holm", "p_above", "p_below"]

Bounds = Callable[[float], tuple[float, float]]
"""Confidence → lower and upper bound, each one-sided, which part as the confidence grows."""

_LEAST, _MOST = 0.5, 1 - 1e-12


def p_above(bounds: Bounds, limit: float) -> float:
    """Return the p-value of "the figure is at most ``limit``".

    It is the least 1 - confidence at which the lower bound is above the limit, from 1e-12 up to
    0.5.
    """
    return _least_level(lambda confidence: bounds(confidence)[0] - limit)


def p_below(bounds: Bounds, limit: float) -> float:
    """Return the p-value of "the figure is at least ``limit``", in the same way."""
    return _least_level(lambda confidence: limit - bounds(confidence)[1])


def _least_level(clearance: Callable[[float], float]) -> float:
    if clearance(_LEAST) <= 0:
        return 1 - _LEAST
    if clearance(_MOST) > 0:
        return 1 - _MOST
    return float(1 - optimize.brentq(clearance, _LEAST, _MOST))


def holm(p_values: Iterable[float]) -> list[float]:
    """Return p-values that hold together."""
    return [float(p) for p in stats.holm(np.array([*p_values], float))]
