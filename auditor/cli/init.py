"""``auditor init``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.given import PATH
from auditor.cli.layout import hanging, paragraphs, titled
from auditor.cli.options import CONFIG_NAME
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.cli.folder import Folder, Weights

__all__ = ["command"]


@click.command("init")
@click.argument("directory", type=PATH, default=Path())
@click.option("--force", is_flag=True, help="Overwrite an auditor.toml that is there.")
def command(directory: Path, force: bool) -> None:
    """Write a commented auditor.toml for what lies in a folder.

    Looks in DIRECTORY (here, unless given) for training and test data, saved predictions, the
    best or newest checkpoint with timm's files beside it, and class names.

    Exit status: 0 written, 2 it cannot be, or there is one already.
    """
    from auditor.cli.draft import FILL_IN, draft
    from auditor.cli.folder import look
    from auditor.cli.output import writing
    from auditor.errors import InputError
    from auditor.registry import find_checks

    path = directory / CONFIG_NAME
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder")
    if path.exists() and not force:
        raise InputError(f"{path} exists; --force overwrites it")
    folder = look(directory)
    text = draft(folder, find_checks())
    with writing(path):
        path.write_text(text, encoding="utf-8")
    first = f"fill in what it marks with {FILL_IN}, then " if FILL_IN in text else ""
    say(paragraphs(_report(folder, path, first)))


def _report(folder: Folder, path: Path, first: str) -> Iterator[str]:
    yield titled(f"Found in {folder.root.resolve().name or folder.root}", _listed(_found(folder)))
    yield titled("To look at", _listed(_missing(folder)))
    where = "" if folder.root == Path() else f" {path}"
    yield f"{click.style('Wrote', bold=True)} {path}. Next: {first}auditor run{where}"


def _listed(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (hanging(text, 15, f"{name:<12} ") for name, text in rows)


def _found(folder: Folder) -> Iterator[tuple[str, str]]:
    for name, split in (("train", folder.train), ("test", folder.test)):
        if split:
            yield name, f"{folder.relative(split.path)} ({split.describe()})"
    if folder.predictions:
        left_out = "" if folder.judges_saved else " (not used, as there is a model to run)"
        yield "predictions", folder.relative(folder.predictions) + left_out
    if folder.classes:
        yield "classes", folder.relative(folder.classes)
    if folder.weights:
        yield from _found_weights(folder, folder.weights)


def _found_weights(folder: Folder, weights: Weights) -> Iterator[tuple[str, str]]:
    facts = [f"{weights.outputs} outputs"] if weights.outputs else []
    facts += [f"chosen from {weights.others + 1} checkpoints"] if weights.others else []
    said = f" ({'; '.join(facts)})" if facts else ""
    yield "checkpoint", folder.relative(weights.path) + said
    if weights.model:
        yield "model", f"{weights.model}, named by {weights.named_by}"
    if weights.log:
        yield "log", folder.relative(weights.log)


def _missing(folder: Folder) -> Iterator[tuple[str, str]]:
    """Say what the user has to fill in, or should know."""
    if not folder.judges_saved:
        yield from _missing_for_a_run(folder)
    if folder.train is None and not folder.train_predictions:
        yield "train", "no training data, so leakage and overfitting cannot be looked at"


def _missing_for_a_run(folder: Folder) -> Iterator[tuple[str, str]]:
    weights, test = folder.weights, folder.test
    if test is None:
        yield "test", "no test data: fill in [data] test, or [predictions] test"
    elif test.kind == "validation":
        yield "test", "validation data is judged; too kind if the checkpoint was chosen on it"
    if weights is None:
        yield "checkpoint", "no checkpoint: fill in [candidate] checkpoint, or a model of the hub"
        return
    if weights.problem:
        yield "checkpoint", weights.problem
    elif not weights.model:
        yield "model", 'the checkpoint has no "arch": fill in [candidate] model'
    yield from _class_order(folder, weights)


def _class_order(folder: Folder, weights: Weights) -> Iterator[tuple[str, str]]:
    split = folder.train or folder.test
    if folder.classes or weights.classes or split is None:
        return
    if weights.outputs and split.classes and weights.outputs != split.classes:
        yield (
            "classes",
            f"the checkpoint has {weights.outputs} outputs, {folder.relative(split.path)} has "
            f"{split.classes} classes: write the names into classes.txt, in the outputs' order, "
            "and fill in [candidate] classes",
        )
    else:
        yield "classes", "no class names; the order of the class folders is assumed to be timm's"
