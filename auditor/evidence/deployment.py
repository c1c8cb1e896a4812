"""What the candidate would do in production, where the classes have other shares than in the test.

How often each class is taken for each other one is a property of the candidate and is measured
class by class on the test set; how often the classes come is given in ``[deployment]``. Neither a
bootstrap nor a plain delta method would do for the bounds: both collapse where a class was right
every time. Instead,

- misses have the exact (Clopper–Pearson) bounds of the class's recall;
- the expected accuracy combines those of all classes by variance estimates recovery: the distance
  of each rate to its bound, weighted, squared and summed; among many classes of few images that is
  too little, and it has the gamma bound of what is right, or of what is wrong, where that is wider;
- false alarms and costs are weighted sums of counts, bounded by the gamma method of Fay and Feuer,
  which leaves room for what was not seen;
- precision takes the worst corner of bounds for right and wrong images at half the error each.

In simulation (``tests/test_deployment.py``) each bound holds its confidence.

References
----------
Zou and Donner, Statistics in Medicine 27 (2008), variance estimates recovery; Fay and Feuer,
Statistics in Medicine 16 (1997), directly standardised rates; Elkan, IJCAI 2001, on costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.config import Config
from auditor.errors import ConfigError, Unavailable, did_you_mean
from auditor.evidence.confusion import Confusion
from auditor.provider import derive
from auditor.read_only import read_only_property
from auditor.record import DeploymentExhibit, DeploymentRow, MetricRow
from auditor.wording import listed

__all__ = ["PER", "Deployment", "Estimates", "deployment"]

PER = 10_000
"""Misses, false alarms and costs are told for so many images of production."""

_FIGURES = ("precision", "misses", "false_alarms")
_METHOD = (
    "Rates are measured class by class on the test set and weighted by the shares of production. "
    "Misses have exact (Clopper–Pearson) intervals; the accuracy combines those of all classes by "
    "variance estimates recovery (Zou and Donner, 2008), or has gamma bounds where they are wider; "
    "false alarms and costs have gamma intervals (Fay and Feuer, 1997); that of precision takes "
    "the worst corner of bounds for right and wrong images at half the error each."
)

Floats = NDArray[np.float64]


class Estimates(NamedTuple):
    """Figures with their lower and upper bounds, of one shape; NaN where they are not known."""

    value: Floats
    low: Floats
    high: Floats

    def at(self, i: int) -> tuple[float | None, tuple[float, float] | None]:
        """Return one figure and its interval."""
        value, low, high = (float(side[i]) for side in self)
        return (None, None) if np.isnan([value, low, high]).any() else (value, (low, high))


@dataclass(frozen=True, eq=False)
class Deployment:
    """Expected figures at the shares of production.

    Parameters
    ----------
    confusion
        Of the test images; K classes.
    share
        Share of each class in production, shape (K,), summing to 1.
    costs
        (label, predicted) → cost of an image, as indices; absent pairs cost nothing. None where no
        costs were given.
    """

    confusion: Confusion
    share: Floats
    costs: Mapping[tuple[int, int], float] | None = None

    @property
    def commonest(self) -> int:
        """Index of the class with the largest share."""
        return int(self.share.argmax())

    @cached_property
    def unmeasured(self) -> tuple[str, ...]:
        """Classes of production that the test set holds no image of: nothing is known of them."""
        lacking = (self.confusion.support == 0) & (self.share > 0)
        return tuple(self.confusion.classes[i] for i in np.flatnonzero(lacking))

    def accuracy(self, confidence: float = 0.95) -> Estimates:
        """Return the expected accuracy, shape (1,)."""
        if self.unmeasured:
            return Estimates(*np.full((3, 1), np.nan))
        used = self.share > 0  # what production does not hold need not be known
        right, n = self.confusion.correct[used], self.confusion.support[used]
        share = self.share[used]
        value = np.array([share @ (right / n)])
        below, above = stats.standardised_reach(right, n, share, confidence)
        return Estimates(value, value - below, value + above)

    def misses(self, confidence: float = 0.95) -> Estimates:
        """Return the images of each class that are called something else, in ``PER`` images."""
        value, low, high = self._hits(confidence)
        weight = PER * self.share
        return Estimates(weight * (1 - value), weight * (1 - high), weight * (1 - low))

    def false_alarms(self, confidence: float = 0.95) -> Estimates:
        """Return the images wrongly put into each class, in ``PER`` images."""
        found = self._wrongly_put(confidence)
        return Estimates(*(PER * side for side in found))

    def precision(self, confidence: float = 0.95) -> Estimates:
        """Return the precision of each class.

        True and false positives come from images of different classes, so they are independent;
        each is bounded at half the error, and the worst corner of the two counts.
        """
        halved = 1 - (1 - confidence) / 2
        hits, wrong = self._hits(halved), self._wrongly_put(halved)
        right = Estimates(*(self.share * side for side in hits))
        return Estimates(
            _ratio(right.value, wrong.value),
            _ratio(right.low, wrong.high),
            _ratio(right.high, wrong.low),
        )

    def cost(self, confidence: float = 0.95) -> Estimates:
        """Return the expected cost of ``PER`` images, shape (1,); NaN without costs."""
        if self.costs is None:
            return Estimates(*np.full((3, 1), np.nan))
        weights = {pair: PER * self._weight[pair[0]] * cost for pair, cost in self.costs.items()}
        counted = {(i, j): n for i, j, n in self.confusion.cells()}
        images = np.array([counted.get(pair, 0) for pair in weights])
        weight = np.array(list(weights.values()))
        largest = weight.max(initial=0.0, keepdims=True)
        parts = _part(weight, largest)
        total, squares = (np.array([side @ images]) for side in (weight, parts**2))
        bounds = stats.weighted_count_bounds(total, squares, largest, confidence)
        return self._known(Estimates(total, *bounds))

    def constant_cost(self) -> tuple[int, float] | None:
        """Return the class that costs least when always named, and its cost in ``PER`` images."""
        if self.costs is None:
            return None
        totals = np.zeros(len(self.share))
        for (label, predicted), cost in self.costs.items():
            totals[predicted] += PER * self.share[label] * cost
        return int(totals.argmin()), float(totals.min())

    def exhibit(self, confidence: float = 0.95) -> DeploymentExhibit:
        """Return what the report shows; the confidence is that of each bound, one-sided."""
        methods = (self.precision, self.misses, self.false_alarms)
        figures = [method(confidence) for method in methods]
        rows = [
            DeploymentRow(
                name=name,
                share=float(self.share[i]),
                **{
                    key: value
                    for what, found in zip(_FIGURES, figures, strict=True)
                    for key, value in zip((what, f"{what}_interval"), found.at(i), strict=True)
                },
            )
            for i, name in enumerate(self.confusion.classes)
        ]
        rows.sort(key=lambda row: -(row.misses or 0.0) - (row.false_alarms or 0.0))
        return DeploymentExhibit(
            metrics=tuple(self._metrics(confidence)),
            per_class=tuple(rows),
            unmeasured=self.unmeasured,
            method=_METHOD,
        )

    def _metrics(self, confidence: float) -> Iterator[MetricRow]:
        value, interval = self.accuracy(confidence).at(0)
        told = "expected share of production images put into the right class"
        yield MetricRow(name="expected accuracy", value=value, interval=interval, explanation=told)
        name, share = self.confusion.classes[self.commonest], float(self.share.max())
        told = f'accuracy of always naming the commonest class of production, "{name}"'
        yield MetricRow(name="largest share", value=share, explanation=told)
        if (constant := self.constant_cost()) is not None:
            value, interval = self.cost(confidence).at(0)
            told = f"expected cost of {PER:,} production images"
            yield MetricRow(
                name="cost", value=value, unit="none", interval=interval, explanation=told
            )
            told = (
                f'cost of always naming the cheapest class, "{self.confusion.classes[constant[0]]}"'
            )
            yield MetricRow(
                name="least constant cost", value=constant[1], unit="none", explanation=told
            )

    @read_only_property
    def _weight(self) -> Floats:
        """Share of production that each test image of a class stands for, shape (K,)."""
        n = self.confusion.support
        return np.asarray(np.divide(self.share, n, out=np.zeros(len(n)), where=n > 0))

    def _hits(self, confidence: float) -> Estimates:
        c = self.confusion
        return Estimates(c.recall, *stats.proportion_intervals(c.correct, c.support, confidence))

    def _wrongly_put(self, confidence: float) -> Estimates:
        """Return the share of all images that is wrongly put into each class."""
        c, k, weight = self.confusion, len(self.share), self._weight
        wrong = c.rows != c.columns
        into, images, each = c.columns[wrong], c.images[wrong], weight[c.rows[wrong]]
        first, second = np.argsort(-weight, kind="stable")[:2]
        largest = np.where(np.arange(k) == first, weight[second], weight[first])
        total, squares = (
            np.bincount(into, weights * images, k).astype(float)
            for weights in (each, _part(each, largest[into]) ** 2)
        )
        low, high = stats.weighted_count_bounds(total, squares, largest, confidence)
        others = np.maximum(1 - self.share, total)  # which 1 - 0.9999… may be rounded below
        return self._known(Estimates(total, low, np.minimum(high, others)))

    def _known(self, found: Estimates) -> Estimates:
        return Estimates(*(side + np.nan for side in found)) if self.unmeasured else found


def _part(weight: Floats, largest: Floats) -> Floats:
    return np.asarray(np.divide(weight, largest, out=np.zeros(len(weight)), where=largest > 0))


def _ratio(right: Floats, wrong: Floats) -> Floats:
    whole = right + wrong
    return np.asarray(np.divide(right, whole, out=np.full(len(whole), np.nan), where=whole > 0))


@derive
def deployment(config: Config, confusion: Confusion) -> Deployment:
    """Return the figures at the shares that ``[deployment]`` gives."""
    table = config.deployment
    if table is None:
        raise Unavailable("no shares of production were given ([deployment] prevalence)")
    classes = confusion.classes
    index = {name: i for i, name in enumerate(classes)}
    _require_classes(("prevalence",), table.prevalence, classes)
    if missing := [name for name in classes if name not in table.prevalence]:
        raise ConfigError(
            ("deployment", "prevalence"),
            f"deployment.prevalence names no share for {_quoted(missing)}; every class of the "
            "candidate needs one, 0 where it does not occur",
        )
    costs: dict[tuple[int, int], float] = {}
    _require_classes(("costs",), table.costs, classes)
    for label, row in table.costs.items():
        _require_classes(("costs", label), row, classes)
        costs |= {(index[label], index[predicted]): cost for predicted, cost in row.items()}
    share = np.array([table.prevalence[name] for name in classes])
    if table.costs and not any(cost * share[label] for (label, _), cost in costs.items()):
        raise ConfigError(
            ("deployment", "costs"),
            "deployment.costs: no image of production costs anything, so no candidate is better "
            "than another; give what a mistake costs, or leave the costs out",
        )
    return Deployment(confusion, share / share.sum(), costs if table.costs else None)


def _require_classes(place: tuple[str, ...], names: Iterable[str], classes: Sequence[str]) -> None:
    for name in names:
        if name not in classes:
            raise ConfigError(
                ("deployment", *place, name),
                f'{".".join(("deployment", *place))}: "{name}" is not a class of the candidate'
                f"{did_you_mean(name, classes)}",
            )


def _quoted(names: Sequence[str]) -> str:
    return listed([f'"{name}"' for name in names])
