"""``auditor merge``."""

from __future__ import annotations

from pathlib import Path

import click

from auditor.cli.given import PATH
from auditor.terminal import say
from auditor.wording import plural

__all__ = ["command"]


@click.command("merge")
@click.argument("folders", metavar="FOLDER...", type=PATH, nargs=-1, required=True)
@click.option(
    "--output",
    type=PATH,
    default=Path("audit"),
    show_default=True,
    help="Folder of the audit that the evidence goes to.",
)
def command(folders: tuple[Path, ...], output: Path) -> int:
    """Join the shards that `auditor gather --shard` gathered.

    Each FOLDER is one that a shard was gathered into. All shards must be there, of the same
    images, model and settings; otherwise it is said which is not, and nothing is written. Needs
    neither the images nor the model.

    \b
    auditor merge part1 part2 part3
    auditor run                         gathers what is left (costs, copies), and judges

    Exit status: 0 merged, 2 a shard is missing or of something else.
    """  # noqa: D301
    from auditor.cli.output import writing
    from auditor.engine.merging import merge
    from auditor.store import EVIDENCE, Store

    evidence = output / EVIDENCE
    with writing(output):
        merged = merge(folders, Store(evidence))
    for name, images in merged.items():
        say(f"{name}: {plural(images, 'image')}")
    say(f"merged into {evidence}; `auditor run` gathers what is left, and judges")
    return 0
