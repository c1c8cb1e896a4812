"""Predictions: what the candidate said of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from auditor.data.manifest import none_is_there
from auditor.data.samples import LeftOut, Samples
from auditor.errors import Unavailable
from auditor.evidence.inputs import SavedPredictions
from auditor.provider import Observer, observe
from auditor.read_only import read_only_property
from auditor.store.columns import matrix, matrix_of, telling, told, with_lost, without_lost

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.engine.candidate import Candidate
    from auditor.evidence.scenes import Wanted

__all__ = ["Predictions", "test", "train", "validation"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labels and predictions of one split, as indices into ``classes``.

    Parameters
    ----------
    classes
        Class names in the order of the candidate's outputs, at least two.
    images
        Names, shape (n,); only images that could be read.
    label, predicted
        Integer arrays, shape (n,), in [0, len(classes)).
    top5
        Shape (n, min(5, K)), best first; None where probabilities were not saved.
    true_probability
        Probability given to the label, shape (n,), in [0, 1].
    probabilities
        Shape (n, K); None where they did not fit or were not saved.
    features
        What the candidate's last layer saw, float16, shape (n, d); None unless asked for.
    representative
        Whether a row belongs to the self-weighting part of a sample; None means all do.
    unreadable
        Image → why it could not be read. Such images have no row.
    metadata
        Further columns of the data → a text for each row, n long.
    about
        Where the predictions came from, as JSON values.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    top5: NDArray[np.int64] | None = None
    true_probability: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float32] | None = None
    features: NDArray[np.float16] | None = None
    representative: NDArray[np.bool_] | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        label: Sequence[str],
        predicted: Sequence[str],
        *,
        classes: Sequence[str] | None = None,
        images: Sequence[str] | None = None,
    ) -> Self:
        """Return predictions given as class names, for tests and notebooks."""
        names = tuple(classes or sorted({*label, *predicted}))
        index = {name: i for i, name in enumerate(names)}
        return cls(
            classes=names,
            images=tuple(images or (f"image-{i:06}" for i in range(len(label)))),
            label=np.array([index[name] for name in label], np.int64),
            predicted=np.array([index[name] for name in predicted], np.int64),
        )

    def __len__(self) -> int:
        return len(self.images)

    @read_only_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right, shape (n,)."""
        return np.asarray(self.label == self.predicted)

    @property
    def among_first_five(self) -> NDArray[np.bool_]:
        """Whether each label is among the five most probable classes, shape (n,).

        Where all probabilities are known, one that is 0, or that the sixth has, too, is not: which
        of equals comes first is the order of the classes. ``top5`` must be there.
        """
        if self.probabilities is None:
            assert self.top5 is not None
            return np.asarray((self.top5 == self.label[:, None]).any(axis=1))
        own = self.probabilities[np.arange(len(self)), self.label]
        as_probable = (self.probabilities >= own[:, None]).sum(axis=1)
        return np.asarray(self.correct | ((own > 0) & (as_probable <= 5)))

    @property
    def left_out(self) -> LeftOut:
        """Which files of the source may be images and were not taken for any."""
        return LeftOut(*self.about.get("left_out", ()))

    @property
    def self_weighting(self) -> Predictions:
        """The rows that speak for the whole, each class in its share."""
        return self if self.representative is None else self.where(self.representative)

    @property
    def contradicted(self) -> int:
        """How many images have a predicted class that is not the most probable one."""
        if self.probabilities is None:
            return 0
        given = self.probabilities[np.arange(len(self)), self.predicted]
        return int((given < self.probabilities.max(axis=1)).sum())

    @property
    def tied(self) -> int:
        """How many images have a predicted class that is the most probable one, and another is."""
        if self.probabilities is None:
            return 0
        given = self.probabilities[np.arange(len(self)), self.predicted]
        as_probable = (self.probabilities >= given[:, None]).sum(axis=1)
        return int(((as_probable > 1) & (given == self.probabilities.max(axis=1))).sum())

    def where(self, keep: NDArray[np.bool_]) -> Predictions:
        """Return the rows where ``keep``, shape (n,), is true; the unreadable images stay named."""
        rows = np.flatnonzero(keep)
        return Predictions(
            classes=self.classes,
            images=tuple(self.images[row] for row in rows),
            label=self.label[rows],
            predicted=self.predicted[rows],
            top5=_rows(self.top5, rows),
            true_probability=_rows(self.true_probability, rows),
            probabilities=_rows(self.probabilities, rows),
            features=_rows(self.features, rows),
            representative=_rows(self.representative, rows),
            unreadable=self.unreadable,
            metadata={k: tuple(v[row] for row in rows) for k, v in self.metadata.items()},
            about=self.about,
        )

    def without(self, images: frozenset[str]) -> Predictions:
        """Return the predictions of all other images."""
        return self.where(np.array([image not in images for image in self.images], bool))

    def to_table(self) -> pa.Table:
        """Return a row an image, the unreadable ones last."""
        import pyarrow as pa

        columns: dict[str, Any] = {
            "image": pa.array(self.images, pa.string()),
            "label": _names(self.classes, self.label),
            "predicted": _names(self.classes, self.predicted),
        }
        for name in ("true_probability", "representative"):
            if getattr(self, name) is not None:
                columns[name] = pa.array(getattr(self, name))
        for name in ("top5", "probabilities", "features"):
            if getattr(self, name) is not None:
                columns[name] = matrix(getattr(self, name))
        columns |= {f"meta.{k}": pa.array(v, pa.string()) for k, v in self.metadata.items()}
        about = {**self.about, "classes": list(self.classes)}
        return telling(with_lost(columns, self.unreadable), about)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return the predictions that ``to_table`` or a pass over the images wrote."""
        about = told(table)
        classes = tuple(about.pop("classes"))
        table, unreadable = without_lost(table)
        return cls(
            classes=classes,
            images=tuple(table["image"].to_pylist()),
            label=_indices(table, "label", classes),
            predicted=_indices(table, "predicted", classes),
            top5=matrix_of(table, "top5", np.int64),
            true_probability=_vector_of(table, "true_probability"),
            probabilities=matrix_of(table, "probabilities", np.float32),
            features=matrix_of(table, "features", np.float16),
            representative=_vector_of(table, "representative"),
            unreadable=unreadable,
            metadata={
                name.removeprefix("meta."): tuple(table[name].to_pylist())
                for name in sorted(table.column_names)
                if name.startswith("meta.")
            },
            about=about,
        )


def _rows(values: Any, rows: NDArray[np.int64]) -> Any:
    return None if values is None else values[rows]


def _names(classes: Sequence[str], indices: NDArray[np.int64]) -> pa.Array:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(indices.astype(np.int32), list(classes)).cast(pa.string())


def _indices(table: pa.Table, name: str, classes: Sequence[str]) -> NDArray[np.int64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if table.num_rows == 0:  # no image could be read, and a pass then knows no such column
        return np.zeros(0, np.int64)
    found = pc.index_in(table[name].cast(pa.string()), value_set=pa.array(classes, pa.string()))
    if found.null_count:
        raise Unavailable(f"stored predictions hold a {name} that is no class of theirs", "error")
    values: NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return values


def _vector_of(table: pa.Table, name: str) -> Any:
    return table[name].to_numpy() if name in table.column_names else None


@observe(Predictions, samples="test_samples", version=9)
def test(
    saved_test: SavedPredictions | None,
    test_samples: Samples | None,
    candidate: Candidate | None,
    features_wanted: Wanted | None,
) -> Observer | Predictions:
    """Return the candidate's predictions on the test images."""
    if saved_test is not None:
        return saved_test.read(test_samples)
    return _inference("test", test_samples, candidate, features_wanted)


@observe(Predictions, samples="train_samples", version=8)
def train(
    saved_train: SavedPredictions | None,
    saved_test: SavedPredictions | None,
    train_sample: Samples | None,
    candidate: Candidate | None,
    features_wanted: Wanted | None,
) -> Observer | Predictions:
    """Return the candidate's predictions on the training images, or a sample of them."""
    return _apart("train", saved_train, saved_test, train_sample, candidate, features_wanted)


@observe(Predictions, samples="validation_samples", version=8)
def validation(
    saved_validation: SavedPredictions | None,
    saved_test: SavedPredictions | None,
    validation_samples: Samples | None,
    candidate: Candidate | None,
) -> Observer | Predictions:
    """Return the candidate's predictions on the validation images, where a threshold is chosen."""
    return _apart("validation", saved_validation, saved_test, validation_samples, candidate)


def _apart(
    split: str,
    saved: SavedPredictions | None,
    saved_test: SavedPredictions | None,
    samples: Samples | None,
    candidate: Candidate | None,
    features_wanted: Wanted | None = None,
) -> Observer | Predictions:
    """Return the predictions on another split, by the candidate of the test predictions."""
    if saved is not None or samples is not None:
        _require_one_candidate(split, saved, saved_test, candidate)
    if saved is not None:
        return saved.read_apart(samples, saved_test)
    return _inference(split, samples, candidate, features_wanted)


def _require_one_candidate(
    split: str,
    saved_split: SavedPredictions | None,
    saved_test: SavedPredictions | None,
    candidate: Candidate | None,
) -> None:
    """Refuse to take one split's predictions from a file and the other's from a model."""
    if candidate is not None and (saved_split is None) != (saved_test is None):
        run, saved = (split, "test") if saved_split is None else ("test", split)
        raise Unavailable(
            f"the {saved} predictions were saved and those on {run} would come from the model "
            "given here: two candidates cannot be compared as one; save both or neither",
            "error",
        )


def _inference(
    split: str,
    samples: Samples | None,
    candidate: Candidate | None,
    features_wanted: Wanted | None,
) -> Observer:
    if samples is None:
        raise Unavailable(f"no {split} data was given ([data] {split} or [predictions] {split})")
    if candidate is None:
        raise Unavailable(
            f"no model was given to run on the {split} images ([candidate], or [predictions] "
            f"{split} with its saved predictions)"
        )
    if missing := none_is_there(samples):
        raise Unavailable(missing, "error")
    from auditor.engine.inference import Inference

    return Inference(candidate, samples, features=features_wanted is not None)
