"""Finds candidates in every orientation and scores them, on the pixels where those may be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.overlap.candidates import Crowd, device_for, is_exhaustive, nearest
from auditor.overlap.control import CONTROLLED, WAYS, Control
from auditor.overlap.dihedral import Orientation, oriented_soft
from auditor.overlap.look_alikes import LookAlikes, look_alikes
from auditor.overlap.pixels import Prepared, compare, laid, prepare
from auditor.overlap.score import BLIND_SCORE, SURE_SCORE, TURNED_SCORE, blind_scores, seen_score
from auditor.overlap.signature import impression, signatures
from auditor.overlap.soft import FEWEST, crowd, crowding, unit_rows
from auditor.overlap.splits import Side
from auditor.overlap.strangers import stranger_pairs
from auditor.overlap.verify import (
    COPY_SIMILARITY,
    MIN_SIMILARITY,
    MIN_STRANGERS,
    SPREADS,
    similarity_limit,
)
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
    doubtful: NDArray[np.int64] = np.empty(0, np.int64)
    """Pictures on the left that may be copies, as it is not known how alike strangers are."""

    def best(self, size: int) -> NDArray[np.float64]:
        """Return the best score of each picture on the left."""
        best = np.full(size, -np.inf)
        np.maximum.at(best, self.left, self.score)
        return best

    def alike(self, limits: NDArray[np.float64]) -> Judged:
        """Return what reaches its limit."""
        keep = np.flatnonzero(self.similarity >= limits)
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
        if not len(rows):
            return judged
        return self.alike(judged, SPREADS)._replace(doubtful=self._doubtful(judged))

    def _doubtful(self, judged: Judged) -> NDArray[np.int64]:
        if max(len(self._strangers), len(self._alike_strangers)) >= MIN_STRANGERS:
            return judged.doubtful
        sure = self.sure_turned if judged.transform else self.sure
        likely = (judged.similarity >= MIN_SIMILARITY) & (judged.score >= sure)
        return np.unique(judged.left[likely])

    def alike(self, judged: Judged, spreads: float) -> Judged:
        """Return what strangers are not."""
        return judged.alike(self._limits(judged.left, judged.right, spreads))

    def control(self, score: float, spreads: float) -> Control:
        """Count how many plain copies of some pictures would reach a score and their limit.

        Nothing is counted where the pictures may not be seen, or there are no others.
        """
        size = len(self._left.distinct)
        if not self.seen or not size or len(self._right.distinct) <= self._earlier:
            return Control()
        drawn = np.random.default_rng(0).permutation(size)[:CONTROLLED]
        found = dict.fromkeys(WAYS, 0)
        for row in drawn.tolist():
            picture = self._left.picture(row)
            for way, copied in WAYS.items():
                found[way] += self._would_count(row, copied(picture), score, spreads)
        return Control.of(len(drawn), found)

    def _would_count(self, row: int, copy: Image.Image, score: float, spreads: float) -> bool:
        (signed,) = signatures([impression(copy, b"")])
        pair = np.stack([self._left.soft[row], np.frombuffer(signed.soft, np.int8)])
        units, crowding = unit_rows(pair), self._crowd.crowding[[row]]
        (blind,) = blind_scores(units[:1] @ units[1], crowding, crowding)
        likeness = compare(self._left.prepared(row), prepare(copy))
        (limit,) = self._limits(np.array([row]), None, spreads)
        return likeness.similarity >= float(limit) and seen_score(float(blind), likeness) >= score

    def _limits(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64] | None, spreads: float
    ) -> NDArray[np.float64]:
        """Return from which similarity on each pair may count; without partners, with a copy."""
        usual = np.full(len(rows), self.limit(spreads))
        if not self.seen or self._look_alikes is None:
            return usual
        many = self._look_alikes.left[rows]
        if columns is not None:
            many |= self._look_alikes.right[columns]
        return np.where(many, self._limit_of_look_alikes(spreads), usual)

    def _limit_of_look_alikes(self, spreads: float) -> float:
        if len(self._alike_strangers) < MIN_STRANGERS:
            return self.limit(spreads)
        own = similarity_limit(self._alike_strangers, spreads)
        known = len(self._strangers) >= MIN_STRANGERS
        return max(own, self.limit(spreads)) if known else own

    def limit(self, spreads: float) -> float:
        """Return the similarity that strangers with distant hashes do not reach.

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
        return self._similarities(pairs)

    @cached_property
    def _look_alikes(self) -> LookAlikes | None:
        return look_alikes(self._left.phash, self._right.phash)

    @cached_property
    def _alike_strangers(self) -> list[float]:
        return [] if self._look_alikes is None else self._similarities(self._look_alikes.pairs)

    def _similarities(self, pairs: list[tuple[int, int]]) -> list[float]:
        left, right = self._left.prepared, self._right.prepared
        return [compare(left(row), right(column)).similarity for row, column in pairs]


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
