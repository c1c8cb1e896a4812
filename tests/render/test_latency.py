"""The exhibit of times: its numbers, its picture, its page."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from typing import Any

import html5lib
import numpy as np
import pytest

from auditor.efficiency.speed import show
from auditor.engine.timings import Timings
from auditor.evidence.latency import Latency
from auditor.record import Audit, Exhibits, LatencyExhibit
from auditor.render.html import html_report
from auditor.render.latency_plot import draw_latency

FACTS = ("device", "processor", "cores", "threads", "dtype", "backend", "torch")


def timing(batch: int, rounds: int) -> Timings:
    random = np.random.default_rng(batch)
    roles = ("candidate", "baseline", "twin")
    processor = 0.01 * batch * random.lognormal(0, 0.05, (rounds, 3)) * np.array([1.2, 1.0, 1.2])
    settled = {"candidate": True, "baseline": False, "twin": True}
    place = np.argsort(random.random((rounds, 3)), axis=1)
    return Timings(batch, roles, 2 * processor, processor, processor, place, settled)


@pytest.fixture(scope="module")
def exhibit() -> LatencyExhibit:
    hardware = {**{name: f"some {name}" for name in FACTS}, "device": "cpu", "threads": "2"}
    names = {"candidate": "<i>new</i>", "baseline": "old"}
    evidence = Latency((timing(1, 900), timing(16, 20)), hardware, {"governor": "powersave"}, names)
    return show(evidence, 0.10, 0.95)


@pytest.fixture(scope="module")
def audit(exhibit: LatencyExhibit, make_audit: Any, make_check: Any) -> Audit:
    exhibits = Exhibits(latency=exhibit)
    made: Audit = make_audit("accepted", [make_check("latency")], exhibits=exhibits)
    return made


def test_the_exhibit_holds_what_was_measured(exhibit: LatencyExhibit) -> None:
    single, batch = exhibit.rows[0], exhibit.rows[2]
    assert single.p50.value == pytest.approx(0.024, rel=0.02)
    assert single.p99.interval is not None
    assert batch.p99.interval is None
    assert batch.throughput.value == pytest.approx(1 / 0.024, rel=0.05)
    assert single.waited == pytest.approx(0.5)
    assert len(single.seconds) == 400
    assert (single.seconds[0], list(single.seconds)) == (
        min(single.seconds),
        sorted(single.seconds),
    )
    decides = {(r.to, r.batch): r for r in exhibit.ratios if r.decides}
    assert {r.clock for r in decides.values()} == {"processor"}
    assert decides["baseline", 1].ratio.value == pytest.approx(1.2, rel=0.01)
    assert decides["twin", 1].ratio.value == pytest.approx(1.0, rel=0.01)


def test_the_drawing_says_its_numbers_and_is_well_formed(exhibit: LatencyExhibit) -> None:
    picture = draw_latency(exhibit)
    for uri in (picture.light, picture.dark):
        ET.fromstring(base64.b64decode(uri.partition("base64,")[2], validate=True))
    assert "to the baseline, single images, processor time: 1.2" in picture.alt
    assert "p99" in picture.alt
    assert draw_latency(exhibit) == picture


def test_the_page_shows_times_ratios_and_hardware(audit: Audit) -> None:
    page = html_report(audit)
    html5lib.HTMLParser(strict=True).parse(page)
    section = page[page.index('<section id="latency"') : page.index('<section id="findings"')]
    for text in (
        "some processor, some cores cores",
        "2 threads",
        "governor powersave",
        "not settled",
    ):
        assert text in section
    assert "&lt;i&gt;new" in section
    assert '<a href="#latency">' in page


def test_a_record_without_a_latency_says_nothing_of_it(make_audit: Any) -> None:
    assert "latency" not in html_report(make_audit("accepted", [])).lower()
