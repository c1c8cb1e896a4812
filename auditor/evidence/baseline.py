"""The earlier audit that the candidate is compared with, and what that model said of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.comparison.comparable import Pictures
from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.provider import derive
from auditor.record import Audit

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.evidence.predictions import Predictions

__all__ = ["Baseline", "baseline", "read_baseline"]

_PREDICTIONS = ("image", "label", "predicted", "true_probability", "error")
_DIGESTS = ("image", "bytes_digest", "pixels_digest")


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
    """

    audit: Audit
    predictions: Predictions | None
    missing: str = ""
    pictures: Pictures | None = None


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
    file = path / "audit.json" if path.is_dir() else path
    audit = Audit.read(file)
    try:
        predictions = _evidence(audit, file, "test", _PREDICTIONS)
    except OSError as error:
        why = f"cannot be read ({error.strerror or error}); keep evidence/ beside {file.name}"
        return Baseline(audit, None, f"{_stored(file, 'test')}: {why}")
    except _Exchanged as reason:
        return Baseline(audit, None, str(reason))
    from auditor.evidence.predictions import Predictions

    return Baseline(audit, Predictions.from_table(predictions), pictures=_pictures(audit, file))


class _Exchanged(Exception):
    """Evidence is not that of the audit beside it."""


def _stored(file: Path, name: str) -> Path:
    return file.parent / "evidence" / f"{name}.parquet"


def _evidence(audit: Audit, file: Path, name: str, columns: Sequence[str]) -> pa.Table:
    """Read some columns, others can be large; ``OSError`` or ``_Exchanged`` where it cannot be."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = _stored(file, name).read_bytes()
    if hashlib.sha256(content).hexdigest() != audit.provenance.evidence.get(name):
        raise _Exchanged(
            f"{_stored(file, name)}: its digest is not the one in {file.name}: this is not the "
            "evidence audited; audit the baseline again"
        )
    table: Any = pq.ParquetFile(pa.BufferReader(content))
    known = set(table.schema_arrow.names)
    return table.read(columns=[column for column in columns if column in known])


def _pictures(audit: Audit, file: Path) -> Pictures | None:
    try:
        table = _evidence(audit, file, "test_signatures", _DIGESTS)
    except (OSError, _Exchanged):
        return None
    if not set(_DIGESTS) <= set(table.column_names):
        return None
    images, *digests = (table[name].to_pylist() for name in _DIGESTS)
    known = (row for row in zip(images, *digests, strict=True) if row[1] is not None)
    return {image: (of_file, of_pixels) for image, of_file, of_pixels in known}
