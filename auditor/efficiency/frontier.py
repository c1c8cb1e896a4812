"""Where a model stands among others on the plane of accuracy and cost.

A model is *dominated* by one that needs no more MACs and is no less accurate, and better in one of
the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Place", "Standing", "cheapest_reaching", "standing"]


class Place(NamedTuple):
    """A model on the plane: multiply–accumulates of one image, and accuracy as a share."""

    name: str
    macs: int
    top1: float


class Standing(NamedTuple):
    """Who dominates a model.

    Parameters
    ----------
    better
        Of the models that need no more MACs, the most accurate, where it is the more accurate one.
    cheaper
        Of the models that are no less accurate, the one of fewest MACs, where those are fewer.
    gain
        What `better` has on it in accuracy, a difference of shares.
    saving
        The share of its MACs that `cheaper` does without.
    """

    better: Place | None
    cheaper: Place | None
    gain: float
    saving: float

    @property
    def dominated(self) -> bool:
        """Whether any model dominates it."""
        return self.better is not None or self.cheaper is not None


def standing(macs: int, top1: float, others: Iterable[Place]) -> Standing:
    """Return where a model stands among others.

    >>> standing(800, 0.77, [Place("a", 400, 0.78), Place("b", 900, 0.80)]).better.name
    'a'
    """
    others = list(others)
    within = [other for other in others if other.macs <= macs]
    better = max(within, key=lambda other: (other.top1, -other.macs), default=None)
    if better is not None and better.top1 <= top1:
        better = None
    cheaper = cheapest_reaching(top1, others)
    if cheaper is not None and cheaper.macs >= macs:
        cheaper = None
    return Standing(
        better,
        cheaper,
        0.0 if better is None else better.top1 - top1,
        0.0 if cheaper is None else 1 - cheaper.macs / macs,
    )


def cheapest_reaching(top1: float, others: Iterable[Place]) -> Place | None:
    """Return the model of fewest MACs that is at least so accurate; None where none is."""
    reaching = (other for other in others if other.top1 >= top1)
    return min(reaching, key=lambda other: (other.macs, -other.top1), default=None)
