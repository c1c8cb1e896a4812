from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any

import html5lib
import pytest

from auditor.evidence.predictions import Predictions
from auditor.ladder import Ladder, Rung, climb
from auditor.render.ladder import html_ladder

Said = Callable[..., Predictions]
Make = Callable[..., Rung]
HOSTILE = "<script>alert('b1')</script>\u202e"


@pytest.fixture
def rungs(said: Said, rung: Make) -> list[Rung]:
    train = said([True] * 90)
    shares = ((0.70, "b0"), (0.80, HOSTILE), (0.80, "b2"))
    return [
        rung(name, said([k % 100 < 100 * s for k in range(3000)]), macs=10**i, train=train)
        for i, (s, name) in enumerate(shares, 1)
    ]


@pytest.fixture
def page(rungs: list[Rung]) -> str:
    return html_ladder(climb(rungs))


def test_it_is_one_sound_page_that_runs_and_loads_nothing(page: str) -> None:
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert set(re.findall(r"(?:src|srcset|href)=\"([a-z]+:|#)", page)) <= {"data:", "#"}


def test_it_says_where_scaling_stops(page: str) -> None:
    assert '<div class="verdict rejected">' in page
    assert "Scaling stops paying at b2" in page
    assert "✓</span> pays" in page
    assert "✗</span> does not pay" in page


def test_a_p_value_at_an_end_of_its_search_is_a_bound(rungs: list[Rung]) -> None:
    found = climb(rungs)
    assert [step.p_pays for step in found.steps] == pytest.approx([2e-12, 0.5], rel=1e-3)
    assert '<td class="num">≤ 2e-12</td><td class="num">≥ 0.5</td>' in html_ladder(found)


def test_a_p_value_within_is_none(said: Said, rung: Make) -> None:
    near = ([k % 100 < share for k in range(3000)] for share in (80, 81))
    page = html_ladder(climb([rung(f"{i}", said(right)) for i, right in enumerate(near)]))
    assert "≤ " not in page
    assert page.count("≥ ") == 1  # that it does not pay


def test_the_plot_carries_its_numbers(page: str) -> None:
    (alt,) = re.findall(r'<img class="day" [^>]*alt="([^"]*)"', page)
    assert "b0: 10 MACs, 70.0%, 100.0% on training images" in alt
    assert "b2 does not pay" in alt
    (drawing,) = re.findall(r'<img class="day" src="data:image/svg\+xml;base64,([^"]+)"', page)
    svg = base64.b64decode(drawing).decode()
    assert "step pays" in svg
    assert "100" in svg
    assert "<dc:date>" not in svg
    assert page.count("prefers-color-scheme: dark") >= 2


def test_without_a_cost_there_is_no_plot(said: Said, rung: Make) -> None:
    test = said([True, False, True] * 30)
    page = html_ladder(climb([rung("a", test), rung("b", test)]))
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<img" not in page
    assert "as given; the cost is not known" in page


def test_nothing_to_compare_is_a_page_too(rung: Make) -> None:
    found = climb([rung("a", None, missing={"test": "away"}), rung("b", None)])
    page = html_ladder(found)
    html5lib.HTMLParser(strict=True).parse(page)
    assert "Not compared:" in page
    assert "away" in page


def test_the_document_is_sorted_and_reads_back(rungs: list[Rung]) -> None:
    found = climb(rungs)
    text = found.to_json()
    document: dict[str, Any] = json.loads(text, parse_constant=lambda name: math.nan)
    assert list(document) == sorted(document)
    assert "NaN" not in text
    assert "Infinity" not in text
    assert Ladder.model_validate_json(text) == found
    assert climb(rungs).to_json() == text
