"""One candidate of a ladder: its audit, and the evidence that the audit rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from auditor.errors import Unavailable
from auditor.record import Audit

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.comparison.comparable import Pictures
    from auditor.evidence.latency import Latency
    from auditor.evidence.predictions import Predictions

__all__ = ["Rung", "read_rung"]

_COLUMNS = ("image", "label", "predicted", "true_probability", "representative", "error")
_DIGESTS = ("bytes_digest", "pixels_digest")
_WHERE = {
    "test": "its audit rests on no test predictions",
    "train": "its audit did not run it on training images ([data] train or [predictions] train)",
    "test_signatures": "its audit did not look at the test images",
    "overlap": "its audit did not look for overlap",
    "latency": "its audit timed nothing; a table [latency] in auditor.toml has it timed",
}
"""Evidence → what it means that an audit has none, and what to do about it."""


class _Stored(Protocol):
    @classmethod
    def from_table(cls, table: pa.Table) -> Self: ...


Kept = TypeVar("Kept", bound=_Stored)


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
        Predictions of the audit; those on training images only as far as they speak for the whole.
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
    file = path / "audit.json" if path.is_dir() else path
    audit = Audit.read(file)
    evidence: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, read in _READ.items():
        try:
            evidence[name] = read(_stored(file, audit, name))
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


def _stored(file: Path, audit: Audit, name: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = audit.provenance.evidence.get(name)
    if digest is None:
        raise Unavailable(_WHERE[name])
    path = file.parent / "evidence" / f"{name}.parquet"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{path}: cannot be read ({error.strerror or error}); keep evidence/ beside {file.name}"
        ) from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise Unavailable(
            f"{path}: its digest is not the one in {file.name}: this is not the evidence audited; "
            "audit it again"
        )
    return pq.ParquetFile(pa.BufferReader(content))


def _predictions(stored: Any) -> Predictions:
    """Read what is compared; other probabilities can be large."""
    from auditor.evidence.predictions import Predictions

    return Predictions.from_table(_columns(stored, _COLUMNS))


def _columns(stored: Any, names: Sequence[str]) -> pa.Table:
    known = set(stored.schema_arrow.names)
    return stored.read(columns=[name for name in names if name in known])


def _learnt(stored: Any) -> Predictions:
    train = _predictions(stored)
    return train if train.representative is None else train.where(train.representative)


def _pictures(stored: Any) -> Pictures:
    table = _columns(stored, ("image", *_DIGESTS))
    if not set(_DIGESTS) <= set(table.column_names):
        raise Unavailable("its audit kept no digests of the test images")
    images, *digests = (table[name].to_pylist() for name in ("image", *_DIGESTS))
    known = (row for row in zip(images, *digests, strict=True) if row[1] is not None)
    return {image: (of_file, of_pixels) for image, of_file, of_pixels in known}


def _overlapping(stored: Any) -> frozenset[str]:
    from auditor.evidence.overlap import Overlap

    return _as_written(Overlap, stored).test_images


def _latency(stored: Any) -> Latency:
    from auditor.evidence.latency import Latency

    return _as_written(Latency, stored)


def _as_written(kind: type[Kept], stored: Any) -> Kept:
    try:
        return kind.from_table(stored.read())
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"its {kind.__name__.lower()} was stored by another version of Auditor ({error}); "
            "audit it again"
        ) from None


_READ: Mapping[str, Callable[[Any], Any]] = {
    "test": _predictions,
    "train": _learnt,
    "test_signatures": _pictures,
    "overlap": _overlapping,
    "latency": _latency,
}
