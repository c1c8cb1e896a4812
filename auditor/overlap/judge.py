"""Finds candidates in every orientation and scores them, on the pixels where those may be seen."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.candidates import Crowd, nearest
from auditor.overlap.dihedral import Orientation, oriented_soft
from auditor.overlap.score import BLIND_SCORE, SURE_SCORE, blind_scores, seen_score
from auditor.overlap.soft import crowding, unit_rows
from auditor.overlap.splits import Side
from auditor.overlap.strangers import stranger_pairs
from auditor.overlap.verify import SPREADS_TRANSFORMED, compare, laid, similarity_limit

__all__ = ["Judge", "Judged"]

_STRANGE_BITS = 20
"""Pairs whose binary hashes are further apart are strangers; 32 is the mean of random ones."""


class Judged(NamedTuple):
    """Candidates in one orientation, judged; arrays of one length."""

    orientation: Orientation
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


class Judge:
    """Finds candidates and scores them, on the pixels where those may be seen."""

    def __init__(self, left: Side, right: Side) -> None:
        self._left, self._right = left, right
        self.seen = left.seen and right.seen
        self.sure = SURE_SCORE if self.seen else BLIND_SCORE
        units, others = unit_rows(left.soft), unit_rows(right.soft)
        self._crowd = Crowd(units, crowding(units, others))
        self._others = Crowd(others, crowding(others, units))

    def judged(self, turn: Orientation) -> Judged:
        """Return the candidates of one orientation that are more alike than strangers."""
        turned = Crowd(oriented_soft(self._crowd.units, turn), self._crowd.crowding)
        found = nearest(turned, self._others, earlier=self._left is self._right)
        distinct = [
            not self._left.same_file(row, self._right, column)
            for row, column in zip(found.left.tolist(), found.right.tolist(), strict=True)
        ]
        keep = np.flatnonzero(np.array(distinct, bool))
        rows, columns, soft = found.left[keep], found.right[keep], found.soft[keep]
        blind = blind_scores(soft, turned.crowding[rows], self._others.crowding[columns])
        if not self.seen:
            return Judged(turn, rows, columns, soft.astype(np.float64), blind, found.capped)
        similarity, score = self._looked_at(turn, rows, columns, blind)
        judged = Judged(turn, rows, columns, similarity, score, found.capped)
        return judged.alike(self.limit) if len(rows) else judged

    def _looked_at(
        self,
        turn: Orientation,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        blind: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        similarity, score = np.zeros(len(rows)), np.zeros(len(rows))
        for k in np.lexsort((rows, columns)).tolist():
            picture = laid(self._left.prepared(int(rows[k])), turn)
            likeness = compare(picture, self._right.prepared(int(columns[k])))
            similarity[k], score[k] = likeness.similarity, seen_score(float(blind[k]), likeness)
        return similarity, score

    @property
    def limit(self) -> float:
        """The similarity that strangers of this data do not reach."""
        return similarity_limit(self._strangers)

    @property
    def limit_transformed(self) -> float:
        """The same where one of the two was turned; no limit where no pixels were seen."""
        return similarity_limit(self._strangers, SPREADS_TRANSFORMED) if self.seen else -1

    @cached_property
    def _strangers(self) -> list[float]:
        left, right = self._left, self._right
        if not left.distinct or not right.distinct:
            return []
        pairs = stranger_pairs(left.phash, right.phash, left.labels, right.labels, _STRANGE_BITS)
        alike = [compare(left.prepared(row), right.prepared(column)) for row, column in pairs]
        return [one.similarity for one in alike]
