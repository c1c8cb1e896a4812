"""``auditor run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from auditor.cli.given import PATH
from auditor.cli.options import (
    CONFIG_NAME,
    candidate_options,
    configured,
    judging_options,
    load,
)

__all__ = ["command"]

_NOTHING = f"""\
nothing to audit: no {CONFIG_NAME} here, and no flag says what to judge.

  auditor init                           writes {CONFIG_NAME} for this folder
  auditor run --predictions FILE.csv     judges saved predictions
  auditor demo                           shows an audit, with nothing of yours"""


@click.command("run")
@click.argument("config", type=PATH, required=False)
@judging_options
@candidate_options
@click.option("--output", type=PATH, help="Where the audit is written.  [default: audit]")
def command(config: Path | None, **flags: Any) -> int:
    """Audit a model and decide whether it may ship.

    Gathers evidence, checks it, decides, and writes audit.json and the reports to OUTPUT.

    CONFIG is an auditor.toml, or a folder with one; flags are laid over it. Without CONFIG,
    ./auditor.toml is used where the flags leave something open. Flags that are enough alone
    (--predictions, or --test with --model, --checkpoint or --module) leave it out.

    \b
    auditor run
    auditor run --predictions predictions.csv --policy pull-request
    auditor run --checkpoint best.safetensors --train train/ --test test/

    Exit status: 0 accepted, 1 rejected, 2 the command or the input is wrong, 3 undecided.
    """  # noqa: D301
    from auditor.cli.judging import judge

    return judge(*load(configured(config, flags, _NOTHING), flags), gathering=True)
