"""Writes the text of an ``auditor.toml`` for what was found in a folder."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor.cli.toml import options_of
from auditor.config import (
    BaselineTable,
    CandidateTable,
    DataTable,
    DeploymentTable,
    EngineTable,
    LatencyTable,
    OverlapTable,
    PredictionsTable,
    Waiver,
)
from auditor.config.literal import literal

if TYPE_CHECKING:
    from auditor.check import Check
    from auditor.cli.folder import Folder
    from auditor.cli.toml import Option
    from auditor.registry import Registry
    from auditor.table import Table

__all__ = ["FILL_IN", "draft"]

FILL_IN = "FILL IN"
"""What marks a line that only the user can write."""

_HEAD = """\
# What `auditor run` audits, and by which rules. Written by `auditor init`.
# Paths are relative to this file. `auditor explain CHECK` says what a check asks and why.
# Behind a "#" stands the default, or an example where it says so; remove the "#" to change it.
"""

_POLICY = """\
[policy]
# "sign-off" puts the burden of proof on the model: what the evidence does not settle stays
# undecided. "pull-request" puts it on the regression: what was measured and is not settled passes,
# noted.
preset = "sign-off"

[output]
directory = "audit"
formats = ["html", "junit", "markdown"]
"""

_CHECKS = """\
# The checks, with every option. A level is "block", "advise" or "off".
"""

_REST = """\
# The rest, which most audits leave as it is.
"""

_ON_DEMAND = """\
# Tables that ask for something as soon as they are there: remove the "#" of the header, too.
"""

_WIDTH = 100


def draft(folder: Folder, registry: Registry) -> str:
    """Return a commented ``auditor.toml``; what was not found stands in it as a comment.

    Every key of every table is in it, and every option of every check that is installed.
    """
    parts = [
        _HEAD,
        _lines(_candidate(folder)),
        _lines(_data(folder)),
        _lines(_predictions(folder)),
        _POLICY,
        _CHECKS,
        *(_lines(_check(check)) for check in registry.checks.values()),
        _REST,
        _lines(_table("[engine]", EngineTable)),
        _lines(_table("[overlap]", OverlapTable)),
        _ON_DEMAND,
        _lines(_table("# [latency]", LatencyTable)),
        _lines(_table("# [baseline]", BaselineTable)),
        _lines(_table("# [deployment]", DeploymentTable)),
        _lines(_table("# [[waivers]]", Waiver)),
    ]
    return "\n".join(parts)


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _candidate(folder: Folder) -> Iterator[str]:
    weights = folder.weights
    lead = "" if folder.judges_saved else f"{FILL_IN}: "
    yield "[candidate]"
    yield from _only(CandidateTable, "name")
    if weights and weights.model:
        yield f"# Named by {weights.named_by}."
        yield f"model = {literal(weights.model)}"
    else:
        why = 'the checkpoint has no "arch" that names it; ' if weights else ""
        yield f"# {lead}{why}a timm name, hf-hub:… or phi:1.5"
        yield _example('model = "efficientnet_b0"')
    yield from _only(CandidateTable, "module")
    if weights:
        yield f"checkpoint = {literal(folder.relative(weights.path))}"
    else:
        yield f"# {lead}.safetensors, .pth, .pth.tar or .pt"
        yield _example('checkpoint = "best.safetensors"')
    yield from _only(CandidateTable, "pretrained")
    yield from _classes(folder)
    if weights and weights.log:
        yield f"training_log = {literal(folder.relative(weights.log))}"
    else:
        yield _example('training_log = "summary.csv"') + " A CSV with epoch, train_loss, eval_loss."
    first = ("name", "model", "module", "checkpoint", "pretrained")
    yield from _further(CandidateTable, *first, "classes", "training_log")


def _classes(folder: Folder) -> Iterator[str]:
    if folder.classes:
        yield f"classes = {literal(folder.relative(folder.classes))}"
        return
    if folder.weights and folder.weights.classes:
        yield f"# Not needed: the checkpoint names its {len(folder.weights.classes)} classes."
    else:
        yield "# Class names, one a line, in the order of the outputs. Without them the order of"
        yield "# the class folders is assumed, natural and case-insensitive: timm's."
    yield _example('classes = "classes.txt"')


def _data(folder: Folder) -> Iterator[str]:
    yield "[data]"
    yield "# A folder with one folder a class, a CSV or Parquet manifest with image,label, tars"
    yield "# (shards-{000..099}.tar), Parquet files with the images, or a data set on disk."
    for name, split in (("train", folder.train), ("test", folder.test)):
        if split and split.kind == "validation":
            yield "# There is no test set, so validation data is judged. If the checkpoint was"
            yield "# chosen on it, the verdict is too kind."
        if split:
            yield f"{name} = {literal(folder.relative(split.path))}"
        else:
            yield _example(f"{name} = {literal(f'data/{name}')}")
    yield from _further(DataTable, "train", "test")


def _predictions(folder: Folder) -> Iterator[str]:
    mark = "" if folder.judges_saved else "# "  # found, and not used beside a model to run
    yield "[predictions]"
    yield "# Saved predictions of any framework (image,label,predicted), instead of a model."
    for name, path, example in (
        ("test", folder.predictions, "predictions.csv"),
        ("train", folder.train_predictions, "train_predictions.csv"),
    ):
        if path:
            yield f"{mark}{name} = {literal(folder.relative(path))}"
        else:
            yield _example(f"{name} = {literal(example)}")
    yield from _further(PredictionsTable, "test", "train")


def _check(check: type[Check]) -> Iterator[str]:
    yield f"[checks.{check.id}]"
    yield f"# {check.title}."
    if check.blocks_once:
        yield f"# Without a level it advises, and blocks once {check.blocks_once}."
        yield _example('level = "block"')
    else:
        yield f"# level = {literal(check.level)}"
    yield from _further(check)


def _table(header: str, table: type[Table]) -> Iterator[str]:
    yield header
    yield from _prose(inspect.getdoc(table) or "")
    yield from _further(table)


def _example(line: str) -> str:
    return f"# {line}  # (example)"


def _only(table: type[Table], name: str) -> Iterator[str]:
    return (line for option in options_of(table) if option.name == name for line in _line(option))


def _further(table: type[Table], *written: str) -> Iterator[str]:
    """Comment out the keys that were not written before."""
    for option in options_of(table):
        if option.name not in written:
            yield from _line(option)


def _line(option: Option) -> Iterator[str]:
    """Put a key and what it is about on one line, or on several where one does not hold it."""
    about = option.about or option.kind
    if option.example != option.default:
        about = f"(example) {about}"
    key = f"# {option.name} = {option.example}"
    if len(key) + len(about) + len("  # ") <= _WIDTH:
        yield f"{key}  # {about}"
    else:
        yield from _prose(about)
        yield key


def _prose(text: str) -> Iterator[str]:
    filled = " ".join(text.replace("``", "`").split())
    for line in textwrap.wrap(filled, _WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"
