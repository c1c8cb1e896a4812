"""The earlier audit that the candidate is compared with, and what that model said of each image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auditor.comparison.comparable import Pictures
from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.audited import (
    open_stored,
    read_audit,
    read_overlapping,
    read_pictures,
    read_predictions,
)
from auditor.provider import derive
from auditor.record import Audit

if TYPE_CHECKING:
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
