"""Recognises an EfficientNet by its convolutions, and says which compound scaling it is nearest to.

It is read from the sequence of the convolutions alone, so it does not matter whose implementation
built the model, nor what normalisation and activation stand between them.

References
----------
Tan, M. and Le, Q. V. (2019). EfficientNet: Rethinking model scaling for convolutional neural
networks. ICML. arXiv:1905.11946, table 1 and equation 3. Rounding of channels and repeats:
``round_filters`` and ``round_repeats`` of the reference implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from auditor.models.mbconv import NotRecognised, Skeleton, read_skeleton
from auditor.models.reference import ReferenceModel, efficientnet_reference

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Dimension", "Scaling", "scaling_of"]

_GROWTH = {"width": 1.1, "depth": 1.2, "resolution": 1.15}
_BASE_CHANNELS = (32, 16, 24, 40, 80, 112, 192, 320, 1280)
"""Of B0: stem, seven stages, head."""
_BASE_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_BASE_SIDE = 224
_LEAST = 1e-3
"""Multiplier below which nothing is told apart."""
_SIDE_STEP = 4  # pixels; the coarsest grid on which all published resolutions lie


class Dimension(NamedTuple):
    """One of width, depth and resolution.

    Parameters
    ----------
    name
        ``width``, ``depth`` or ``resolution``.
    low, high
        The multipliers of B0 that give what was found: rounding leaves a range.
    expected
        The multiplier at the nearest φ.
    """

    name: str
    low: float
    high: float
    expected: float

    @property
    def residual(self) -> float:
        """How far the range lies from what is expected, as a share of that; 0 where it is in it."""
        nearest = min(max(self.expected, self.low), self.high)
        return nearest / self.expected - 1


@dataclass(frozen=True)
class Scaling:
    """Where an EfficientNet stands beside compound scaling. Shown, never judged.

    Parameters
    ----------
    phi
        The compound coefficient that comes nearest, by least squares of the three distances in φ.
    exact
        Whether compound scaling with `phi` builds this very network at this resolution.
    width, depth, resolution
        Found and expected.
    side
        Of the input, in pixels.
    published
        The published model with these channels and repeats, if any.
    published_side
        The resolution that it was published at.
    """

    phi: float
    exact: bool
    width: Dimension
    depth: Dimension
    resolution: Dimension
    side: int
    published: str | None = None
    published_side: int | None = None

    def __str__(self) -> str:
        if self.published is None:
            head = "An EfficientNet"
        elif self.side == self.published_side:
            head = f"{self.published} as published"
        else:
            head = f"{self.published} at {self.side} instead of {self.published_side} pixels"
        phi = f"φ = {self.phi:g}".replace("-", "−")
        if self.exact:
            return f"{head}; compound scaling with {phi} builds exactly this network."
        return f"{head}; nearest compound scaling {phi}, off by {self._residuals()}."

    def _residuals(self) -> str:
        dimensions = (self.width, self.depth, self.resolution)
        off = [f"{d.name} {d.residual:+.0%}" for d in dimensions if abs(d.residual) >= 0.005]
        return ", ".join(off).replace("-", "−") or "less than 0.5%"


def scaling_of(model: nn.Module, side: int) -> Scaling | NotRecognised:
    """Return the compound scaling that a model is nearest to, or why it is no EfficientNet.

    Parameters
    ----------
    model
        On any device; only shapes are read.
    side
        Of the square input, in pixels.
    """
    found = read_skeleton(model)
    if isinstance(found, NotRecognised):
        return found
    width, depth = _width(found.channels), _depth(found.repeats)
    if width is None:
        return NotRecognised("no one width multiplier gives its channels")
    if depth is None:
        return NotRecognised("no one depth multiplier gives its repeats")
    half = _SIDE_STEP / 2
    side_range = (side - half) / _BASE_SIDE, (side + half) / _BASE_SIDE
    ranges = {"width": width, "depth": depth, "resolution": side_range}
    phi, exact = _nearest({n: _exponents(n, r) for n, r in ranges.items()})
    dimensions = {n: Dimension(n, *r, _GROWTH[n] ** phi) for n, r in ranges.items()}
    twin = _published(found)
    return Scaling(
        phi=phi,
        exact=exact,
        **dimensions,
        side=side,
        published=twin.name if twin else None,
        published_side=twin.resolution if twin else None,
    )


def _width(channels: Sequence[int]) -> tuple[float, float] | None:
    """Return the multipliers for which every channel of B0 rounds to the one found."""
    ranges = [
        (low / base, high / base)
        for base, (low, high) in zip(_BASE_CHANNELS, map(_rounds_to, channels), strict=True)
    ]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    return (low, high) if low < high else None


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, at least 8, and never down by more than a tenth."""
    near = max(8, math.floor((channels + 4) / 8) * 8)
    return near + 8 if near < 0.9 * channels else near


def _rounds_to(channels: int) -> tuple[float, float]:
    """Return the range of what `_rounded` makes this of; the upper end itself may be the next."""
    low = min(channels - 4, (channels - 8) / 0.9) if channels > 8 else 1e-3
    return low, min(channels + 4, channels / 0.9) - 1e-9


def _depth(repeats: Sequence[int]) -> tuple[float, float] | None:
    """Return the multipliers for which every repeat of B0 rounds up to the one found."""
    pairs = list(zip(repeats, _BASE_REPEATS, strict=True))
    low, high = max((n - 1) / base for n, base in pairs), min(n / base for n, base in pairs)
    # Exactly the lower end still gives one repeat fewer.
    return (low + 1e-6, high) if low < high else None


def _exponents(name: str, multipliers: tuple[float, float]) -> tuple[float, float]:
    low, high = (math.log(max(m, _LEAST)) / math.log(_GROWTH[name]) for m in multipliers)
    return low, high


def _nearest(ranges: dict[str, tuple[float, float]]) -> tuple[float, bool]:
    """Return the φ that is nearest to three ranges, and whether it lies in all of them."""
    low, high = max(r[0] for r in ranges.values()), min(r[1] for r in ranges.values())
    if low <= high:
        return _shortest(low, high), True
    phi = (low + high) / 2
    for _ in range(200):  # the mean of the nearest points: projections, which converge
        phi = sum(min(max(phi, a), b) for a, b in ranges.values()) / len(ranges)
    return round(phi, 2), False


def _shortest(low: float, high: float) -> float:
    """Return the number of fewest decimals in a range, the one nearest to its middle."""
    middle = (low + high) / 2
    for digits in range(12):
        number = round(middle, digits)
        for near in (number, number - 10**-digits, number + 10**-digits):
            if low <= near <= high:
                return round(near, digits) + 0.0  # no negative zero
    return middle


def _published(found: Skeleton) -> ReferenceModel | None:
    """Return the published model with the same channels and repeats."""
    for model in efficientnet_reference():
        channels = tuple(_rounded(model.width * n) for n in _BASE_CHANNELS)
        repeats = tuple(math.ceil(model.depth * n - 1e-9) for n in _BASE_REPEATS)
        if found == Skeleton(channels, repeats):
            return model
    return None
