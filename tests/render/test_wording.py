"""Figures in words, with what they are compared with."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from auditor.check import Finding, Status
from auditor.cli.verdict import verdict
from auditor.naming import one_line
from auditor.render.html import html_report
from auditor.render.junit import junit
from auditor.render.markdown import markdown
from auditor.wording import compared, interval, points, quantity, share


@given(st.floats(1e-6, 100), st.floats(1, 2000))
def test_both_bounds_of_a_time_have_one_unit_and_as_many_digits(low: float, times: float) -> None:
    found = re.fullmatch(
        r"\[([\d,]+\.\d) (µs|ms|s), ([\d,]+\.\d) \2\]", interval((low, low * times), "seconds")
    )
    assert found
    scale = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}[found[2]]
    for text, value in ((found[1], low), (found[3], low * times)):
        assert float(text.replace(",", "")) * scale == pytest.approx(value, abs=0.051 * scale)


@given(st.floats(0.001, 900), st.floats(0.001, 900), st.integers(1, 4), st.sampled_from(["", "×"]))
def test_both_bounds_of_a_plain_figure_have_as_many_digits(
    one: float, other: float, digits: int, sign: str
) -> None:
    bounds = min(one, other), max(one, other)
    assume(not all(bound.is_integer() for bound in bounds))
    assume(not any(0.995 <= bound < 1 for bound in bounds))
    found = interval(bounds, "ratio" if sign else "none", digits)
    told = [Decimal(text.removesuffix(sign)) for text in found[1:-1].split(", ")]
    assert [len(each.as_tuple().digits) for each in told] == [digits + 2] * 2
    for each, bound in zip(told, bounds, strict=True):
        assert float(each) == pytest.approx(bound, rel=0.501 * 10 ** -(digits + 1))


@pytest.mark.parametrize(
    ("value", "bounds", "said"),
    [
        (0.8201, (0.7811, 0.8402), ("0.820", "[0.781, 0.840]")),
        (1.00004, (0.9500, 1.0491), ("1.00×", "[0.950×, 1.05×]")),
        (0.9, (0.75, 1.0), ("0.900", "[0.750, 1.00]")),
        (2.0, (1.0, 3.0), ("2", "[1, 3]")),
    ],
)
def test_a_zero_at_the_end_stays_and_a_whole_number_has_none(
    value: float, bounds: tuple[float, float], said: tuple[str, str]
) -> None:
    unit = "ratio" if "×" in said[0] else "none"
    assert (quantity(value, unit), interval(bounds, unit)) == said


def beyond(unit: str, observed: float, limit: float) -> tuple[str, str]:
    finding = Finding(
        subject="candidate",
        metric="m",
        observed=observed,
        limit=limit,
        interval=(observed, observed),
        n=5,
        unit=unit,
        higher_is_better=False,
        status=Status.FAIL,
    )
    figures = compared(finding)
    bound = figures.observed.removesuffix(" points")
    assert figures.interval == f"[{bound}, {bound}]"
    return figures.observed, figures.limit


@pytest.mark.parametrize(
    ("unit", "observed", "limit", "said"),
    [
        ("parameters", 133_001, 133_000, ("133,001", "133,000")),
        ("parameters", 5_300_001, 5_300_000, ("5,300,001", "5,300,000")),
        ("parameters", 6_300_000, 5_300_000, ("6.30 M", "5.30 M")),
        ("MACs", 400_400_000, 400_000_000, ("400,400,000", "400,000,000")),
        ("bytes", 21_154_192, 21_151_000, ("21,154,192 B", "21,151,000 B")),
        ("share", 0.85000001, 0.85, ("85.000001%", "85.000000%")),
        ("seconds", 0.0200001, 0.02, ("20.0001 ms", "20.0000 ms")),
        ("none", 1234.4, 1234.0, ("1,234.4", "1,234")),
        ("ratio", 1.0000001, 1.0, ("1.0000001×", "1×")),
        ("ratio", 1.1000001, 1.1, ("1.1000001×", "1.1000000×")),
    ],
)
def test_what_differs_looks_different(
    unit: str, observed: float, limit: float, said: tuple[str, str]
) -> None:
    assert beyond(unit, observed, limit) == said


@given(
    unit=st.sampled_from(["parameters", "MACs", "bytes"]),
    limit=st.integers(1, 10**12),
    more=st.integers(1, 10**6),
)
def test_whole_numbers_are_told_apart(unit: str, limit: int, more: int) -> None:
    observed, allowed = beyond(unit, limit + more, limit)
    assert observed != allowed
    if re.fullmatch(r"[\d,]+( B)?", observed + allowed):
        assert int(re.sub(r"\D", "", observed)) > int(re.sub(r"\D", "", allowed))


@pytest.mark.parametrize(
    ("unit", "limit", "said"),
    [
        ("share", 0.85, "85.0%"),
        ("share", 0.98765, "98.765%"),
        ("share", 0.9999, "99.99%"),
        ("share", 1 / 3, "33.3%"),
        ("points", 0.0525, "5.25 points"),
        ("seconds", 0.02055, "20.55 ms"),
        ("ratio", 1.125, "1.125×"),
        ("MACs", 385_800_000, "386 M"),
        ("images", 0, "0"),
    ],
)
def test_a_limit_is_written_as_it_was_set(unit: str, limit: float, said: str) -> None:
    assert beyond(unit, 3 * limit + 2, limit)[1] == said


def test_what_only_the_arithmetic_tells_apart_is_not() -> None:
    assert beyond("share", 0.1 + 0.2, 0.3) == ("30.0%", "30.0%")


def test_nearly_all_is_not_all() -> None:
    assert share(1 - 1e-8) == "99.999999%"
    assert quantity(0.99993, "none") == "0.9999"
    assert quantity(-1 + 1e-8, "none", 2) == "−0.99999999"
    assert interval((0.99981, 0.99998), "none") == "[0.9998, 0.99998]"


def test_hardly_anything_is_not_nothing() -> None:
    assert points(-4e-7, 2) == "−0.00004 points"
    assert interval((-4.99e-5, 4.99e-5), "points", 2) == "[−0.005, +0.005]"


def test_what_the_arithmetic_leaves_is_nothing_and_all() -> None:
    assert points(0.1 + 0.2 - 0.3) == "0.0 points"
    assert quantity(1 - 2**-53, "none") == "1.00"


def test_a_ratio_is_no_certainty() -> None:
    assert quantity(0.99993, "ratio") == "1.00×"


INVISIBLE = (
    "\u00ad", "\u061c", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028",
    "\u00a0", "\u2003", "\u202f", "\u3000", "\u2029", "\u202e",
    "\u2060", "\u2066", "\u3164", "\ufeff", "\U000e0041",
)  # fmt: skip


@pytest.mark.parametrize("hidden", INVISIBLE)
def test_no_two_names_look_alike(hidden: str, make_audit: Any, make_check: Any) -> None:
    audit = make_audit("accepted", [make_check("one", summary=f"a{hidden}b is not ab.")])
    pages = markdown(audit), junit(audit), html_report(audit), verdict(audit, [])
    for page in pages:
        assert f"a{hidden}b" not in page
        assert f"a‹U+{ord(hidden):04X}›b is not ab." in page


BLANKS = st.text("ab \t\n\r\u00a0\u2009", max_size=5)


def collapsed(text: str) -> str:
    """Return what HTML, Markdown and a wrapped terminal leave of a text's blanks."""
    return " ".join(text.split())


@given(BLANKS, BLANKS)
def test_no_two_names_differ_in_blanks_that_nobody_sees(one: str, other: str) -> None:
    assert (collapsed(one_line(one)) == collapsed(one_line(other))) == (one == other)
    assert one_line(one_line(one)) == one_line(one)


BLANK = {"cat": "cat", "cat ": "cat␣", "ca  t": "ca␣ t", "new\tline": "new⇥line",
         "new\nline": "new↵line", "x\xa0y": "x‹U+00A0›y"}  # fmt: skip


@pytest.mark.parametrize("name", BLANK)
def test_every_format_shows_blanks(name: str, make_audit: Any, make_check: Any) -> None:
    finding = Finding.fact(name, "recall", 0.5, 0.9, unit="share")
    check = make_check("one", Status.FAIL, summary=f"Worst: {name}", findings=[finding])
    audit = make_audit("rejected", [check])
    page = html_report(audit)
    assert f'<bdi class="name">{BLANK[name]}</bdi>' in page
    for text in (page, markdown(audit), junit(audit), verdict(audit, [])):
        assert f"Worst: {BLANK[name]}" in collapsed(text)


@pytest.mark.parametrize("name", ["é 猫", "🦊 fox", "שלום", "مرحبا", "e\u0301", "❤\ufe0f", "ไทย"])
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert one_line(name) == name
