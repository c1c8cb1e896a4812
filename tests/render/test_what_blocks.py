"""What keeps an audit from being accepted is what every format shows as blocking."""

from __future__ import annotations

import datetime
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import pytest

from auditor.check import Finding, Level, Status
from auditor.config import CheckTable, Preset, Waiver
from auditor.policy import apply_waivers, decide_verdict, hold_to_level
from auditor.record import Audit, CheckResult
from auditor.render.html import html_report
from auditor.render.junit import junit
from auditor.render.markdown import markdown
from auditor.render.standing import worst_first

PRESETS: tuple[Preset, ...] = ("sign-off", "pull-request")
LEVELS: tuple[Level, ...] = ("block", "advise", "off")
TODAY = datetime.date(2026, 11, 23)
WAIVER = Waiver(check="it", reason="agreed", expires=datetime.date(2099, 1, 1))


def _found(subject: str, status: Status, observed: float | None = 0.5) -> Finding:
    return Finding(subject=subject, metric="recall", observed=observed, status=status)


FAILS, OPEN = _found("cow", Status.FAIL), _found("cat", Status.INCONCLUSIVE)
BLIND = Finding.unmeasured("dog", "recall", "no test image")
FOUND: dict[str, tuple[Status, tuple[Finding, ...]]] = {
    "passes": (Status.PASS, (_found("ant", Status.PASS),)),
    "fails": (Status.FAIL, (FAILS, OPEN)),
    "crashed": (Status.ERROR, ()),
    "not settled": (Status.INCONCLUSIVE, (OPEN,)),
    "not measured": (Status.INCONCLUSIVE, (BLIND,)),
    "in part not measured": (Status.INCONCLUSIVE, (OPEN, BLIND)),
    "without a figure": (Status.INCONCLUSIVE, ()),
    "not run": (Status.SKIP, ()),
}
CASES = list(itertools.product(FOUND, LEVELS, PRESETS, (False, True), (False, True)))


@pytest.fixture
def judged(make_audit: Any, make_check: Any) -> Callable[..., Audit]:
    def build(
        found: str, level: Level, preset: Preset, waived: bool = False, demanded: bool = False
    ) -> Audit:
        status, findings = FOUND[found]
        made: CheckResult = make_check("it", status, level, findings=findings)
        tables = {"it": CheckTable(level="block")} if demanded and level == "block" else {}
        made = apply_waivers(hold_to_level(made, tables), [WAIVER] if waived else [], TODAY)
        checks = [make_check("good"), made, make_check("other", Status.PASS, "advise")]
        verdict, summary = decide_verdict(checks, preset)
        audit: Audit = make_audit(verdict, checks, preset=preset, summary=summary)
        return audit

    return build


@pytest.mark.parametrize(("found", "level", "preset", "waived", "demanded"), CASES)
def test_what_keeps_an_audit_from_being_accepted_blocks_in_every_format(
    judged: Callable[..., Audit],
    found: str,
    level: Level,
    preset: Preset,
    waived: bool,
    demanded: bool,
) -> None:
    """The other two checks pass, so that only this one can be the cause."""
    audit = judged(found, level, preset, waived, demanded)
    cause = set() if audit.verdict == "accepted" else {"it"}
    assert in_junit(audit) == cause
    assert in_markdown(audit) == cause
    assert in_html(audit) == cause
    assert ("blocks the verdict" in html_report(audit)) == bool(cause)


@pytest.mark.parametrize("preset", PRESETS)
def test_its_findings_stand_there(judged: Callable[..., Audit], preset: Preset) -> None:
    """What was not measured, which decides, before what is not settled."""
    audit = judged("in part not measured", "block", preset)
    blocks = section(audit)
    assert "No single check" not in blocks
    failure = suite(audit).findtext("testcase[@name='it']/failure") or ""
    for text in (blocks, markdown(audit).partition("### What blocks")[2], failure):
        assert "no test image" in text
        assert text.index("dog") < text.index("cat")


def test_what_was_not_measured_is_not_cut_behind_what_is_not_settled(make_check: Any) -> None:
    far = [
        Finding(
            subject=f"a{n}", metric="recall", observed=0.1, limit=0.9, status=Status.INCONCLUSIVE
        )
        for n in range(20)
    ]
    check = make_check("it", Status.INCONCLUSIVE, findings=[*far, BLIND])
    assert worst_first(check)[0] == BLIND


def test_a_check_that_was_demanded_and_not_judged_says_so_where_it_blocks(
    judged: Callable[..., Audit],
) -> None:
    audit = judged("not run", "block", "pull-request", demanded=True)
    said = 'level = "block" demands this check, and it was not judged'
    failure = suite(audit).find("testcase[@name='it']/failure")
    assert failure is not None
    for text in (section(audit), failure.get("message") or ""):
        assert said in text
    assert "it was not judged" in markdown(audit).partition("### What blocks")[2]


def test_the_cause_of_a_real_audit_is_shown(
    run: Callable[..., Audit], saved: Callable[..., Path]
) -> None:
    given = {"test": saved({"a": {"a": 300}, "b": {"b": 300}})}
    demanded = {"split-overlap": {"level": "block"}}
    audit = run(predictions=given, checks=demanded, policy={"preset": "pull-request"})
    assert audit.verdict == "undecided"
    assert in_junit(audit) == in_markdown(audit) == in_html(audit) == {"split-overlap"}


def test_where_no_check_is_the_cause_the_verdict_itself_is_red(
    make_audit: Any, make_check: Any
) -> None:
    audit = make_audit("undecided", [make_check("idle", Status.SKIP)], preset="pull-request")
    assert in_junit(audit) == {"verdict"}
    assert in_markdown(audit) == in_html(audit) == set()
    assert "No single check" in section(audit)


def suite(audit: Audit) -> ET.Element:
    found = ET.fromstring(junit(audit)).find("testsuite")
    assert found is not None
    return found


def in_junit(audit: Audit) -> set[str]:
    cases = suite(audit).findall("testcase")
    red = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    return {case.get("name") or "" for case in red}


def in_markdown(audit: Audit) -> set[str]:
    part = markdown(audit).partition("### What blocks")[2].partition("###")[0]
    heads = [line for line in part.splitlines() if line.startswith("**")]
    return {head.rpartition("(")[2].partition(",")[0] for head in heads}


def in_html(audit: Audit) -> set[str]:
    articles = [e for e in blocking(audit).iter("article") if "blocker" in (e.get("class") or "")]
    return {article.findtext("h3/code/bdi") or "" for article in articles}


def section(audit: Audit) -> str:
    return " ".join("".join(blocking(audit).itertext()).split())


def blocking(audit: Audit) -> ET.Element:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    document: ET.Element = parser.parse(html_report(audit))
    return next(element for element in document.iter() if element.get("id") == "blocks")
