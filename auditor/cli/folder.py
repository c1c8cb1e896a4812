"""Looks at a folder and finds what can be audited in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from auditor.models.checkpoint import Checkpoint

__all__ = ["Folder", "Split", "Weights", "look"]

_DATA = ("", "data", "dataset", "datasets", "images")
_TRAIN, _TEST = ("train", "training"), ("test", "testing")
_VALIDATION = ("val", "valid", "validation")
_PREDICTIONS = ("predictions", "test_predictions", "test-predictions", "predictions_test")
_TRAIN_PREDICTIONS = ("train_predictions", "train-predictions", "predictions_train")
_TABLES = (".csv", ".parquet")
_CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt", "class_map.txt")

_RUNS = ("runs", "output", "outputs", "checkpoints", "weights", "models")
_WEIGHTS = (".safetensors", ".pth", ".pth.tar", ".pt")
_BEST = ("model_best", "best")
_NO_WEIGHTS = ("optimizer", "scheduler", "scaler", "rng_state")
_HEADS = ("classifier.weight", "fc.weight", "head.weight", "head.fc.weight", "classifier.1.weight")


@dataclass(frozen=True)
class Split:
    """Images with labels."""

    path: Path
    classes: int | None
    """Class folders; None where there are none."""
    kind: Literal["train", "test", "validation"]
    form: str = "a manifest"
    """What it is where it is no folder of class folders."""

    def describe(self) -> str:
        """Return what it is, in words."""
        return self.form if self.classes is None else f"{self.classes} class folders"


@dataclass(frozen=True)
class Weights:
    """A checkpoint and what it says of itself."""

    path: Path
    others: int
    """Further checkpoints that were found and not taken."""
    model: str | None = None
    named_by: str = ""
    outputs: int | None = None
    classes: tuple[str, ...] | None = None
    log: Path | None = None
    problem: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True)
class Folder:
    """What was found; None is not there."""

    root: Path
    train: Split | None
    test: Split | None
    predictions: Path | None
    train_predictions: Path | None
    weights: Weights | None
    classes: Path | None

    @property
    def judges_saved(self) -> bool:
        """Whether saved predictions are judged, and not a model that is run."""
        return self.predictions is not None and not (self.weights and self.test)

    def relative(self, path: Path) -> str:
        """Return a path as ``auditor.toml`` writes it: relative to itself, with slashes."""
        return path.relative_to(self.root).as_posix()


def look(root: Path) -> Folder:
    """Look for data, predictions, a checkpoint and class names; nothing is run."""
    weights = _weights(root)
    beside = (weights.path.parent,) if weights else ()
    return Folder(
        root=root,
        train=_split(root, _TRAIN, "train"),
        test=_split(root, _TEST, "test") or _split(root, _VALIDATION, "validation"),
        predictions=_table(root, _PREDICTIONS),
        train_predictions=_table(root, _TRAIN_PREDICTIONS),
        weights=weights,
        classes=_class_file((*_bases(root), *beside)),
    )


def _bases(root: Path) -> list[Path]:
    here = {path.name.lower(): path for path in sorted(root.iterdir(), reverse=True)} | {"": root}
    return [here[name] for name in _DATA if name in here and here[name].is_dir()]


def _split(
    root: Path, names: Sequence[str], kind: Literal["train", "test", "validation"]
) -> Split | None:
    for base in _bases(root):
        here = {path.name.lower(): path for path in sorted(base.iterdir())}
        for name in names:
            if name in here and (classes := _class_folders(here[name])):
                return Split(here[name], classes, kind)
            if packed := _packed(base, here, name):
                return Split(packed[0], None, kind, packed[1])
            for table in (here.get(name + suffix) for suffix in _TABLES):
                if table and _is_manifest(table):
                    return Split(table, None, kind)
    return None


def _packed(base: Path, here: Mapping[str, Path], name: str) -> tuple[Path, str] | None:
    """Return tars, Parquet files or a data set on disk by that name, and what they are."""
    from auditor.data import arrow, parquet

    if f"{name}.tar" in here:
        return here[f"{name}.tar"], "a tar"
    if shards := sum(1 for _ in base.glob(f"{name}-*.tar")):
        return base / f"{name}-*.tar", f"{shards} tar{'s' * (shards > 1)}"
    folder = here.get(name)
    if folder is None or not folder.is_dir():
        return None
    if arrow.claims(folder):
        return folder, "a data set on disk"
    return (folder, "Parquet files") if parquet.claims(folder) else None


def _class_folders(folder: Path) -> int:
    from auditor.data.folder import is_hidden

    if not folder.is_dir():
        return 0
    return sum(1 for e in os.scandir(folder) if e.is_dir() and not is_hidden(e.name))


def _is_manifest(path: Path) -> bool:
    return {"image", "label"} <= _columns(path)


def _columns(path: Path) -> set[str]:
    """Return the columns of a table; none where it is not one."""
    from auditor.data.tables import column_names
    from auditor.errors import InputError

    try:
        return set(column_names(path))
    except InputError:
        return set()


def _table(root: Path, names: Sequence[str]) -> Path | None:
    places = (base / f"{name}{end}" for base in _bases(root) for name in names for end in _TABLES)
    needed = {"image", "label", "predicted"}
    return next((path for path in places if path.is_file() and needed <= _columns(path)), None)


def _class_file(folders: Sequence[Path]) -> Path | None:
    places = (folder / name for folder in folders for name in _CLASS_FILES)
    return next((path for path in places if path.is_file()), None)


def _weights(root: Path) -> Weights | None:
    found = sorted(_checkpoints(root), key=_preference)
    if not found:
        return None
    path, others = found[-1], len(found) - 1
    log = path.parent / "summary.csv"
    weights = Weights(path, others, log=log if log.is_file() else None)
    return _with_content(weights)


def _checkpoints(root: Path) -> Iterator[Path]:
    yield from (path for path in root.iterdir() if _is_checkpoint(path))
    for name in _RUNS:
        yield from (path for path in (root / name).rglob("*") if _is_checkpoint(path))


def _is_checkpoint(path: Path) -> bool:
    return path.name.endswith(_WEIGHTS) and not path.name.startswith(_NO_WEIGHTS) and path.is_file()


def _preference(path: Path) -> tuple[bool, float, str]:
    return path.name.startswith(_BEST), path.stat().st_mtime, path.name


def _with_content(weights: Weights) -> Weights:
    from dataclasses import replace

    from auditor.errors import InputError
    from auditor.models.checkpoint import read_checkpoint

    model, named_by = _from_arguments(weights.path.parent / "args.yaml"), "args.yaml"
    try:
        checkpoint = read_checkpoint(weights.path)
    except InputError as error:
        return replace(weights, model=model, named_by=named_by, problem=str(error))
    if checkpoint.arch:
        model, named_by = checkpoint.arch, "the checkpoint"
    return replace(
        weights,
        model=model,
        named_by=named_by,
        outputs=_outputs(checkpoint),
        classes=checkpoint.classes,
    )


def _from_arguments(path: Path) -> str | None:
    """Return the model that timm's ``args.yaml`` names."""
    try:
        found = re.search(r"^model: *['\"]?([\w.:/-]+)", path.read_text("utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return None
    return found[1] if found else None


def _outputs(checkpoint: Checkpoint) -> int | None:
    heads = (checkpoint.state.get(name) for name in _HEADS)
    return next((int(head.shape[0]) for head in heads if head is not None), None)
