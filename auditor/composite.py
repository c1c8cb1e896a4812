"""Intervals of figures made from many rates: balanced accuracy, macro-F1, MCC, κ, ECE.

The bootstrap, which is usual for them, is blind where it matters: a class with 5 of 5 right is
right in every resample. Here is a delta method with adjusted counts instead, in closed form: the
same audit has the same interval, without a seed, and a thousand classes take milliseconds.

The images of each class are a sample, as many as they are: the figure that is bounded is the one on
endless images with the test set's class shares. Per bound, with z the normal quantile of the
confidence:

1. z²/2 pseudo-images that are answered wrongly (for the lower bound) or rightly (for the upper one)
   are shared out among the classes by how much each may move the figure. With one class this is
   half of Agresti and Coull's adjustment, so 5 of 5 is no certainty; with a hundred small classes
   none is pulled far, and their pulls do not add up to a bias.
2. z standard errors are added, by the delta method. Each class's variance is taken after one
   pseudo-image answered like the mean of the classes, and scaled to be right on average if all are
   alike.
3. macro-F1 is corrected for its second-order bias, which a hundred classes do not average out.

``tests/benchmarks/coverage.py`` measures how often the truth lies within, with rare classes of 5–20
images, for 2, 10 and 100 classes. At a nominal 90% it is about 90% or more, mostly 90–95%; where
two classes decide, or nearly all is right, it goes up to 100%: the price of not knowing whether 5
of 5 is luck. Two shortfalls are known. macro-F1 of a hundred small classes that are nearly all
missed is covered in 88%, and its upper bound misses in 8%. And the upper bounds of macro-F1, MCC
and κ of two classes, of which one has five images, may miss in 7% instead of 5%.

References
----------
Agresti and Coull, The American Statistician 52 (1998); Gorodkin, Computational Biology and
Chemistry 28 (2004), MCC; Guo et al., ICML 2017, expected calibration error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from auditor.stats import Interval, proportion_intervals

if TYPE_CHECKING:
    from auditor.evidence.confusion import Confusion

__all__ = [
    "ACCURACY_GAP",
    "BALANCED_ACCURACY",
    "KAPPA",
    "MACRO_F1",
    "MATTHEWS",
    "Figure",
    "Reliability",
    "interval",
]

Floats = NDArray[np.floating]

_PULL = 1.0
"""Pseudo-images, answered like the mean of the classes, behind each class's variance."""


class Answers(NamedTuple):
    """Per class, shape (K,): share of the test images, recall, share that is put into it."""

    share: Floats
    recall: Floats
    predicted: Floats


class Slope(NamedTuple):
    """A figure, and how it moves with each class's recall and predicted share."""

    value: float
    recall: Floats
    predicted: Floats


class Figure(NamedTuple):
    """A figure of the confusion matrix: a smooth function of ``Answers``."""

    slope: Callable[[Answers], Slope]
    least: float
    bias: Callable[[_Rows, Floats, Floats], float] = lambda rows, right, wrong: 0.0


def interval(confusion: Confusion, figure: Figure, confidence: float = 0.95) -> Interval | None:
    """Return a figure's lower and upper bound; None where the figure has no value."""
    if not confusion.n:
        return None
    rows = _Rows(confusion)
    value = figure.slope(rows.answers(rows.none, rows.none)).value
    if np.isnan(value):
        return None
    z = float(special.ndtri(confidence))
    low, high = _bound(rows, figure, -z), _bound(rows, figure, z)
    return Interval(max(min(low, value), figure.least), min(max(high, value), 1.0))


class _Rows:
    """The rows of a confusion matrix, to which pseudo-images can be added.

    Only the classes that occur or are predicted are in it, and two at least. A pseudo-image that is
    answered wrongly falls into the other classes by ``_lure``: half by their shares, half evenly.
    """

    def __init__(self, confusion: Confusion) -> None:
        known, index = np.unique([confusion.rows, confusion.columns], return_inverse=True)
        labels, columns = index.reshape(2, -1)
        images = confusion.images.astype(float)
        self._cells = labels, columns, images
        self.k = max(known.size, 2)
        self.n = self._sum(labels, images)
        self.correct = self._sum(labels, images * (labels == columns))
        self.share = self.n / self.n.sum()
        self.none = np.zeros(self.k)
        self._lure = (self.share + 1 / self.k) / 2

    @property
    def there(self) -> NDArray[np.bool_]:
        """Classes with test images."""
        return self.n > 0

    def per(self, part: Floats, whole: Floats) -> Floats:
        """Divide; 0 for a class without test images."""
        return np.divide(part, whole, out=np.zeros(self.k), where=self.there)

    def elsewhere(self, values: Floats) -> Floats:
        """Return, for each class, the mean of the others' values, weighted by ``_lure``."""
        weighted = self._lure * values
        return np.asarray((weighted.sum() - weighted) / (1 - self._lure))

    def spread(self, wrong: Floats) -> Floats:
        """Return what each class receives of the others' wrong answers."""
        sent = wrong / (1 - self._lure)
        return np.asarray(self._lure * (sent.sum() - sent))

    def _sum(self, classes: NDArray[np.int64], values: Floats) -> Floats:
        return np.bincount(classes, values, self.k).astype(float)

    def answers(self, right: Floats, wrong: Floats) -> Answers:
        """Return shares and rates once the pseudo-images are in, which do not change the shares."""
        labels, columns, images = self._cells
        weight = self.per(self.share, self.n + right + wrong)
        seen = self._sum(columns, images * weight[labels])
        predicted = seen + right * weight + self.spread(wrong * weight)
        recall = self.per(self.correct + right, self.n + right + wrong)
        return Answers(self.share, recall, predicted)

    def mean_answer(self, values: Floats, right: Floats, wrong: Floats) -> Floats:
        """Return the mean, over each class's images, of a value of the predicted class."""
        labels, columns, images = self._cells
        seen = self._sum(labels, images * values[columns])
        total = seen + right * values + wrong * self.elsewhere(values)
        return self.per(total, self.n + right + wrong)

    @property
    def _images_for_variance(self) -> Floats:
        # The mean of r(1 - r), with r = (k + p)/(n + 1) for a rate p, is this share of p(1 - p).
        return np.asarray(self.n * (1 - self.n / (self.n + _PULL) ** 2))

    def variance(self, slope: Slope, right: Floats, wrong: Floats) -> float:
        """Return the variance of a figure by the delta method, summed over the classes."""
        recall = self.answers(right, wrong).recall
        hit, put = slope.recall, self.share * slope.predicted
        mean = hit * recall + self.share * self.mean_answer(slope.predicted, right, wrong)
        square = self.share**2 * self.mean_answer(slope.predicted**2, right, wrong)
        square += (hit**2 + 2 * hit * put) * recall
        return float(self.per(np.maximum(square - mean**2, 0), self._images_for_variance).sum())

    def share_variances(self, right: Floats, wrong: Floats) -> tuple[Floats, Floats]:
        """Return the variances of each class's share of true positives and of predictions."""
        labels, columns, images = self._cells
        total, scale = self.n + right + wrong, self.per(self.share**2, self._images_for_variance)
        recall = self.per(self.correct + right, total)
        own = scale * recall * (1 - recall)
        rate = images / total[labels]
        others = scale[labels] * rate * (1 - rate) * (labels != columns)
        return own, own + self._sum(columns, others) + self.spread(scale * self.per(wrong, total))


def _bound(rows: _Rows, figure: Figure, z: float) -> float:
    right, wrong = _extreme(rows, figure, z)
    centre = figure.slope(rows.answers(right, wrong)).value
    mean = float(rows.per(rows.correct, rows.n)[rows.there].mean())
    right, wrong = right + _PULL * mean * rows.there, wrong + _PULL * (1 - mean) * rows.there
    slope = figure.slope(rows.answers(right, wrong))
    error = np.sqrt(rows.variance(slope, right, wrong))
    return float(centre - figure.bias(rows, right, wrong) + z * error)


def _extreme(rows: _Rows, figure: Figure, z: float) -> tuple[Floats, Floats]:
    """Return z²/2 pseudo-images as (right, wrong), by what each class may add to the variance."""
    half = _PULL / 2 * rows.there
    _, hit, put = figure.slope(rows.answers(half, half))
    own = hit + rows.share * put
    gain = own - rows.share * rows.elsewhere(put)
    square = rows.share**2 * rows.elsewhere(put**2) - 2 * own * rows.share * rows.elsewhere(put)
    may_move = rows.per(square + own**2, rows.n)
    total = may_move.sum()
    added = z**2 / 2 * may_move / total if total > 0 else rows.none
    lifts = gain * z > 0
    return added * lifts, added * ~lifts


def _balanced_accuracy(answers: Answers) -> Slope:
    there = answers.share > 0
    slope = there / there.sum()
    return Slope(float(slope @ answers.recall), slope, np.zeros_like(slope))


def _accuracy_gap(answers: Answers) -> Slope:
    share, recall, _ = answers
    balanced = _balanced_accuracy(answers)
    value = float(share @ recall) - balanced.value
    return Slope(value, share - balanced.recall, balanced.predicted)


def _macro_f1(answers: Answers) -> Slope:
    share, recall, predicted = answers
    whole = share + predicted
    known = whole > 0
    slope = np.divide(2 * share, whole, out=np.zeros_like(whole), where=known) / known.sum()
    by_predicted = np.divide(-slope * recall, whole, out=np.zeros_like(whole), where=known)
    return Slope(float(slope @ recall), slope, by_predicted)


def _macro_f1_bias(rows: _Rows, right: Floats, wrong: Floats) -> float:
    share, recall, predicted = rows.answers(right, wrong)
    true, named = rows.share_variances(right, wrong)
    whole = share + predicted
    known = whole > 0
    curve = 2 * (share * recall * named - true * whole)
    return float(np.mean(curve[known] / whole[known] ** 3))


def _matthews(answers: Answers) -> Slope:
    share, recall, predicted = answers
    named = 1 - predicted @ predicted
    root = float(np.sqrt(named * (1 - share @ share))) if named > 0 else 0.0
    if not root:
        return Slope(np.nan, np.zeros_like(share), np.zeros_like(share))
    value = float(share @ recall - share @ predicted) / root
    return Slope(value, share / root, value * predicted / named - share / root)


def _kappa(answers: Answers) -> Slope:
    share, recall, predicted = answers
    room = 1 - share @ predicted
    if room <= 0:
        return Slope(np.nan, np.zeros_like(share), np.zeros_like(share))
    value = float(1 - (1 - share @ recall) / room)
    return Slope(value, share / room, (value - 1) * share / room)


BALANCED_ACCURACY = Figure(_balanced_accuracy, 0.0)
ACCURACY_GAP = Figure(_accuracy_gap, -1.0)
"""Accuracy minus balanced accuracy."""
MACRO_F1 = Figure(_macro_f1, 0.0, _macro_f1_bias)
MATTHEWS = Figure(_matthews, -1.0)
KAPPA = Figure(_kappa, -1.0)


class Reliability(NamedTuple):
    """Bins of stated probability, shape (bins,): images, how many are right, mean probability.

    The expected calibration error that is bounded is that of the stated probabilities at hand, in
    these bins.
    """

    images: NDArray[np.int64]
    right: NDArray[np.int64]
    probability: Floats

    @classmethod
    def of(cls, probability: Floats, right: NDArray[np.bool_], edges: Floats) -> Reliability:
        """Sort images into bins by the probability of what they were named.

        Parameters
        ----------
        probability
            Of what each image was named, in [0, 1], shape (n,).
        right
            Whether it is that, shape (n,).
        edges
            Between the bins, ascending, shape (bins - 1,); at each a bin ends. Bins without images
            are left out.
        """
        index, bins = np.searchsorted(edges, probability), len(edges) + 1
        images = np.bincount(index, minlength=bins)
        hits = np.bincount(index[right], minlength=bins)
        total = np.bincount(index, np.asarray(probability, float), bins)
        full = images > 0
        return cls(images[full], hits[full], total[full] / images[full])

    @property
    def error(self) -> float | None:
        """Expected calibration error: mean |share right - mean probability|, by images."""
        if not self.images.sum():
            return None
        return float(np.abs(self.right - self.images * self.probability).sum() / self.images.sum())

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """Return bounds of the expected calibration error.

        Noise makes the plain estimate too large, the more so the better the calibration; how much
        cannot be known. So each bound takes the worst case: the lower one that all bins are
        perfect, where noise adds most; the upper one that none is near, where it adds nothing. The
        upper one joins the exact (Clopper–Pearson) bounds of the bins by squares, as variance
        estimates recovery does, and is exact for a single bin; the lower one takes bins as normal.
        """
        if (error := self.error) is None:
            return None
        below, above = self.reaches(confidence)
        return Interval(max(0.0, error - below), min(1.0, error + above))

    def reaches(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return how far the bounds lie below and above the error, beyond 0 and 1, too."""
        below = _sum_of_sizes(self._noise(confidence), special.ndtri(confidence))
        return below, float(np.hypot.reduce(self._room(confidence)))

    @property
    def chance(self) -> float:
        """The error that chance alone is expected to make where all bins are perfect."""
        deviations = np.sqrt(self.images * self.probability * (1 - self.probability))
        return float(np.sqrt(2 / np.pi) * deviations.sum() / self.images.sum())

    def foreseen(self, n: int, confidence: float = 0.95) -> Interval:
        """Return about the bounds that n images like these would have, at least as many.

        What chance makes of the error shrinks with the root of their number. It is taken out by
        squares, as what lasts and what chance adds are independent.
        """
        times = n / self.images.sum()
        images, right = (np.rint(k * times).astype(np.int64) for k in (self.images, self.right))
        below, above = self._replace(images=images, right=right).reaches(confidence)
        lasting = max((self.error or 0.0) ** 2 - self.chance**2, 0.0)
        error = float(np.sqrt(lasting + self.chance**2 / times))
        return Interval(max(0.0, error - below), min(1.0, error + above))

    def _noise(self, confidence: float) -> Floats:
        """Return each bin's standard error, as it is or were if it was perfect: the larger."""
        z = special.ndtri(confidence)
        rate = (self.right + z**2 / 2) / (self.images + z**2)
        variance = np.maximum(rate * (1 - rate), self.probability * (1 - self.probability))
        return np.asarray(np.sqrt(self.images * variance) / self.images.sum())

    def _room(self, confidence: float) -> Floats:
        """Return how much farther from its stated probability each bin's share may surely lie."""
        low, high = proportion_intervals(self.right, self.images, confidence)
        seen = np.abs(self.right / self.images - self.probability)
        may_be = np.maximum(high - self.probability, self.probability - low)
        return np.asarray(self.images / self.images.sum() * (may_be - seen))


def _sum_of_sizes(deviations: Floats, z: float) -> float:
    """Return the quantile of a sum of |normal|, by its first three cumulants (Cornish–Fisher)."""
    if not deviations.any():
        return 0.0
    mean = np.sqrt(2 / np.pi)
    variance = (1 - mean**2) * (deviations**2).sum()
    third = mean * (4 / np.pi - 1) * (deviations**3).sum()
    skewed = z + (z**2 - 1) / 6 * third / variance**1.5
    return float(mean * deviations.sum() + skewed * np.sqrt(variance))
