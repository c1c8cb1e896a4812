"""Intervals of composite figures: against exact ones, their derivatives, and simulated audits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import approx_fprime
from scipy.stats import binom, binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score, matthews_corrcoef

from auditor import composite, stats
from auditor.composite import Answers, Figure, Reliability
from auditor.evidence.confusion import Confusion
from auditor.record import Audit

Make = Callable[..., Confusion]

FIGURES = {
    "balanced accuracy": composite.BALANCED_ACCURACY,
    "macro-F1": composite.MACRO_F1,
    "MCC": composite.MATTHEWS,
    "kappa": composite.KAPPA,
    "gap": composite.ACCURACY_GAP,
}
EVEN = np.linspace(0, 1, 16)[1:-1]
"""Between 15 bins of equal width."""
EACH = pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
MATRICES = st.integers(2, 6).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(0, 30), min_size=k, max_size=k), min_size=k, max_size=k
    ).map(lambda rows: np.array(rows, np.int64))
)


def _confusion(counts: NDArray[np.int64]) -> Confusion:
    rows, columns = np.nonzero(counts)
    names = tuple(f"c{i}" for i in range(len(counts)))
    return Confusion(names, rows, columns, counts[rows, columns])


def _value(found: Confusion, figure: Figure) -> float | None:
    gap = None
    if found.accuracy is not None and found.balanced_accuracy is not None:
        gap = found.accuracy - found.balanced_accuracy
    values = (found.balanced_accuracy, found.macro_f1, found.matthews, found.kappa, gap)
    return dict(zip(FIGURES.values(), values, strict=True))[figure]


@EACH
@given(MATRICES)
def test_the_estimate_is_inside_and_the_bounds_are_in_range(
    figure: Figure, counts: NDArray[np.int64]
) -> None:
    found = _confusion(counts)
    value, bounds = _value(found, figure), composite.interval(found, figure)
    assert (value is None) == (bounds is None)
    if value is not None and bounds is not None:
        assert figure.least <= bounds.low <= value + 1e-12
        assert value - 1e-12 <= bounds.high <= 1


@EACH
@given(MATRICES)
def test_the_same_counts_have_the_same_interval(figure: Figure, counts: NDArray[np.int64]) -> None:
    assume(counts.sum())
    bounds = composite.interval(_confusion(counts), figure)
    assert bounds == composite.interval(_confusion(counts), figure)
    order = np.arange(len(counts))[::-1]
    turned = composite.interval(_confusion(counts[np.ix_(order, order)]), figure)
    assert bounds == (turned if turned is None else pytest.approx(turned, abs=1e-9))


@EACH
@given(MATRICES)
def test_more_confidence_widens(figure: Figure, counts: NDArray[np.int64]) -> None:
    found = _confusion(counts)
    narrow, wide = (composite.interval(found, figure, c) for c in (0.9, 0.99))
    if narrow is not None and wide is not None:
        assert wide.low <= narrow.low + 1e-9
        assert wide.high >= narrow.high - 1e-9


@EACH
def test_classes_that_never_occur_change_nothing(figure: Figure) -> None:
    counts = np.array([[90, 10, 0], [2, 18, 0], [0, 0, 0]])
    bounds = composite.interval(_confusion(counts), figure)
    assert bounds == composite.interval(_confusion(counts[:2, :2]), figure)


@pytest.mark.parametrize("name", ["balanced accuracy", "macro-F1", "MCC", "kappa"])
@pytest.mark.parametrize("images", [(5, 5), (1000, 5), (5,) * 100, (1, 1)])
def test_all_right_is_never_a_point(name: str, images: tuple[int, ...]) -> None:
    bounds = composite.interval(_confusion(np.diag(images)), FIGURES[name])
    assert bounds is not None
    assert bounds.high == 1.0
    assert bounds.low < 0.995


def test_five_of_five_beside_many_bounds_balanced_accuracy_as_clopper_and_pearson_would() -> None:
    bounds = composite.interval(_confusion(np.diag([100_000, 5])), composite.BALANCED_ACCURACY)
    assert bounds is not None
    exact = stats.proportion_interval(5, 5).low
    assert bounds.low == pytest.approx((1 + exact) / 2, abs=0.05)
    assert bounds.low <= (1 + exact) / 2


def test_with_equal_classes_balanced_accuracy_is_bounded_as_accuracy() -> None:
    counts = np.full((10, 10), 2) + np.diag(np.full(10, 160))
    found = _confusion(counts)
    bounds = composite.interval(found, composite.BALANCED_ACCURACY)
    exact = stats.proportion_interval(found.right, found.n)
    assert bounds == pytest.approx(exact, abs=0.004)


@EACH
def test_slopes_are_the_derivatives(figure: Figure) -> None:
    random = np.random.default_rng(3)
    share, predicted = random.dirichlet(np.ones(5), 2)
    recall = random.uniform(0.2, 0.9, 5)
    slope = figure.slope(Answers(share, recall, predicted))

    def value(rates: NDArray[np.float64]) -> float:
        return figure.slope(Answers(share, rates[:5], rates[5:])).value

    found = np.r_[slope.recall, slope.predicted]
    assert found == pytest.approx(approx_fprime(np.r_[recall, predicted], value), abs=1e-5)


@given(MATRICES)
def test_slopes_values_equal_scikit_learns(counts: NDArray[np.int64]) -> None:
    assume((counts.sum(axis=1) > 0).all())
    assume((counts.sum(axis=0) > 0).all())
    label, predicted = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0).T
    share = counts.sum(axis=1) / counts.sum()
    recall = np.diag(counts) / counts.sum(axis=1)
    answers = Answers(share, recall, counts.sum(axis=0) / counts.sum())
    expected = [
        balanced_accuracy_score(label, predicted),
        f1_score(label, predicted, average="macro"),
        matthews_corrcoef(label, predicted),
        cohen_kappa_score(label, predicted),
    ]
    found = [figure.slope(answers).value for figure in list(FIGURES.values())[:4]]
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_figure_without_a_value_has_no_interval() -> None:
    always = _confusion(np.array([[97, 0], [3, 0]]))
    assert composite.interval(always, composite.MATTHEWS) is None
    assert composite.interval(always, composite.KAPPA) is not None
    empty = _confusion(np.zeros((2, 2), np.int64))
    assert all(composite.interval(empty, figure) is None for figure in FIGURES.values())


@pytest.mark.parametrize("k", [2, 30])
def test_the_truth_is_inside_as_often_as_stated(k: int) -> None:
    random = np.random.default_rng(11)
    n = np.r_[200, np.linspace(5, 20, k - 1).astype(int)]
    rows = np.full((k, k), 0.1 / (k - 1)) + np.diag(np.full(k, 0.9 - 0.1 / (k - 1)))
    share = n / n.sum()
    answers = Answers(share, np.diag(rows), share @ rows)
    inside = dict.fromkeys(FIGURES, 0)
    for _ in range(200):
        found = _confusion(np.stack([random.multinomial(n[i], rows[i]) for i in range(k)]))
        for name, figure in FIGURES.items():
            low, high = composite.interval(found, figure) or (1, 0)
            inside[name] += low <= figure.slope(answers).value <= high
    assert all(held >= 170 for held in inside.values()), inside


def test_a_thousand_classes_take_no_time() -> None:
    random = np.random.default_rng(1)
    rows, columns = np.divmod(np.unique(random.integers(0, 1_000_000, 20_000)), 1000)
    images = np.where(rows == columns, 40, 1)
    found = Confusion(tuple(map(str, range(1000))), rows, columns, images)
    started = time.process_time()
    assert all(composite.interval(found, figure) for figure in FIGURES.values())
    assert time.process_time() - started < 3


def test_the_report_and_the_check_show_the_intervals(
    confusion: Make, run: Callable[..., Audit], saved: Callable[..., Path]
) -> None:
    table = {"a": {"a": 90, "b": 10}, "b": {"b": 5}}
    found, audit = confusion(table), run(predictions={"test": saved(table)})
    shown = {row.name: row.interval for row in audit.exhibits.metrics}
    judged = {f.metric: f.interval for f in audit.check("accuracy-paradox").findings}
    for row, metric, figure in (
        ("balanced accuracy", "balanced accuracy", composite.BALANCED_ACCURACY),
        ("macro-F1", "macro-F1", composite.MACRO_F1),
        ("MCC", "Matthews correlation", composite.MATTHEWS),
        ("Cohen's κ", "Cohen's kappa", composite.KAPPA),
    ):
        assert shown[row] == judged[metric] == composite.interval(found, figure)
        assert shown[row] is not None


# Expected calibration error


@given(st.integers(1, 400), st.integers(0, 99))
def test_calibration_error_equals_scikit_learns_bins(n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    stated = random.uniform(0.1, 1.0, n)
    right = random.random(n) < stated**2
    found = Reliability.of(stated, right, EVEN)
    share, mean = calibration_curve(right, stated, n_bins=15)
    assert found.probability == pytest.approx(mean)
    assert found.right / found.images == pytest.approx(share)
    error, bounds = found.error, found.interval()
    assert error is not None
    assert bounds is not None
    assert error == pytest.approx(float(found.images @ np.abs(share - mean)) / n)
    assert 0 <= bounds.low <= error <= bounds.high <= 1


def test_probabilities_of_zero_and_one_have_bins() -> None:
    found = Reliability.of(np.array([0.0, 1.0, 1.0]), np.array([False, True, False]), EVEN)
    assert (found.images.tolist(), found.right.tolist()) == ([1, 2], [0, 1])


def test_bins_may_be_given() -> None:
    stated, right = np.array([0.2, 0.5, 0.6, 0.9]), np.array([False, True, True, True])
    found = Reliability.of(stated, right, np.array([0.5]))
    assert (found.images.tolist(), found.right.tolist()) == ([2, 2], [1, 2])
    assert found.probability == pytest.approx([0.35, 0.75])


def test_five_of_five_is_no_certainty_of_calibration() -> None:
    found = Reliability.of(np.ones(5), np.ones(5, bool), EVEN)
    assert found.error == 0
    bounds = found.interval()
    assert bounds is not None
    assert bounds.low == 0
    assert bounds.high > 0.2


@pytest.mark.parametrize(("n", "right"), [(5, 5), (37, 37), (59, 59), (80, 79), (100, 95)])
@pytest.mark.parametrize("stated", [1.0, 0.97, 0.6])
def test_one_bin_has_the_exact_upper_bound(n: int, right: int, stated: float) -> None:
    """Wherever the true share lies within its own bounds, the distance to it lies within these."""
    found = Reliability(np.array([n]), np.array([right]), np.array([stated])).interval()
    exact = binomtest(right, n).proportion_ci(0.90, "exact")
    assert found is not None
    assert found.high == pytest.approx(max(exact.high - stated, stated - exact.low))


@pytest.mark.parametrize("n", [37, 59, 60, 100, 300, 1000])
def test_of_candidates_that_are_always_sure_and_wrong_in_5_percent_few_look_calibrated(
    n: int,
) -> None:
    def high(right: int) -> float:
        found = Reliability(np.array([n]), np.array([right]), np.ones(1)).interval()
        return 1.0 if found is None else found.high

    wrongly = sum(binom.pmf(right, n, 0.9499) for right in range(n + 1) if high(right) <= 0.05)
    assert wrongly <= 0.05


def test_a_lower_bound_does_not_take_luck_for_too_little_confidence() -> None:
    """30 of 30 right, stated 0.9: a calibrated candidate has that in 4% of audits."""
    found = Reliability(np.array([30]), np.array([30]), np.array([0.9])).interval()
    assert found is not None
    assert found.low == 0


def test_a_confidence_of_next_to_a_half_has_bounds() -> None:
    found = Reliability.of(np.ones(5), np.ones(5, bool), EVEN).interval(0.5000001)
    assert found is not None
    assert found.low == 0
    assert found.high == pytest.approx(1 - 0.5 ** (1 / 5), abs=1e-6)


def test_no_image_has_no_calibration() -> None:
    found = Reliability.of(np.zeros(0), np.zeros(0, bool), EVEN)
    assert found.error is None
    assert found.interval() is None


@pytest.mark.parametrize("excess", [0.0, 0.1, 0.3])
def test_calibration_errors_truth_is_inside(excess: float) -> None:
    random, inside = np.random.default_rng(2), 0
    for _ in range(300):
        stated = random.uniform(0.4, 1.0, 300)
        right = random.random(300) < stated - excess
        low, high = Reliability.of(stated, right, EVEN).interval() or (1, 0)
        inside += low <= excess <= high
    assert inside >= 264


def test_a_single_bin_is_bounded_as_two_sided_noise_would() -> None:
    many = Reliability(np.array([10_000]), np.array([5_300]), np.array([0.5]))
    bounds = many.interval()
    assert bounds is not None
    # |normal| exceeds 1.96 standard deviations in 5%; the upper bound has the usual 1.645
    assert bounds.low == pytest.approx(0.03 - 1.96 * 0.005, abs=2e-4)
    assert bounds.high == pytest.approx(0.03 + 1.645 * 0.005, abs=2e-4)
