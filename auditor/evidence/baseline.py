"""The earlier audit that the candidate is compared with, and what that model said of each image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.provider import derive
from auditor.record import Audit

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["Baseline", "baseline", "read_baseline"]

_COLUMNS = ("image", "label", "predicted", "true_probability", "error")


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
    """

    audit: Audit
    predictions: Predictions | None
    missing: str = ""


@derive
def baseline(config: Config) -> Baseline:
    """Read the baseline's ``audit.json``; an edited or foreign one is refused."""
    if config.baseline is None:
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
    evidence = file.parent / "evidence" / "test.parquet"
    try:
        content = evidence.read_bytes()
    except OSError as error:
        why = f"cannot be read ({error.strerror or error}); keep evidence/ beside {file.name}"
        return Baseline(audit, None, f"{evidence}: {why}")
    if hashlib.sha256(content).hexdigest() != audit.provenance.evidence.get("test"):
        why = f"its digest is not the one in {file.name}: these are not the predictions audited"
        return Baseline(audit, None, f"{evidence}: {why}; audit the baseline again")
    return Baseline(audit, _predictions(content))


def _predictions(content: bytes) -> Predictions:
    """Read from a file's bytes what is compared; other probabilities can be large."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from auditor.evidence.predictions import Predictions

    file: Any = pq.ParquetFile(pa.BufferReader(content))
    known = set(file.schema_arrow.names)
    return Predictions.from_table(file.read(columns=[n for n in _COLUMNS if n in known]))
