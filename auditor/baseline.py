"""What may be compared with what, and the comparison.

Two audits compare on the same images (same names, same labels), image by image, or on test sets
that share no image, as two samples. Whatever lies between is not comparable, and says why.

Differences are candidate minus baseline: below zero the candidate is worse. An image is *lost*
where only the baseline was right, *won* where only the candidate is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, fisher_exact

from auditor import stats
from auditor.errors import AuditorError
from auditor.stats import Interval

if TYPE_CHECKING:
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.predictions import Predictions
    from auditor.record import Audit

__all__ = [
    "Change",
    "Comparison",
    "Flip",
    "NotComparable",
    "compare",
    "images_to_settle",
    "mid_p",
    "paired_intervals",
    "require_version",
]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST_IMAGES = 10_000_000
_SAME_PROBABILITY = 1e-3


class NotComparable(AuditorError):
    """Two audits say nothing about each other; the message is the reason."""


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
        ``test``, or the class.
    right_before, n_before, right_after, n_after
        Images that the baseline and the candidate had, and had right.
    lost, won
        Images that flipped; None where the images are not the same.
    interval
        Of the difference, each bound one-sided at the comparison's confidence.
    p_worse, p_better
        One-sided p-values that it got worse, or better; those of classes are Holm's.
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
        Whether nothing tells the two models apart: neither a prediction nor, where both sides have
        them, a probability.
    lost, won
        The images that flipped, in the order of the test set.
    """

    overall: Change
    classes: tuple[Change, ...]
    family: int
    confidence: float
    changed: int | None = None
    identical: bool = False
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

    @cached_property
    def worse(self) -> tuple[Change, ...]:
        """Classes that got significantly worse, the largest drop first."""
        found = [change for change in self.classes if change.p_worse <= self.level]
        return tuple(sorted(found, key=lambda change: change.difference))

    @cached_property
    def better(self) -> tuple[Change, ...]:
        """Classes that got significantly better, the largest gain first."""
        found = [change for change in self.classes if change.p_better <= self.level]
        return tuple(sorted(found, key=lambda change: -change.difference))

    @cached_property
    def moved(self) -> tuple[Change, ...]:
        """Classes in which anything flipped, the largest drop first."""
        moved = (c for c in self.classes if not self.paired or c.lost or c.won)
        return tuple(sorted(moved, key=lambda change: (change.difference, change.name)))

    @property
    def mcnemar(self) -> tuple[float, float] | None:
        """Two-sided p-values of McNemar's test, exact and mid-p; None where it does not apply."""
        from statsmodels.stats.contingency_tables import mcnemar

        if self.overall.lost is None or self.overall.won is None:
            return None
        exact = mcnemar([[0, self.overall.lost], [self.overall.won, 0]], exact=True).pvalue
        mid = 2 * min(self.overall.p_worse, self.overall.p_better)
        return float(exact), min(mid, 1.0)


def require_version(audit: Audit, id: str, version: int) -> None:
    """Raise ``NotComparable`` where an audit was made by another version of a check."""
    for result in audit.checks:
        if result.id == id and result.version not in (0, version):
            raise NotComparable(
                f"the baseline was audited with {id} version {result.version}, this is version "
                f"{version}; audit the baseline again"
            )


def compare(test: Predictions, baseline: Baseline, confidence: float = 0.95) -> Comparison:
    """Compare a candidate's test predictions with those of its baseline.

    Raises
    ------
    NotComparable
        Where predictions are missing, or the classes, the images or the labels do not match.
    """
    before = baseline.predictions
    if before is None:
        raise NotComparable(baseline.missing)
    if not len(before) or not len(test):
        raise NotComparable("one side has no predictions")
    _require_same_classes(before.classes, test.classes)
    names = set(before.images)
    shared = names.intersection(test.images)
    if not shared:
        return _two_sample(before, test, confidence)
    _require_same_images(names, set(test.images), len(shared))
    place = {image: row for row, image in enumerate(before.images)}
    rows = np.array([place[image] for image in test.images], np.int64)
    found = _paired(_Side.of(before, test.classes, rows), _Side.of(test), test, confidence)
    alike = not found.changed and _same_probabilities(before, test, rows)
    return replace(found, identical=alike)


def _same_probabilities(before: Predictions, test: Predictions, rows: Counts) -> bool:
    """Tell whether the labels' probabilities agree to what devices differ by, where they are known.

    Two models may well predict a few images alike; that they are equally sure of each gives a
    single model away.
    """
    if before.true_probability is None or test.true_probability is None:
        return True
    gap = np.abs(before.true_probability[rows] - test.true_probability)
    return bool(gap.max() <= _SAME_PROBABILITY)


def _require_same_classes(before: Sequence[str], after: Sequence[str]) -> None:
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    if gone or new:
        said = [f"without {_some(gone)}"] * bool(gone) + [f"with {_some(new)}"] * bool(new)
        raise NotComparable(f"other classes than the baseline: {', '.join(said)}")


def _require_same_images(before: set[str], after: set[str], shared: int) -> None:
    gone, new = sorted(before - after), sorted(after - before)
    if gone or new:
        said = [f"{len(gone):,} of the baseline's are missing ({_some(gone)})"] * bool(gone)
        said += [f"{len(new):,} are new ({_some(new)})"] * bool(new)
        raise NotComparable(
            f"the test sets overlap in part: {shared:,} images are the same, "
            f"{', '.join(said)}; use the same images, or none of them"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(f'"{name}"' for name in names[:3]) + more


class _Side(NamedTuple):
    """Labels and predictions as indices into the candidate's classes."""

    label: Counts
    predicted: Counts

    @classmethod
    def of(
        cls,
        predictions: Predictions,
        classes: Sequence[str] | None = None,
        rows: Counts | None = None,
    ) -> _Side:
        label, predicted = predictions.label, predictions.predicted
        if rows is not None:
            label, predicted = label[rows], predicted[rows]
        if classes is not None:
            index = {name: i for i, name in enumerate(classes)}
            moved = np.array([index[name] for name in predictions.classes], np.int64)
            label, predicted = moved[label], moved[predicted]
        return cls(label, predicted)

    @property
    def right(self) -> NDArray[np.bool_]:
        return np.asarray(self.label == self.predicted)


def _paired(before: _Side, after: _Side, test: Predictions, confidence: float) -> Comparison:
    _require_same_labels(before, after, test)
    lost, won = before.right & ~after.right, after.right & ~before.right
    count = _counter(after.label, len(test.classes))
    n, b, c = count(None), count(lost), count(won)
    low, high = paired_intervals(b, c, n, confidence)
    table = _Table(
        right_before=count(before.right),
        n_before=n,
        right_after=count(after.right),
        n_after=n,
        intervals=list(zip(low.tolist(), high.tolist(), strict=True)),
        p_worse=mid_p(b, c),
        p_better=mid_p(c, b),
        p_best=mid_p(b + c, np.zeros_like(b)),
        p_dead=mid_p(count(before.right), np.zeros_like(b)),
        flips=(b, c),
    )
    return replace(
        _comparison(table, test.classes, confidence),
        changed=int((before.predicted != after.predicted).sum()),
        lost=_flips(lost, before, after, test),
        won=_flips(won, before, after, test),
    )


def _require_same_labels(before: _Side, after: _Side, test: Predictions) -> None:
    other = np.flatnonzero(before.label != after.label)
    if other.size:
        row = int(other[0])
        names = test.classes
        raise NotComparable(
            f"{other.size:,} images carry another label than in the baseline, such as "
            f'{test.images[row]}: "{names[before.label[row]]}" there, '
            f'"{names[after.label[row]]}" here'
        )


def _flips(
    which: NDArray[np.bool_], before: _Side, after: _Side, test: Predictions
) -> tuple[Flip, ...]:
    names = test.classes
    return tuple(
        Flip(
            test.images[row],
            names[after.label[row]],
            names[before.predicted[row]],
            names[after.predicted[row]],
        )
        for row in np.flatnonzero(which).tolist()
    )


def _two_sample(before: Predictions, test: Predictions, confidence: float) -> Comparison:
    old, new = _Side.of(before, test.classes), _Side.of(test)
    count_old, count_new = (_counter(side.label, len(test.classes)) for side in (old, new))
    n_old, n_new = count_old(None), count_new(None)
    _require_images_of_same_classes(n_old > 0, n_new > 0, test.classes)
    right_old, right_new = count_old(old.right), count_new(new.right)
    rows = list(zip(right_new, n_new, right_old, n_old, strict=True))
    p_worse = np.array([_fisher(row, "less") for row in rows])
    table = _Table(
        right_before=right_old,
        n_before=n_old,
        right_after=right_new,
        n_after=n_new,
        intervals=[_newcombe(row, confidence) for row in rows],
        p_worse=p_worse,
        p_better=np.array([_fisher(row, "greater") for row in rows]),
        p_best=np.zeros(len(rows)),
        p_dead=np.array([_fisher((0, *row[1:]), "less") for row in rows]),
    )
    return _comparison(table, test.classes, confidence)


def _require_images_of_same_classes(
    before: NDArray[np.bool_], after: NDArray[np.bool_], classes: Sequence[str]
) -> None:
    one_sided = np.flatnonzero(before[1:] != after[1:]).tolist()
    if one_sided:
        names = _some([classes[i] for i in one_sided])
        raise NotComparable(f"only one of the two test sets has images of {names}")


def _newcombe(row: Sequence[int], confidence: float) -> tuple[float, float]:
    a, n, b, m = map(int, row)
    return stats.difference_interval(a, n, b, m, confidence) if n and m else (-1.0, 1.0)


def _fisher(row: Sequence[int], alternative: Literal["less", "greater"]) -> float:
    a, n, b, m = map(int, row)
    return float(fisher_exact(np.array([[a, n - a], [b, m - b]]), alternative).pvalue)


class _Table(NamedTuple):
    """Columns whose first row is the whole test set, and whose others are the classes."""

    right_before: Counts
    n_before: Counts
    right_after: Counts
    n_after: Counts
    intervals: list[tuple[float, float]]
    p_worse: Floats
    p_better: Floats
    p_best: Floats
    """Lowest p-value that the images which flipped could give."""
    p_dead: Floats
    """P-value if the candidate had no image right."""
    flips: tuple[Counts, Counts] | None = None


def _counter(label: Counts, k: int) -> Any:
    """Return a function that counts rows: all, and those of each class."""

    def count(which: NDArray[np.bool_] | None) -> Counts:
        chosen = label if which is None else label[which]
        return np.concatenate([[chosen.size], np.bincount(chosen, minlength=k)]).astype(np.int64)

    return count


def _comparison(table: _Table, classes: Sequence[str], confidence: float) -> Comparison:
    level = (1 - confidence) / 2
    judged = 1 + np.flatnonzero((table.n_before[1:] > 0) & (table.n_after[1:] > 0))
    family = judged[_tarone(table.p_best[judged], level)]
    adjusted = (
        _adjusted(stats.holm, table.p_worse, family),
        _adjusted(stats.holm, table.p_better, family),
        _adjusted(stats.benjamini_hochberg, table.p_worse, family),
    )
    p = list(zip(*adjusted, strict=True))
    blind = table.p_dead > level / np.where(np.arange(len(table.p_dead)), len(judged), 1)
    names = ("test", *classes)
    changes = [
        _change(names[row], table, row, p[row], bool(blind[row])) for row in (0, *judged.tolist())
    ]
    return Comparison(changes[0], tuple(changes[1:]), len(family), confidence)


def _change(name: str, table: _Table, row: int, p: tuple[float, ...], blind: bool) -> Change:
    b, c = table.flips or (None, None)
    return Change(
        name=name,
        right_before=int(table.right_before[row]),
        n_before=int(table.n_before[row]),
        right_after=int(table.right_after[row]),
        n_after=int(table.n_after[row]),
        lost=None if b is None else int(b[row]),
        won=None if c is None else int(c[row]),
        interval=Interval(*table.intervals[row]),
        p_worse=float(p[0]),
        p_better=float(p[1]),
        q_worse=float(p[2]),
        blind=blind,
    )


def _tarone(p_best: Floats, level: float) -> NDArray[np.bool_]:
    """Return which hypotheses could be rejected at all (Tarone, Biometrics 46, 1990).

    The smallest k such that at most k of them can reach ``level / k``; a class in which nothing
    flipped then costs the others nothing.
    """
    k = 1
    while (p_best <= level / k).sum() > k:
        k += 1
    return np.asarray(p_best <= level / k)


def _adjusted(adjust: Callable[[Floats], Floats], p: Floats, family: Counts) -> Floats:
    """Return p-values corrected within a family, 1 outside of it; the first row stands alone."""
    tested = np.full_like(p, np.nan)
    tested[family] = p[family]
    out = np.nan_to_num(adjust(tested), nan=1.0)
    out[0] = p[0]
    return np.asarray(out)


def mid_p(lost: Counts, won: Counts) -> Floats:
    """Return the one-sided mid-p-values of McNemar's exact test that more was lost than won.

    Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013).

    Examples
    --------
    >>> [round(p, 4) for p in mid_p(np.array([12, 5, 0]), np.array([3, 0, 0])).tolist()]
    [0.0106, 0.0156, 0.5]
    """
    flipped = lost + won
    return np.asarray(binom.sf(lost, flipped, 0.5) + binom.pmf(lost, flipped, 0.5) / 2)


def paired_intervals(
    lost: Counts, won: Counts, n: Counts, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return bounds of ``(won - lost) / n``, the difference of two paired accuracies.

    The exact (Clopper–Pearson) bounds of the two shares are combined by the method of variance
    estimates recovery: Zou and Donner, Statistics in Medicine 27 (2008), with the correlation of
    two cells of a multinomial. Without a flip it does not collapse: at n images that agree it is
    ±(1 - (1 - confidence)^(1/n)), the rule of three. By enumeration each bound holds its
    confidence, where those of Bonett and Price and of Tango fall short beside rare flips
    (``tests/benchmarks/regression.py``).

    Parameters
    ----------
    lost, won, n
        Counts of the same shape; (-1, 1) where ``n`` is 0.

    Examples
    --------
    >>> low, high = paired_intervals(np.array([0]), np.array([0]), np.array([600]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (-0.005, 0.005)
    """
    (b_low, b_high), (c_low, c_high) = (
        stats.proportion_intervals(k, n, confidence) for k in (lost, won)
    )
    b, c = (k / np.maximum(n, 1) for k in (lost, won))
    apart = (1 - b) * (1 - c)
    r = np.sqrt(np.divide(b * c, apart, out=np.zeros_like(b), where=apart > 0))

    def reach(x: Floats, y: Floats) -> Floats:
        return np.asarray(np.sqrt(x**2 + y**2 + 2 * r * x * y))

    low = c - b - reach(c - c_low, b_high - b)
    high = c - b + reach(c_high - c, b - b_low)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def images_to_settle(
    change: Change, margin: float, confidence: float, *, agreeing: bool = False
) -> int | None:
    """Return about how many more images would bring the interval to one side of ``-margin``.

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
        return np.asarray((low >= -margin) | (high < -margin))

    low, high = start, _MOST_IMAGES
    for space in (np.geomspace, np.linspace):  # first by powers, then within the step found
        totals = np.unique(np.rint(space(low + 1, high, 100)).astype(np.int64))
        found = np.flatnonzero(settled(totals))
        if not found.size:
            return None
        low, high = int(totals[max(found[0] - 1, 0)]), int(totals[found[0]])
    return high - start
