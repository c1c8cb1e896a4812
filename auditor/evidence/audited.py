"""Evidence beside an audit, taken only where it is, byte for byte, what the audit was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auditor.belongings import RECORD
from auditor.errors import InputError, Unavailable
from auditor.policy import decide_verdict
from auditor.provider import Stored
from auditor.record import Audit
from auditor.store import EVIDENCE

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.comparison.comparable import Pictures
    from auditor.evidence.predictions import Predictions

__all__ = [
    "open_stored",
    "read_as_written",
    "read_audit",
    "read_file_digests",
    "read_overlapping",
    "read_pictures",
    "read_predictions",
]

Kept = TypeVar("Kept", bound=Stored)

_PREDICTIONS = ("image", "label", "predicted", "true_probability", "representative", "error")
_DIGESTS = ("bytes_digest", "pixels_digest")
_OF_FILES = {"test": "file.digest", "test_signatures": "bytes_digest"}
"""Evidence of the test images → column with the digests of their files."""
_WITHOUT = {
    "test": "its audit rests on no test predictions",
    "train": "its audit did not run it on training images ([data] train or [predictions] train)",
    "test_signatures": "its audit did not look at the test images",
    "overlap": "its audit did not look for overlap",
    "latency": "its audit timed nothing; a table [latency] in auditor.toml has it timed",
}
"""Evidence → what it means that an audit has none, and what to do about it."""


def read_audit(path: Path) -> tuple[Path, Audit]:
    """Read a finished audit; return its file, too.

    Parameters
    ----------
    path
        An ``audit.json``, or the folder that holds it.

    Raises
    ------
    InputError
        Where the audit is absent, foreign, edited, or of another schema version, or where its
        verdict is not what its checks come to.
    """
    file = path / RECORD if path.is_dir() else path
    if file != path and _is_absent(file):
        raise InputError(f"{path}: holds no {RECORD}; {_where_one_is(path)}")
    audit = Audit.read(file)
    verdict, why = decide_verdict(audit.checks, audit.policy.preset)
    if verdict != audit.verdict:
        raise InputError(
            f"{file}: it says {audit.verdict}, but its checks make it {verdict}: {why} It was "
            "edited, or decided by another version; audit again"
        )
    return file, audit


def _is_absent(file: Path) -> bool:
    try:
        file.lstat()
    except FileNotFoundError:
        return True
    except OSError:  # what keeps it from being looked at is said when it is read
        return False
    return False


def _where_one_is(folder: Path) -> str:
    """Return the next step; the folder of an ``auditor.toml`` has its audit one further down."""
    below = folder / "audit"
    return "auditor run writes one" if _is_absent(below / RECORD) else f"name {below}, which does"


def open_stored(file: Path, audit: Audit, name: str) -> Any:
    """Open the stored form of some evidence, a ``pyarrow.parquet.ParquetFile``.

    Parameters
    ----------
    file
        The ``audit.json``; evidence lies in ``evidence/`` beside it.
    audit
        What it holds.
    name
        Of the evidence.

    Raises
    ------
    Unavailable
        Where the audit has none, the file is gone, or it is not what was audited.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest = audit.provenance.evidence.get(name)
    if digest is None:
        raise Unavailable(_WITHOUT[name])
    path = file.parent / EVIDENCE / f"{name}.parquet"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{path}: cannot be read ({error.strerror or error}); keep {EVIDENCE}/ beside "
            f"{file.name}"
        ) from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise Unavailable(
            f"{path}: its digest is not the one in {file.name}: this is not the evidence audited; "
            "audit it again"
        )
    return pq.ParquetFile(pa.BufferReader(content))


def read_predictions(stored: Any) -> Predictions:
    """Read what is compared of predictions; other probabilities can be large."""
    from auditor.evidence.predictions import Predictions

    return Predictions.from_table(_columns(stored, _PREDICTIONS))


def read_pictures(stored: Any) -> Pictures:
    """Read the digests of signatures, without images that could not be read.

    Raises
    ------
    Unavailable
        Where there are no digests, as in an earlier version's.
    """
    table = _columns(stored, ("image", *_DIGESTS))
    if not set(_DIGESTS) <= set(table.column_names):
        raise Unavailable("its audit kept no digests of the test images")
    images, *digests = (table[name].to_pylist() for name in ("image", *_DIGESTS))
    known = (row for row in zip(images, *digests, strict=True) if row[1] is not None)
    return {image: (of_file, of_pixels) for image, of_file, of_pixels in known}


def read_file_digests(file: Path, audit: Audit) -> Mapping[str, bytes]:
    """Return test image → digest of its file, as far as an audit's evidence keeps them."""
    found: dict[str, bytes] = {}
    for name, column in _OF_FILES.items():
        with suppress(Unavailable):
            table = _columns(open_stored(file, audit, name), ("image", column))
            if column in table.column_names:
                pairs = zip(*(table[each].to_pylist() for each in ("image", column)), strict=True)
                found |= {image: digest for image, digest in pairs if digest is not None}
    return found


def read_overlapping(stored: Any) -> frozenset[str]:
    """Read which test images have a copy in the training data.

    Raises
    ------
    Unavailable
        Where they are stored as another version did.
    """
    from auditor.evidence.overlap import Overlap

    return read_as_written(Overlap, stored).test_images


def read_as_written(kind: type[Kept], stored: Any) -> Kept:
    """Read evidence of a kind whole; raises ``Unavailable`` as above."""
    try:
        return kind.from_table(stored.read())
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable(
            f"its {kind.__name__.lower()} was stored by another version of Auditor ({error}); "
            "audit it again"
        ) from None


def _columns(stored: Any, names: Sequence[str]) -> pa.Table:
    known = set(stored.schema_arrow.names)
    return stored.read(columns=[name for name in names if name in known])
