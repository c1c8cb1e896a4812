"""Figures worked out with other libraries, or published, for tests of several places."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from importlib import resources

from scipy.stats import chi2
from statsmodels.stats.proportion import proportion_confint


def difference_bounds(a: int, n: int, b: int, m: int, c: float = 0.95) -> tuple[float, float]:
    """Bounds of a/n - b/m: statsmodels' exact ones of the two rates, by squares and sums."""
    (low, high), (less, more) = (_exact(*rate, c) for rate in ((a, n), (b, m)))
    value = a / n - b / m
    down, up = (
        math.hypot(*apart) for apart in ((a / n - low, more - b / m), (high - a / n, b / m - less))
    )
    return value - down, value + up


def gap_bounds(
    strata: Iterable[tuple[float, int, int]], b: int, m: int, c: float = 0.95
) -> tuple[float, float]:
    """Bounds of the sum of share × k/n over strata, minus b/m: by squares, at least by gamma."""
    low, high = _exact(b, m, c)
    known = list(strata)
    value = sum(share * k / n for share, k, n in known) - b / m
    below = standardised_reach(known, c)
    above = standardised_reach([(share, n - k, n) for share, k, n in known], c)
    return value - math.hypot(below, high - b / m), value + math.hypot(above, b / m - low)


def standardised_reach(strata: Sequence[tuple[float, int, int]], c: float = 0.95) -> float:
    """How far the sum of share × k/n over strata is from its lower bound."""
    squares = total = variance = 0.0
    for share, k, n in strata:
        squares += (share * (k / n - _exact(k, n, c)[0])) ** 2
        total += share / n * k
        variance += (share / n) ** 2 * k * (n - k + 1) / n
    fewest = variance / (2 * total) * chi2.ppf(1 - c, 2 * total**2 / variance) if total else 0.0
    return max(math.sqrt(squares), total - fewest)


def gamma_bounds(counts: Iterable[tuple[float, int]], c: float = 0.95) -> tuple[float, float]:
    """Fay and Feuer's bounds of a sum of weighted counts, by quantiles of chi-squared."""
    known = list(counts)
    total, squares = sum(w * k for w, k in known), sum(w**2 * k for w, k in known)
    largest = max(w for w, _ in known)
    more, spread = total + largest, squares + largest**2
    low = squares / (2 * total) * chi2.ppf(1 - c, 2 * total**2 / squares) if total else 0.0
    return float(low), float(spread / (2 * more) * chi2.ppf(c, 2 * more**2 / spread))


def _exact(k: int, n: int, c: float) -> tuple[float, float]:
    low, high = proportion_confint(k, n, alpha=2 * (1 - c), method="beta")
    return float(low), float(high)


def published(file: str) -> list[dict[str, str]]:
    """Rows of a table of published models, column → text, as the package carries them."""
    text = resources.files("auditor.models").joinpath(file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
