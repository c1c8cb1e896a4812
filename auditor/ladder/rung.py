"""One candidate of a ladder: its audit, and the evidence that the audit rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import Unavailable
from auditor.evidence.audited import (
    open_stored,
    read_as_written,
    read_audit,
    read_overlapping,
    read_pictures,
    read_predictions,
)
from auditor.record import Audit

if TYPE_CHECKING:
    from auditor.comparison.comparable import Pictures
    from auditor.evidence.latency import Latency
    from auditor.evidence.predictions import Predictions

__all__ = ["Rung", "read_rung"]


@dataclass(frozen=True, eq=False)
class Rung:
    """A candidate that was audited.

    Parameters
    ----------
    name
        What to call it; no two rungs of a ladder are called the same.
    path
        As it was given.
    audit
        The record, its digest verified.
    test, train
        Predictions of the audit.
    pictures
        Digests of the test images; None where the audit did not look at them.
    overlapping
        Test images with a copy in the training data; None where the audit did not look.
    latency
        As measured by the audit.
    missing
        Evidence → why it is None, as a sentence.
    """

    name: str
    path: str
    audit: Audit
    test: Predictions | None = None
    train: Predictions | None = None
    pictures: Pictures | None = None
    overlapping: frozenset[str] | None = None
    latency: Latency | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def without(self, images: frozenset[str]) -> Rung:
        """Return the same rung, some test images left out."""
        if self.test is None or not images:
            return self
        return replace(self, test=self.test.without(images))


def read_rung(path: Path) -> Rung:
    """Read a finished audit and its evidence; nothing is run again.

    Evidence is taken only where it is, byte for byte, what the audit was made from.

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
    evidence: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, read in _READ.items():
        try:
            evidence[name] = read(open_stored(file, audit, name))
        except Unavailable as reason:
            evidence[name], missing[name] = None, reason.reason
    return Rung(
        name=audit.candidate.name,
        path=str(path),
        audit=audit,
        test=evidence["test"],
        train=evidence["train"],
        pictures=evidence["test_signatures"],
        overlapping=evidence["overlap"],
        latency=evidence["latency"],
        missing=missing,
    )


def _learnt(stored: Any) -> Predictions:
    train = read_predictions(stored)
    if not len(train.self_weighting):
        raise Unavailable("no training image was predicted")
    return train


def _latency(stored: Any) -> Latency:
    from auditor.evidence.latency import Latency

    return read_as_written(Latency, stored)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "test": read_predictions,
    "train": _learnt,
    "test_signatures": read_pictures,
    "overlap": read_overlapping,
    "latency": _latency,
}
