"""Finds candidates in every orientation and scores them, on the pixels where those may be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.candidates import Crowd, device_for, is_exhaustive, nearest
from auditor.overlap.dihedral import Orientation, oriented_soft
from auditor.overlap.pixels import Prepared, compare, laid
from auditor.overlap.score import BLIND_SCORE, SURE_SCORE, TURNED_SCORE, blind_scores, seen_score
from auditor.overlap.soft import FEWEST, crowd, crowding, unit_rows
from auditor.overlap.splits import Side
from auditor.overlap.strangers import stranger_pairs
from auditor.overlap.verify import COPY_SIMILARITY, SPREADS, similarity_limit
from auditor.overlap.views import View

__all__ = ["Judge", "Judged"]


class Judged(NamedTuple):
    """Candidates of one kind, judged; arrays of one length."""

    transform: str
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarity: NDArray[np.float64]
    score: NDArray[np.float64]
    capped: int

    def best(self, size: int) -> NDArray[np.float64]:
        """Return the best score of each picture on the left."""
        best = np.full(size, -np.inf)
        np.maximum.at(best, self.left, self.score)
        return best

    def alike(self, limit: float, but: NDArray[np.bool_] | None = None) -> Judged:
        """Return what reaches a similarity, without some of the pictures on the left."""
        enough = self.similarity >= limit
        keep = np.flatnonzero(enough if but is None else enough & ~but[self.left])
        return self._replace(
            left=self.left[keep],
            right=self.right[keep],
            similarity=self.similarity[keep],
            score=self.score[keep],
        )

    def above(self, threshold: float) -> Iterator[tuple[int, int, float, float]]:
        """Yield left, right, similarity and score of what reaches a threshold, best first."""
        order = np.argsort(-self.score, kind="stable")
        for k in order[: int((self.score >= threshold).sum())].tolist():
            pair = int(self.left[k]), int(self.right[k])
            yield *pair, float(self.similarity[k]), float(self.score[k])


class _Look(NamedTuple):
    """How the pixels of candidates are looked at."""

    transform: str
    left: Callable[[int], Prepared]
    right: Callable[[int], Prepared]


class Judge:
    """Finds candidates and scores them, on the pixels where those may be seen."""

    def __init__(self, left: Side, right: Side) -> None:
        self._left, self._right = left, right
        sizes, self._earlier = (len(left.distinct), len(right.distinct)), left is right
        self._device = device_for(*sizes)
        self.exhaustive = is_exhaustive(*sizes, earlier=self._earlier, device=self._device)
        """Whether all pairs are compared."""
        self.seen = left.seen and right.seen
        self.sure = SURE_SCORE if self.seen else BLIND_SCORE
        self.sure_turned = TURNED_SCORE if self.seen else BLIND_SCORE
        self._crowd, self._others = self._crowded(left, right), self._crowded(right, left)

    def turned(self, turn: Orientation) -> Judged:
        """Judge the candidates that match when the left one is laid down in another way."""
        left = Crowd(oriented_soft(self._crowd.soft, turn), self._crowd.crowding)
        pictures = self._left.prepared, self._right.prepared
        look = _Look(turn.name, lambda row: laid(pictures[0](row), turn), pictures[1])
        return self._judged(look, left, self._others)

    def cropped(self, view: View) -> list[Judged]:
        """Judge the candidates of which one is a crop of the other; none without views."""
        left, right, name = self._left, self._right, view.name
        found = []
        if right.views is not None:
            other = Crowd(right.views[:, view.place], self._others.crowding)
            look = _Look(name, left.prepared, lambda row: right.prepared(row, view))
            found.append(self._judged(look, self._crowd, other))
        if left.views is not None:
            own = Crowd(left.views[:, view.place], self._crowd.crowding)
            inside = f"{name} of the other"
            look = _Look(inside, lambda row: left.prepared(row, view), right.prepared)
            found.append(self._judged(look, own, self._others))
        return found

    def _crowded(self, side: Side, other: Side) -> Crowd:
        among = crowd(side.soft, other.soft)
        return Crowd(side.soft, crowding(side.soft, among, alone=not self.seen))

    def _judged(self, look: _Look, left: Crowd, right: Crowd) -> Judged:
        found = nearest(left, right, earlier=self._earlier, device=self._device)
        distinct = [
            not self._left.same_file(row, self._right, column)
            for row, column in zip(found.left.tolist(), found.right.tolist(), strict=True)
        ]
        keep = np.flatnonzero(np.array(distinct, bool))
        rows, columns, soft = found.left[keep], found.right[keep], found.soft[keep]
        blind = blind_scores(soft, left.crowding[rows], right.crowding[columns])
        if not self.seen:
            alike = soft.astype(np.float64)
            return Judged(look.transform, rows, columns, alike, blind, found.capped)
        similarity, score = _looked_at(look, rows, columns, blind)
        judged = Judged(look.transform, rows, columns, similarity, score, found.capped)
        return judged.alike(self.limit(SPREADS)) if len(rows) else judged

    def limit(self, spreads: float) -> float:
        """Return the similarity that strangers do not reach.

        Parameters
        ----------
        spreads
            How far beyond the median of strangers it lies, in spreads.

        Returns
        -------
        float
            Within 0.5..1 where pictures were seen. Else −1, which every pair reaches: their score
            takes off how alike strangers are. Where that could not be measured, for they are few,
            all pairs tell, less the nearest of each, and it is within 0.5..0.99.
        """
        if self.seen:
            return similarity_limit(self._strangers, spreads)
        left, right = self._left.soft, self._right.soft
        if len(crowd(left, right)) >= FEWEST:
            return -1
        return min(COPY_SIMILARITY, similarity_limit(_but_the_nearest(left, right), spreads))

    @cached_property
    def _strangers(self) -> list[float]:
        left, right = self._left, self._right
        if not left.distinct or not right.distinct:
            return []
        pairs = stranger_pairs(left.phash, right.phash, left.labels, right.labels)
        alike = [compare(left.prepared(row), right.prepared(column)) for row, column in pairs]
        return [one.similarity for one in alike]


def _but_the_nearest(left: NDArray[np.int8], right: NDArray[np.int8]) -> list[float]:
    """Return all similarities of two sides but the highest of each picture, which may be a copy."""
    similarity = unit_rows(left) @ unit_rows(right).T
    if left is right:
        np.fill_diagonal(similarity, -np.inf)
    ranked = np.sort(similarity, axis=1)[:, left is right : -1]
    return [float(one) for one in ranked.ravel()]


def _looked_at(
    look: _Look,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    blind: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    similarity, score = np.zeros(len(rows)), np.zeros(len(rows))
    for k in np.lexsort((rows, columns)).tolist():
        likeness = compare(look.left(int(rows[k])), look.right(int(columns[k])))
        similarity[k], score[k] = likeness.similarity, seen_score(float(blind[k]), likeness)
    return similarity, score
