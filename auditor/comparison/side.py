"""One side of a comparison, in the candidate's order of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["Counts", "Floats", "Side", "counter"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Side(NamedTuple):
    """Labels and predictions as indices into the candidate's classes."""

    label: Counts
    predicted: Counts

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        classes: Sequence[str] | None = None,
        rows: Counts | None = None,
    ) -> Side:
        """Take some rows, in the order of some classes; all and as they stand where not given."""
        label, predicted = predictions.label, predictions.predicted
        if rows is not None:
            label, predicted = label[rows], predicted[rows]
        if classes is not None:
            index = {name: i for i, name in enumerate(classes)}
            moved = np.array([index[name] for name in predictions.classes], np.int64)
            label, predicted = moved[label], moved[predicted]
        return cls(label, predicted)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which rows are predicted right."""
        return np.asarray(self.label == self.predicted)


def counter(label: Counts, k: int) -> Callable[[NDArray[np.bool_] | None], Counts]:
    """Return a function that counts rows: all, and those of each class."""

    def count(which: NDArray[np.bool_] | None) -> Counts:
        chosen = label if which is None else label[which]
        return np.concatenate([[chosen.size], np.bincount(chosen, minlength=k)]).astype(np.int64)

    return count
