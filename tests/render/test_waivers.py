"""A waiver covers the failures that it names: every format shows what is left as what it is."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ET
from typing import Any

import click
import html5lib
import pytest

from auditor.check import Finding, Level, Status
from auditor.cli.verdict import verdict
from auditor.config import Preset, Waiver
from auditor.policy import apply_waivers, decide_verdict, describe_policy
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.render.junit import junit
from auditor.render.markdown import markdown
from auditor.render.standing import dead_waivers

TODAY = datetime.date(2026, 11, 23)
CAT = Waiver(
    check="rare",
    subject="cat",
    reason="harder by design",
    owner="A. Owner",
    expires=datetime.date(2099, 1, 1),
)

CAT_RECALL = CAT.model_copy(update={"metric": "recall"})


def finding(subject: str, metric: str, observed: float, status: Status) -> Finding:
    return Finding(
        subject=subject,
        metric=metric,
        observed=observed,
        limit=0.9,
        interval=(observed - 0.05, observed + 0.05),
        n=50,
        status=status,
    )


FAILS = finding("cat", "recall", 0.5, Status.FAIL)
VAGUE = finding("cat", "precision", 0.88, Status.INCONCLUSIVE)
GOOD = finding("cat", "f1", 0.97, Status.PASS)
FAILURES_ALONE = "a waiver accepts failures alone, so it does not help here"
OTHER = finding("dog", "recall", 0.87, Status.INCONCLUSIVE)


@pytest.fixture
def judged(make_check: Any, make_audit: Any) -> Any:
    def build(*findings: Finding, preset: Preset = "sign-off", waiver: Waiver = CAT) -> Audit:
        check = make_check("rare", Status.FAIL, findings=findings, summary="cat fails.")
        results = [apply_waivers(check, [waiver], TODAY), make_check("other")]
        found, summary = decide_verdict(results, preset)
        states = describe_policy(preset, [waiver], results, TODAY).waivers
        audit: Audit = make_audit(found, results, summary=summary, waivers=states, preset=preset)
        return audit

    return build


def test_what_is_left_unsettled_decides_and_blocks_in_every_format(judged: Any) -> None:
    audit = judged(FAILS, OTHER)
    assert (audit.verdict, "not settled" in audit.summary) == ("undecided", True)
    case = case_of(audit)
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("type") == "inconclusive"
    assert case.find("skipped") is None
    assert "| ? inconclusive | block |" in markdown(audit)
    assert "**dog**, recall 87.0%" in markdown(audit).split("### What blocks")[1]
    assert re.search(r"\? inconclusive +block +rare ", terminal(audit))
    blocks, table = section(audit, "blocks"), section(audit, "checks")
    assert "No single check" not in blocks
    assert "? inconclusive dog" in blocks
    assert "? inconclusive Rare holds" in table
    for text in (failure.get("message") or "", markdown(audit), terminal(audit), blocks, table):
        assert "Not waived: dog (recall: inconclusive)." in text


def test_under_a_policy_that_lets_it_pass_it_is_noted_and_not_green(judged: Any) -> None:
    audit = judged(FAILS, OTHER, preset="pull-request")
    assert audit.verdict == "accepted"
    assert case_of(audit).find("skipped") is not None
    assert "| ? inconclusive | block |" in markdown(audit)
    assert "What blocks" not in markdown(audit)


def test_only_what_fails_is_drawn_as_waived(judged: Any) -> None:
    audit = judged(FAILS, VAGUE, GOOD, OTHER)
    card = section(audit, "check-rare")
    told = case_of(audit).findtext("failure") or ""
    for state, sign, metric in (
        ("waived", "⚑ waived", "recall 50.0%"),
        ("inconclusive", "? inconclusive", "precision 88.0%"),
        ("pass", "✓ pass", "f1 97.0%"),
    ):
        assert f"{sign} cat {metric}" in card
        assert f"{state}: cat: {metric}" in told
        if state != "pass":
            assert f"{sign}: **cat**, {metric}" in markdown(audit)
    assert told.index("dog") < told.index("waived: cat")  # what decides comes first


def test_one_whose_every_failure_is_waived_stays_waived(judged: Any) -> None:
    audit = judged(FAILS, GOOD)
    assert "| ⚑ waived | block |" in markdown(audit)
    assert case_of(audit).find("skipped") is not None
    assert "Not waived" not in markdown(audit) + terminal(audit) + junit(audit)


def test_a_failure_beside_a_waived_one_is_no_waiver(judged: Any) -> None:
    audit = judged(FAILS, finding("cow", "recall", 0.4, Status.FAIL))
    assert audit.verdict == "rejected"
    assert "✗ fail: **cow**, recall" in markdown(audit)
    assert "⚑ waived: **cat**, recall" in markdown(audit)
    assert "Not waived: cow (recall: fail)." in terminal(audit)


def test_a_failure_of_another_metric_of_the_same_subject_is_no_waiver(judged: Any) -> None:
    """Its twin is the audit in which that one is fine."""
    audit = judged(FAILS, finding("cat", "precision", 0.4, Status.FAIL), waiver=CAT_RECALL)
    assert audit.verdict == "rejected"
    assert "⚑ waived: **cat**, recall" in markdown(audit)
    assert "✗ fail: **cat**, precision" in markdown(audit)
    assert re.search(r"✗ fail +block +rare ", terminal(audit))
    assert case_of(audit).find("failure") is not None
    assert "Waived 1 of 2 failures of 1 check" in masthead(audit)
    for text in (markdown(audit), terminal(audit), section(audit, "waived")):
        assert re.search(r"Not waived: cat \(precision: fail\)", text)
    twin = judged(FAILS, finding("cat", "precision", 0.97, Status.PASS), waiver=CAT_RECALL)
    assert twin.verdict == "accepted"
    assert re.search(r"⚑ waived +block +rare ", terminal(twin))


@pytest.mark.parametrize("subject", ["cat", None])
def test_every_format_names_the_metric(judged: Any, subject: str | None) -> None:
    audit = judged(FAILS, waiver=CAT_RECALL.model_copy(update={"subject": subject}))
    meant = "cat (recall)" if subject else "every subject (recall)"
    said = f"Waived: {meant}, harder by design (A. Owner, until 2099-01-01)."
    message = case_of(audit)[0].get("message") or ""
    for text in (markdown(audit), terminal(audit), message, section(audit, "checks")):
        assert said in text
    assert f"{meant.replace('every', 'Every')} is accepted until 2099-01-01" in closed(
        section(audit, "waived")
    )
    assert f"waived {meant}: harder by design" in closed(section(audit, "check-rare"))
    assert f"active rare {subject or 'all'} recall harder by design" in section(audit, "method")


def test_every_format_gives_reason_owner_and_expiry(judged: Any) -> None:
    audit = judged(FAILS, OTHER)
    said = "Waived: cat, harder by design (A. Owner, until 2099-01-01)."
    message = case_of(audit)[0].get("message") or ""
    for text in (markdown(audit), terminal(audit), message, section(audit, "checks")):
        assert said in text


@pytest.mark.parametrize("left", [GOOD, OTHER])
def test_the_report_shows_at_its_top_what_was_waived(judged: Any, left: Finding) -> None:
    audit = judged(FAILS, left)
    shown = section(audit, "waived")
    assert "Rare holds rare cat fails." in shown
    assert "cat is accepted until 2099-01-01 by A. Owner : harder by design" in shown
    assert ("Not waived: dog (recall: inconclusive)" in shown) == (left is OTHER)
    assert "accept nothing" not in shown
    assert "Waived 1 failure of 1 check" in masthead(audit)


def test_of_many_that_are_not_waived_some_are_shown_and_the_others_counted(judged: Any) -> None:
    rest = [finding(f"cow {i:04}", "recall", 0.4, Status.FAIL) for i in range(2999)]
    audit = judged(FAILS, *rest)
    shown = section(audit, "waived")
    assert shown.count("Not waived: cow") == 5
    assert "Not waived: 2,994 more findings" in shown
    assert "Waived 1 of 3,000 failures of 1 check" in masthead(audit)
    for text in (case_of(audit)[0].get("message") or "", terminal(audit), markdown(audit)):
        assert "cow 0002 (recall: fail) and 2,996 more." in text.replace("\\", "")


def test_without_a_waiver_nothing_is_said_of_any(make_audit: Any, make_check: Any) -> None:
    audit = make_audit("accepted", [make_check("rare")])
    assert 'id="waived"' not in html_report(audit)
    assert "Waived" not in masthead(audit)


def test_a_waiver_that_accepts_nothing_is_said_in_every_format(
    make_check: Any, make_audit: Any
) -> None:
    late = CAT.model_copy(update={"expires": TODAY - datetime.timedelta(1), "subject": None})
    results = [apply_waivers(make_check("rare", Status.PASS), [CAT, late], TODAY)]
    states = describe_policy("sign-off", [CAT, late], results, TODAY).waivers
    audit = make_audit("accepted", results, waivers=states)
    found = ET.fromstring(junit(audit)).findall("testsuite/properties/property[@name='waiver']")
    for text in (
        markdown(audit),
        terminal(audit),
        " ".join(each.get("value", "") for each in found),
        section(audit, "waived"),
    ):
        assert "rare, cat: covers nothing that fails; remove it" in text
        assert "rare: expired on 2026-11-22; renew it or remove it" in text


@pytest.mark.parametrize(
    ("level", "status", "said"),
    [
        ("block", Status.SKIP, "not needed this time: rare was not run"),
        ("block", Status.INCONCLUSIVE, f"rare is inconclusive; {FAILURES_ALONE}"),
        ("block", Status.ERROR, f"rare ended in an error; {FAILURES_ALONE}"),
        ("off", Status.SKIP, "not needed this time: rare is off"),
        ("advise", Status.PASS, "covers nothing that fails; remove it"),
    ],
)
def test_a_waiver_is_not_to_go_where_its_check_told_nothing(
    level: Level, status: Status, said: str, make_check: Any, make_audit: Any
) -> None:
    results = [make_check("rare", status, level)]
    states = describe_policy("sign-off", [CAT], results, TODAY).waivers
    assert dead_waivers(make_audit("undecided", results, waivers=states)) == [f"rare, cat: {said}"]


def test_a_waiver_stays_where_its_subject_alone_is_unsettled(judged: Any) -> None:
    audit = judged(VAGUE, finding("cow", "recall", 0.4, Status.FAIL))
    said = f"cat (precision) is inconclusive; {FAILURES_ALONE}"
    assert dead_waivers(audit) == [f"rare, cat: {said}"]


def test_a_waiver_of_another_name_than_what_fails_is_told_the_names(judged: Any) -> None:
    """As of an image in a list that is shown, of which its number fails, or a name misspelt."""
    shown = Finding.shown("cat", "recall", 0.5, why="listed")
    rest = [finding(name, "recall", 0.4, Status.FAIL) for name in ("cow", "cow", "hen")]
    for listed in ([], [shown]):
        audit = judged(*listed, *rest)
        said = (
            "rare, cat: no failing finding is called that; failing: cow (recall), hen (recall); "
            "name what it is to accept, or remove it"
        )
        assert dead_waivers(audit) == [said]
        for text in (markdown(audit), terminal(audit), closed(section(audit, "waived"))):
            assert said in text


@pytest.mark.parametrize(
    ("subject", "metric", "said"),
    [
        ("cat", "recal", "cat (recall), cow (precision), cow (recall) and 1 more"),
        ("cot", "recall", "cow (recall), cat (recall), cow (precision) and 1 more"),
        ("hen", "recall", "hen (f1), cow (recall), cat (recall) and 1 more"),
        (None, "recal", "cow (precision), cow (recall), cat (recall) and 1 more"),
    ],
)
def test_a_waiver_that_meets_nothing_is_told_first_what_is_nearest(
    judged: Any, subject: str | None, metric: str, said: str
) -> None:
    named = [("cow", "precision"), ("cow", "recall"), ("cat", "recall"), ("hen", "f1")]
    rest = [finding(*each, 0.4, Status.FAIL) for each in named]
    waiver = CAT.model_copy(update={"subject": subject, "metric": metric})
    (told,) = dead_waivers(judged(*rest, waiver=waiver))
    assert told.startswith(f"rare, {subject or 'every subject'} ({metric}): no failing finding ")
    assert f"; failing: {said}; name what" in told


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("f1", "covers nothing that fails; remove it"),
        ("precision", f"cat (precision) is inconclusive; {FAILURES_ALONE}"),
    ],
)
@pytest.mark.parametrize("subject", ["cat", None])
def test_what_became_of_the_metric_itself_is_told(
    judged: Any, subject: str | None, metric: str, said: str
) -> None:
    waiver = CAT.model_copy(update={"subject": subject, "metric": metric})
    (told,) = dead_waivers(judged(FAILS, VAGUE, GOOD, waiver=waiver))
    assert told.endswith(f" ({metric}): {said}")


def test_its_twin_whose_subject_passes_is_to_go(judged: Any) -> None:
    audit = judged(GOOD, finding("cow", "recall", 0.4, Status.FAIL))
    assert dead_waivers(audit) == ["rare, cat: covers nothing that fails; remove it"]


def test_a_waiver_that_counts_is_not_listed_as_one_that_does_not(judged: Any) -> None:
    audit = judged(FAILS, GOOD)
    assert "accept nothing" not in markdown(audit) + terminal(audit)
    assert 'name="waiver"' not in junit(audit)


def case_of(audit: Audit) -> ET.Element:
    case = ET.fromstring(junit(audit)).find("testsuite/testcase[@name='rare']")
    assert case is not None
    return case


def terminal(audit: Audit) -> str:
    return re.sub(r" *\n +", " ", click.unstyle(verdict(audit, [])))


def closed(text: str) -> str:
    """Return text of elements without the spaces that stand between them inside brackets."""
    return text.replace("( ", "(").replace(" )", ")")


def section(audit: Audit, id: str) -> str:
    return found(audit, "id", id)


def masthead(audit: Audit) -> str:
    return found(audit, "class", "masthead")


def found(audit: Audit, attribute: str, value: str) -> str:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    document: ET.Element = parser.parse(html_report(audit))
    element = next(element for element in document.iter() if element.get(attribute) == value)
    return " ".join(" ".join(element.itertext()).split())
