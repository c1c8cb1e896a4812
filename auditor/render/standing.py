"""What each outcome does to the verdict, and which of its findings a reader should see first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from auditor.check import Finding, Level, Status
from auditor.record import Audit, CheckResult, UnreadableImage

__all__ = [
    "Unseen",
    "blockers",
    "blocks",
    "by_urgency",
    "shown_status",
    "tally",
    "unreadable",
    "unseen",
    "worst_first",
]

_URGENCY = (Status.FAIL, Status.ERROR, Status.INCONCLUSIVE, Status.PASS, Status.SKIP)


def blocks(check: CheckResult, audit: Audit) -> bool:
    """Tell whether this outcome stands between the candidate and "accepted"."""
    if check.level != "block" or check.waived:
        return False
    if check.status is Status.INCONCLUSIVE:
        return audit.policy.preset == "sign-off"
    return check.status in (Status.FAIL, Status.ERROR)


def blockers(audit: Audit) -> list[CheckResult]:
    """Return the checks that block, failures first."""
    return [check for check in by_urgency(audit) if blocks(check, audit)]


def by_urgency(audit: Audit) -> list[CheckResult]:
    """Return all checks: what blocks first, then by status; otherwise in the audit's order."""
    return sorted(
        audit.checks,
        key=lambda check: (
            not blocks(check, audit),
            check.level == "off",
            _URGENCY.index(check.status),
            check.level != "block",
        ),
    )


def shown_status(check: CheckResult) -> str:
    """Return the word for a check's state; a waived one is never shown as a pass."""
    if check.level == "off":
        return "off"
    return "waived" if check.waived else check.status.value


def tally(audit: Audit, level: Level | None = None) -> list[tuple[str, int]]:
    """Return how many checks, of one level or all, are in each state; the most urgent first."""
    checks = [check for check in by_urgency(audit) if level in (None, check.level)]
    states = [shown_status(check) for check in checks]
    return [(state, states.count(state)) for state in dict.fromkeys(states)]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by status, then by how far they are on the wrong side of the limit."""
    return sorted(findings, key=lambda f: (_URGENCY.index(f.status), -_excess(f), f.subject))


def _excess(finding: Finding) -> float:
    if finding.observed is None or finding.limit is None:
        return 0.0
    beyond = finding.limit - finding.observed
    beyond = beyond if finding.higher_is_better else -beyond
    # Relative to the limit, so that megabytes and shares sort beside each other.
    return beyond / abs(finding.limit) if finding.limit else beyond


class Unseen(NamedTuple):
    """Something that was not looked at, and why."""

    subject: str
    kind: Literal["check", "off", "images"]
    reason: str


def unseen(audit: Audit) -> list[Unseen]:
    """List all that the verdict does not rest on: checks that did not run, images not seen."""
    off = [Unseen(c.title, "off", c.summary) for c in audit.checks if c.level == "off"]
    skipped = [
        Unseen(check.title, "check", check.summary)
        for check in audit.checks
        if check.level != "off" and check.status is Status.SKIP
    ]
    return skipped + off + _images_left_out(audit)


def _images_left_out(audit: Audit) -> list[Unseen]:
    splits = {"test": audit.data.test, "training": audit.data.train}
    return [
        Unseen(f"{left:,} of {split.images:,} {name} images", "images", _why(split.sample))
        for name, split in splits.items()
        if split
        and (left := split.images - split.predicted - len(split.unreadable)) > 0
        # A training set may be there only for its images' hashes: then nothing was predicted.
        and (name == "test" or split.predicted)
    ]


def _why(sample: str) -> str:
    return f"not predicted; the model was run on {sample}" if sample else "not predicted"


def unreadable(audit: Audit) -> list[tuple[str, UnreadableImage]]:
    """List the images that could not be read, with the split they belong to."""
    splits = {"test": audit.data.test, "training": audit.data.train}
    return [(name, image) for name, split in splits.items() if split for image in split.unreadable]
