"""Writes the text of an ``auditor.toml`` for what was found in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor.cli.toml import options_of
from auditor.config.literal import literal

if TYPE_CHECKING:
    from auditor.check import Check
    from auditor.cli.folder import Folder
    from auditor.registry import Registry

__all__ = ["draft"]

_HEAD = """\
# What `auditor run` audits, and by which rules. Written by `auditor init`.
# Paths are relative to this file. `auditor explain CHECK` says what a check asks and why.
"""

_POLICY = """\
[policy]
# "sign-off" puts the burden of proof on the model: what the evidence does not settle stays
# undecided. "pull-request" puts it on the regression: what is not settled passes, noted.
preset = "sign-off"

# [baseline]
# An earlier audit.json to compare the candidate with.
# audit = "baseline/audit.json"

# [deployment]
# Share of every class in production, and what mistakes cost there: label, predicted, cost.
# prevalence = { fraud = 0.001, normal = 0.999 }
# costs = { fraud = { normal = 100.0 }, normal = { fraud = 1.0 } }

# [engine]
# device = "auto"  # CUDA, then MPS, then the CPU

[output]
directory = "audit"
formats = ["html", "junit", "markdown"]
"""

_CHECKS = """\
# The checks, with every option at its default. Remove the "#" to change one. A level is "block",
# "advise" or "off".
"""

_WAIVERS = """\
# A waiver accepts a failure: it is shown, never hidden, and ends by itself.
# [[waivers]]
# check = "split-overlap"
# subject = "CLASS/image.jpg"  # the finding; all of the check's where absent
# reason = "stock background, agreed with the data team"
# owner = "vision-team"
# expires = 2030-01-31
"""


def draft(folder: Folder, registry: Registry) -> str:
    """Return a commented ``auditor.toml``; what was not found stands in it as a comment."""
    parts = [
        _HEAD,
        _lines(_candidate(folder)),
        _lines(_data(folder)),
        _lines(_predictions(folder)),
        _POLICY,
        _CHECKS,
        *(_lines(_check(check)) for check in registry.checks.values()),
        _WAIVERS,
    ]
    return "\n".join(part for part in parts if part)


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _candidate(folder: Folder) -> Iterator[str]:
    weights = folder.weights
    yield "[candidate]"
    if weights and weights.model:
        yield f"# Named by {weights.named_by}."
        yield f"model = {literal(weights.model)}"
    else:
        why = 'the checkpoint has no "arch" that names it; ' if weights else ""
        yield f"# FILL IN: {why}a timm name, hf-hub:… or phi:1.5"
        yield '# model = "efficientnet_b0"'
    if weights:
        yield f"checkpoint = {literal(folder.relative(weights.path))}"
    else:
        yield "# FILL IN: .safetensors, .pth, .pth.tar or .pt"
        yield '# checkpoint = "best.safetensors"'
    yield from _classes(folder)
    if weights and weights.log:
        yield f"training_log = {literal(folder.relative(weights.log))}"
    else:
        yield '# training_log = "summary.csv"  # a CSV with epoch, train_loss, eval_loss'


def _classes(folder: Folder) -> Iterator[str]:
    if folder.classes:
        yield f"classes = {literal(folder.relative(folder.classes))}"
        return
    if folder.weights and folder.weights.classes:
        yield f"# Not needed: the checkpoint names its {len(folder.weights.classes)} classes."
    else:
        yield "# Class names, one a line, in the order of the outputs. Without them the order of"
        yield "# the class folders is assumed, natural and case-insensitive: timm's."
    yield '# classes = "classes.txt"'


def _data(folder: Folder) -> Iterator[str]:
    yield "[data]"
    yield "# A folder with one folder a class, a CSV or Parquet manifest with image,label, tars"
    yield "# (shards-{000..099}.tar), Parquet files with the images, or a data set on disk."
    for name, split in (("train", folder.train), ("test", folder.test)):
        if split and split.kind == "validation":
            yield "# There is no test set, so validation data is judged. If the checkpoint was"
            yield "# chosen on it, the verdict is too kind."
        path = folder.relative(split.path) if split else f"data/{name}"
        yield f"{'' if split else '# '}{name} = {literal(path)}"
    yield '# validation = "data/validation"  # where operating-point may choose a threshold'


def _predictions(folder: Folder) -> Iterator[str]:
    test, train = folder.predictions, folder.train_predictions
    mark = "" if folder.judges_saved else "# "
    yield f"{mark}[predictions]"
    yield "# Saved predictions of any framework (image,label,predicted), instead of a model."
    yield f"{mark}test = {literal(folder.relative(test) if test else 'predictions.csv')}"
    also = mark if train else "# "
    yield f"{also}train = {literal(folder.relative(train) if train else 'train_predictions.csv')}"


def _check(check: type[Check]) -> Iterator[str]:
    yield f"[checks.{check.id}]"
    yield f"# {check.title}."
    yield f"# level = {literal(check.level)}"
    for option in options_of(check):
        yield f"# {option.name} = {option.default or '…'}  # {option.about or option.kind}"
