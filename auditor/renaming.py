"""Renamings of the candidate's outputs: what if the output called "cat" were really "dog"?

timm orders class folders naturally and without regard to case, torchvision plainly. A checkpoint
trained under one order and read under the other is right about everything and called wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.data.folder import natural

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = [
    "Gain",
    "Renaming",
    "Reserve",
    "best_renaming",
    "cycles",
    "folder_orders",
    "renaming_gain",
    "reserve",
]

Renaming = NDArray[np.int64]
"""Shape (K,): the class that each output really stands for; ``arange(K)`` renames nothing."""


class Gain(NamedTuple):
    """What a renaming does to the images that the candidate puts into the renamed classes."""

    won: int
    """Wrong as they are called now, right after the renaming."""
    lost: int
    """Right as they are called now, wrong after the renaming."""
    n: int

    @property
    def share(self) -> float:
        """Accuracy gained on these images, in shares."""
        return (self.won - self.lost) / self.n if self.n else 0.0

    @property
    def p_value(self) -> float:
        """McNemar's exact test, one-sided, that more is won than lost."""
        return stats.chance_p_value(self.won, self.won + self.lost, 0.5)


def renaming_gain(test: Predictions, renaming: Renaming) -> Gain:
    """Return what a renaming wins and loses."""
    touched = renaming[test.predicted] != test.predicted
    won = touched & (renaming[test.predicted] == test.label)
    lost = touched & test.correct
    return Gain(int(won.sum()), int(lost.sum()), int(touched.sum()))


class Reserve(NamedTuple):
    """What calling each output by another name could win at most, shape (outputs,).

    A renaming gains, on the images put into the renamed classes, the mean of what its outputs gain,
    so none gains more than the output that gains most. Outputs without images are left out.
    """

    won: NDArray[np.int64]
    """Images of the class that is most often put into the output, but for its own."""
    lost: NDArray[np.int64]
    """Images that are right."""
    n: NDArray[np.int64]
    classes: int

    @property
    def together(self) -> Gain:
        """At least what any renaming of all these outputs gains."""
        return Gain(int(self.won.sum()), int(self.lost.sum()), int(self.n.sum()))

    def most(self, confidence: float) -> NDArray[np.float64]:
        """Return the most that each output may gain, whatever it is called, in shares.

        The exact bounds of both shares, which together hold with the confidence, in (0, 1), for
        each output and each name out of ``len(classes)``.
        """
        each = 1 - (1 - confidence) / (len(self.n) * self.classes)
        each = min(each, math.nextafter(1.0, 0.0))  # what is rounded to certainty bounds nothing
        _, won = stats.proportion_intervals(self.won, self.n, each)
        right, _ = stats.proportion_intervals(self.lost, self.n, each)
        return won - right


def reserve(test: Predictions) -> Reserve:
    """Return what is known of every output into which an image is put."""
    k = len(test.classes)
    pairs, images = np.unique(test.predicted * k + test.label, return_counts=True)
    output, label = np.divmod(pairs, k)
    n, right, won = np.zeros((3, k), np.int64)
    np.add.at(n, output, images)
    right[output[output == label]] = images[output == label]
    np.maximum.at(won, output[output != label], images[output != label])
    used = n > 0
    return Reserve(won[used], right[used], n[used], k)


def best_renaming(test: Predictions) -> Renaming:
    """Return the renaming under which most images are right; of equals, the one that moves least.

    It is an assignment of outputs to classes. Only pairs that occur can win an image, so the
    matching is sparse; each class has a place of its own to stay unmatched.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    k, own = len(test.classes), np.arange(len(test.classes))
    pairs = coo_array((np.ones(len(test)), (test.label, test.predicted)), shape=(k, k)).tocsr()
    found = (pairs * (k + 1)).tocoo()
    worth = np.concatenate([found.data, np.ones(k), np.zeros(k)])  # to stay breaks a tie
    rows = np.concatenate([found.coords[0], own, own])
    columns = np.concatenate([found.coords[1], own, k + own])
    total = coo_array((worth, (rows, columns)), shape=(k, 2 * k)).tocsr()
    total.data = total.data.max() + 1 - total.data
    return _completed(*min_weight_full_bipartite_matching(total), k)


def _completed(classes: NDArray[np.integer], outputs: NDArray[np.integer], k: int) -> Renaming:
    """Give each output that nothing speaks for the class that closes its chain into a cycle.

    With any other of the classes that are left, chains that have nothing to do with each other
    became one cycle.
    """
    renaming, called = np.full((2, k), -1, np.int64)
    matched = outputs < k
    renaming[outputs[matched]] = classes[matched]
    called[classes[matched]] = outputs[matched]
    for last in np.flatnonzero(renaming < 0):
        first = last
        while called[first] >= 0:
            first = called[first]
        renaming[last] = first
    return renaming


def cycles(renaming: Renaming) -> list[Renaming]:
    """Return the renaming's independent parts, each a renaming that moves one cycle of classes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    k = len(renaming)
    links = coo_array((np.ones(k), (np.arange(k), renaming)), shape=(k, k))
    _, part = connected_components(links, directed=False)
    moved = np.unique(part[renaming != np.arange(k)])
    return [np.where(part == p, renaming, np.arange(k)) for p in moved]


def folder_orders(classes: Sequence[str]) -> dict[str, Renaming]:
    """Return the orders that class folders are read in, where they are not the given one."""
    index = {name: i for i, name in enumerate(classes)}
    orders = {
        "plain order (torchvision's)": sorted(classes),
        "natural order (timm's)": sorted(classes, key=natural),
    }
    if len({*map(tuple, orders.values())}) == 1:
        orders = {"order of the class folders (timm's and torchvision's)": sorted(classes)}
    return {
        name: np.array([index[c] for c in order])
        for name, order in orders.items()
        if order != list(classes)
    }
