"""What was timed: every round of every model, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor import order_statistics

__all__ = ["Clock", "Column", "Estimate", "Timings"]

Clock = Literal["wall", "processor"]
Column = Literal["wall", "processor", "waited", "undisturbed"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its bounds, each one-sided; a bound is infinite where none holds."""

    value: float
    low: float
    high: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound."""
        return self.low, self.high

    @property
    def bounded(self) -> bool:
        """Whether there were enough repeats for both bounds."""
        return self.low > 0 and math.isfinite(self.high)

    def within(self, tolerance: float) -> bool:
        """Tell whether a ratio is 1 up to a tolerance, in both directions and with its bounds."""
        return 1 / (1 + tolerance) <= self.low and self.high <= 1 + tolerance


@dataclass(frozen=True, eq=False)
class Timings:
    """Forward passes of some models at one batch size, interleaved.

    Each round holds one timed pass of every model, in an order drawn at random.

    Parameters
    ----------
    batch
        Images a pass.
    models
        What was timed, by role: ``candidate``, ``twin``, ``baseline``.
    wall
        Seconds by the clock on the wall, shape (rounds, models).
    processor
        Seconds of processor time of the whole process, its threads summed; same shape.
    waited
        Seconds that its threads stood ready and another process had the processor, summed; same
        shape. Zero where the system does not tell.
    place
        Which pass of its round it was, from 0; same shape.
    settled
        Whether each model's time stood still before it was timed.
    """

    batch: int
    models: tuple[str, ...]
    wall: Floats
    processor: Floats
    waited: Floats
    place: NDArray[np.int64]
    settled: Mapping[str, bool]

    @property
    def rounds(self) -> int:
        """How often each model was timed."""
        return len(self.wall)

    def seconds(self, model: str, clock: Column = "wall") -> Floats:
        """Return a model's times, shape (rounds,).

        ``undisturbed`` is the wall time less all that was waited for a processor. No machine
        without other work takes less, so what is too slow by it is too slow.
        """
        column = self.models.index(model)
        if clock == "undisturbed":
            return np.asarray(np.maximum(self.wall - self.waited, 0.0)[:, column])
        return np.asarray(getattr(self, clock)[:, column])

    def waiting(self, model: str) -> float:
        """Return the seconds waited for each one measured, all threads summed."""
        return float(self.seconds(model, "waited").sum() / self.seconds(model).sum())

    def quantile(
        self,
        model: str,
        q: float,
        confidence: float = 0.95,
        clock: Column = "wall",
    ) -> Estimate:
        """Return a quantile of a model's times in seconds, with its order-statistic bounds."""
        values = self.seconds(model, clock)
        low, high = order_statistics.quantile_interval(values, q, confidence)
        return Estimate(order_statistics.quantile(values, q), max(low, 0.0), high, len(values))

    def throughput(self, model: str, confidence: float = 0.95, clock: Column = "wall") -> Estimate:
        """Return the images a second of the median pass."""
        median = self.quantile(model, 0.5, confidence, clock)
        value, low, high = (
            self.batch / seconds if seconds else math.inf
            for seconds in (median.value, median.high, median.low)
        )
        return Estimate(value, low, high, median.n)

    def ratio(self, model: str, to: str, clock: Clock, confidence: float = 0.95) -> Estimate:
        """Return how much longer a model takes than another, by the pairs of each round."""
        a, b = self.seconds(model, clock), self.seconds(to, clock)
        low, high = order_statistics.ratio_interval(a, b, confidence)
        return Estimate(order_statistics.ratio(a, b), low, high, len(a))
