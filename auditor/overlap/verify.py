"""How alike two pictures must be to count as copies, measured against strangers of the same data.

Hashes cannot tell. Among 5 × 10⁸ pairs of photographs they meet hundreds of strangers by chance,
and in data whose pictures all look alike (digits, forms, radiographs) near hashes are the rule. So
the pixels of candidates are compared (:mod:`auditor.overlap.pixels`), and so are those of up to 400
pairs of one label with distant hashes: strangers. Where near hashes are the rule, so are pairs with
near ones (:mod:`auditor.overlap.look_alikes`), and of the two limits the higher counts.

In u = artanh(similarity), which evens out the spread (Fisher 1915), a pair may count from
``median + 5 · spread`` of the strangers' on, the spread being (95% quantile − median) / 1.645, and
never below a similarity of .5. It is 7 spreads where no decoys set the threshold, and for
transformed copies, which are found in seven trials more. One fixed number cannot serve: the known
overlaps of CIFAR-10 have a median similarity of .8, and a different digit of the same class reaches
.98.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = [
    "COPY_SIMILARITY",
    "MIN_SIMILARITY",
    "MIN_STRANGERS",
    "SPREADS",
    "SPREADS_ALONE",
    "similarity_limit",
]

MIN_SIMILARITY = 0.5
"""No pair below this is verified, however unlike each other strangers are."""
COPY_SIMILARITY = 0.99
"""What a pair must reach where too few strangers are known to set a limit by."""
MIN_STRANGERS = 20
"""Fewest stranger pairs that set a limit."""
SPREADS = 5.0
"""Spreads between strangers and near-duplicates."""
SPREADS_ALONE = 7.0
"""The same where no decoys speak for the threshold, and for transformed copies."""


def similarity_limit(strangers: Sequence[float], spreads: float = SPREADS) -> float:
    """Return the similarity that sets copies apart from strangers.

    Parameters
    ----------
    strangers
        Similarities of pairs known not to be copies of each other, best of one label.
    spreads
        How far beyond their median the limit lies, in spreads.

    Returns
    -------
    float
        Within ``MIN_SIMILARITY``..1; ``COPY_SIMILARITY`` where there are fewer than
        ``MIN_STRANGERS`` of them.
    """
    if len(strangers) < MIN_STRANGERS:
        return COPY_SIMILARITY
    u = np.arctanh(np.clip(strangers, -0.9999, 0.9999))
    median, high = np.quantile(u, [0.5, 0.95])
    return max(MIN_SIMILARITY, math.tanh(median + spreads * (high - median) / 1.645))
