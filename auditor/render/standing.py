"""What each outcome does to the verdict, and which of its findings a reader should see first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from auditor import policy
from auditor.check import Finding, Level, Status
from auditor.config.literal import literal
from auditor.naming import shorten
from auditor.policy import covers, shown_status
from auditor.record import Audit, CheckResult, UnreadableImage, WaiverInfo
from auditor.wording import listed, plural

__all__ = [
    "Unseen",
    "advising",
    "blockers",
    "blocks",
    "by_urgency",
    "dead_waivers",
    "finding_state",
    "not_run",
    "not_waived",
    "outcome",
    "set_here",
    "tally",
    "unreadable",
    "unseen",
    "waived",
    "waived_failures",
    "worst_first",
]

_URGENCY = ("fail", "error", "inconclusive", "waived", "pass", "skip", "shown", "off")
_IDLE = {"off": "is off", "skip": "was not run"}
_LONGEST_VALUE = 40
_OPEN = {"error": "ended in an error", "inconclusive": "is inconclusive"}


def blocks(check: CheckResult, audit: Audit) -> bool:
    """Tell whether this outcome stands between the candidate and "accepted"."""
    return policy.blocks(check, audit.policy.preset)


def blockers(audit: Audit) -> list[CheckResult]:
    """Return the checks that block, failures first."""
    return [check for check in by_urgency(audit) if blocks(check, audit)]


def advising(audit: Audit) -> list[CheckResult]:
    """Return the checks that would block if they did not merely advise, failures first."""
    return [
        check
        for check in by_urgency(audit)
        if check.level == "advise" and shown_status(check) in ("fail", "error")
    ]


def set_here(audit: Audit) -> str:
    """Name the options of blocking checks that the configuration changed; empty where none is."""
    said = [
        f"{check.id} ({'; '.join(_changed(check))})"
        for check in by_urgency(audit)
        if check.level == "block" and check.defaults
    ]
    return f"Set here: {', '.join(said)}." if said else ""


def _changed(check: CheckResult) -> Iterator[str]:
    for name, usual in sorted(check.defaults.items()):
        yield f"{name} {_value(check.options[name])}, usually {_value(usual)}"


def _value(value: Any) -> str:
    if value in (None, [], {}):
        return "none"
    whole = isinstance(value, float) and value.is_integer()
    return shorten(literal(int(value) if whole else value), _LONGEST_VALUE)


def by_urgency(audit: Audit) -> list[CheckResult]:
    """Return all checks: what blocks first, then by status; otherwise in the audit's order."""
    return sorted(
        audit.checks,
        key=lambda check: (
            not blocks(check, audit),
            _URGENCY.index(shown_status(check)),
            check.level != "block",
        ),
    )


def finding_state(finding: Finding, check: CheckResult) -> str:
    """Return the word for a finding's state; a waiver covers what fails, and nothing else."""
    accepted = check.waived_findings.get(finding.subject, ())
    if finding.status is Status.FAIL and finding.metric in accepted:
        return "waived"
    return "shown" if finding.status is Status.SKIP else finding.status.value


def outcome(check: CheckResult, audit: Audit) -> str:
    """Return a check's summary and, where failures are waived, which, why and what is left."""
    if not check.waived_findings:
        return check.summary
    active = [w for w in audit.policy.waivers if w.check == check.id and w.state == "active"]
    waived = listed([_waiver(waiver) for waiver in active], separator="; ")
    left = listed([*not_waived(check)])
    end = f" Not waived: {left}." if left else ""
    return f"{check.summary.rstrip('.')}. Waived: {waived}.{end}"


def not_waived(check: CheckResult) -> Iterator[str]:
    """Yield each of a check's findings that no waiver accepts, and its state."""
    for finding in worst_first(check):
        state = finding_state(finding, check)
        if state in ("fail", "error", "inconclusive"):
            yield f"{finding.subject} ({finding.metric}: {state})"


def _waiver(waiver: WaiverInfo) -> str:
    meant = f"{said}, " if (said := _meant(waiver)) else ""
    owner = f"{waiver.owner}, " if waiver.owner else ""
    return f"{meant}{waiver.reason} ({owner}until {waiver.expires})"


def _meant(waiver: WaiverInfo) -> str:
    """Name the findings that a waiver means; empty where it means all of its check."""
    if not waiver.metric:
        return waiver.subject or ""
    return f"{waiver.subject or 'every subject'} ({waiver.metric})"


def waived(audit: Audit) -> list[CheckResult]:
    """Return the checks of which a waiver accepts failures, all or some."""
    return [check for check in by_urgency(audit) if check.waived_findings]


def waived_failures(audit: Audit) -> str:
    """Say how many failures waivers accept, and of how many."""
    checks = waived(audit)
    states = [finding_state(finding, check) for check in checks for finding in check.findings]
    accepted = states.count("waived")
    failing = accepted + states.count("fail")
    part = f"{accepted:,} of " if accepted < failing else ""
    return f"{part}{plural(failing, 'failure')} of {plural(len(checks), 'check')}"


def dead_waivers(audit: Audit) -> list[str]:
    """Say of each waiver that accepts nothing why it does not, and what to do about it."""
    return [
        f"{waiver.check}{f', {said}' if (said := _meant(waiver)) else ''}: {_dead(waiver, audit)}"
        for waiver in audit.policy.waivers
        if waiver.state != "active"
    ]


def _dead(waiver: WaiverInfo, audit: Audit) -> str:
    if waiver.state == "expired":
        return f"expired on {waiver.expires}; renew it or remove it"
    named = [check for check in audit.checks if check.id == waiver.check]
    if why := "".join(_untold(check, waiver) for check in named):
        return why
    if failing := [finding for check in named for finding in _unmet(check, waiver)]:
        return (
            f"no failing finding is called that; failing: {listed(failing)}; name what it is to "
            "accept, or remove it"
        )
    return "covers nothing that fails; remove it"


def _unmet(check: CheckResult, waiver: WaiverInfo) -> list[str]:
    """Return what fails of a check that passed nothing that a waiver means: another was meant.

    What has its subject, or at least its metric, comes first.
    """
    if any(f.status is Status.PASS for f in _named_by(waiver, check)):
        return []
    failing = [finding for finding in check.findings if finding.status is Status.FAIL]
    failing.sort(key=lambda f: (f.subject != waiver.subject, f.metric != waiver.metric))
    return list(dict.fromkeys(map(_called, failing)))


def _untold(check: CheckResult, waiver: WaiverInfo) -> str:
    """Say why a check does not tell whether what a waiver means passes; empty where it does.

    Then another audit may find what the waiver accepts.
    """
    state = "off" if check.level == "off" else check.status.value
    if state in _IDLE:
        return f"not needed this time: {check.id} {_IDLE[state]}"
    own = [(_called(f), f.status.value) for f in _named_by(waiver, check)]
    return next((_unhelped(n, s) for n, s in [(check.id, state), *own] if s in _OPEN), "")


def _named_by(waiver: WaiverInfo, check: CheckResult) -> list[Finding]:
    return [finding for finding in check.findings if covers(waiver, check.id, finding)]


def _called(finding: Finding) -> str:
    return f"{finding.subject} ({finding.metric})"


def _unhelped(name: str, state: str) -> str:
    return f"{name} {_OPEN[state]}; a waiver accepts failures alone, so it does not help here"


def tally(audit: Audit, level: Level | None = None) -> list[tuple[str, int]]:
    """Return how many checks, of one level or all, are in each state; the most urgent first."""
    checks = [check for check in by_urgency(audit) if level in (None, check.level)]
    states = [shown_status(check) for check in checks]
    return [(state, states.count(state)) for state in dict.fromkeys(states)]


def worst_first(check: CheckResult) -> list[Finding]:
    """Sort a check's findings by state, then by how far they are beyond the limit.

    What is open because nothing was measured stands before what is merely not settled.
    """
    return sorted(
        check.findings,
        key=lambda f: (_URGENCY.index(finding_state(f, check)), -_excess(f), f.subject),
    )


def _excess(finding: Finding) -> float:
    if finding.observed is None and finding.status is Status.INCONCLUSIVE:
        return float("inf")
    if finding.observed is None or finding.limit is None:
        return 0.0
    beyond = finding.limit - finding.observed
    beyond = beyond if finding.higher_is_better else -beyond
    # Relative to the limit, so that megabytes and shares sort beside each other.
    return beyond / abs(finding.limit) if finding.limit else beyond


class Unseen(NamedTuple):
    """Images that were not looked at, and why."""

    subject: str
    reason: str


def not_run(audit: Audit) -> list[CheckResult]:
    """Return the checks that judged nothing: skipped, or switched off by the policy."""
    return [check for check in by_urgency(audit) if shown_status(check) in ("skip", "off")]


def unseen(audit: Audit) -> list[Unseen]:
    """List the images that could be read and were not predicted, and files that may be images."""
    splits = audit.data.splits
    not_taken = [
        Unseen(f"{name} images", f"left out: {split.left_out}")
        for name, split in splits.items()
        if split.left_out
    ]
    return not_taken + [
        Unseen(f"{left:,} of {split.images:,} {name} images", _why(split.sample))
        for name, split in splits.items()
        if (left := split.images - split.predicted - len(split.unreadable)) > 0
        # A training set may be there only for its images' hashes: then nothing was predicted.
        and (name == "test" or split.predicted)
    ]


def _why(sample: str) -> str:
    return f"not predicted; the model was run on {sample}" if sample else "not predicted"


def unreadable(audit: Audit) -> list[tuple[str, UnreadableImage]]:
    """List the images that could not be read, with the split they belong to."""
    return [
        (name, image) for name, split in audit.data.splits.items() for image in split.unreadable
    ]
