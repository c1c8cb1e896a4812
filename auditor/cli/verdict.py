"""The verdict as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from auditor.record import Audit, CheckResult

__all__ = ["hanging", "terminal_width", "verdict", "wrapped"]

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
_NARROW, _WIDE = 40, 100
_MOST = 8


def verdict(audit: Audit, files: Sequence[Path]) -> str:
    """Return the verdict, the table of checks, what was not looked at, and where the files are.

    Parameters
    ----------
    audit
        What to tell.
    files
        What was written, the first to be read first.
    """
    from auditor.wording import VERDICT, visible

    symbol, word = VERDICT[audit.verdict]
    sentence = wrapped(visible(f"{symbol} {word}: {audit.summary}")).splitlines()
    colour = _COLOURS[audit.verdict]
    ran, idle = _tables(audit)
    parts = [
        "\n".join(click.style(line, fg=colour, bold=True) for line in sentence),
        wrapped(_subject(audit)),
        "\n".join(ran),
        "\n".join(_titled("Not run", idle)),
        "\n".join(_titled("Images not looked at", _images(audit))),
        "\n".join(_titled("Waivers that accept nothing", _dead_waivers(audit))),
        "\n".join(_titled("Written", [f"  {path}" for path in files])),
    ]
    return "\n\n".join(part for part in parts if part)


def terminal_width() -> int:
    """Return how many columns to fill: those of the terminal, within what reads well."""
    return max(_NARROW, min(shutil.get_terminal_size().columns, _WIDE))


def wrapped(text: str, indent: str = "") -> str:
    """Wrap a paragraph to the terminal."""
    return textwrap.fill(
        text,
        terminal_width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def hanging(text: str, indent: int = 4) -> str:
    """Wrap an entry of a list, its further lines indented; names in it are made visible."""
    from auditor.wording import visible

    return textwrap.fill(
        visible(text),
        terminal_width(),
        initial_indent="  ",
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def _subject(audit: Audit) -> str:
    from auditor.wording import plural, visible

    images, classes = audit.data.test.predicted, len(audit.data.classes)
    name = visible(audit.candidate.name)
    return (
        f"{name}: {plural(images, 'test image')}, {plural(classes, 'class')}, "
        f"policy {audit.policy.preset}"
    )


def _tables(audit: Audit) -> tuple[list[str], list[str]]:
    """Return the rows of the checks that ran, and of those that did not."""
    from auditor.policy import shown_status
    from auditor.render.standing import by_urgency

    checks = by_urgency(audit)
    longest = max((len(check.id) for check in checks), default=0)
    ran: list[str] = []
    idle: list[str] = []
    for check in checks:
        into = idle if shown_status(check) in ("skip", "off") else ran
        into.extend(_rows(check, audit, longest))
    return ran, idle


def _rows(check: CheckResult, audit: Audit, longest: int) -> Iterator[str]:
    """Put the summary beside the check, or below it on a terminal too narrow for both."""
    from auditor.policy import shown_status
    from auditor.render.standing import outcome
    from auditor.wording import STATUS, visible

    said = visible(outcome(check, audit))
    state = shown_status(check)
    word = STATUS[state]
    status = click.style(f"{f'{word.symbol} {word.word}':<14}", fg=_COLOURS.get(state))
    head = f"{status}  {check.level:<6}  {check.id:<{longest}}"
    margin = 14 + 2 + 6 + 2 + longest + 2
    if terminal_width() - margin >= _NARROW:
        lines = _lines(said, margin) or [""]
        yield f"{head}  {lines.pop(0)}"
    else:
        margin = 4
        lines = _lines(said, margin)
        yield head.rstrip()
    yield from (" " * margin + line for line in lines)


def _lines(text: str, margin: int) -> list[str]:
    return textwrap.wrap(text, terminal_width() - margin, break_on_hyphens=False)


def _images(audit: Audit) -> list[str]:
    from auditor.render.standing import unreadable, unseen

    said = [f"{entry.subject}: {entry.reason}" for entry in unseen(audit) if entry.kind == "images"]
    said += [f"{image.image} ({split}): {image.reason}" for split, image in unreadable(audit)]
    lines = [hanging(text) for text in said[:_MOST]]
    more = len(said) - _MOST
    return lines + ([f"  and {more:,} more in the report"] if more > 0 else [])


def _dead_waivers(audit: Audit) -> list[str]:
    from auditor.render.standing import dead_waivers

    return [hanging(text) for text in dead_waivers(audit)]


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [click.style(title, bold=True), *lines] if lines else []
