"""``auditor run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from auditor.cli.options import CONFIG_NAME, file_to_use, judging_options, load, names_candidate

__all__ = ["command"]

_NOTHING = f"""\
nothing to audit: no {CONFIG_NAME} here, and no flag says what to judge.

  auditor init                           writes {CONFIG_NAME} for this folder
  auditor run --predictions FILE.csv     judges saved predictions
  auditor demo                           shows an audit, with nothing of yours"""

_PATH = click.Path(path_type=Path)


@click.command("run")
@click.argument("config", type=_PATH, required=False)
@click.option(
    "--model", metavar="NAME", help="A timm name, hf-hub:…, phi:1.5, or a .onnx or .pt2 file."
)
@click.option("--checkpoint", type=_PATH, help="Weights: .safetensors, .pth, .pth.tar, .pt.")
@click.option("--module", metavar="PACKAGE.MODULE:FUNCTION", help="Your own code for the model.")
@click.option("--classes", type=_PATH, help="Class names, one a line, in the order of the outputs.")
@click.option("--train", type=_PATH, help="Training data: folder of class folders, or manifest.")
@click.option("--test", type=_PATH, help="Test data: folder of class folders, or manifest.")
@click.option("--predictions", type=_PATH, help="Saved test predictions, instead of a model.")
@click.option("--train-predictions", type=_PATH, help="Saved predictions on training images.")
@judging_options
@click.option("--device", help="auto, cpu, mps, cuda or cuda:1.  [default: auto]")
@click.option("--output", type=_PATH, help="Where the audit is written.  [default: audit]")
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
    from auditor.errors import InputError

    enough = bool(flags["predictions"] or (flags["test"] and names_candidate(flags)))
    path = file_to_use(config, enough=enough)
    if path is None and not (flags["predictions"] or flags["test"]):
        raise InputError(_NOTHING)
    return judge(*load(path, flags), gathering=True)
