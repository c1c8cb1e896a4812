"""Finds near and transformed copies: near hashes first, then the pixels decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.candidates import EXHAUSTIVE, RADIUS
from auditor.overlap.control import Control
from auditor.overlap.decoys import Scores, choose_threshold
from auditor.overlap.dihedral import MIRRORED, ORIENTATIONS, UPRIGHT, Orientation, oriented_soft
from auditor.overlap.judge import Judge, Judged
from auditor.overlap.result import OverlapSettings, Threshold
from auditor.overlap.soft import FEWEST, crowd, crowding, unit_rows
from auditor.overlap.splits import Kind, Match, Side, one_of_each, unlike_first
from auditor.overlap.verify import SPREADS, SPREADS_ALONE
from auditor.overlap.views import VIEWS

__all__ = ["PARTNERS", "Near", "near_matches"]

PARTNERS = 5
"""Partners listed for a picture and a kind."""

_OWN_LIKENESS = 0.6
"""From here on a picture is like its own mirror image, which is then no decoy of it."""
_SYMMETRIC_SHARE = 0.1
_CROWDING_GAP = 0.05
"""Between upright and mirrored pictures, in artanh: below .01 in photographs, .3 in digits."""
_BY_BITS = (
    f"without a GPU, of more than {EXHAUSTIVE / 1e9:g} billion pairs only those were looked at "
    f"that differ in at most {RADIUS} of 63 low frequencies, which misses copies that were changed "
    "much"
)


class Near(NamedTuple):
    """What the search by likeness found."""

    matches: list[Match]
    """Near-duplicates and transformed copies."""
    near: Threshold
    """Of near-duplicates."""
    transformed: Threshold | None
    """Of transformed copies."""
    capped: int
    """Pictures with more candidates than were looked at."""
    control: Control
    """How many plain copies of the left pictures would be found."""
    doubtful: list[int]
    """Places of pictures on the left that may be copies, as strangers are too few to tell."""


def near_matches(left: Side, right: Side, settings: OverlapSettings) -> Near:
    """Find verified near-duplicates and transformed copies.

    Parameters
    ----------
    left, right
        The two sides. Where they are one object, each pair is judged once, with the partner
        before the picture.
    settings
        What the search may be told.

    Returns
    -------
    Near
        The matches, at most ``PARTNERS`` of a picture and a kind, and from where on they count. All
        copies of a picture have the same ones.
    """
    judge = Judge(left, right)
    found = {turn: judge.turned(turn) for turn in ORIENTATIONS}
    upright = found.pop(UPRIGHT)
    scores = _scores(upright, found, _exact(left, right))
    threshold = choose_threshold(
        scores, settings.false_discovery_rate, judge.sure, _invalid(left, right)
    )
    spreads = SPREADS if threshold.basis == "decoys" else SPREADS_ALONE
    near = judge.alike(upright, spreads)
    others: list[Judged] = []
    if settings.transforms:
        others += [judge.alike(one, SPREADS_ALONE) for one in found.values()]
    if settings.views:
        others += [judge.alike(one, SPREADS_ALONE) for view in VIEWS for one in judge.cropped(view)]
    listed = _Listed(left, right, judge.seen)
    matches = [*listed.of([near], threshold.score), *listed.of(others, judge.sure_turned)]
    if not judge.exhaustive:
        threshold = replace(threshold, note=f"{threshold.note}; {_BY_BITS}")
    asked = settings.transforms or settings.views
    return Near(
        matches=matches,
        near=threshold,
        transformed=_fixed(others, judge.sure_turned) if asked else None,
        capped=upright.capped,
        control=judge.control(threshold.score, spreads),
        doubtful=_doubtful(left, [upright, *others], matches),
    )


def _doubtful(left: Side, found: list[Judged], matches: list[Match]) -> list[int]:
    rows = sorted({row for one in found for row in one.doubtful.tolist()})
    sure = {match.left for match in matches}
    copies = (place for row in rows for place in left.copies_of(left.distinct[row]))
    return [place for place in copies if place not in sure]


def _invalid(left: Side, right: Side) -> str | None:
    """Say why mirrored pictures are no decoys, if they are none."""
    if not left.distinct:
        return None
    if _symmetric(left.soft).mean() > _SYMMETRIC_SHARE:
        return "the pictures look like their own mirror images"
    others = crowd(left.soft, right.soft)
    if len(others) < FEWEST:
        return "there are too few pictures to tell how alike strangers are"
    mirrored = oriented_soft(left.soft, MIRRORED)
    upright, decoys = (
        np.arctanh(crowding(soft, others, most=0.999)).mean() for soft in (left.soft, mirrored)
    )
    if upright > decoys + _CROWDING_GAP:
        return "mirrored pictures meet less alike strangers than upright ones"
    return None


def _scores(upright: Judged, turned: dict[Orientation, Judged], exact: NDArray[np.bool_]) -> Scores:
    best = {turn: one.best(len(exact)) for turn, one in turned.items()}
    mirrored = best.pop(MIRRORED)
    own = np.where(exact, np.inf, upright.best(len(exact)))
    return Scores(own, mirrored, np.array(list(best.values())))


def _exact(left: Side, right: Side) -> NDArray[np.bool_]:
    """Tell which pictures the other side holds in the same bytes or pixels."""
    if left is right:
        return np.zeros(len(left.distinct), bool)
    files, pixels = set(right.split.bytes_digest), set(right.split.pixels_digest)
    own = left.split
    return np.array(
        [
            own.bytes_digest[place] in files or own.pixels_digest[place] in pixels
            for place in left.distinct
        ],
        bool,
    )


def _fixed(found: list[Judged], score: float) -> Threshold:
    matches = sum(int((one.score >= score).sum()) for one in found)
    note = (
        "fixed threshold: transformed copies have no decoys, so their strangers are not estimated"
    )
    return Threshold(score, "fallback", matches, note=note)


def _symmetric(soft: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Tell which pictures look like their own mirror images."""
    units = unit_rows(soft)
    own = np.einsum("ij,ij->i", units, oriented_soft(units, MIRRORED))
    return np.asarray(own > _OWN_LIKENESS)


class _Listed:
    """Turns what counts into matches: a pair once, a few partners a picture and kind."""

    def __init__(self, left: Side, right: Side, seen: bool) -> None:
        self._left, self._right, self._seen = left, right, seen
        self._pairs: set[tuple[int, int]] = set()

    def of(self, found: list[Judged], threshold: float) -> list[Match]:
        """List what reaches a threshold, the best orientation of a pair first."""
        counted: dict[int, int] = {}
        above = [(one.transform, *pair) for one in found for pair in one.above(threshold)]
        matches: list[Match] = []
        for name, row, column, similarity, score in sorted(above, key=lambda one: -one[4]):
            room = PARTNERS - counted.get(row, 0)
            if (row, column) in self._pairs or not room:
                continue
            self._pairs.add((row, column))
            match = self._match(name, row, column, similarity, score)
            partners = one_of_each(self._right.copies_of(match.right), self._right.split.labels)
            counted[row] = counted.get(row, 0) + min(len(partners), room)
            matches += self._of_copies(match, partners, room)
        return matches

    def _match(self, name: str, row: int, column: int, similarity: float, score: float) -> Match:
        place, partner = self._left.distinct[row], self._right.distinct[column]
        distance = int(np.bitwise_count(self._left.phash[row] ^ self._right.phash[column]))
        kind: Kind = "transformed" if name else "near-duplicate"
        return Match(place, partner, kind, distance, similarity, name, score, self._seen)

    def _of_copies(self, match: Match, partners: list[int], room: int) -> Iterator[Match]:
        """Yield the match of each picture equal to the left one, partners of other labels first."""
        labels = self._left.split.labels
        for copy in self._left.copies_of(match.left):
            for partner in unlike_first(partners, self._right.split.labels, labels[copy])[:room]:
                yield match._replace(left=copy, right=partner)
