"""The confusion matrix, sparse, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor.provider import derive
from auditor.read_only import read_only_property

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["Confusion", "confusion"]


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of (label, predicted), only where there are any; K classes, n images.

    A figure that has no value (a class without images, a matrix with one row) is None or NaN,
    where scikit-learn says 0.0.
    """

    classes: tuple[str, ...]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    images: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Predictions) -> Confusion:
        """Count the predictions."""
        k = len(predictions.classes)
        codes, images = np.unique(predictions.label * k + predictions.predicted, return_counts=True)
        return cls(predictions.classes, codes // k, codes % k, images.astype(np.int64))

    def _count(self, index: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.int64]:
        counts = np.bincount(index, weights=images, minlength=len(self.classes))
        return counts.astype(np.int64)

    @read_only_property
    def support(self) -> NDArray[np.int64]:
        """Test images of each class, shape (K,)."""
        return self._count(self.rows, self.images)

    @read_only_property
    def predicted(self) -> NDArray[np.int64]:
        """Test images put into each class, shape (K,)."""
        return self._count(self.columns, self.images)

    @read_only_property
    def correct(self) -> NDArray[np.int64]:
        """Test images of each class that were recognised, shape (K,)."""
        right = self.rows == self.columns
        return self._count(self.rows[right], self.images[right])

    @property
    def n(self) -> int:
        """Test images."""
        return int(self.images.sum())

    @property
    def right(self) -> int:
        """Test images that were recognised."""
        return int(self.correct.sum())

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a test image."""
        return tuple(self.classes[i] for i in np.flatnonzero(self.support == 0))

    @read_only_property
    def recall(self) -> NDArray[np.float64]:
        """Recall of each class; NaN without support."""
        return _ratio(self.correct, self.support)

    @read_only_property
    def precision(self) -> NDArray[np.float64]:
        """Precision of each class; NaN where nothing was put into it."""
        return _ratio(self.correct, self.predicted)

    @read_only_property
    def f1(self) -> NDArray[np.float64]:
        """F1 of each class; NaN for a class that neither occurs nor is predicted."""
        return _ratio(2 * self.correct, self.support + self.predicted)

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy."""
        return self.right / self.n if self.n else None

    @property
    def no_information_rate(self) -> float | None:
        """Accuracy of always naming the most frequent class."""
        return int(self.support.max()) / self.n if self.n else None

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall over the classes that have test images."""
        return _mean(self.recall)

    @property
    def macro_f1(self) -> float | None:
        """Mean F1 over the classes that occur or are predicted."""
        return _mean(self.f1)

    @property
    def matthews(self) -> float | None:
        """Matthews correlation for K classes (Gorodkin, 2004); None where it is 0/0."""
        n, t, p = float(self.n), self.support.astype(float), self.predicted.astype(float)
        spread = (n**2 - p @ p) * (n**2 - t @ t)
        return float((self.right * n - t @ p) / np.sqrt(spread)) if spread > 0 else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None where chance alone would be always right."""
        n, t, p = float(self.n), self.support.astype(float), self.predicted.astype(float)
        chance = t @ p
        return float((self.right * n - chance) / (n**2 - chance)) if n**2 > chance else None

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """Yield (label index, predicted index, images)."""
        columns = (self.rows.tolist(), self.columns.tolist(), self.images.tolist())
        return zip(*columns, strict=True)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.full(whole.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=out, where=whole > 0))


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


@derive
def confusion(test: Predictions) -> Confusion:
    """Return the confusion matrix of the test images."""
    return Confusion.of(test)
