"""What the overlap search is told, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from auditor.overlap.control import Control
from auditor.overlap.splits import Kind

__all__ = ["OverlapPair", "OverlapSearch", "OverlapSettings", "Threshold"]


@dataclass(frozen=True)
class OverlapSettings:
    """What the search may be told.

    Parameters
    ----------
    false_discovery_rate
        Share of strangers among the near-duplicates that is put up with, within 0..1 (open).
    transforms
        Look for mirrored, turned and upside-down copies too.
    views
        Look for crops too, in both directions. Both splits' signatures must hold views.
    """

    false_discovery_rate: float = 0.02
    transforms: bool = True
    views: bool = False

    @property
    def identity(self) -> str:
        """What evidence is keyed by."""
        return repr(self)

    def __post_init__(self) -> None:
        if not 0 < self.false_discovery_rate < 1:
            rate = self.false_discovery_rate
            raise ValueError(f"false_discovery_rate is {rate}; it is a share between 0 and 1")


class OverlapPair(NamedTuple):
    """Two pictures that are copies of one another."""

    test_image: str
    """Path relative to the test split's root; of duplicates, the first member."""
    train_image: str
    """Path relative to the training split's root; of duplicates, the second member."""
    kind: Kind
    """The strongest kind that holds."""
    distance: int
    """Bits in which the perceptual hashes differ; 0 for the exact kinds."""
    similarity: float
    """Of the pixels, within −1..1; 1 for the exact kinds, of the signatures where not seen."""
    test_label: str
    """Class of the test image."""
    train_label: str
    """Class of the training image."""
    transform: str = ""
    """What was done to one of them: ``mirrored``, ``turned 90°``, ``crop 70%`` …; else empty."""
    score: float = 1.0
    """What :attr:`Threshold.score` is compared with; 1 for the exact kinds."""
    verified: bool = True
    """Whether the pixels were looked at."""

    @property
    def conflicting(self) -> bool:
        """Whether the two carry different labels; a label that is not known is none."""
        return "" not in (self.test_label, self.train_label) and self.test_label != self.train_label


@dataclass(frozen=True)
class Threshold:
    """From which score on near pictures count as copies, and what speaks for it.

    Parameters
    ----------
    score
        Pairs of this score and above count.
    basis
        ``decoys``: the lowest score at which the target false-discovery rate is estimated to hold
        on this very data. ``fallback``: a fixed score, for ``note``'s reason.
    matches, decoys
        Pairs of pictures and of decoys from this score on.
    false_discovery_rate, upper
        Estimated share of strangers among the matches, and its one-sided 95% upper bound;
        None where it was not estimated.
    note
        One sentence on what the estimate rests on and where it ends.
    """

    score: float
    basis: Literal["decoys", "fallback"]
    matches: int = 0
    decoys: int = 0
    false_discovery_rate: float | None = None
    upper: float | None = None
    note: str = ""


@dataclass(frozen=True)
class OverlapSearch:
    """What a search found, and what it left aside.

    Parameters
    ----------
    pairs
        Ordered by test image, kind and distance.
    near
        The threshold of near-duplicates.
    transformed
        The threshold of transformed copies; None where they were not looked for.
    set_apart
        Images of too little contrast to be compared by their looks, which equal no other: of the
        test split, or of the only one.
    train_set_apart
        Those of the training split, whether they equal another or not.
    capped
        Pictures with more candidates than were looked at.
    control
        How many plain copies of the test pictures would be found.
    doubtful
        Images of the test split, or of the only one, that may be copies: too few pictures are there
        to tell how alike strangers are.
    """

    pairs: tuple[OverlapPair, ...]
    near: Threshold
    transformed: Threshold | None = None
    set_apart: tuple[str, ...] = ()
    train_set_apart: tuple[str, ...] = ()
    capped: int = 0
    control: Control = field(default_factory=Control)
    doubtful: tuple[str, ...] = ()
