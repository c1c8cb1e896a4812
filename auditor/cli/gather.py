"""``auditor gather``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditor.cli.given import PATH
from auditor.cli.options import CONFIG_NAME, candidate_options, configured, load
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.engine.shards import Shard

__all__ = ["command"]

_NOTHING = f"""\
nothing to gather: no {CONFIG_NAME} here, and no flag says what to look at.

  auditor init                                            writes {CONFIG_NAME} for this folder
  auditor gather --checkpoint best.safetensors --test test/"""


@click.command("gather")
@click.argument("config", type=PATH, required=False)
@candidate_options
@click.option(
    "--shard",
    metavar="I/N",
    help="Look at this share of the images alone, such as 2/8; `auditor merge` joins them.",
)
@click.option("--output", type=PATH, help="Folder.  [default: audit]")
def command(config: Path | None, shard: str | None, **flags: Any) -> int:
    """Gather the evidence of an audit, without judging it.

    Writes OUTPUT/evidence, which `auditor check` judges there or on another machine. An
    interrupted run goes on where it was.

    Several machines share the work: each gathers a shard, with the same auditor.toml, into a
    folder of its own or into a common one. A machine is given 512 neighbouring images at a time.

    \b
    auditor gather --shard 1/2 --output part1      on one machine
    auditor gather --shard 2/2 --output part2      on another
    auditor merge part1 part2 && auditor run       gathers what is left, and judges

    Exit status: 0 gathered, 2 the command or the input is wrong.
    """  # noqa: D301
    from auditor.cli.output import writing
    from auditor.engine.shards import Shard

    share = None if shard is None else Shard.parse(shard)
    loaded, source = load(configured(config, flags, _NOTHING), flags)
    with writing(loaded.output.directory, trying=True):
        say(_gathered(loaded, source, share))
    return 0


def _gathered(config: Config, source: Any, shard: Shard | None) -> str:
    from auditor.progress import Progress
    from auditor.runner import evidence_directory, gather

    gathered = gather(config, source, shard=shard, progress=Progress.on_stderr())
    where, names = evidence_directory(config), ", ".join(gathered.names) or "nothing"
    lines = [f"gathered {names} in {where}"]
    if shard is not None:
        lines = [f"gathered shard {shard} of {names} in {where}"]
        lines += ["when all shards are there: auditor merge FOLDER…, then auditor run"]
    lines += [f"not gathered: {name}: {reason}" for name, reason in gathered.missing.items()]
    return "\n".join(lines)
