"""One number for how surely a pair is no pair of strangers.

    score = artanh(soft) − 3 · artanh(crowding)
            + ⅔ · local − 0.4 · log(1 + difference / 8) − 0.1 · log(1 + hues / 2)

``soft`` is the similarity of the soft hashes, ``crowding`` that which either picture reaches with
strangers, the mean of both terms (:mod:`auditor.overlap.soft`); the second line is what the pixels
say (:mod:`auditor.overlap.pixels`), and falls away where they may not be seen. artanh evens out the
spread of a correlation (Fisher 1915).

The weights are rounded from a logistic regression that tells the candidates of CIFAR-10's test
images in its training images from their decoys (:mod:`auditor.overlap.decoys`), cross-fitted: the
pictures above a false-discovery rate of 2% count as copies, four times over (Käll et al. 2007).
No known pair had a say in the weights. Changing one by a quarter moves recall by a point or two.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.pixels import Likeness

__all__ = ["BLIND_SCORE", "SURE_SCORE", "TURNED_SCORE", "blind_scores", "seen_score"]

SURE_SCORE = -0.5
"""From here on a pair counts where the data cannot tell a better threshold."""
TURNED_SCORE = -0.3
"""The same for transformed copies, which are found in seven trials more."""
BLIND_SCORE = 0.4
"""The same for both where the pixels were not seen."""

_CROWDING = 3.0
_LOCAL = 2 / 3
_DIFFERENCE, _DIFFERENCE_KNEE = 0.4, 8.0
_HUES, _HUES_KNEE = 0.1, 2.0
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
        Shape (n,), at most 3.8; equal hashes reach 3 in photographs of usual crowding, and 1.7
        where all pictures look alike.
    """
    crowding = (_evened(left) + _evened(right)) / 2
    return np.asarray(_evened(soft) - _CROWDING * crowding)


def seen_score(blind: float, likeness: Likeness) -> float:
    """Add what the pixels say to a score by signatures."""
    colours = _DIFFERENCE * math.log1p(likeness.difference / _DIFFERENCE_KNEE)
    hues = _HUES * math.log1p(likeness.hues / _HUES_KNEE)
    return blind + _LOCAL * likeness.local - colours - hues


def _evened(similarity: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.arctanh(similarity.astype(np.float64).clip(-_LARGEST, _LARGEST)))
