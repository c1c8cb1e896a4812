"""Whether two files of predictions are of the same images, in whatever order."""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["given_twice", "named_alike"]

Counts = NDArray[np.int64]

_DIGITS = 3
"""Digits to which probabilities are compared, so that another device may have made the others."""
_AGREEMENT = 0.9
"""Share of the possible agreement beyond chance from which two files are one."""
_FEW = 20
"""Images in common from which two files are asked; of small ones, half."""
_WAYS = 1e6
"""Ways to deal out the answers, of which names that mean nothing would have found the one."""


_IRREGULAR = 0.8
"""Compressed size of labels, of that in a random order: from 0.9 of random ones, 0.4 of sorted."""
_FEWEST = 100
"""Images from which on that tells the two apart."""


class _Answers(NamedTuple):
    """What was said of the images named alike; integers of shape (n,)."""

    label: Counts
    one: Counts
    other: Counts


def given_twice(one: Predictions, other: Predictions) -> int:
    """Return how many images two sets of predictions have in common, as far as that shows.

    A name alone shows nothing: ``cat/0001.png`` may well be another image in another folder, and
    two models that are right agree in all that they say of it. So the images that both name alike,
    with one label – however the path is spelt, from whatever folder – are asked whether the name
    tells more of the answer – the class that was named and, where both know it, its probability –
    than the label does: nine tenths of the agreement that is possible beyond chance must be there
    (Cohen's κ, class by class), and the answers that agree must be one arrangement in a million of
    themselves. Images of different splits do not reach that by chance, whatever they are called.
    The answers may differ, as under dropout, where the files have half of the images of the smaller
    one in common: labels that the names tell in the same way are then enough, unless they follow
    from the order of the names, as class by class. Where a candidate without probabilities is right
    everywhere and they do, nothing can be told and nothing is said; nor where the files have fewer
    than 20 images in common, and less than half of the smaller one's.

    References
    ----------
    Cohen, Educational and Psychological Measurement 20 (1960).
    """
    half = min(len(one), len(other)) / 2
    few = min(half, _FEW)
    for rows, theirs in named_alike(one.images, other.images):
        said = _said_of_both(one, other, rows, theirs)
        common = len(said.label)
        alike = common >= half and _labelled_alike(one, other, rows, theirs)
        if common >= max(few, 1) and (alike or _are_one(said)):
            return common
    return 0


def named_alike(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[Counts, Counts]]:
    """Yield the rows of the images that both name alike, in each way to name them."""
    for names, others in product(_namings(one), _namings(other)):
        place = {name: row for row, name in enumerate(others)}
        pairs = [(row, place[name]) for row, name in enumerate(names) if name in place]
        rows, theirs = np.array(pairs, np.int64).reshape(-1, 2).T
        yield rows, theirs


def _namings(images: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names as they are, without the folders that all share, and without the first.

    Where that makes two of them equal, they name nothing.
    """
    plain = tuple(posixpath.normpath(name.strip().replace("\\", "/")) for name in images)
    parts = [name.split("/") for name in plain]
    folders = [each[:-1] for each in (min(parts, default=[]), max(parts, default=[]))]
    shared = len(posixpath.commonprefix(folders))
    cut = (tuple("/".join(each[k:] or each) for each in parts) for k in (shared, 1))
    return [*dict.fromkeys((plain, *(names for names in cut if len({*names}) == len(names))))]


def _are_one(said: _Answers) -> bool:
    """Tell whether the answers agree as those of two models, or on two images, do not."""
    n = len(said.label)
    agree = said.one == said.other
    by_chance = _by_chance(said)
    if n - by_chance < 1e-9 or (agree.sum() - by_chance) / (n - by_chance) < _AGREEMENT:
        return False
    return bool(_log_ways(said.label[agree], said.one[agree]) >= np.log(_WAYS))


def _labelled_alike(one: Predictions, other: Predictions, rows: Counts, theirs: Counts) -> bool:
    """Tell whether the names tell the labels, and their order alone does not."""
    label = one.label[rows]
    names = [one.images[row] for row in rows.tolist()]
    in_order = label[sorted(range(len(names)), key=names.__getitem__)]
    there = _classes_of(other, one)[other.label[theirs]]
    there = np.where(there < 0, len(one.classes), there)
    return _irregular(in_order) and _are_one(_Answers(np.zeros_like(label), label, there))


def _irregular(labels: Counts) -> bool:
    """Tell whether labels are hardly easier to compress than the same in a random order."""
    mixed = np.random.default_rng(0).permutation(labels)
    size, most = (len(zlib.compress(side.astype(np.uint16).tobytes())) for side in (labels, mixed))
    return len(labels) >= _FEWEST and size >= _IRREGULAR * most


def _classes_of(other: Predictions, one: Predictions) -> Counts:
    """Return the number that each class of the other has in the one; -1 where it has none."""
    index = {name: i for i, name in enumerate(one.classes)}
    return np.array([index.get(name, -1) for name in other.classes], np.int64)


def _said_of_both(
    one: Predictions, other: Predictions, rows: Counts, their_rows: Counts
) -> _Answers:
    theirs = _classes_of(other, one)
    alike = one.label[rows] == theirs[other.label[their_rows]]
    rows, their_rows = rows[alike], their_rows[alike]
    named = np.concatenate([one.predicted[rows], theirs[other.predicted[their_rows]]])
    sure = np.concatenate([_sure(one, rows), _sure(other, their_rows)])
    if one.probabilities is None or other.probabilities is None:
        sure[:] = 0
    _, answer = np.unique(np.stack([named, sure], axis=1), axis=0, return_inverse=True)
    return _Answers(one.label[rows], *answer.reshape(2, -1).astype(np.int64))


def _sure(predictions: Predictions, rows: Counts) -> Counts:
    """Return the probability of the class that was named, in units of the last digit compared."""
    if predictions.probabilities is None:
        return np.zeros(len(rows), np.int64)
    scores = predictions.probabilities[rows, predictions.predicted[rows]]
    return np.asarray(np.rint(scores * 10**_DIGITS).astype(np.int64))


def _by_chance(said: _Answers) -> float:
    """Return how many answers would agree if those of each class were dealt out at random."""
    width = max(said.one.max(), said.other.max()) + 1
    (mine, one), (theirs, other) = (
        np.unique(said.label * width + side, return_counts=True) for side in (said.one, said.other)
    )
    cells, at, there = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    images = np.bincount(said.label)[cells // width]
    return float((one[at] * other[there] / images).sum())


def _log_ways(label: Counts, answer: Counts) -> float:
    """Return the logarithm of how many ways there are to deal out each class's answers."""
    width = answer.max(initial=0) + 1
    _, cells = np.unique(label * width + answer, return_counts=True)
    return float(gammaln(np.bincount(label) + 1).sum() - gammaln(cells + 1).sum())
