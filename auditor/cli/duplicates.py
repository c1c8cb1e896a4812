"""``auditor duplicates``."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli.given import PATH
from auditor.cli.options import FAST, search_options
from auditor.terminal import say

__all__ = ["command"]


@click.command("duplicates")
@click.argument("images", type=PATH)
@search_options("duplicates", "Largest share of images that may repeat another one.")
@FAST
def command(images: Path, output: Path, max_share: float, fast: bool) -> int:
    """Find the pictures that one set of images holds more than once. Needs no model.

    IMAGES is a folder, with or without class folders, a manifest, or signatures. Writes
    duplicates.csv, keep.csv (each picture once; of copies with two labels none) and
    duplicates.html to OUTPUT.

    \b
    auditor duplicates data/train

    Exit status: 0 no copies above the limit, 1 copies or one picture under two labels, 2 the
    command or the input is wrong, 3 undecided.
    """  # noqa: D301
    from auditor.cli.copies import told, write_report
    from auditor.cli.output import writing
    from auditor.overlap.lists import write_within
    from auditor.progress import Progress
    from auditor.standalone.searching import look_within

    settings = {"hash_mode": "fast"} if fast else {}
    with writing(output, trying=True):
        found = look_within(
            images,
            output,
            settings=settings,
            max_share=max_share,
            progress=Progress.on_stderr(),
        )
        written = write_report(found.report, output, "duplicates")
        written += write_within(output, found.overlap, found.test)
    say(told(found.report, written))
    return found.report.exit_status
