"""How many more images would settle a comparison."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auditor.comparison.paired import mid_p, paired_intervals
from auditor.comparison.result import Change
from auditor.comparison.side import Counts
from auditor.settling import fewest_images
from auditor.wording import plural

__all__ = ["images_to_settle", "what_would_settle"]


def images_to_settle(
    change: Change, margin: float, confidence: float, *, agreeing: bool = False
) -> int | None:
    """Return about how many more images would settle whether the drop is within ``margin``.

    It is once the interval lies on one side of ``-margin`` and, below it, McNemar's test agrees.

    Parameters
    ----------
    change
        An inconclusive one, on the same images.
    margin
        Largest drop that is allowed, in shares.
    confidence
        Of each bound, one-sided.
    agreeing
        Whether the models agree on all further images, instead of flipping at the rates seen.

    Returns
    -------
    int | None
        None where ten million images would not do.
    """
    if change.lost is None or change.won is None:
        return None
    lost, won, start = change.lost, change.won, change.n_after

    def settled(n: Counts) -> NDArray[np.bool_]:
        scale = np.ones(len(n)) if agreeing else n / start
        b, c = (np.rint(k * scale).astype(np.int64) for k in (lost, won))
        low, high = paired_intervals(b, c, n, confidence)
        worse = (high < -margin) & (mid_p(b, c) <= (1 - confidence) / 2)
        return np.asarray((low >= -margin) | worse)

    return fewest_images(settled, start)


def what_would_settle(change: Change, margin: float, confidence: float) -> str:
    """Say how many more images would settle an inconclusive change, as the end of a note."""
    if change.lost is None:
        return "; more images on both sides would settle it, the same images with fewer"
    more, best = (
        images_to_settle(change, margin, confidence, agreeing=agreeing)
        for agreeing in (False, True)
    )
    said = "no number of such images"
    if more:
        said = f"about {plural(more, 'more image')} at this rate"
    return f"; {said} would settle it" + (f"; {best:,} if the two agree on all" if best else "")
