"""What an overlap means: how much of a test set was trained on, and what that does to accuracy.

Copies of the same bytes or pixels are certain. Near-duplicates and transformed copies are not:
the search estimates how many of them are strangers, and their number is corrected by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from auditor import stats

if TYPE_CHECKING:
    from auditor.evidence.overlap import Overlap
    from auditor.evidence.predictions import Predictions
    from auditor.overlap.result import OverlapPair
    from auditor.record import OverlapRow

__all__ = [
    "EXACT",
    "Contaminated",
    "Inflation",
    "Without",
    "contaminated",
    "inflation",
    "most_telling",
    "strongest",
    "tier",
    "without",
]

Flags = NDArray[np.bool_]

SHOWN = 24
"""Pairs that are kept with thumbnails."""

EXACT = ("same-bytes", "same-pixels")
"""Kinds that need no estimate."""


class Contaminated(NamedTuple):
    """Test images that the training data holds too."""

    flagged: int
    """Test images with a partner."""
    exact: int
    """Those with the same bytes or pixels."""
    unknown: int
    """Those of a kind for which strangers are not estimated; they count as copies."""
    strangers: float | None
    """How many of the rest are estimated to be no copies; None where all of it is unknown."""
    total: int
    """Test images that were looked at."""
    interval: stats.Interval
    """Of the share: more or fewer of the flagged may be strangers than is estimated."""

    @property
    def images(self) -> float:
        """Contaminated test images, corrected by the estimate."""
        return self.flagged - (self.strangers or 0.0)

    @property
    def share(self) -> float | None:
        """Share of the test images; None where there are none."""
        return self.images / self.total if self.total else None

    @property
    def said(self) -> str:
        """What was counted and what was taken off, in words."""
        estimated = self.flagged - self.exact - self.unknown
        if not self.flagged:
            return "no tier found one"
        said = f"{self.flagged:,} have a partner, {self.exact:,} of them exact"
        if not estimated and self.unknown:
            return f"{said}; how many of the other {self.unknown:,} are strangers is not known"
        if estimated:
            said += (
                f"; of the other {estimated:,}, {self.strangers:.1f} are estimated to be strangers"
            )
        if self.unknown:
            said += f"; of {self.unknown:,} more that is not known"
        return said


class Inflation(NamedTuple):
    """By how much the overlapping images lift the accuracy."""

    points: float
    """Accuracy on all minus accuracy without them, as a share."""
    interval: stats.Interval
    everything: float
    """Accuracy on all test images."""
    clean: float
    """Accuracy without the overlapping ones."""
    n: int
    """Test images without the overlapping ones."""


class Without(NamedTuple):
    """Accuracy over all, or the recall of one class, with and without the overlapping images."""

    name: str
    images: int
    overlapping: int
    everything: float | None
    """None where there is no image."""
    clean: float | None
    inflation: Inflation | None
    """None where none or all of the images overlap."""


def strongest(pairs: Iterable[OverlapPair]) -> dict[str, OverlapPair]:
    """Return the first pair of each test image; the search lists the strongest kind first."""
    first: dict[str, OverlapPair] = {}
    for pair in pairs:
        first.setdefault(pair.test_image, pair)
    return first


def most_telling(pairs: Iterable[OverlapPair]) -> list[OverlapPair]:
    """Return the pairs to look at: one a test image, conflicts and what is least certain first.

    That a file is the same needs no looking at; that two pictures are, does.
    """
    order = ("transformed", "near-duplicate", "same-pixels", "same-bytes")
    unlike_first = sorted(pairs, key=lambda pair: not pair.conflicting)
    found = sorted(
        strongest(unlike_first).values(),
        key=lambda p: (not p.conflicting, order.index(p.kind), p.similarity, p.test_image),
    )
    return found[:SHOWN]


def tier(pair: OverlapPair | OverlapRow) -> str:
    """Name how two pictures are copies: which transform it is, and whether the pixels were seen.

    >>> from auditor.overlap.result import OverlapPair
    >>> tier(OverlapPair("a", "b", "transformed", 0, 0.9, "x", "x", "mirrored"))
    'transformed (mirrored)'
    """
    how = [pair.transform] if pair.transform else []
    how += [] if pair.verified else ["by its signature alone"]
    return f"{pair.kind} ({', '.join(how)})" if how else pair.kind


def contaminated(overlap: Overlap, confidence: float = 0.95) -> Contaminated:
    """Count the test images that are in the training data, less the estimated strangers.

    Parameters
    ----------
    overlap
        The evidence.
    confidence
        Of each bound, one-sided.

    Notes
    -----
    The strangers among the flagged are taken as Poisson around their estimate: they are rare and
    many pairs could have given one.
    """
    kinds = Counter[str](pair.kind for pair in strongest(overlap.pairs or ()).values())
    flagged, exact = kinds.total(), sum(kinds[kind] for kind in EXACT)
    limits = {"near-duplicate": overlap.near, "transformed": overlap.transformed}
    rates = {kind: limit and limit.false_discovery_rate for kind, limit in limits.items()}
    unknown = sum(kinds[kind] for kind, rate in rates.items() if rate is None)
    strangers = sum(kinds[kind] * (rate or 0.0) for kind, rate in rates.items())
    most, fewest = (_poisson_quantile(level, strangers) for level in (confidence, 1 - confidence))
    total, certain = overlap.test_signed, exact + unknown
    low, high = (max(certain, flagged - n) / max(total, 1) for n in (most, fewest))
    known = None if unknown and certain == flagged else strangers
    return Contaminated(flagged, exact, unknown, known, total, stats.Interval(low, high))


def _poisson_quantile(level: float, mean: float) -> int:
    """Return the least count that is not exceeded with a probability of ``level``."""
    if not mean:
        return 0
    count = max(int(np.ceil(special.pdtrik(level, mean))) - 1, 0)
    return count if special.pdtr(count, mean) >= level else count + 1


def inflation(
    test: Predictions, overlapping: frozenset[str], confidence: float = 0.95
) -> Inflation | None:
    """Return by how much the overlapping images lift the accuracy; None where none or all are.

    Notes
    -----
    With a share s of overlapping images, accuracy on all minus accuracy on the others is
    s · (accuracy on the overlapping − accuracy on the others): two independent proportions, whose
    difference has the bounds of ``auditor.stats.difference_interval``.
    """
    return _inflation(test.correct, _held(test, overlapping), confidence)


def without(
    test: Predictions, overlapping: frozenset[str], confidence: float = 0.95
) -> list[Without]:
    """Return accuracy, then the recall of each class, with and without the overlapping images."""
    held = _held(test, overlapping)
    order = np.argsort(test.label, kind="stable")
    bounds = np.searchsorted(test.label[order], np.arange(len(test.classes) + 1))
    rows = [_without("all", test.correct, held, confidence)]
    for place, name in enumerate(test.classes):
        of = order[bounds[place] : bounds[place + 1]]
        rows.append(_without(name, test.correct[of], held[of], confidence))
    return rows


def _held(test: Predictions, overlapping: frozenset[str]) -> Flags:
    return np.array([image in overlapping for image in test.images], bool)


def _inflation(correct: Flags, held: Flags, confidence: float) -> Inflation | None:
    n, copies = len(held), int(held.sum())
    if not 0 < copies < n:
        return None
    right, right_copies = int(correct.sum()), int(correct[held].sum())
    rest = (right - right_copies, n - copies)
    bounds = stats.difference_interval(right_copies, copies, *rest, confidence)
    everything, clean = right / n, rest[0] / rest[1]
    scaled = stats.Interval(bounds.low * copies / n, bounds.high * copies / n)
    return Inflation(everything - clean, scaled, everything, clean, rest[1])


def _without(name: str, correct: Flags, held: Flags, confidence: float) -> Without:
    return Without(
        name=name,
        images=len(held),
        overlapping=int(held.sum()),
        everything=float(correct.mean()) if len(held) else None,
        clean=float(correct[~held].mean()) if not held.all() else None,
        inflation=_inflation(correct, held, confidence),
    )
