"""One number for how surely a pair is no pair of strangers.

    score = artanh(soft) − 3 · crowding + ½ · artanh(similarity) − difference

``soft`` is the similarity of the soft hashes, ``crowding`` that which the two pictures reach with
the nearest of 2,000 drawn ones, on average (:mod:`auditor.overlap.soft`); ``similarity`` and
``difference`` are of the pixels (:mod:`auditor.overlap.verify`). artanh evens out the spread of a
correlation (Fisher 1915). The weights are round numbers, chosen among a few by the known half of
the overlap of CIFAR-10; on it strangers end near .2 and copies begin near 1.5.

Where the pixels may not be seen, the first two terms stand alone.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.verify import Likeness

__all__ = ["BLIND_SCORE", "SURE_SCORE", "blind_scores", "seen_score"]

SURE_SCORE = 0.3
"""From here on a pair counts where the data cannot tell a better threshold."""
BLIND_SCORE = 0.4
"""The same for pairs whose pixels were not seen."""

_CROWDING = 3.0
_SIMILARITY = 0.5
_LARGEST = 0.999


def blind_scores(
    soft: NDArray[np.float32], left: NDArray[np.float32], right: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Score pairs by their signatures alone.

    Parameters
    ----------
    soft
        Similarities of the soft hashes, shape (n,).
    left, right
        Crowding of the two pictures of each pair, shape (n,).

    Returns
    -------
    numpy.ndarray
        Shape (n,). Equal hashes reach .2 to .6 in photographs of usual crowding: the norm is
        regularised, so their similarity stays below 1.
    """
    crowding = (left.astype(np.float64) + right) / 2
    evened = np.arctanh(soft.astype(np.float64).clip(-_LARGEST, _LARGEST))
    return np.asarray(evened - _CROWDING * crowding)


def seen_score(blind: float, likeness: Likeness) -> float:
    """Add what the pixels say to a score by signatures."""
    similarity = min(max(likeness.similarity, -_LARGEST), _LARGEST)
    return blind + _SIMILARITY * math.atanh(similarity) - likeness.difference
