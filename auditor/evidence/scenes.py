"""Training images that the candidate itself finds most like a test image; never called copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from auditor.config import Config
from auditor.data.decode import open_image
from auditor.data.samples import Samples
from auditor.errors import Unavailable
from auditor.evidence.overlap import Overlap
from auditor.overlap.thumbnail import thumbnail
from auditor.provider import derive, gather
from auditor.store.columns import telling, told

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.evidence.predictions import Predictions

__all__ = ["ScenePair", "Scenes", "nearest", "scenes"]

SHOWN = 24
"""Pairs that are kept, with thumbnails."""

_CELLS = 1 << 24
"""Similarities computed at once: 64 MiB."""


class ScenePair(NamedTuple):
    """A test image and the training image whose features are nearest."""

    test_image: str
    train_image: str
    similarity: float
    """Cosine, within −1..1."""
    test_label: str
    train_label: str


@dataclass(frozen=True)
class Scenes:
    """The most similar pairs, the most alike first, of test images without a copy in training.

    Parameters
    ----------
    pairs
        At most ``SHOWN``, one a test image.
    test_images, train_images
        How many were compared.
    thumbnails
        ``test/IMAGE`` or ``train/IMAGE`` → a small JPEG.
    note
        Why nothing is known, where nothing is.
    """

    pairs: tuple[ScenePair, ...]
    test_images: int
    train_images: int
    thumbnails: Mapping[str, bytes]
    note: str = ""

    def to_table(self) -> pa.Table:
        """Return a row a pair, with its two thumbnails."""
        import pyarrow as pa

        rows = [
            pair._asdict() | {f"{s}_jpeg": self.thumbnails.get(f"{s}/{i}") for s, i in _sides(pair)}
            for pair in self.pairs
        ]
        text, jpeg = pa.string(), pa.binary()
        types = (text, text, pa.float64(), text, text, jpeg, jpeg)
        names = (*ScenePair._fields, "test_jpeg", "train_jpeg")
        about = {name: getattr(self, name) for name in _ABOUT}
        table = pa.Table.from_pylist(rows, pa.schema(list(zip(names, types, strict=True))))
        return telling(table, about, sort_keys=False)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        small: dict[str, bytes] = {}
        pairs = []
        for row in table.to_pylist():
            jpegs = {s: row.pop(f"{s}_jpeg") for s in ("test", "train")}
            pairs.append(ScenePair(**row))
            small |= {f"{s}/{i}": jpegs[s] for s, i in _sides(pairs[-1]) if jpegs[s]}
        return cls(tuple(pairs), thumbnails=small, **told(table))


_ABOUT = ("test_images", "train_images", "note")


def nearest(
    test: NDArray[np.floating], train: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each test row the nearest training row by cosine, and the cosine.

    Parameters
    ----------
    test, train
        Features, shapes (n, d) and (m, d), m at least 1. A row of zeros is like nothing: cosine 0.

    Returns
    -------
    tuple of numpy.ndarray
        Rows and cosines, shape (n,). No more than 64 MiB of cosines are held at once.
    """
    known = _unit(train)
    rows, cosines = np.zeros(len(test), np.int64), np.zeros(len(test), np.float32)
    step = max(1, _CELLS // len(known))
    for start in range(0, len(test), step):
        block = _unit(test[start : start + step]) @ known.T
        best = block.argmax(axis=1)
        rows[start : start + step] = best
        cosines[start : start + step] = block[np.arange(len(best)), best]
    return rows, cosines


def _unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    values = features.astype(np.float32)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(norm > 0, norm, 1))


class Wanted(NamedTuple):
    """That features were asked for."""

    identity: str = "features"


@derive
def features_wanted(config: Config) -> Wanted:
    """Return whether features were asked for."""
    if not config.overlap.features:
        raise Unavailable("similar scenes were not asked for ([overlap] features = true)")
    return Wanted()


@gather(Scenes)
def scenes(
    features_wanted: Wanted,
    test: Predictions,
    train: Predictions,
    overlap: Overlap,
    test_samples: Samples | None,
    train_samples: Samples | None,
) -> Scenes:
    """Find the training image nearest to each test image by the candidate's own features."""
    del features_wanted
    if test.features is None or train.features is None or not len(train):
        why = (test if test.features is None else train).about.get("features", "not kept")
        return Scenes((), 0, 0, {}, f"the candidate's features are not known: {why}")
    rows, cosines = nearest(test.features, train.features)
    pairs: list[ScenePair] = []
    for place in np.argsort(-cosines, kind="stable").tolist():
        pair = _pair(test, train, place, int(rows[place]), float(cosines[place]))
        if pair.test_image not in overlap.test_images:
            pairs.append(pair)
        if len(pairs) == SHOWN:
            break
    small = _thumbnails(pairs, {"test": test_samples, "train": train_samples})
    return Scenes(tuple(pairs), len(test), len(train), small)


def _pair(
    test: Predictions, train: Predictions, left: int, right: int, similarity: float
) -> ScenePair:
    return ScenePair(
        test.images[left],
        train.images[right],
        similarity,
        test.classes[test.label[left]],
        train.classes[train.label[right]],
    )


def _sides(pair: ScenePair) -> tuple[tuple[str, str], ...]:
    return ("test", pair.test_image), ("train", pair.train_image)


def _thumbnails(pairs: list[ScenePair], samples: Mapping[str, Samples | None]) -> dict[str, bytes]:
    found = {}
    for split, image in sorted({side for pair in pairs for side in _sides(pair)}):
        source = samples[split]
        if source is not None:
            found[f"{split}/{image}"] = thumbnail(open_image(source.read(image)))
    return found
