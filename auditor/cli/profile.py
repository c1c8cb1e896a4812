"""``auditor profile``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from auditor.naming import visible
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.models.profile import Profile

__all__ = ["command"]

_WRONG = 2


@click.command("profile")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--input-size",
    "--resolution",
    "side",
    type=click.IntRange(1, 16_384),
    metavar="PIXELS",
    help="Side of the square input.  [default: the model's own]",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images of the forward pass whose peak memory is given; all else is for one image.",
)
@click.option("--json", "as_json", is_flag=True, help="Exact figures, as JSON.")
def command(models: Sequence[str], side: int | None, batch: int, as_json: bool) -> int:
    """Tell what models cost: parameters, MACs, memory.

    Activations and FLOPs, too, and all of it by stage.

    MODEL is a timm name, phi:1.5 for an EfficientNet of any compound scaling, a checkpoint that
    names its architecture, or package.module:function. Nothing is computed and no weights are
    loaded from anywhere: models are built and traced without numbers.

    \b
    auditor profile tf_efficientnet_b0
    auditor profile phi:0 phi:1 phi:2 --input-size 32
    auditor profile runs/best.pth my_models.nets:small --json

    Exit status: 0 all were measured, 2 one of them could not be; the others are shown.
    """  # noqa: D301
    from auditor.cli.complexity_card import cards

    with redirect_stdout(sys.stderr):  # a model of the user's own may print
        measured, failed = _measure(models, side, batch)
    if as_json:
        click.echo(json.dumps(_document(measured, failed), indent=1, ensure_ascii=False))
    elif measured:
        say(cards(measured))
    return _WRONG if failed else 0


def _measure(
    models: Sequence[str], side: int | None, batch: int
) -> tuple[list[Profile], dict[str, str]]:
    from auditor.errors import AuditorError
    from auditor.models.profile import profile

    measured: list[Profile] = []
    failed: dict[str, str] = {}
    for model in dict.fromkeys(models):
        try:
            measured.append(profile(model, side=side, batch=batch))
        except AuditorError as error:
            failed[model] = str(error)
            said = str(error) if model in str(error) else f"{model}: {error}"
            say(f"auditor: {visible(said)}", err=True)
    return measured, failed


def _document(measured: Sequence[Profile], failed: dict[str, str]) -> dict[str, Any]:
    from auditor.models.complexity import MEMORY_RULE, RULE

    return {
        "rule": RULE,
        "memory_rule": MEMORY_RULE,
        "models": [_entry(each) for each in measured],
        "failed": [{"model": model, "reason": reason} for model, reason in failed.items()],
    }


def _entry(measured: Profile) -> dict[str, Any]:
    values: dict[str, Any] = asdict(measured)
    figures: dict[str, Any] = values.pop("figures")
    return values | {"flops": 2 * figures["macs"]} | figures
