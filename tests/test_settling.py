"""How many more would settle it: so many do, and far fewer do not."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from auditor import settling, stats
from auditor.check import Finding

CONFIDENCE = st.sampled_from([0.6, 0.8, 0.9, 0.95, 0.975, 0.99, 0.999])


@pytest.mark.parametrize(("rate", "n"), [(1.0, 14), (0.95, 30), (0.90, 50), (0.85, 193)])
def test_samples_to_settle_reference_values(rate: float, n: int) -> None:
    assert settling.samples_to_settle(rate, 0.80) == n


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("minimum", [0.5, 0.8, 0.85, 0.99])
def test_wilson_needs_its_own_number_of_perfect_samples(minimum: float, confidence: float) -> None:
    n = settling.samples_for_perfect(minimum, confidence, "wilson")
    assert stats.proportion_interval(n, n, confidence, "wilson").low >= minimum - 1e-9
    assert stats.proportion_interval(n - 1, n - 1, confidence, "wilson").low < minimum


def _right(rate: float, limit: float, n: int) -> int:
    return math.floor(rate * n + 1e-9) if rate >= limit else math.ceil(rate * n - 1e-9)


@given(st.floats(0.05, 1.0), st.floats(0.05, 0.99), CONFIDENCE)
def test_samples_to_settle_settle_with_wilson(rate: float, limit: float, c: float) -> None:
    n = settling.samples_to_settle(rate, limit, c, "wilson")
    assume(n is not None and n <= 20_000)
    assert n is not None
    low, high = stats.proportion_interval(_right(rate, limit, n), n, c, "wilson")
    assert low >= limit - 1e-12 if rate >= limit else high < limit


def test_a_failure_in_a_family_takes_more_samples_and_a_pass_does_not() -> None:
    alone, among = (settling.what_would_settle(8, 12, 0.85, 0.95, family=k) for k in (1, 50))
    assert int(alone.split()[1]) < int(among.split()[1])
    assert alone.split("; ")[1] == among.split("; ")[1]
    above = (settling.what_would_settle(11, 12, 0.85, 0.95, family=k) for k in (1, 50))
    assert len(set(above)) == 1


def test_samples_to_settle_on_the_limit_is_never() -> None:
    assert settling.samples_to_settle(0.8, 0.8) is None
    assert settling.samples_to_settle(1.0, 1.0) is None


@given(st.floats(0.5, 0.9), st.floats(0.02, 0.3))
def test_a_nearer_rate_needs_more_samples(limit: float, gap: float) -> None:
    far, near = limit + gap, limit + gap / 4
    assume(far <= 1)
    few, many = settling.samples_to_settle(far, limit), settling.samples_to_settle(near, limit)
    assert few is not None
    assert many is None or few <= many


@given(st.floats(0.05, 1.0), st.floats(0.05, 0.99), CONFIDENCE)
@example(0.25, 0.9, 0.99)
@example(1.0, 0.1, 0.9)  # the bound stands on the limit, to the last digit
def test_samples_to_settle_settle(rate: float, limit: float, c: float) -> None:
    n = settling.samples_to_settle(rate, limit, c)
    assume(n is not None and n <= 20_000)
    assert n is not None
    low, high = stats.proportion_interval(_right(rate, limit, n), n, c)
    assert low >= limit - 1e-12 if rate >= limit else high < limit


@given(st.floats(0.01, 0.999), CONFIDENCE)
def test_samples_for_perfect_is_the_fewest(minimum: float, c: float) -> None:
    n = settling.samples_for_perfect(minimum, c)
    assert stats.proportion_interval(n, n, c).low >= minimum - 1e-9
    assert n == 1 or stats.proportion_interval(n - 1, n - 1, c).low < minimum + 1e-9


def test_what_would_settle_names_both_numbers() -> None:
    text = settling.what_would_settle(9, 10, 0.80, 0.95)
    assert "about 40 more samples" in text
    extra = int(text.split("; ")[1].split()[0])
    assert stats.proportion_interval(9 + extra, 10 + extra).low >= 0.80
    assert stats.proportion_interval(8 + extra, 9 + extra).low < 0.80


@given(
    st.integers(2, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.floats(-1.2, 1.2),
    CONFIDENCE,
)
@example((173, 200), 1.3, 0.95)
@example((85, 100), 1.3, 0.95)
@example((29_500, 30_000), 1.0, 0.95)
def test_so_many_more_samples_settle_it(counts: tuple[int, int], z: float, c: float) -> None:
    """A limit so many standard errors above the rate, or below it."""
    k, n = counts
    limit = k / n + z * math.sqrt((k + 1) * (n - k + 1)) / n**1.5
    assume(0 < limit < 1)
    low, high = stats.proportion_interval(k, n, c)
    assume(low < limit <= high)
    text = settling.what_would_settle(k, n, limit, c)
    found = re.match(r"about ([\d,]+) more sample", text)
    if found is None:
        assert "stands on the limit" in text
        return
    total = n + int(found[1].replace(",", ""))
    low, high = stats.proportion_interval(_right(k / n, limit, total), total, c)
    assert low >= limit - 1e-9 if k / n >= limit else high < limit + 1e-9


def test_no_number_of_images_shows_a_rate_of_one() -> None:
    assert settling.what_would_settle(600, 600, 1.0, 0.95) == settling.NEVER
    found = Finding.rate("owl", "recall", 0, 0, 1.0, 0.95)
    assert found.note == f"nothing to measure; {settling.NEVER}"


def test_what_would_settle_on_the_limit() -> None:
    assert "stands on the limit" in settling.what_would_settle(8, 10, 0.80, 0.95)


def test_more_repeats_are_as_many_as_the_square_root_says() -> None:
    assert settling.repeats_to_settle(1.10, (1.05, 1.15), 1.10, 50) is None
    near, far = (settling.repeats_to_settle(1.0, (0.9, 1.1), limit, 50) for limit in (1.02, 1.08))
    assert (near or 0) > (far or 0) > 0
    assert settling.repeats_to_settle(1.0, (0.0, math.inf), 1.1, 4) == 4


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.01, 1))
@example(100, 0.04, 0.02)
def test_so_many_bring_a_bound_that_draws_near_by_the_root_to_its_limit(
    n: int, reach: float, room: float
) -> None:
    interval = math.exp(-reach), math.exp(reach)
    more = settling.repeats_to_settle(1.0, interval, math.exp(room), n)
    if more is None:
        assert n * (reach / room) ** 2 > 9_999_999
        return
    assert reach * math.sqrt(n / (n + more)) <= room * (1 + 1e-9)
    assert more == 1 or reach * math.sqrt(n / (n + more - 1)) > room * (1 - 1e-9)


def test_repeats_beyond_ten_million_are_none() -> None:
    """A hundred pairs; the bound is 299 or 317 times as far as the limit."""
    for times, some in ((299, True), (317, False)):
        found = settling.repeats_to_settle(
            1.0, (0.5, math.exp(0.299)), math.exp(0.299 / times), 100
        )
        assert (found is not None) is some
