"""Corrections for many tests, against statsmodels, the definitions and simulated audits."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, false_discovery_control
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

from auditor import stats
from auditor.check import Finding, IntervalMethod, Outcome, Status
from auditor.checks.rare_class_recall import RareClassRecall
from auditor.evidence.confusion import Confusion
from auditor.evidence.counts import ClassCounts
from auditor.multiplicity import Family, rate_p_values
from auditor.wording import p_value

LIMIT = 0.85
ALPHA = 0.05
METHODS: tuple[IntervalMethod, ...] = ("exact", "wilson")
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
RATES = st.lists(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=1,
    max_size=8,
)


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> Iterator[None]:
    """Statsmodels collects garbage at each call; of what is loaded here there is much."""
    gc.freeze()
    yield
    gc.unfreeze()


def _audit(rates: list[tuple[int, int]], interval: IntervalMethod = "exact") -> Outcome:
    """Judge rare classes by (recognised, images)."""
    right, n = np.array(rates).T
    k = len(n)
    names, index = tuple(f"c{i}" for i in range(k)), np.arange(k)
    images = np.r_[right, n - right]
    rows, columns = np.r_[index, index], np.r_[index, np.full(k, k)]
    some = images > 0
    found = Confusion((*names, "other"), rows[some], columns[some], images[some])
    check = RareClassRecall(classes=names, min_recall=LIMIT, interval=interval)
    return check.run(found, ClassCounts(found.classes, {}))


def _statuses(rates: list[tuple[int, int]]) -> list[Status]:
    """Return those of the classes; that of all together comes last."""
    return [finding.status for finding in _audit(rates).findings[: len(rates)]]


@given(P_VALUES)
def test_holm_is_the_step_down_of_its_definition(p: list[float]) -> None:
    found = stats.holm(np.array(p))
    worst, expected = 0.0, {}
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        worst = max(worst, min(1.0, (len(p) - rank) * p[i]))
        expected[int(i)] = worst
    assert found.tolist() == pytest.approx([expected[i] for i in range(len(p))])


@given(P_VALUES)
def test_benjamini_hochberg_equals_scipys(p: list[float]) -> None:
    found = stats.benjamini_hochberg(np.array(p))
    assert found.tolist() == pytest.approx(false_discovery_control(p, method="bh").tolist())


@given(P_VALUES)
def test_holm_is_stricter_than_benjamini_hochberg_and_both_than_none(p: list[float]) -> None:
    alone = np.array(p)
    some, strict = stats.benjamini_hochberg(alone), stats.holm(alone)
    assert (alone <= some + 1e-12).all()
    assert (some <= strict + 1e-12).all()
    assert (strict <= np.minimum(1, len(p) * alone) + 1e-12).all(), "Bonferroni is stricter still"


@given(P_VALUES)
def test_corrections_keep_the_order(p: list[float]) -> None:
    order = np.argsort(p, kind="stable")
    for adjust in (stats.holm, stats.benjamini_hochberg):
        assert (np.diff(adjust(np.array(p))[order]) >= -1e-12).all()


@given(P_VALUES, P_VALUES)
def test_more_members_never_lower_holms_p_values(p: list[float], more: list[float]) -> None:
    joined = stats.holm(np.array([*p, *more]))[: len(p)]
    assert (joined >= stats.holm(np.array(p)) - 1e-12).all()


def test_what_was_not_tested_is_not_of_the_family() -> None:
    p = np.array([0.01, np.nan, 0.04])
    for adjust, method in ((stats.holm, "holm"), (stats.benjamini_hochberg, "fdr_bh")):
        found = adjust(p)
        assert np.isnan(found[1])
        assert found[[0, 2]].tolist() == pytest.approx(
            multipletests(p[[0, 2]], method=method)[1].tolist()
        )


@given(RATES, st.sampled_from([0.0, 0.3, 0.85, 1.0]))
def test_exact_p_values_equal_scipys(rates: list[tuple[int, int]], limit: float) -> None:
    k, n = np.array(rates).T
    expected = [binomtest(*rate, limit, alternative="less").pvalue for rate in rates]
    assert stats.shortfall_p_values(k, n, limit).tolist() == pytest.approx(expected, abs=1e-12)


@given(RATES)
def test_score_p_values_equal_statsmodels(rates: list[tuple[int, int]]) -> None:
    k, n = np.array(rates).T
    expected = [proportions_ztest(*r, LIMIT, "smaller", prop_var=LIMIT)[1] for r in rates]
    found = stats.shortfall_p_values(k, n, LIMIT, "wilson")
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("limit", [0.0, 0.5, 1.0])
def test_p_values_without_samples_and_at_the_ends(method: IntervalMethod, limit: float) -> None:
    p = stats.shortfall_p_values(np.array([0, 0, 7]), np.array([0, 7, 7]), limit, method)
    assert np.isnan(p[0])
    assert p[1] == pytest.approx(1.0 if limit == 0 else p[1])
    assert p[2] == pytest.approx(1.0, abs=0.01)
    assert (p[1] < ALPHA) == (limit > 0)


@pytest.mark.parametrize("method", METHODS)
@given(RATES)
def test_p_values_are_the_duals_of_the_bounds(
    method: IntervalMethod, rates: list[tuple[int, int]]
) -> None:
    k, n = np.array(rates).T
    _, high = stats.proportion_intervals(k, n, 0.95, method)
    p = stats.shortfall_p_values(k, n, LIMIT, method)
    clear = np.abs(high - LIMIT) > 1e-9
    assert ((high < LIMIT) == (p < ALPHA))[clear].all()


@given(RATES.filter(lambda rates: len(rates) > 1), st.floats(0, 0.5))
def test_the_p_value_of_a_gap_is_the_dual_of_its_bound(
    rates: list[tuple[int, int]], margin: float
) -> None:
    counts = (*rates[0], *rates[1])
    p = stats.excess_p_value(*counts, margin)
    assert 0 < p <= 0.5
    low = stats.difference_interval(*counts, 0.95).low
    if abs(low - margin) > 1e-9:
        assert (p < ALPHA) == (low > margin)
    if 1e-6 < p < 0.5:  # below, 1 - p no longer holds enough digits of p
        assert stats.difference_interval(*counts, 1 - p).low == pytest.approx(margin, abs=1e-6)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_family_of_one_is_judged_as_before(rate: tuple[int, int]) -> None:
    alone = Finding.rate("c0", "recall", *rate, LIMIT, 0.95)
    assert _audit([rate]).findings[0] == alone


@given(RATES)
def test_the_correction_only_ever_turns_failures_into_inconclusive(
    rates: list[tuple[int, int]],
) -> None:
    alone = [Finding.rate("c", "recall", *rate, LIMIT, 0.95).status for rate in rates]
    for before, after in zip(alone, _statuses(rates), strict=True):
        assert after is before or (before, after) == (Status.FAIL, Status.INCONCLUSIVE)


@given(RATES, RATES)
def test_adding_classes_never_turns_another_into_a_failure(
    rates: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    before, after = _statuses(rates), _statuses([*rates, *more])[: len(rates)]
    for old, new in zip(before, after, strict=True):
        assert new is old or (old, new) == (Status.FAIL, Status.INCONCLUSIVE)


@given(RATES, st.integers(0, 7))
def test_a_worse_class_never_saves_another(rates: list[tuple[int, int]], which: int) -> None:
    i = which % len(rates)
    worse = [*rates]
    worse[i] = (worse[i][0] // 2, worse[i][1])
    for old, new in zip(_statuses(rates), _statuses(worse), strict=True):
        assert not (old is Status.FAIL and new is not Status.FAIL)


def test_a_failure_that_is_not_upheld_says_so_and_what_would_settle_it() -> None:
    low, good = (6, 10), (20, 20)
    assert _audit([low]).status is Status.FAIL
    outcome = _audit([low, *[good] * 11])
    assert outcome.status is Status.INCONCLUSIVE
    assert "Holm over 12 rare classes: p = 0.6)" in outcome.findings[0].note
    more = int(outcome.findings[0].note.split("about ")[1].split()[0])
    right = int(0.6 * (10 + more) + 1e-9)
    assert _audit([(right, 10 + more), *[good] * 11]).status is Status.FAIL


def test_what_would_settle_it_with_wilson_does() -> None:
    good = [(20, 20)] * 49
    note = _audit([(6, 10), *good], "wilson").findings[0].note
    total = 10 + int(note.split("about ")[1].split()[0])
    found, fewer = (
        _audit([(math.ceil(0.6 * n - 1e-9), n), *good], "wilson") for n in (total, total - 5)
    )
    assert (found.status, fewer.status) == (Status.FAIL, Status.INCONCLUSIVE)


def test_an_upheld_failure_names_its_family() -> None:
    finding = _audit([(2, 20), *[(20, 20)] * 4]).findings[0]
    assert finding.status is Status.FAIL
    assert finding.note.startswith("Holm over 5 rare classes: p = ")


def test_classes_without_images_do_not_dilute_the_family() -> None:
    low = (6, 10)
    outcome = _audit([low, (0, 0), (0, 0)])
    assert [f.status for f in outcome.findings[:3]] == [Status.FAIL, *[Status.INCONCLUSIVE] * 2]


def test_every_class_of_a_hundred_passes_on_its_own() -> None:
    assert _audit([(19, 19)] * 100).status is Status.PASS
    assert _audit([*[(19, 19)] * 99, (18, 18)]).status is Status.INCONCLUSIVE


def test_wilson_decides_where_it_is_asked_to() -> None:
    assert _audit([(16, 16)], "wilson").status is Status.PASS
    assert _audit([(15, 15)], "wilson").status is Status.INCONCLUSIVE
    assert "1 if all are right" in _audit([(15, 15)], "wilson").findings[0].note
    assert _audit([(16, 16)]).status is Status.INCONCLUSIVE


def test_gaps_are_judged_by_the_p_values_they_are_given() -> None:
    def gap(observed: float) -> Finding:
        return Finding.fact("a", "gap", observed, 0.1, n=9, unit="points")

    fails, passes = gap(0.3), gap(0.1)
    family = Family(np.array([0.02, 0.04, 0.9]), "Benjamini–Hochberg", "gaps", 0.95)
    assert family.judge(0, fails).status is Status.INCONCLUSIVE
    assert family.judge(0, passes) == passes
    assert "samples" not in family.judge(0, fails).note
    family = Family(np.array([0.02, 0.03, 0.9]), "Benjamini–Hochberg", "gaps", 0.95)
    assert family.judge(1, fails).status is Status.FAIL


@pytest.mark.parametrize(
    ("p", "least", "said"), [(1e-12, 1e-12, "p ≤ 2e-12"), (1e-12, 0.0, "p = 2e-12")]
)
def test_what_was_not_looked_for_further_down_is_a_bound(p: float, least: float, said: str) -> None:
    low = Finding.rate("a", "recall", 0, 9, LIMIT, 0.95)
    p_values = np.array([p, 0.9])
    family = Family(p_values, "Benjamini–Hochberg", "figures", 0.95, least_p=least)
    assert family.judge(0, low).note.endswith(said)
    exact = Family(p_values * [1e-9, 1], "Benjamini–Hochberg", "figures", 0.95, least_p=least)
    assert exact.judge(0, low).note.endswith("p = 2e-21")


def test_p_values_of_findings_are_those_of_their_counts() -> None:
    rates = [(29, 30), (0, 7), (7, 7), (0, 0)]
    findings = [Finding.rate("c", "recall", *rate, LIMIT, 0.95) for rate in rates]
    expected = [*(float(binom.cdf(k, n, LIMIT)) for k, n in rates[:3]), np.nan]
    assert rate_p_values(findings).tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("method", METHODS)
def test_each_rate_is_tested_exactly_at_its_own_limit(method: IntervalMethod) -> None:
    rates = [(29, 30, 0.99), (10, 30, 0.5), (60, 90, 0.75)]
    findings = [Finding.rate("c", "recall", *rate, 0.95, method) for rate in rates]
    expected = [float(binom.cdf(k, n, limit)) for k, n, limit in rates]
    assert rate_p_values(findings).tolist() == pytest.approx(expected)


def test_a_rate_gives_back_the_images_that_it_was_made_of() -> None:
    """Of 100 images 29 are 28.999999999999996 times a hundredth."""
    findings = [Finding.rate("c", "recall", k, 100, 0.5, 0.95) for k in range(101)]
    expected = binom.cdf(np.arange(101), 100, 0.5).tolist()
    assert rate_p_values(findings).tolist() == pytest.approx(expected)


def test_two_are_a_family_already() -> None:
    """Three of eight is p = 0.04 at 70%; of two such tests one may be by chance."""
    alone = Family(np.array([0.04]), "Holm", "classes", 0.95)
    both = Family(np.array([0.04, 0.5]), "Holm", "classes", 0.95)
    assert (alone.upheld.tolist(), both.upheld.tolist()) == ([True], [False, False])


def _draw(rate: float, n: int, classes: int, audits: int) -> NDArray[np.int64]:
    return np.random.default_rng(5).binomial(n, rate, (audits, classes))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "classes"), [(40, 20), (20, 100)])
def test_classes_on_the_limit_fail_at_most_at_the_nominal_rate(
    method: IntervalMethod, n: int, classes: int
) -> None:
    """Held to p-values of the score test, every sixth audit of 100 good classes would fail."""
    draws = _draw(LIMIT, n, classes, 250)
    outcomes = [_audit([(int(k), n) for k in row], method) for row in draws]
    failed = sum(outcome.status is Status.FAIL for outcome in outcomes)
    bare = sum(any((f.interval or (0, 1))[1] < LIMIT for f in o.findings) for o in outcomes)
    assert binomtest(failed, 250, ALPHA, alternative="greater").pvalue > 0.01
    assert bare > 100, "without Holm, every other audit of good classes fails"


@pytest.mark.parametrize("n", [5, 19, 50, 120])
def test_a_class_just_under_the_limit_passes_at_most_at_the_nominal_rate(n: int) -> None:
    passes = [_audit([(k, n), (n, n)]).status is Status.PASS for k in range(n + 1)]
    assert binom.pmf(np.arange(n + 1), n, LIMIT - 0.001) @ passes <= ALPHA


@pytest.mark.parametrize("right", [0, 10])
def test_a_p_value_beyond_the_arithmetic_is_no_zero(right: int) -> None:
    findings = [Finding.rate(name, "recall", right, 100_000, 0.9, 0.95) for name in "ab"]
    family = Family(rate_p_values(findings), "Holm", "classes", 0.95, "exact")
    assert family.judge(0, findings[0]).note.endswith("p < 1e-300")


@given(st.floats(1e-299, 1))
def test_a_p_value_is_what_it_says(value: float) -> None:
    assert float(p_value(value, 17).removeprefix("= ")) == value
