"""``auditor duplicates``."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]

_PATH = click.Path(path_type=Path)


@click.command("duplicates")
@click.argument("images", type=_PATH)
@click.option(
    "--output",
    type=_PATH,
    default=Path("duplicates"),
    show_default=True,
    help="Folder for the report, the lists and the signatures.",
)
@click.option(
    "--max-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Largest share of images that may repeat another one.",
)
@click.option(
    "--fast", is_flag=True, help="Decode JPEGs at a fraction of their size; hashes differ a little."
)
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
    from auditor.cli.copies import told, write_report, write_within, writing_to
    from auditor.overlap.standalone import look_within
    from auditor.progress import Progress

    settings = {"hash_mode": "fast"} if fast else {}
    with writing_to(output):
        found = look_within(
            images,
            output,
            settings=settings,
            max_share=max_share,
            progress=Progress.on_stderr(),
        )
        written = write_report(found.report, output, "duplicates")
        written += write_within(output, found.overlap, found.test)
    click.echo(told(found.report, written))
    return found.report.exit_status
