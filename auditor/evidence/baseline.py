"""The earlier audit that the candidate is compared with, and what that model said of each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from auditor.check import MOST_UNSEEN
from auditor.comparison.comparable import Pictures, replaced, under_other_names
from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.audited import (
    open_stored,
    read_audit,
    read_overlapping,
    read_pictures,
    read_predictions,
)
from auditor.evidence.given_twice import named_alike
from auditor.provider import derive
from auditor.record import Audit

if TYPE_CHECKING:
    from auditor.evidence.given_twice import Counts
    from auditor.evidence.predictions import Predictions

__all__ = ["Baseline", "baseline", "read_baseline"]

Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class Baseline:
    """An audit with the test predictions that it rests on.

    Parameters
    ----------
    audit
        The record, its digest verified.
    predictions
        Labels and predictions of its test images; None where they cannot be had.
    missing
        Why they cannot, as a sentence; empty where they can.
    pictures
        Digests of its test images; None where they were not looked at, or are not kept.
    overlapping
        Test images with a copy in its training data; None where the audit did not look.
    """

    audit: Audit
    predictions: Predictions | None
    missing: str = ""
    pictures: Pictures | None = None
    overlapping: frozenset[str] | None = None

    def without(self, images: frozenset[str]) -> Baseline:
        """Return the same audit, some test images left out of its predictions."""
        if self.predictions is None or not images:
            return self
        return replace(self, predictions=self.predictions.without(images))

    def named_as(self, test: Predictions, pictures: Pictures | None = None) -> Baseline:
        """Return the same audit, its images named as a candidate's: by other folders, or pictures.

        Left as it is where it names the same images, or others: neither are they namesakes in
        other folders, nor do their digests tell more of them than a few, as of black frames.
        Pictures go before names where they tell all images, and names not.
        """
        before = self.predictions
        if before is None:
            return self
        same = {*before.images} == {*test.images}
        namesakes = {} if same else self._namesakes(test, pictures)
        found = self._renamed(namesakes)
        named = same or bool(namesakes)
        if named and not replaced(found.pictures or {}, pictures or {}):
            return found
        pictured = self._same_pictures(test, pictures or {})
        whole = len(pictured) == len(before) == len(test)
        return found if named and not whole else self._renamed(pictured)

    def _namesakes(self, test: Predictions, pictures: Pictures | None) -> Mapping[str, str]:
        """Return what the images are called in the candidate's folders; nothing where not there.

        They are other images where those of half the smaller test set have no namesake, their
        labels are not those of the namesakes, or all their pictures are others.
        """
        before = self.predictions
        assert before is not None
        if not set(before.images).isdisjoint(test.images):
            return {}
        rows, theirs = max(named_alike(before.images, test.images), key=lambda each: len(each[0]))
        few = max(min(len(before), len(test)) / 2, 1)
        if len(rows) < few or not _labels_agree(before, test, rows, theirs):
            return {}
        at = zip(rows.tolist(), theirs.tolist(), strict=True)
        named = {before.images[row]: test.images[other] for row, other in at}
        found = self._renamed(named)
        seen = (found.pictures or {}).keys() & (pictures or {}).keys()
        if seen and len(replaced(found.pictures or {}, pictures or {})) == len(seen):
            return {}
        return named

    def _same_pictures(self, test: Predictions, pictures: Pictures) -> Mapping[str, str]:
        """Return what the same pictures are called there; nothing where a few are, or none."""
        before = self.predictions
        assert before is not None
        known = _by_label(before, self.pictures or {}), _by_label(test, pictures)
        named = under_other_names(*known)
        told = len({known[0][image][1] for image in named})  # of copies of one picture no more
        if told <= MOST_UNSEEN * min(len(before), len(test)):
            return {}
        # Names of both sides mean the candidate's images only once none is left of the others.
        apart = set(before.images).isdisjoint(test.images)
        return named if apart or len(named) == len(before) else {}

    def _renamed(self, names: Mapping[str, str]) -> Baseline:
        if not names or self.predictions is None:
            return self
        images = tuple(names.get(image, image) for image in self.predictions.images)
        return replace(
            self,
            predictions=replace(self.predictions, images=images),
            pictures=self.pictures and {names.get(k, k): v for k, v in self.pictures.items()},
            overlapping=self.overlapping and frozenset(names.get(k, k) for k in self.overlapping),
        )


def _by_label(side: Predictions, pictures: Pictures) -> Pictures:
    """Return the pictures of predicted images, so that equal ones stand in one order of labels."""
    rows = sorted(
        (side.classes[k], image) for k, image in zip(side.label, side.images, strict=True)
    )
    return {image: pictures[image] for _, image in rows if image in pictures}


def _labels_agree(before: Predictions, test: Predictions, rows: Counts, theirs: Counts) -> bool:
    """Tell whether labels agree in half of what names that mean nothing would not."""
    place = {name: i for i, name in enumerate(test.classes)}
    mine = np.array([place.get(name, -1) for name in before.classes], np.int64)[before.label[rows]]
    shares = [
        np.bincount(side + 1, minlength=len(place) + 1) for side in (mine, test.label[theirs])
    ]
    by_chance = float(shares[0] @ shares[1]) / len(rows)
    return bool((mine == test.label[theirs]).sum() - by_chance >= (len(rows) - by_chance) / 2)


@derive
def baseline(config: Config) -> Baseline:
    """Read the baseline's ``audit.json``; an edited or foreign one is refused."""
    if config.baseline is None or config.baseline.audit is None:
        raise Unavailable("no baseline audit was given ([baseline] audit, or --baseline)")
    return read_baseline(config.baseline.audit)


def read_baseline(path: Path) -> Baseline:
    """Read an audit and the predictions in ``evidence/`` beside it.

    Predictions are taken only where they are, byte for byte, those that the audit was made from.

    Parameters
    ----------
    path
        An ``audit.json``, or the folder that holds it.

    Raises
    ------
    InputError
        Where the audit is absent, foreign, edited, or of another schema version.
    """
    file, audit = read_audit(path)
    try:
        predictions = read_predictions(open_stored(file, audit, "test"))
    except Unavailable as reason:
        return Baseline(audit, None, reason.reason)
    return Baseline(
        audit,
        predictions,
        pictures=_if_kept(file, audit, "test_signatures", read_pictures),
        overlapping=_if_kept(file, audit, "overlap", read_overlapping),
    )


def _if_kept(file: Path, audit: Audit, name: str, read: Callable[[Any], Kept]) -> Kept | None:
    try:
        return read(open_stored(file, audit, name))
    except Unavailable:
        return None
