"""``auditor check``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from auditor.cli.given import PATH
from auditor.cli.options import CONFIG_NAME, file_to_use, judging_options, load

__all__ = ["command"]


@click.command("check")
@click.argument("config", type=PATH, required=False)
@click.option(
    "--output",
    "--evidence",
    "output",
    type=PATH,
    help="Folder of the audit, which holds evidence/.  [default: audit]",
)
@judging_options
def command(config: Path | None, **flags: Any) -> int:
    """Judge stored evidence again, without the model or the data.

    Reads what `auditor run` stored in OUTPUT/evidence, on this machine or another, and decides
    by the policy and the options of CONFIG (./auditor.toml where there is one). An audit that was
    judged by another file is judged again by a file that is named, alone. Needs no torch and no
    data; where the data are here, they must be the images and labels that were looked at.

    \b
    auditor check
    auditor check --output audit --policy pull-request

    Exit status: 0 accepted, 1 rejected, 2 the command or the input is wrong, 3 undecided.
    """  # noqa: D301
    from auditor.cli.judged_by import refuse_other_rules
    from auditor.cli.judging import judge
    from auditor.errors import InputError
    from auditor.runner import evidence_directory

    _refuse_audit(config)
    file = file_to_use(config, enough=False)
    loaded, source = load(file, flags)
    evidence = evidence_directory(loaded)
    if not evidence.is_dir():
        raise InputError(
            f"{evidence}: no evidence is stored there; `auditor run` gathers it, and --output "
            "names the folder of another audit"
        )
    if config is None:
        refuse_other_rules(loaded, file, flags)
    return judge(loaded, source, gathering=False)


def _refuse_audit(config: Path | None) -> None:
    """Say which flag takes the folder of an audit, where it was given in place of the file."""
    from auditor.errors import InputError
    from auditor.store import EVIDENCE

    if config is None or (config / CONFIG_NAME).exists() or not (config / EVIDENCE).is_dir():
        return
    output = shlex.quote(str(config))
    raise InputError(f"{config}: is the folder of an audit; name it by --output {output}")
