from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from auditor.check import Finding, Level, Status
from auditor.record import Audit
from auditor.render.junit import junit

CASES = list(itertools.product(Status, ("block", "advise", "off"), ("sign-off", "pull-request")))


def expected(status: Status, level: Level, preset: str) -> str:
    """Spell out, by hand, what a CI server must read."""
    if level == "off" or status is Status.SKIP:
        return "skipped"
    if status is Status.PASS:
        return "passed"
    if level == "advise":
        return "skipped"
    if status is Status.INCONCLUSIVE:
        return "failure" if preset == "sign-off" else "skipped"
    return {Status.FAIL: "failure", Status.ERROR: "error"}[status]


def suite_of(text: str) -> ET.Element:
    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    return suite


def outcome(case: ET.Element) -> str:
    found = [tag for tag in ("failure", "error", "skipped") if case.find(tag) is not None]
    assert len(found) <= 1
    return found[0] if found else "passed"


@pytest.mark.parametrize(("status", "level", "preset"), CASES)
def test_a_ci_server_reads_what_the_policy_means(
    status: Status, level: Level, preset: str, make_audit: Any, make_check: Any
) -> None:
    measured = Finding(subject="x", metric="recall", observed=0.5, status=Status.INCONCLUSIVE)
    findings = [measured] if status is Status.INCONCLUSIVE else []
    checks = [make_check("under-test", status, level, findings=findings), make_check("companion")]
    suite = suite_of(junit(make_audit("accepted", checks, preset=preset)))
    wanted = expected(status, level, preset)
    case = suite.findall("testcase")[0]
    assert case.get("classname") == "auditor"
    assert case.get("name") == "under-test"
    assert outcome(case) == wanted
    counted = {tag: suite.get(f"{tag}s" if tag != "skipped" else tag) for tag in
               ("failure", "error", "skipped")}  # fmt: skip
    assert counted == {tag: str(int(tag == wanted)) for tag in counted}
    assert suite.get("tests") == "2"


def test_an_inconclusive_blocker_says_so(make_audit: Any, make_check: Any) -> None:
    checks = [make_check("vague", Status.INCONCLUSIVE)]
    suite = suite_of(junit(make_audit("undecided", checks)))
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "inconclusive"


def test_what_does_not_block_is_still_told(make_audit: Any, make_check: Any) -> None:
    measured = Finding(subject="x", metric="recall", observed=0.5, status=Status.INCONCLUSIVE)
    checks = [
        make_check("vague", Status.INCONCLUSIVE, findings=[measured]),
        make_check("poor", Status.FAIL, "advise"),
        make_check("broken", Status.ERROR, "advise"),
    ]
    suite = suite_of(junit(make_audit("accepted", checks, preset="pull-request")))
    told = [out.text or "" for out in suite.findall("testcase/system-out")]
    messages = [skipped.get("message") for skipped in suite.findall("testcase/skipped")]
    states = [("vague", "inconclusive"), ("poor", "fail"), ("broken", "error")]
    assert messages == [f"{state}, does not block: The summary of {id}." for id, state in states]
    assert all(state in text for (_, state), text in zip(states, told, strict=True))


def test_a_waived_failure_is_skipped_with_its_reason(rejected: Audit) -> None:
    cases = {case.get("name"): case for case in suite_of(junit(rejected)).findall("testcase")}
    skipped = cases["overfitting"].find("skipped")
    assert skipped is not None
    assert "harder by design" in (skipped.get("message") or "")
    assert "2027-01-31" in (skipped.get("message") or "")


def test_counts_are_those_of_the_cases(
    rejected: Audit, accepted: Audit, undecided: Audit, hostile: Audit, thousand: Audit
) -> None:
    for audit in (rejected, accepted, undecided, hostile, thousand):
        suite = suite_of(junit(audit))
        outcomes = [outcome(case) for case in suite.findall("testcase")]
        assert suite.get("tests") == str(len(outcomes)) == str(len(audit.checks))
        assert suite.get("failures") == str(outcomes.count("failure"))
        assert suite.get("errors") == str(outcomes.count("error"))
        assert suite.get("skipped") == str(outcomes.count("skipped"))


def test_green_means_accepted(make_audit: Any, make_check: Any) -> None:
    # Nothing that blocks ran: every case by itself is fine, the verdict is not.
    audit = make_audit("undecided", [make_check("idle", Status.SKIP)], summary="Nothing ran.")
    suite = suite_of(junit(audit))
    assert [case.get("name") for case in suite.findall("testcase")] == ["idle", "verdict"]
    assert suite.get("errors") == "1"
    assert suite.get("tests") == "2"


def test_control_characters_do_not_break_the_parser(hostile: Audit) -> None:
    text = junit(hostile)
    assert "\x00" not in text
    names = [e.get("message") or "" for e in suite_of(text).iter("failure")]
    assert "nul␀bell␇end" in names[0]


def test_equal_audits_give_equal_bytes(rejected: Audit) -> None:
    assert junit(rejected) == junit(Audit.model_validate_json(rejected.to_json()))


def test_no_name_and_no_reason_begins_a_line(make_audit: Any, make_check: Any) -> None:
    forged = "cat\npass: dog: recall 100.0%, limit 50.0%"
    finding = Finding.fact(forged, "recall", 0.1, 0.5, unit="share", note=forged)
    check = make_check("poor", Status.FAIL, summary=forged, findings=[finding])
    failure = suite_of(junit(make_audit("rejected", [check]))).find("testcase/failure")
    assert failure is not None
    assert "\n" not in (failure.get("message") or "")
    assert len((failure.text or "").splitlines()) == 2
