"""``auditor demo``."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli.given import PATH
from auditor.terminal import say

__all__ = ["command"]


@click.command("demo")
@click.option(
    "--output",
    type=PATH,
    default=Path("audit-demo"),
    show_default=True,
    help="Where the images, the models and the audits are written.",
)
def command(output: Path) -> int:
    """Train a careless and a careful model, and audit both.

    On scikit-learn's handwritten digits: needs no network and no file of yours. Takes a minute
    or two, and seconds when repeated.
    """
    from auditor.cli.output import writing
    from auditor.demo import run_demo
    from auditor.progress import Progress

    with writing(output):
        return run_demo(output, Progress.on_stderr(), say)
