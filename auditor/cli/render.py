"""``auditor render``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.given import PATH
from auditor.cli.options import FORMAT, FORMATS
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.record import Audit

__all__ = ["command"]


@click.command("render")
@click.argument("audit", type=PATH, metavar="AUDIT")
@click.option(
    "--output",
    type=PATH,
    help="Folder to write to.  [default: that of the audit]",
)
@FORMAT
def command(audit: Path, output: Path | None, formats: tuple[str, ...]) -> None:
    """Write the reports again, from an audit.json alone.

    AUDIT is an audit.json, or the folder that holds it.

    \b
    auditor render audit
    auditor render audit/audit.json --format markdown --output .

    Exit status: 0 written, 2 the command or the input is wrong.
    """  # noqa: D301
    from auditor.cli.output import writing
    from auditor.evidence.audited import read_audit
    from auditor.render import render

    file, record = read_audit(audit)
    directory = output or file.parent
    _refuse_mixture(record, directory, formats or FORMATS)
    with writing(directory):
        written = render(record, directory, formats or FORMATS)
    for path in written:
        say(path)


def _refuse_mixture(record: Audit, directory: Path, formats: Sequence[str]) -> None:
    """Refuse to write beside another audit, or beside reports of one: they would contradict."""
    from auditor.errors import InputError
    from auditor.evidence.audited import read_audit
    from auditor.render import FORMATS as REPORTS
    from auditor.render import other_reports

    if (directory / "audit.json").exists():
        file, there = read_audit(directory)
        if there.digest != record.digest:
            raise InputError(
                f"{file}: is another audit than the one to render; name another --output"
            )
        return
    replaced = {directory / REPORTS[name].filename for name in formats}
    for path in other_reports(record, directory):
        if path not in replaced:
            raise InputError(
                f"{path}: is the report of another audit; remove it or name another --output"
            )
