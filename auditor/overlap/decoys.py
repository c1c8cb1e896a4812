"""Chooses the threshold of near-duplicates by what decoys reach in the same data.

A picture that is laid down mirrored is a decoy: it has the same content, so it meets strangers as
alike as the upright picture does, but not its copies. If 300 pictures and 6 decoys pass a
threshold, some 6 of the 300 are strangers. This is target–decoy competition, as in proteomics
(Elias and Gygi 2007): a picture that matches upright at least as well as mirrored has no decoy. Nor
has one that matches upright from the sure score on: where each picture is stored with its mirror
image, as data are augmented, a copy meets both, and noise alone decides which is nearer.

Mirrored copies are real, though: some 34 of CIFAR-10's test images have one. They would be taken
for strangers and drive the threshold up. The six other ways to lay a picture down have hardly any
copies in photographs, but fewer strangers too, as skies are above. So they are scaled: among the
100th to 400th best of the mirrored decoys strangers outnumber copies, and the ratio of mirrored to
other decoys is taken there. Others from the sure score on are copies and left out. The count of
strangers at a threshold is the smaller of

- mirrored decoys + 1, and
- (other decoys + 1) × ratio.

It is for the caller to see that decoys are valid: that pictures are not like their own mirror
images (as cells and roofs are), and that mirrored they meet strangers as alike as upright, which
handwritten digits do not.

The 1 keeps no decoys from meaning no strangers (Barber and Candès 2015). To show a rate of 2%
therefore takes 50 matches, 5% takes 20; with fewer the threshold is fixed. As the lowest threshold
that passes is taken, of two estimates, the true rate may exceed the target by a fifth or so where
strangers are few (simulated in the tests).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.result import Threshold

__all__ = ["Scores", "choose_threshold"]

_CALIBRATING = 100, 400
"""Ranks of mirrored decoys between which they are compared with the others."""
_FEWEST_OTHERS = 20
_CONFIDENCE = 0.95


class Scores(NamedTuple):
    """The best score of each picture, −∞ where it has no candidate."""

    upright: NDArray[np.float64]
    """Shape (n,); ∞ where a copy is certain, which leaves nothing to estimate."""
    mirrored: NDArray[np.float64]
    """Shape (n,)."""
    others: NDArray[np.float64]
    """In the six other orientations, shape (6, n)."""


class _Estimate(NamedTuple):
    matches: int
    decoys: int
    rate: float
    upper: float


def choose_threshold(
    scores: Scores, rate: float, sure: float, invalid: str | None = None
) -> Threshold:
    """Choose the lowest score at which the false-discovery rate is estimated to hold.

    Parameters
    ----------
    scores
        Of pictures and decoys.
    rate
        The false-discovery rate that is put up with, within 0..1.
    sure
        The fixed threshold, where none can be chosen.
    invalid
        Why decoys say nothing of these pictures; None where they do.

    Returns
    -------
    Threshold
        With the estimate at it.
    """
    if invalid:
        note = f"fixed threshold: {invalid}, so decoys cannot tell how many strangers pass"
        return Threshold(sure, "fallback", int((scores.upright >= sure).sum()), note=note)
    counts = _Counts(scores, sure)
    levels = [*counts.levels(), sure]
    chosen = min((score for score in levels if counts.at(score).rate <= rate), default=np.inf)
    if chosen <= sure:
        return _threshold(float(chosen), True, counts.at(chosen), _BY_DECOYS)
    estimate = counts.at(sure)
    few = estimate.matches < 1 / rate
    return _threshold(sure, False, estimate, _TOO_FEW if few else _TOO_MANY)


_BY_DECOYS = (
    "no lower score keeps that within false_discovery_rate; two photographs of one scene are no "
    "strangers"
)
_TOO_FEW = "fixed threshold: too few pictures match to estimate how many of them are strangers"
_TOO_MANY = (
    "fixed threshold: decoys (the pictures mirrored or turned) match more often than "
    "false_discovery_rate allows, as they do where there are mirrored copies or all pictures look "
    "alike; look at the pairs"
)


def _threshold(score: float, by_decoys: bool, estimate: _Estimate, note: str) -> Threshold:
    return Threshold(
        score=score,
        basis="decoys" if by_decoys else "fallback",
        matches=estimate.matches,
        decoys=estimate.decoys,
        false_discovery_rate=estimate.rate if by_decoys else None,
        upper=estimate.upper if by_decoys else None,
        note=note,
    )


class _Counts:
    """Counts pictures and decoys from a score on."""

    def __init__(self, scores: Scores, sure: float) -> None:
        self._upright = np.sort(scores.upright[np.isfinite(scores.upright)])
        lone = scores.mirrored[(scores.mirrored > scores.upright) & (scores.upright < sure)]
        self._mirrored = np.sort(lone[np.isfinite(lone)])
        others = scores.others[(scores.others > scores.upright) & (scores.others < sure)]
        self._others = np.sort(others[np.isfinite(others)])
        self._lowest, self._ratio = self._calibrated()

    def levels(self) -> NDArray[np.float64]:
        """Return the scores that may become the threshold."""
        return self._upright[self._upright >= self._lowest]

    def at(self, score: float) -> _Estimate:
        """Estimate the share of strangers from a score on."""
        matches, mirrored = _from(self._upright, score), _from(self._mirrored, score)
        others = _from(self._others, score)
        by_mirrored = (mirrored + 1.0, _upper(mirrored))
        by_others = ((others + 1) * self._ratio, _upper(others) * self._ratio)
        strangers, upper = min(by_mirrored, by_others)
        decoys = mirrored if by_mirrored <= by_others else others
        if not matches:
            return _Estimate(0, decoys, 1.0, 1.0)
        return _Estimate(matches, decoys, min(1, strangers / matches), min(1, upper / matches))

    def _calibrated(self) -> tuple[float, float]:
        """Return the lowest score that is judged, and mirrored strangers per other decoy."""
        few, many = _CALIBRATING
        if len(self._mirrored) < many:
            return -np.inf, np.inf
        high, low = float(self._mirrored[-few]), float(self._mirrored[-many])
        others = _from(self._others, low) - _from(self._others, high)
        return low, (many - few) / others if others >= _FEWEST_OTHERS else np.inf


def _from(ascending: NDArray[np.float64], score: float) -> int:
    return len(ascending) - int(np.searchsorted(ascending, score))


def _upper(count: int) -> float:
    """Return the one-sided upper limit of a Poisson mean (Garwood 1936)."""
    from scipy.stats import chi2

    return float(chi2.ppf(_CONFIDENCE, 2 * (count + 1)) / 2)
