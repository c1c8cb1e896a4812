"""JUnit XML, as a CI server reads it: a failure is what blocks, and a pass alone is green."""

from __future__ import annotations

from typing import NamedTuple
from xml.etree import ElementTree

from auditor import naming, wording
from auditor.check import Finding, Status
from auditor.policy import shown_status
from auditor.record import Audit, CheckResult
from auditor.render import standing

__all__ = ["junit"]

_MOST_FINDINGS = 50


class Result(NamedTuple):
    """What a test case says beside its name: an element, its kind and a message."""

    tag: str
    kind: str
    message: str


def junit(audit: Audit) -> str:
    """Return the audit as JUnit XML, one test case a check.

    A blocking failure, and an inconclusive result where the policy lets it block, is a failure;
    a blocking crash is an error. Of all else a pass alone is green: what did not run, is waived, or
    is no pass and does not block is skipped, with the reason. Where the verdict is not "accepted"
    and no check alone is the cause, one more case says so.
    """
    cases = [(check.id, _result(check, audit), _details(check)) for check in audit.checks]
    if audit.verdict != "accepted" and not standing.blockers(audit):
        cases.append(("verdict", Result("error", audit.verdict, audit.summary), ""))
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite", _attributes(audit, [r for _, r, _ in cases]))
    _properties(suite, audit)
    for name, result, details in cases:
        _case(suite, name, result, details)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _result(check: CheckResult, audit: Audit) -> Result | None:
    if check.level == "off":
        return Result("skipped", "off", f"switched off by the policy: {check.summary}")
    state, message = shown_status(check), standing.outcome(check, audit)
    if state == "pass":
        return None
    if standing.blocks(check, audit):
        return Result("error" if state == "error" else "failure", state, message)
    told = "" if state in ("skip", "waived") else f"{state}, does not block: "
    return Result("skipped", state, told + message)


def _attributes(audit: Audit, results: list[Result | None]) -> dict[str, str]:
    tags = [result.tag for result in results if result]
    return {
        "name": "auditor",
        "tests": str(len(results)),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped")),
        "time": f"{audit.provenance.seconds or 0:.3f}",
        "timestamp": naming.visible(audit.provenance.created),
    }


def _properties(suite: ElementTree.Element, audit: Audit) -> None:
    properties = {
        "verdict": audit.verdict,
        "summary": audit.summary,
        "candidate": audit.candidate.name,
        "policy": audit.policy.preset,
        "digest": audit.digest,
    }
    parent = ElementTree.SubElement(suite, "properties")
    dead = [("waiver", text) for text in standing.dead_waivers(audit)]
    for name, value in [*properties.items(), *dead]:
        attributes = {"name": name, "value": naming.one_line(value)}
        ElementTree.SubElement(parent, "property", attributes)


def _case(suite: ElementTree.Element, name: str, result: Result | None, details: str) -> None:
    attributes = {"classname": "auditor", "name": naming.one_line(name), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", attributes)
    if result:
        message = {"message": naming.one_line(result.message)}
        element = ElementTree.SubElement(case, result.tag, message)
        if result.tag != "skipped":  # The schema gives a skip neither type nor text.
            element.set("type", result.kind)
            element.text = details
            return
    if details:
        ElementTree.SubElement(case, "system-out").text = details


def _details(check: CheckResult) -> str:
    word = wording.STATUS[shown_status(check)].word
    findings = [f for f in standing.worst_first(check) if f.status is not Status.SKIP]
    lines = [f"{check.title} ({check.level}): {word}. {check.summary}"]
    lines += [_line(finding, check) for finding in findings[:_MOST_FINDINGS]]
    if (more := len(findings) - _MOST_FINDINGS) > 0:
        lines.append(f"{more:,} more in audit.json")
    return "\n".join(map(naming.one_line, lines))  # no name begins a line of its own


def _line(finding: Finding, check: CheckResult) -> str:
    figures = wording.compared(finding)
    state = standing.finding_state(finding, check)
    text = f"{state}: {finding.subject}: {finding.metric} {figures.observed}"
    text += f" {figures.interval}" if finding.interval else ""
    text += f", limit {figures.limit}" if finding.limit is not None else ""
    return text + (f"; {finding.note}" if finding.note else "")
