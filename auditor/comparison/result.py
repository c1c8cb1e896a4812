"""What a comparison found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from auditor.multiplicity import TOGETHER
from auditor.stats import Interval

__all__ = ["Change", "Comparison", "Flip"]

_MANY = 10
"""Classes that rose, and that fell, from which the two are compared."""


class Flip(NamedTuple):
    """An image that only one of the two models got right."""

    image: str
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Change:
    """What became of the accuracy on some images: the whole test set, or one class.

    Parameters
    ----------
    name
        ``test``, the class, or ``all rare classes``.
    right_before, n_before, right_after, n_after
        Images that the baseline and the candidate had, and had right.
    lost, won
        Images that flipped; None where the images are not the same.
    interval
        Of the difference, each bound one-sided at the comparison's confidence.
    p_worse, p_better
        One-sided p-values that it got worse, or better: by mid-p for the whole test set; those of
        classes are exact, and Holm's.
    q_worse
        ``p_worse`` by Benjamini and Hochberg's correction instead, which suspects more.
    blind
        Whether even the loss of every image would not be significant: too few images to tell.
    """

    name: str
    right_before: int
    n_before: int
    right_after: int
    n_after: int
    lost: int | None
    won: int | None
    interval: Interval
    p_worse: float
    p_better: float
    q_worse: float
    blind: bool

    @property
    def before(self) -> float:
        """The baseline's accuracy."""
        return self.right_before / self.n_before

    @property
    def after(self) -> float:
        """The candidate's accuracy."""
        return self.right_after / self.n_after

    @property
    def died(self) -> bool:
        """Whether the baseline was mostly right, and the candidate never is."""
        return self.before >= 0.5 and not self.right_after

    @property
    def difference(self) -> float:
        """Candidate minus baseline, a difference of shares."""
        if self.lost is not None and self.won is not None:
            return (self.won - self.lost) / self.n_after
        return self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """A candidate beside its baseline.

    Parameters
    ----------
    overall, classes
        The whole test set, and every class with images on both sides.
    family
        How many classes Holm's correction is over: those in which the images that flipped could
        show anything at all.
    confidence
        Of each interval bound, one-sided.
    changed
        Images predicted differently, right or wrong; None where the images are not the same.
    identical
        Whether they are one model, by all that is known: ``auditor.comparison.models``.
    pooled
        Rare classes that are tested together, too; none where the images that flipped could show
        nothing of them.
    lost, won
        The images that flipped, in the order of the test set.
    """

    overall: Change
    classes: tuple[Change, ...]
    family: int
    confidence: float
    changed: int | None = None
    identical: bool = False
    pooled: frozenset[str] = frozenset()
    lost: tuple[Flip, ...] = ()
    won: tuple[Flip, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether both models saw the same images."""
        return self.changed is not None

    @property
    def level(self) -> float:
        """Significance level of the test set as a whole, and of the classes together.

        The two share what the confidence leaves, so that equal models fail no more often.
        """
        return (1 - self.confidence) / 2

    @property
    def class_level(self) -> float:
        """Significance level of the classes, each by itself: less what the pooled ones take."""
        return self.level * (1 - TOGETHER if self.pooled else 1)

    @property
    def pooled_level(self) -> float:
        """Significance level of the rare classes together."""
        return self.level * TOGETHER

    @cached_property
    def worse(self) -> tuple[Change, ...]:
        """Classes that got significantly worse, the largest drop first."""
        found = [change for change in self.classes if change.p_worse <= self.class_level]
        return tuple(sorted(found, key=lambda change: change.difference))

    @cached_property
    def better(self) -> tuple[Change, ...]:
        """Classes that got significantly better, the largest gain first."""
        found = [change for change in self.classes if change.p_better <= self.class_level]
        return tuple(sorted(found, key=lambda change: -change.difference))

    @cached_property
    def moved(self) -> tuple[Change, ...]:
        """Classes in which anything flipped, the largest drop first."""
        moved = (c for c in self.classes if not self.paired or c.lost or c.won)
        return tuple(sorted(moved, key=lambda change: (change.difference, change.name)))

    def falls_like_chance(self, margin: float) -> bool:
        """Tell whether the classes with too few images to tell rose about as often as they fell.

        A class of ten images falls by three soon enough, and of equal models as many rise. That is
        said of many only: ten of each at least, among which no sign test finds more that fell.

        Parameters
        ----------
        margin
            Change of recall that counts, a difference of shares.
        """
        from scipy.stats import binom

        few = [change.difference for change in self.classes if change.blind]
        fell, rose = sum(d < -margin for d in few), sum(d > margin for d in few)
        p = float(binom.sf(fell - 1, fell + rose, 0.5))
        return min(fell, rose) >= _MANY and p > self.level

    @property
    def mcnemar(self) -> tuple[float, float] | None:
        """Two-sided p-values of McNemar's test, exact and mid-p; None where it does not apply."""
        from scipy.stats import binom

        lost, won = self.overall.lost, self.overall.won
        if lost is None or won is None:
            return None
        exact = 2 * float(binom.cdf(min(lost, won), lost + won, 0.5))
        mid = 2 * min(self.overall.p_worse, self.overall.p_better)
        return min(exact, 1.0), min(mid, 1.0)
