"""What the user pointed at, as the leaves of the graph. Nothing is read here that can wait."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auditor.config import Config
from auditor.data.classes import ClassList, class_list
from auditor.data.images import refuse_nested
from auditor.data.manifest import refuse_respelt
from auditor.data.samples import Samples
from auditor.data.saved import SavedTable, classes_together, read_saved
from auditor.data.sources import read_samples
from auditor.errors import InputError, Unavailable
from auditor.evidence.counts import rare_classes
from auditor.evidence.signature_file import is_signature_file
from auditor.provider import derive

if TYPE_CHECKING:
    from auditor.engine.candidate import Candidate
    from auditor.evidence.predictions import Predictions

__all__ = ["SavedPredictions"]

SEED = 0
"""Seed of the training sample; recorded in the audit."""


@dataclass(frozen=True, eq=False)
class SavedPredictions:
    """A file of predictions, read when asked for."""

    path: Path
    classes: ClassList | None
    split: str = "test"

    @cached_property
    def identity(self) -> str:
        """SHA-256 over the file and the class names, wherever they stand."""
        names = None if self.classes is None else self.classes.names
        digest = hashlib.sha256(repr(names).encode())
        digest.update(_bytes(self.path))
        return digest.hexdigest()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file, by which anybody can tell that it is the one that was judged."""
        return hashlib.sha256(_bytes(self.path)).hexdigest()

    def read(self, samples: Samples | None = None) -> Predictions:
        """Return the predictions; ``InputError`` where rows lack or labels disagree."""
        from auditor.evidence.predictions import Predictions

        table = read_saved(self.path, self.classes)
        if samples is None:
            refuse_respelt(self.path, table.images)
        else:
            table = _matched(self.path, table, samples)
        scores, rows = table.probabilities, np.arange(len(table.images))
        return Predictions(
            classes=table.classes.names,
            images=tuple(table.images),
            label=table.label,
            predicted=table.predicted,
            top5=None if scores is None else np.argsort(-scores, axis=1, kind="stable")[:, :5],
            true_probability=None if scores is None else scores[rows, table.label],
            probabilities=scores,
            metadata=table.metadata,
            about={
                "source": str(self.path),
                "file_digest": self.digest,
                "class_order": table.classes.order,
                "left_out": [] if samples is None else list(samples.left_out),
            },
        )

    def read_apart(self, samples: Samples | None, test: SavedPredictions | None) -> Predictions:
        """Return the predictions; ``Unavailable`` where those of the test images are among them.

        The rest of the audit goes on: that test images are in the training data, whoever looks at
        the images can show.
        """
        from auditor.evidence.given_twice import given_twice

        found = self.read(samples)
        of_test = None if test is None else test.read()
        if of_test is not None and (twice := given_twice(found, of_test)):
            some = "the" if twice == len(of_test) else f"{twice:,} of the {len(of_test):,}"
            raise Unavailable(
                f"{self.path}: the predictions of {some} test images are in it: they are "
                f"{self.split} images, too, or the same predictions were given for "
                f"{_SAME[self.split]}",
                "error",
            )
        return found

    def same_as_test(self) -> InputError:
        """Return the complaint that the test predictions were given for another split, too."""
        return InputError(
            f"{self.path}: the same predictions are given for {_SAME[self.split]}; give those of "
            f"the {self.split} images, or leave [predictions] {self.split} out"
        )


_SAME = {
    "train": "training and for test, which say nothing of overfitting",
    "validation": (
        "validation and for test, and what is chosen on the test set cannot be judged on it"
    ),
}
"""Split → what is lost where its predictions are those of the test images."""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _matched(path: Path, table: SavedTable, samples: Samples) -> SavedTable:
    """Require a row for every image of the data, with the same label.

    Images may be named from the data's folder or from the one above it (``test/cat/0001.jpg``).
    """
    above, known = f"{samples.root.name}/", set(samples.images)
    if not known & set(table.images):
        table = table._replace(images=[image.removeprefix(above) for image in table.images])
    predicted = {image: row for row, image in enumerate(table.images)}
    missing = [image for image in samples.images if image not in predicted]
    if missing:
        raise InputError(
            f"{path}: no row for {len(missing):,} of the {len(samples):,} images of "
            f"{samples.source}, first: {', '.join(missing[:3])}; predict every image, named as "
            "in the data"
        )
    for image, label in zip(samples.images, samples.labels, strict=True):
        said = table.classes.names[table.label[predicted[image]]]
        if said != label:
            raise InputError(
                f'{path}:{predicted[image] + 2}: {image} is labelled "{said}" here and "{label}" '
                f"in {samples.source}"
            )
    extra = next((image for image in table.images if image not in known), None)
    if extra is not None:
        raise InputError(
            f"{path}:{predicted[extra] + 2}: {extra} is not among the {len(known):,} images of "
            f"{samples.source}; predict those and no others"
        )
    return table


@derive
def classes(config: Config) -> ClassList:
    """Return the class list that the user gave."""
    if config.candidate.classes is None:
        raise Unavailable("no class list was given ([candidate] classes)")
    return class_list(config.candidate.classes)


@derive
def test_samples(config: Config, classes: ClassList | None) -> Samples:
    """Return the test images."""
    return _samples("test", config.data.test, classes)


@derive
def train_samples(config: Config, classes: ClassList | None) -> Samples:
    """Return the training images."""
    if config.data.train is not None and config.data.test is not None:
        refuse_nested(config.data.train, config.data.test)
    return _samples("train", config.data.train, classes)


@derive
def validation_samples(config: Config, classes: ClassList | None) -> Samples:
    """Return the validation images; a threshold chosen on the test set would judge itself."""
    validation, test = config.data.validation, config.data.test
    if validation is not None and test is not None and validation.resolve() == test.resolve():
        raise InputError(
            f"{validation}: the same images are given for validation and for test; what is chosen "
            "on the test set cannot be judged on it"
        )
    return _samples("validation", validation, classes)


def _samples(split: str, path: Path | None, classes: ClassList | None) -> Samples:
    if path is None:
        raise Unavailable(f"no {split} images were given ([data] {split})")
    if is_signature_file(path):
        raise Unavailable(f"{path} holds the signatures of the {split} images, not the images")
    return read_samples(path, classes and classes.names)


@derive
def train_sample(config: Config, train_samples: Samples) -> Samples:
    """Return the training images that the candidate is run on.

    A sample is stratified: each class keeps its share, so that it speaks for the whole, and the
    rare classes' other images are added, marked as not representative. Saved predictions cost
    nothing: they are to be of every image, so that nobody chooses of which.
    """
    size = config.data.train_sample
    saved = config.predictions.train is not None
    if saved or size == "all" or len(train_samples) <= size:
        return train_samples
    labels = np.array(train_samples.labels)
    shuffled = np.random.default_rng(SEED).permutation(len(labels))
    share = size / len(labels)
    chosen: list[int] = []
    for name in sorted(set(train_samples.labels)):
        rows = shuffled[labels[shuffled] == name]
        chosen.extend(rows[: max(1, round(share * len(rows)))].tolist())
    counts = {n: int((labels == n).sum()) for n in set(train_samples.labels)}
    rare = rare_classes(counts, len(counts))
    extra = np.flatnonzero(np.isin(labels, sorted(rare)))
    rows = sorted({*chosen, *extra.tolist()})
    kept, first = train_samples.take(rows), set(chosen)
    return _described(kept, tuple(row in first for row in rows), len(train_samples))


def _described(sample: Samples, representative: tuple[bool, ...], total: int) -> Samples:
    from dataclasses import replace

    extra = len(sample) - sum(representative)
    text = f"{sum(representative):,} of {total:,} images, stratified by class (seed {SEED})"
    if extra:
        text += f", and {extra:,} more to keep every image of a rare class"
    return replace(sample, representative=representative, sample=text)


@derive
def saved_classes(config: Config, classes: ClassList | None) -> ClassList:
    """Return the classes of all saved predictions, where no single file has to say them."""
    given = config.predictions
    paths = [path for path in (given.test, given.train, given.validation) if path is not None]
    found = classes
    if found is None and given.test is not None and len(paths) > 1:
        found = classes_together(paths)
    if found is None:
        raise Unavailable("each file of saved predictions says what its classes are")
    return found


@derive
def saved_test(config: Config, saved_classes: ClassList | None) -> SavedPredictions:
    """Return the saved predictions on the test images."""
    return _saved("test", config.predictions.test, saved_classes)


@derive
def saved_train(config: Config, saved_classes: ClassList | None) -> SavedPredictions:
    """Return the saved predictions on the training images."""
    return _apart_from_test(_saved("train", config.predictions.train, saved_classes), config)


@derive
def saved_validation(config: Config, saved_classes: ClassList | None) -> SavedPredictions:
    """Return the saved predictions on the validation images."""
    return _apart_from_test(
        _saved("validation", config.predictions.validation, saved_classes), config
    )


def _saved(split: str, path: Path | None, classes: ClassList | None) -> SavedPredictions:
    if path is None:
        raise Unavailable(f"no saved predictions were given ([predictions] {split})")
    return SavedPredictions(path, classes, split)


def _apart_from_test(saved: SavedPredictions, config: Config) -> SavedPredictions:
    """Refuse one file for two splits; of others only their rows can tell: see ``read_apart``."""
    test = config.predictions.test
    try:
        once = test is not None and saved.path.samefile(test)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if once:
        raise saved.same_as_test()
    return saved


@derive
def candidate(
    config: Config,
    classes: ClassList | None,
    train_samples: Samples | None,
    test_samples: Samples | None,
) -> Candidate:
    """Return a handle on the model under audit; it is loaded when it is first run."""
    from auditor.engine.candidate import Candidate

    table = config.candidate
    if not table.names_a_model:
        raise Unavailable("no model was given ([candidate] model, module or checkpoint)")
    found, other = (*_class_lists(train_samples, test_samples), None, None)[:2]
    return Candidate(table, config.engine, classes, found, other=other)


def _class_lists(train: Samples | None, test: Samples | None) -> list[ClassList]:
    """Return the classes of the data, those first whose order is named.

    What is assumed of the test data says nothing beside the training data.
    """
    lists = [
        ClassList(split.classes, split.class_order, split.empty_classes)
        for split in (train, test)
        if split is not None
    ]
    if len(lists) > 1 and lists[1].assumed:
        del lists[1]
    return sorted(lists, key=lambda found: found.assumed)
