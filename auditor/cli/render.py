"""``auditor render``."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli.options import FORMAT, FORMATS
from auditor.terminal import say

__all__ = ["command"]


@click.command("render")
@click.argument("audit", type=click.Path(path_type=Path), metavar="AUDIT")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
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
    with writing(directory):
        written = render(record, directory, formats or FORMATS)
    for path in written:
        say(path)
