from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, quantile_test

from auditor.order_statistics import (
    quantile,
    quantile_interval,
    ratio,
    ratio_interval,
    repeats_for_quantile,
)

SAMPLES = st.integers(1, 400)
SHARES = st.sampled_from([0.1, 0.5, 0.9, 0.99])
CONFIDENCES = st.sampled_from([0.8, 0.95, 0.975, 0.99])


@given(n=SAMPLES, q=SHARES, confidence=CONFIDENCES)
@example(n=1, q=0.99, confidence=0.99)
def test_the_bounds_are_the_nearest_order_statistics_that_hold(
    n: int, q: float, confidence: float
) -> None:
    """Against the definition: the r-th of n lies at or below the quantile where B ≥ r.

    A rank that has the confidence to the last digit may count or not: of one value, 0.99 and 0.99.
    """
    low, high = quantile_interval(np.arange(1.0, n + 1), q, confidence)
    ranks = np.arange(1, n + 1)
    lows, highs = set(), set()
    for asked in (confidence - 1e-12, confidence + 1e-12):
        lows.add(max(ranks[binom.sf(ranks - 1, n, q) >= asked], default=-math.inf))
        highs.add(min(ranks[binom.cdf(ranks - 1, n, q) >= asked], default=math.inf))
    assert low in lows
    assert high in highs


@given(seed=st.integers(0, 10_000), q=SHARES, n=st.integers(1, 400))
def test_the_bounds_agree_with_scipys(seed: int, q: float, n: int) -> None:
    values = np.random.default_rng(seed).lognormal(size=n)
    low, high = quantile_interval(values, q, 0.95)
    upper: Any = quantile_test(values, p=q, alternative="less")
    lower: Any = quantile_test(values, p=q, alternative="greater")
    theirs = lower.confidence_interval(0.95).low, upper.confidence_interval(0.95).high
    none = (-math.inf, math.inf)
    assert (low, high) == tuple(
        e if math.isnan(t) else t for t, e in zip(theirs, none, strict=True)
    )


@pytest.mark.parametrize(("q", "n"), [(0.5, 40), (0.9, 100), (0.99, 400)])
def test_each_bound_holds_as_often_as_it_says(q: float, n: int) -> None:
    """Over 2,000 skewed samples; three standard errors of 95% are 1.5 points."""
    random = np.random.default_rng(7)
    truth = -math.log(1 - q)
    bounds = np.array([quantile_interval(row, q) for row in random.exponential(size=(2000, n))])
    assert (bounds[:, 0] <= truth).mean() > 0.935
    assert (bounds[:, 1] >= truth).mean() > 0.935


def test_too_few_repeats_bound_nothing() -> None:
    low, high = quantile_interval(np.array([]), 0.5)
    assert (low, high) == (-math.inf, math.inf)
    for q in (0.5, 0.9, 0.99):
        needed = repeats_for_quantile(q)
        assert math.isfinite(quantile_interval(np.arange(float(needed)), q).high)
        assert math.isinf(quantile_interval(np.arange(needed - 1.0), q).high)


def test_a_quantile_is_one_of_the_values() -> None:
    values = np.random.default_rng(1).lognormal(size=57)
    for q in (0.5, 0.9, 0.99):
        found = quantile(values, q)
        assert found in values
        assert (values <= found).mean() >= q > (values < found).mean()


def test_a_ratio_is_that_of_the_pairs_and_not_of_the_medians() -> None:
    """A load that comes and goes meets both of a pair."""
    random = np.random.default_rng(2)
    load = random.choice([1.0, 1.0, 4.0], size=300)
    slow, quick = 1.2 * load, load * random.uniform(0.99, 1.01, 300)
    low, high = ratio_interval(slow, quick)
    assert ratio(slow, quick) == pytest.approx(1.2, abs=0.01)
    assert 1.19 < low < high < 1.21


def test_the_ratio_of_equals_excludes_one_as_often_as_a_sign_test_rejects() -> None:
    """However the machine behaves: here its load wanders, and each pair is in random order."""
    random = np.random.default_rng(3)
    rejected = 0
    for _ in range(1000):
        drift = np.exp(np.cumsum(random.normal(0, 0.5, 61)))
        pairs = np.stack([drift[:-1], drift[1:]])
        swap = random.random(60) < 0.5
        a, b = np.where(swap, pairs[::-1], pairs)
        low, high = ratio_interval(a, b)
        rejected += low > 1 or high < 1
        heads = int((a > b).sum())
        assert (low > 1) == (binomtest(heads, 60, alternative="greater").pvalue <= 0.05)
    assert rejected / 1000 < 0.10 + 3 * math.sqrt(0.09 / 1000)


def test_a_pair_without_a_time_is_no_pair() -> None:
    low, high = ratio_interval(np.zeros(9), np.ones(9))
    assert (low, high) == (0.0, math.inf)
    assert math.isnan(ratio(np.zeros(9), np.ones(9)))
