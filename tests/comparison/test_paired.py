from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial
from statsmodels.stats.contingency_tables import mcnemar

from auditor.comparison import Comparison
from auditor.comparison.paired import mid_p, paired_interval, paired_intervals

Flipped = Callable[[int, int, int], Comparison]


@pytest.mark.parametrize("confidence", [0.95, 0.975])
@pytest.mark.parametrize("n", [20, 100, 1000])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.3])
def test_each_bound_holds_its_confidence(n: int, share: float, confidence: float) -> None:
    for part in (0.5, 0.75, 1.0):
        lost, won = share * part, share * (1 - part)
        reach = [np.arange(int(binom.ppf(1 - 1e-9, n, p)) + 1) for p in (lost, won)]
        b, c = (grid.ravel() for grid in np.meshgrid(*reach))
        b, c = b[b + c <= n], c[b + c <= n]
        cells = np.stack([b, c, n - b - c], axis=1)
        weight = np.asarray(multinomial.pmf(cells, n, [lost, won, 1 - share]))
        low, high = paired_intervals(b, c, np.full(b.shape, n), confidence)
        assert weight[low <= won - lost + 1e-12].sum() >= confidence - 1e-6
        assert weight[high >= won - lost - 1e-12].sum() >= confidence - 1e-6


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_without_a_flip_it_is_the_rule_of_three(n: int) -> None:
    exact = 1 - 0.05 ** (1 / n)
    assert paired_interval(0, 0, n) == pytest.approx((-exact, exact))


@pytest.mark.parametrize("n", [1, 3, 20])
def test_where_every_image_flips_one_way_it_is_the_interval_of_one_share(n: int) -> None:
    """What is not lost is won, so the difference is 1 less twice the share that is lost."""
    least = 0.05 ** (1 / n)
    assert paired_interval(n, 0, n) == pytest.approx((-1, 1 - 2 * least))


def test_on_nothing_it_says_nothing() -> None:
    assert paired_interval(0, 0, 0) == (-1, 1)


@given(st.integers(1, 500), st.data())
def test_it_is_symmetric_and_holds_the_estimate(n: int, data: st.DataObject) -> None:
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    low, high = paired_interval(b, c, n)
    assert -1 <= low < high <= 1
    assert low <= (c - b) / n <= high
    assert paired_interval(c, b, n) == pytest.approx((-high, -low))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)), min_size=1),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_many_are_bounded_as_each_alone(
    counts: list[tuple[int, int, int]], confidence: float
) -> None:
    lost, won, agree = np.array(counts).T
    low, high = paired_intervals(lost, won, lost + won + agree, confidence)
    for i, (b, c, same) in enumerate(counts):
        alone = paired_interval(b, c, b + c + same, confidence)
        assert (low[i], high[i]) == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize(("b", "c", "p"), [(12, 3, 0.0352), (5, 0, 0.0625)])
def test_reference_values(flipped: Flipped, b: int, c: int, p: float) -> None:
    found = flipped(40, b, c).mcnemar
    assert found is not None
    assert found[0] == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize("b", [0, 1, 2, 7, 40, 350])
@pytest.mark.parametrize("c", [0, 1, 6, 41, 300])
def test_the_exact_p_value_is_that_of_statsmodels(flipped: Flipped, b: int, c: int) -> None:
    found = flipped(700, b, c).mcnemar
    assert found is not None
    assert found[0] == pytest.approx(mcnemar([[0, b], [c, 0]], exact=True).pvalue, rel=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mid_p_is_the_exact_one_less_half_the_point(b: int, c: int) -> None:
    exact = mcnemar([[0, b], [c, 0]], exact=True).pvalue
    sides = [float(mid_p(np.array([x]), np.array([y]))[0]) for x, y in ((b, c), (c, b))]
    assert sum(sides) == pytest.approx(1)
    if b != c:
        expected = exact - binom.pmf(b, b + c, 0.5)
        assert 2 * min(sides) == pytest.approx(expected)
