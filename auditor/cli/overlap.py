"""``auditor overlap``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.given import PATH
from auditor.cli.options import FAST, search_options
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.standalone.searching import Found

__all__ = ["command"]


@click.command("overlap")
@click.argument("train", type=PATH)
@click.argument("test", type=PATH)
@search_options("overlap", "Largest share of test images that may be in the training data.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="COLUMN",
    help="Column of both manifests, such as patient, that must not cross.",
)
@click.option("--views", is_flag=True, help="Look for crops, too.")
@FAST
def command(
    train: Path,
    test: Path,
    output: Path,
    max_share: float,
    groups: tuple[str, ...],
    views: bool,
    fast: bool,
) -> int:
    """Find the test images that the training data holds too. Needs no model.

    TRAIN and TEST are folders of images, with or without class folders, manifests (.csv, .parquet
    with a column "image"), or signatures that `auditor sign` wrote. Writes overlap.csv,
    clean_test.csv (the test images without a copy) and overlap.html to OUTPUT.

    \b
    auditor overlap data/train data/test
    auditor overlap train.signatures.parquet data/test --output out

    Exit status: 0 no overlap above the limit, 1 overlap, 2 the command or the input is wrong,
    3 undecided.
    """  # noqa: D301
    from auditor.cli.copies import told
    from auditor.cli.output import writing
    from auditor.progress import Progress
    from auditor.standalone.searching import compare

    settings: dict[str, Any] = {"groups": groups, "views": views}
    settings |= {"hash_mode": "fast"} if fast else {}
    with writing(output, trying=True):
        progress = Progress.on_stderr()
        found = compare(
            train, test, output, settings=settings, max_share=max_share, progress=progress
        )
        written = _write(found, output)
    say(told(found.report, written))
    return found.report.exit_status


def _write(found: Found, directory: Path) -> list[Path]:
    from auditor.cli.copies import write_report
    from auditor.overlap.lists import write_across

    report = write_report(found.report, directory, "overlap")
    return [*report, *write_across(directory, found.overlap, found.test)]
