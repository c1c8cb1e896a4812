"""The observer that signs images, and what it need not sign again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auditor.data.samples import Samples
from auditor.evidence.signatures import STAT, Seen, Signatures, SigningSettings
from auditor.overlap.soft import SOFT_BYTES

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from auditor.overlap.signature import Impression

__all__ = ["Signing", "look", "sign"]

_UNKNOWN = -1


class Signing:
    """Signs the images that are not known yet, and puts the others beside them.

    Parameters
    ----------
    samples
        The split.
    stat
        How its files look, shape (n, 2), as :func:`look` tells it.
    known
        Signatures that still hold.
    settings
        How pictures are signed.
    """

    batch_size: int | None = None

    def __init__(
        self,
        samples: Samples,
        stat: NDArray[np.int64],
        known: Signatures | None,
        settings: SigningSettings,
    ) -> None:
        self._samples, self._stat, self._known, self.settings = samples, stat, known, settings
        self._row = {image: row for row, image in enumerate(samples.images)}
        held = set() if known is None else set(known.images)
        self.images: frozenset[str] | None = frozenset(self._row.keys() - held)

    @property
    def reduced(self) -> bool:
        """Whether a picture decoded at a fraction of its size will do."""
        return self.settings.hash_mode == "fast"

    def prepare(self, image: Image.Image, data: bytes) -> Impression:
        """Return what one image's signature is made of."""
        from auditor.overlap.signature import impression

        return impression(image, data, self.settings.views)

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        """Return the signature columns of a batch."""
        import pyarrow as pa

        from auditor.overlap.signature import signatures

        signed, digest = signatures(prepared), pa.binary(16)
        columns = {
            "bytes_digest": pa.array([s.bytes_digest for s in signed], digest),
            "pixels_digest": pa.array([s.pixels_digest for s in signed], digest),
            "phash": pa.array([s.phash for s in signed], pa.uint64()),
            "contrast": pa.array([s.contrast for s in signed], pa.float32()),
            "soft": pa.array([s.soft for s in signed], pa.binary(SOFT_BYTES)),
        }
        if self.settings.views:
            views = pa.binary(len(signed[0].views))
            columns["views"] = pa.array([s.views for s in signed], views)
        stat = self._stat[[self._row[image] for image in images]]
        return columns | dict(zip(STAT, map(pa.array, stat.T), strict=True))

    def whole(self, table: pa.Table) -> pa.Table:
        """Return the rows of a pass and those that were known, in the order of the samples."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._known is None:
            return table
        known = replace(self._known, unreadable={}).to_table()
        joined = pa.concat_tables([known, table], promote_options="default")
        place = pc.index_in(joined["image"], value_set=pa.array(self._samples.images, pa.string()))
        return joined.take(pc.sort_indices(place))

    def about(self) -> dict[str, Any]:
        """Return which hash it is, and which folder it was."""
        return {
            "hash": "phash",
            "bits": 64,
            "root": _root(self._samples),
            **self.settings._asdict(),
        }


def sign(
    samples: Samples, settings: SigningSettings, earlier: Signatures | None
) -> Signing | Signatures:
    """Return the signatures where all are known, else the observer that makes the others.

    A file that looks as it did (size and times) is not opened; one that only looks different is
    read and known again by its digest, without being decoded.

    Parameters
    ----------
    samples
        The split.
    settings
        How pictures are signed.
    earlier
        Signatures that may still hold.
    """
    stat = look(samples)
    if earlier is None or earlier.settings != settings:
        return Signing(samples, stat, None, settings)
    rows = _rows(samples, stat, earlier)
    places = np.flatnonzero(rows >= 0)
    known = _taken(earlier, rows[places], samples, stat, places)
    if len(places) == len(samples):
        return known
    return Signing(samples, stat, known if len(places) else None, settings)


def look(samples: Samples) -> NDArray[np.int64]:
    """Return how the images look without opening them.

    Parameters
    ----------
    samples
        The split.

    Returns
    -------
    numpy.ndarray
        Size in bytes (−1 where it is not known) and a digest of all that changes when the image
        may have, shape (n, 2).
    """
    rows = [_look(samples, image) for image in samples.images]
    return np.array(rows, np.int64).reshape(-1, 2)


def _look(samples: Samples, image: str) -> tuple[int, int]:
    if samples.reader is not None:
        return _UNKNOWN, _stamp(samples.reader.stamp(image))
    try:
        status = samples.path(image).stat()
    except OSError:
        return _UNKNOWN, _stamp(None)
    return status.st_size, _stamp((status.st_size, status.st_mtime_ns, status.st_ctime_ns))


def _stamp(values: object) -> int:
    digest = hashlib.blake2b(repr(values).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _rows(samples: Samples, stat: NDArray[np.int64], earlier: Signatures) -> NDArray[np.int64]:
    """Return for each image the row of its signature, or −1."""
    rows = np.full(len(samples), -1, np.int64)
    if earlier.seen is not None and earlier.seen.root == _root(samples):
        by_name = {image: row for row, image in enumerate(earlier.images)}
        found = np.array([by_name.get(image, -1) for image in samples.images], np.int64)
        same = found >= 0
        same[same] = (earlier.seen.stat[found[same]] == stat[same]).all(axis=1)
        rows[same] = found[same]
    return _by_digest(samples, stat, earlier, rows)


def _by_digest(
    samples: Samples, stat: NDArray[np.int64], earlier: Signatures, rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Read the files that may only have been moved or touched: one of their size was signed."""
    if earlier.seen is None:
        return rows
    maybe = np.flatnonzero((rows < 0) & np.isin(stat[:, 0], [*earlier.seen.stat[:, 0], _UNKNOWN]))
    by_digest = {digest: row for row, digest in enumerate(earlier.bytes_digest)}
    with ThreadPoolExecutor() as pool:
        digests: Iterable[bytes] = pool.map(
            lambda place: _digest(samples, samples.images[place]), maybe.tolist()
        )
        for place, digest in zip(maybe.tolist(), digests, strict=True):
            rows[place] = by_digest.get(digest, -1)
    return rows


def _digest(samples: Samples, image: str) -> bytes:
    try:
        return hashlib.blake2b(samples.read(image), digest_size=16).digest()
    except OSError:
        return b""


def _taken(
    earlier: Signatures,
    rows: NDArray[np.int64],
    samples: Samples,
    stat: NDArray[np.int64],
    places: NDArray[np.int64],
) -> Signatures:
    """Return the earlier rows under the names and labels of now."""
    return replace(
        earlier,
        images=tuple(samples.images[place] for place in places),
        labels=tuple(samples.labels[place] for place in places),
        bytes_digest=tuple(earlier.bytes_digest[row] for row in rows),
        pixels_digest=tuple(earlier.pixels_digest[row] for row in rows),
        phash=earlier.phash[rows],
        contrast=earlier.contrast[rows],
        soft=earlier.soft[rows],
        views=None if earlier.views is None else earlier.views[rows],
        unreadable={},
        seen=Seen(_root(samples), stat[places]),
    )


def _root(samples: Samples) -> str:
    return hashlib.sha256(str(samples.root.resolve()).encode()).hexdigest()[:16]
