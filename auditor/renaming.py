"""Renamings of the candidate's outputs: what if the output called "cat" were really "dog"?

timm orders class folders naturally and without regard to case, torchvision plainly. A checkpoint
trained under one order and read under the other is right about everything and called wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.data.folder import natural

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["Gain", "Renaming", "best_renaming", "cycles", "folder_orders", "renaming_gain"]

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
    """Give each output that nothing speaks for one of the classes that are left."""
    renaming = np.full(k, -1, np.int64)
    matched = outputs < k
    renaming[outputs[matched]] = classes[matched]
    renaming[renaming < 0] = np.setdiff1d(np.arange(k), renaming)
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
