"""``auditor sign``."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli.given import PATH
from auditor.cli.options import FAST
from auditor.naming import visible
from auditor.terminal import say
from auditor.wording import plural

__all__ = ["command"]


@click.command("sign")
@click.argument("images", type=PATH)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="Where to write; its unchanged images are not opened again.  "
    "[default: IMAGES.signatures.parquet]",
)
@click.option("--views", is_flag=True, help="Sign crops, too, so that they can be found.")
@FAST
def command(images: Path, output: Path | None, views: bool, fast: bool) -> None:
    """Sign images, to compare them where they are not.

    A test set can then be checked against training data that nobody may see: the file holds
    relative paths, labels, digests and perceptual hashes, and no picture can be made of it.

    \b
    auditor sign data/train -o train.signatures.parquet
    auditor overlap train.signatures.parquet data/test

    Exit status: 0 written, 2 the command or the input is wrong.
    """  # noqa: D301
    from auditor.cli.output import writing
    from auditor.evidence.signature_file import SUFFIX
    from auditor.progress import Progress
    from auditor.standalone.signing import sign_images

    path = output or Path(_name(images.resolve()) + SUFFIX)
    settings = {"views": views, "hash_mode": "fast" if fast else "exact"}
    with writing(path):
        signed = sign_images(images, path, settings=settings, progress=Progress.on_stderr())
    lost = len(signed.unreadable)
    unread = f", {lost:,} could not be read" if lost else ""
    said = f"{plural(len(signed.images), 'image')} signed{unread}"
    say(f"{visible(str(path))}: {said}, {path.stat().st_size:,} bytes")


def _name(images: Path) -> str:
    """Return what tells a source from those beside it: of a file the last suffix is its kind."""
    return images.stem if images.is_file() else images.name
