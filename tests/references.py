"""Figures worked out with other libraries, or published, for tests of several places."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from importlib import resources

from statsmodels.stats.proportion import proportion_confint


def difference_bounds(a: int, n: int, b: int, m: int, c: float = 0.95) -> tuple[float, float]:
    """Bounds of a/n - b/m: statsmodels' exact ones of the two rates, by squares and sums."""
    return gap_bounds([(1.0, a, n)], b, m, c)


def gap_bounds(
    strata: Iterable[tuple[float, int, int]], b: int, m: int, c: float = 0.95
) -> tuple[float, float]:
    """Bounds of the sum of share × k/n over strata, minus b/m."""
    value = -b / m
    low, high = proportion_confint(b, m, alpha=2 * (1 - c), method="beta")
    below, above = (high - b / m) ** 2, (b / m - low) ** 2
    for share, k, n in strata:
        low, high = proportion_confint(k, n, alpha=2 * (1 - c), method="beta")
        value += share * k / n
        below += (share * (k / n - low)) ** 2
        above += (share * (high - k / n)) ** 2
    return value - math.sqrt(below), value + math.sqrt(above)


def published(file: str) -> list[dict[str, str]]:
    """Rows of a table of published models, column → text, as the package carries them."""
    text = resources.files("auditor.models").joinpath(file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
