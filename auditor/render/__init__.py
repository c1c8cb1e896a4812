"""Renders an audit. Every renderer is a function of the ``Audit`` record alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auditor.errors import InputError, did_you_mean
from auditor.writing import write_texts

if TYPE_CHECKING:
    from auditor.record import Audit

__all__ = ["FORMATS", "Format", "other_reports", "render"]


class Format(NamedTuple):
    """The file that a format is written to, and the function that makes its text."""

    filename: str
    text: Callable[[Audit], str]
    mark: str
    """What every text of ours holds, besides the first twelve digits of its audit's digest."""


def _html(audit: Audit) -> str:
    from auditor.render.html import html_report

    return html_report(audit)


def _junit(audit: Audit) -> str:
    from auditor.render.junit import junit

    return junit(audit)


def _markdown(audit: Audit) -> str:
    from auditor.render.markdown import markdown

    return markdown(audit)


FORMATS: dict[str, Format] = {
    "html": Format("report.html", _html, "audit digest <code>"),
    "junit": Format("junit.xml", _junit, '<testsuite name="auditor"'),
    "markdown": Format("summary.md", _markdown, "<!-- auditor -->"),
}


def render(audit: Audit, directory: Path, formats: Iterable[str]) -> list[Path]:
    """Write the audit in each format and return the files' paths.

    Parameters
    ----------
    audit
        What to render.
    directory
        Where to; made where it is absent.
    formats
        Names of ``FORMATS``; one named twice is written once.
    """
    # All names are looked up before anything is written.
    chosen = [_format(name) for name in dict.fromkeys(formats)]
    return write_texts(directory, {each.filename: each.text(audit) for each in chosen})


def other_reports(audit: Audit, directory: Path) -> Iterator[Path]:
    """Yield the reports of other audits that lie in a folder.

    Nothing else is one, whatever it is called.
    """
    for filename, _, mark in FORMATS.values():
        path = directory / filename
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            if mark in text and audit.digest[:12] not in text:
                yield path


def _format(name: str) -> Format:
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        hint = did_you_mean(name, FORMATS)
        raise InputError(f'output format "{name}" is not known; there are {known}{hint}')
    return FORMATS[name]
