"""The verdict as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.layout import (
    fits,
    hanging,
    headline,
    paragraphs,
    row,
    titled,
    wrapped,
)
from auditor.naming import one_line
from auditor.policy import shown_status
from auditor.render.standing import (
    by_urgency,
    dead_waivers,
    not_run,
    outcome,
    set_here,
    unreadable,
    unseen,
)
from auditor.wording import STATUS, VERDICT, plural

if TYPE_CHECKING:
    from auditor.record import Audit, CheckResult

__all__ = ["verdict"]

_COLOURS = {
    "pass": "green",
    "accepted": "green",
    "fail": "red",
    "error": "red",
    "rejected": "red",
    "inconclusive": "yellow",
    "undecided": "yellow",
    "waived": "yellow",
}
_MOST = 8
_LEVELS = 14 + 2 + 6 + 2
"""Columns of status and level."""


def verdict(audit: Audit, files: Sequence[Path]) -> str:
    """Return the verdict, the limits changed, the checks, what was not looked at, and the files.

    On a terminal that is too short for it the verdict stands at the end, too.

    Parameters
    ----------
    audit
        What to tell.
    files
        What was written, the first to be read first.
    """
    symbol, word = VERDICT[audit.verdict]
    ran, idle = _tables(audit)
    said = headline(f"{symbol} {word}: {audit.summary}", _COLOURS[audit.verdict])
    parts = [
        said,
        wrapped(_subject(audit)),
        wrapped(one_line(set_here(audit))),
        "\n".join(ran),
        titled("Not run", idle),
        titled("Images not looked at", _images(audit)),
        titled("Waivers that accept nothing", map(hanging, dead_waivers(audit))),
        titled("Notes", map(hanging, audit.candidate.notes)),
        titled("Written", [f"  {path}" for path in files]),
    ]
    text = paragraphs(parts)
    return text if fits(text) else paragraphs([text, said])


def _subject(audit: Audit) -> str:
    images, classes = audit.data.test.predicted, len(audit.data.classes)
    name = one_line(audit.candidate.name)
    return (
        f"{name}: {plural(images, 'test image')}, {plural(classes, 'class')}, "
        f"policy {audit.policy.preset}"
    )


def _tables(audit: Audit) -> tuple[list[str], list[str]]:
    """Return the rows of the checks that ran, and of those that did not.

    What does not block and did not run is only named: the report says why.
    """
    checks, skipped = by_urgency(audit), not_run(audit)
    longest = max((len(check.id) for check in checks), default=0)
    ran: list[str] = []
    idle: list[str] = []
    for check in checks:
        if check not in skipped:
            ran.extend(_rows(check, audit, longest))
        elif check.level == "block":
            idle.extend(_rows(check, audit, longest))
    for level in ("advise", "off"):
        idle.extend(_named([check for check in skipped if check.level == level]))
    return ran, idle


def _named(checks: Sequence[CheckResult]) -> Iterator[str]:
    """Name checks of one level behind it."""
    if checks:
        head = f"{_status(shown_status(checks[0]))}  {checks[0].level:<6}"
        yield from row(head, ", ".join(check.id for check in checks), _LEVELS)


def _status(state: str) -> str:
    word = STATUS[state]
    return click.style(f"{f'{word.symbol} {word.word}':<14}", fg=_COLOURS.get(state))


def _rows(check: CheckResult, audit: Audit, longest: int) -> Iterator[str]:
    head = f"{_status(shown_status(check))}  {check.level:<6}  {check.id:<{longest}}"
    return row(head, one_line(outcome(check, audit)), _LEVELS + longest + 2)


def _images(audit: Audit) -> list[str]:
    said = [f"{entry.subject}: {entry.reason}" for entry in unseen(audit)]
    said += [f"{image.image} ({split}): {image.reason}" for split, image in unreadable(audit)]
    lines = [hanging(text) for text in said[:_MOST]]
    more = len(said) - _MOST
    return lines + ([f"  and {more:,} more in the report"] if more > 0 else [])
