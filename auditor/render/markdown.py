"""A GitHub job summary or pull-request comment."""

from __future__ import annotations

import re

from auditor import naming, wording
from auditor.check import Finding, Status
from auditor.policy import shown_status
from auditor.record import Audit, CheckResult
from auditor.render import standing

__all__ = ["MARKER", "markdown"]

MARKER = "<!-- auditor -->"
"""First line, by which a later run finds the comment that it should replace."""

_MOST_FINDINGS = 10
_MOST_UNSEEN = 10
_LONGEST = 160
_LONGEST_SENTENCE = 1000

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;"}
_SPECIAL = re.compile(r"[\\*_\[\]~!#$&<>|`]")
# Mentions, issue numbers and bare addresses: GitHub makes links of them, and mentions mail people.
_LINKED = re.compile(r"(?<=[@#])(?=\w)|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)


def escape(text: str, most: int = _LONGEST) -> str:
    """Return a text that GitHub shows as it is: no markup, link, mention or line break.

    >>> escape("a|b `c`")
    'a&#124;b &#96;c&#96;'
    """
    cut = _LINKED.sub("\u200b", naming.shorten(naming.one_line(text), most))
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), cut)


def markdown(audit: Audit) -> str:
    """Return the audit as GitHub-flavoured Markdown."""
    verdict = wording.VERDICT[audit.verdict]
    lines = [
        MARKER,
        f"## {verdict.symbol} {verdict.word}: {escape(audit.candidate.name)}",
        "",
        escape(audit.summary, _LONGEST_SENTENCE),
        "",
        _circumstances(audit),
        "",
        *_set_here(audit),
        *_table(audit),
        *_blocking(audit),
        *_dead_waivers(audit),
        *_not_run(audit),
        *_unseen(audit),
        *_notes(audit),
    ]
    return "\n".join(lines) + "\n"


def _circumstances(audit: Audit) -> str:
    test, classes = audit.data.test, len(audit.data.classes)
    return (
        f"{wording.plural(test.predicted, 'test image')}, {wording.plural(classes, 'class')}, "
        f"policy {audit.policy.preset}, {escape(audit.provenance.created)}, "
        f"audit {audit.digest[:12] or 'not sealed'}."
    )


def _set_here(audit: Audit) -> list[str]:
    said = standing.set_here(audit)
    return [escape(said, _LONGEST_SENTENCE), ""] if said else []


def _table(audit: Audit) -> list[str]:
    head = ["| status | level | check | outcome |", "|---|---|---|---|"]
    return head + [_row(check, audit) for check in standing.by_urgency(audit)]


def _row(check: CheckResult, audit: Audit) -> str:
    status = wording.STATUS[shown_status(check)]
    summary = escape(standing.outcome(check, audit), _LONGEST_SENTENCE)
    return f"| {status.symbol} {status.word} | {check.level} | {_called(check)} | {summary} |"


def _blocking(audit: Audit) -> list[str]:
    blockers = standing.blockers(audit)
    if not blockers:
        return []
    lines = ["", "### What blocks"]
    for check in blockers:
        lines += ["", f"**{escape(check.title)}** ({escape(check.id)}, {shown_status(check)})", ""]
        lines += _findings(check)
    return lines


def _findings(check: CheckResult) -> list[str]:
    findings = standing.worst_first(check)
    judged = [f for f in findings if f.status not in (Status.PASS, Status.SKIP)]
    if not judged:
        return [f"- {escape(check.summary, _LONGEST_SENTENCE)}"]
    shown = judged[:_MOST_FINDINGS]
    short = naming.short_names((f.subject for f in shown), _LONGEST)
    lines = [_finding(f, check, short[f.subject]) for f in shown]
    more = len(judged) - _MOST_FINDINGS
    return lines + ([f"- {more:,} more in the report"] if more > 0 else [])


def _finding(finding: Finding, check: CheckResult, subject: str) -> str:
    figures = wording.compared(finding)
    state = standing.finding_state(finding, check)
    text = f"- {wording.STATUS[state].symbol} {state}: **{escape(subject, _LONGEST_SENTENCE)}**, "
    text += f"{escape(finding.metric)} {figures.observed}"
    if finding.interval:
        text += f" {escape(figures.interval)}"
    if finding.limit is not None:
        bound = "at least" if finding.higher_is_better else "at most"
        text += f"; allowed is {bound} {figures.limit}"
    if finding.n is not None:
        text += f"; n = {finding.n:,}"
    return text + (f"; {escape(finding.note, _LONGEST_SENTENCE)}" if finding.note else "")


def _dead_waivers(audit: Audit) -> list[str]:
    dead = standing.dead_waivers(audit)
    if not dead:
        return []
    said = (f"- {escape(text, _LONGEST_SENTENCE)}" for text in dead)
    return ["", "### Waivers that accept nothing", "", *said]


def _not_run(audit: Audit) -> list[str]:
    idle = standing.not_run(audit)
    said = [f"{_called(check, check.level)}: {escape(check.summary)}" for check in idle]
    return _listed("Not run", said)


def _called(check: CheckResult, *more: str) -> str:
    return f"{escape(check.title)} ({', '.join([escape(check.id), *more])})"


def _unseen(audit: Audit) -> list[str]:
    unseen = [f"{escape(left.subject)}: {escape(left.reason)}" for left in standing.unseen(audit)]
    unseen += [
        f"{escape(image.image)} ({split}): {escape(image.reason)}"
        for split, image in standing.unreadable(audit)
    ]
    return _listed("Images not looked at", unseen)


def _notes(audit: Audit) -> list[str]:
    return _listed("Notes", [escape(note, _LONGEST_SENTENCE) for note in audit.candidate.notes])


def _listed(title: str, said: list[str]) -> list[str]:
    if not said:
        return []
    more = len(said) - _MOST_UNSEEN
    lines = ["", f"### {title}", "", *(f"- {text}" for text in said[:_MOST_UNSEEN])]
    return lines + ([f"- {more:,} more in the report"] if more > 0 else [])
