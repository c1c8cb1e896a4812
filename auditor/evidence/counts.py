"""How many images each class has, and which classes are rare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import numpy as np

from auditor.data.classes import require_known
from auditor.provider import derive, gather
from auditor.store.columns import telling, told

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.data.samples import Samples
    from auditor.evidence.deployment import Deployment
    from auditor.evidence.inputs import SavedPredictions
    from auditor.evidence.predictions import Predictions

__all__ = ["ClassCounts", "TrainCounts", "counts", "rare_classes", "train_counts"]


def rare_classes(
    counts: Mapping[str, float], n_classes: int, factor: float = 0.5
) -> frozenset[str]:
    """Return the classes whose share is below ``factor / n_classes``.

    >>> sorted(rare_classes({"normal": 98, "fraud": 2}, 2))
    ['fraud']
    """
    total = sum(counts.values())
    return frozenset(c for c, n in counts.items() if n == 0 or n * n_classes < factor * total)


@dataclass(frozen=True)
class TrainCounts:
    """Training images a class."""

    counts: Mapping[str, int]
    source: str

    def __post_init__(self) -> None:
        """Let nobody change the counts, which whoever asks is given."""
        object.__setattr__(self, "counts", MappingProxyType(self.counts))

    def to_table(self) -> pa.Table:
        """Return a row a class."""
        import pyarrow as pa

        columns = {"class": list(self.counts), "images": list(self.counts.values())}
        schema = pa.schema({"class": pa.string(), "images": pa.int64()})
        return telling(pa.table(columns, schema=schema), {"source": self.source})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        names, images = table["class"].to_pylist(), table["images"].to_pylist()
        return cls(dict(zip(names, images, strict=True)), told(table)["source"])


@gather(TrainCounts)
def train_counts(
    train_samples: Samples | None, saved_train: SavedPredictions | None
) -> TrainCounts:
    """Count the training images of each class."""
    from auditor.errors import Unavailable

    if train_samples is not None:
        labels, source = Counter(train_samples.labels), train_samples.source
    elif saved_train is not None:
        saved = saved_train.read()
        labels = Counter(saved.classes[i] for i in saved.label)
        source = str(saved_train.path)
    else:
        raise Unavailable("no training data was given ([data] train)")
    return TrainCounts(dict(sorted(labels.items())), source)


@dataclass(frozen=True)
class ClassCounts:
    """Images a class: ``test`` over the candidate's classes, ``train`` where it was given.

    ``production`` holds the shares that ``[deployment]`` gives.
    """

    classes: tuple[str, ...]
    test: Mapping[str, int]
    train: Mapping[str, int] | None = None
    production: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        """Let nobody change the counts, which whoever asks is given."""
        for name in ("test", "train", "production"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, MappingProxyType(given))

    def rare(
        self, factor: float = 0.5, named: Iterable[str] = (), also: Iterable[str] = ()
    ) -> frozenset[str]:
        """Return the classes whose share is below ``factor / K`` wherever it is known.

        In the training data, for the candidate learnt little of them; in the test set and in
        production, for they move no average. A class without any training image or test image is
        rare; one that production does not hold is not rare there.

        Parameters
        ----------
        factor
            As above, with K classes.
        named
            Classes that are rare instead of those, where there are any.
        also
            Classes that are rare besides.
        """
        return (frozenset(named) or self._by_share(factor)).union(also)

    def _by_share(self, factor: float) -> frozenset[str]:
        sides = [self.test] if self.train is None else [self.test, self.train]
        shares: list[dict[str, float]] = [
            {name: side.get(name, 0) for name in self.classes} for side in sides
        ]
        shares.append({name: part for name, part in (self.production or {}).items() if part})
        found = (rare_classes(each, len(self.classes), factor) for each in shares)
        return frozenset[str]().union(*found)


@derive
def counts(
    test: Predictions, train_counts: TrainCounts | None, deployment: Deployment | None
) -> ClassCounts:
    """Return the images of each class of the candidate."""
    support = np.bincount(test.label, minlength=len(test.classes))
    per_class = {name: int(n) for name, n in zip(test.classes, support, strict=True)}
    if train_counts is not None:
        require_known(train_counts.counts, test.classes, train_counts.source)
    return ClassCounts(
        test.classes,
        per_class,
        train_counts.counts if train_counts else None,
        dict(zip(test.classes, deployment.share.tolist(), strict=True)) if deployment else None,
    )
