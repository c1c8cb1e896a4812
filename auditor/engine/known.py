"""Rows of an earlier pass that still hold, so that only new and changed images are looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from auditor.data.labels import is_number
from auditor.data.samples import Samples
from auditor.engine.ways import accepted
from auditor.progress import Progress
from auditor.provider import Observer
from auditor.store.columns import made_by, told
from auditor.wording import plural

__all__ = [
    "DIGEST",
    "LOOKS",
    "Digests",
    "Known",
    "can_be_read_now",
    "digest_of",
    "is_of_file",
    "known_rows",
    "other_images",
    "without_looks",
]

LOOKS = ("file.size", "file.stamp", "file.inode")
"""Columns that say how a file looked when its row was made; null where it could not be read."""
DIGEST = "file.digest"
"""Column with what was in it."""

_OURS = ("image", "label", "representative", *LOOKS)
"""Columns that follow from the split as it is now."""
_INDEX = ("image", "label", "error", *LOOKS, DIGEST)
_UNKNOWN = -1
_UNDER_WAY = 1024
"""Files that are read at a time."""


def digest_of(data: bytes) -> bytes:
    """Return 16 bytes that stand for a file's content."""
    return xxhash.xxh3_128_digest(data)


class Digests:
    """What is in the files of a split: each is read once, whoever asks.

    Parameters
    ----------
    samples
        The split, n images.
    progress
        Who is told how many were read.
    """

    def __init__(self, samples: Samples, progress: Progress) -> None:
        self._samples, self._progress = samples, progress
        self._found = np.zeros((len(samples), 16), np.uint8)
        self._read, self._there = np.zeros((2, len(samples)), bool)

    def of(self, rows: NDArray[np.int64]) -> pa.Array:
        """Return the digests of some images, each of 16 bytes; null for what cannot be read."""
        new = rows[~self._read[rows]]
        if len(new):
            self._read_all(new)
        found = pa.py_buffer(np.ascontiguousarray(self._found[rows]))
        whole = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(rows), [None, found])
        return pc.if_else(pa.array(self._there[rows]), whole, pa.scalar(None, pa.binary(16)))

    def _read_all(self, rows: NDArray[np.int64]) -> None:
        """Read some files, of which a few are under way at a time: memory stays bounded."""
        label = f"reading what looks new in {self._samples.source}"
        with ThreadPoolExecutor() as pool, self._progress.stage(label, len(rows)) as advance:
            for start in range(0, len(rows), _UNDER_WAY):
                some = rows[start : start + _UNDER_WAY].tolist()
                images = [self._samples.images[row] for row in some]
                digests = pool.map(partial(_digest, self._samples), images)
                for row, digest in zip(some, digests, strict=True):
                    self._take(row, digest)
                    advance(1)

    def _take(self, row: int, digest: bytes) -> None:
        self._read[row], self._there[row] = True, bool(digest)
        if digest:
            self._found[row] = np.frombuffer(digest, np.uint8)


class Known:
    """What an earlier pass saw of the images of now.

    Parameters
    ----------
    file
        Where that is.
    place
        For each image the row in it, or −1; shape (n,).
    images
        What they are called now, shape (n,).
    about
        What is said of how they were made.
    """

    def __init__(
        self,
        file: pq.ParquetFile,
        place: NDArray[np.int64],
        images: Sequence[str],
        about: Mapping[str, Any],
    ) -> None:
        self._file, self.place, self._images, self.about = file, place, images, about
        sizes = [
            self._file.metadata.row_group(k).num_rows for k in range(self._file.num_row_groups)
        ]
        self._starts = np.cumsum([0, *sizes])
        self._group = lru_cache(maxsize=2)(self._read_group)

    def at(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return what was seen of some images, in the order given.

        Parameters
        ----------
        rows
            Places in the split, all of them known, shape (n,), at least one.

        Returns
        -------
        pyarrow.Table
            A row an image, under the name that it has now; without the columns that follow from
            the split.
        """
        places = self.place[rows]
        groups = np.searchsorted(self._starts, places, side="right") - 1
        pieces, order = [], []
        for group in np.unique(groups).tolist():
            here = np.flatnonzero(groups == group)
            pieces.append(self._group(group).take(places[here] - self._starts[group]))
            order.append(here)
        back = np.argsort(np.concatenate(order), kind="stable")
        found = pa.concat_tables(pieces).take(back)
        return found.add_column(0, "image", pa.array([self._images[row] for row in rows.tolist()]))

    def _read_group(self, number: int) -> pa.Table:
        columns = [name for name in self._file.schema_arrow.names if not _is_ours(name)]
        return self._file.read_row_group(number, columns=columns)


def _is_ours(column: str) -> bool:
    return column in _OURS or column.startswith("meta.")


def known_rows(
    path: Path, samples: Samples, observer: Observer, method: str, digests: Digests
) -> Known | None:
    """Find what need not be looked at again.

    A file that looks as it did (place, size, times, inode) is not opened. One that only looks
    different is read and known again by its digest, without being decoded.

    Parameters
    ----------
    path
        Evidence of the same method, of these images or others.
    samples
        The split as it is now.
    observer
        Who would look at them. It may refuse what is not as good as what it would see.
    method
        What the rows must be made by: another process may have put others in their place.
    digests
        Of the files of the split.

    Returns
    -------
    Known or None
        None where nothing is known.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException):
        return None
    schema = file.schema_arrow
    if not set(_INDEX) <= set(schema.names) or not made_by(schema, method):
        return None
    about = told(schema)
    if not accepted(observer, about):
        return None
    index = file.read(columns=list(_INDEX))
    place = _by_look(index, samples)
    place = _by_digest(index, samples, place, digests)
    if observer.by_label:
        place = _of_one_label(index, samples, place)
    return Known(file, place, samples.images, about) if (place >= 0).any() else None


def without_looks(table: pa.Table, unread: Collection[str]) -> pa.Table:
    """Leave out of a table how those files looked that the system did not give."""
    known = pc.invert(pc.is_in(table["image"], pa.array(unread, pa.string())))
    for name in LOOKS:
        column = pc.if_else(known, table[name], pa.scalar(None, table[name].type))
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def can_be_read_now(path: Path, samples: Samples) -> bool:
    """Tell whether an image can be read that the system did not give when evidence was stored.

    Parameters
    ----------
    path
        The evidence.
    samples
        The split it was made from.
    """
    table = _of_images(path, "image", "error", LOOKS[1])
    if table is None:
        return False
    lost = pc.and_(pc.is_valid(table["error"]), pc.is_null(table[LOOKS[1]]))
    return any(_digest(samples, image) for image in table["image"].filter(lost).to_pylist())


def _of_images(path: Path, *columns: str) -> pa.Table | None:
    """Return columns of evidence; None where no image was looked at for it."""
    file = pq.ParquetFile(path)
    return file.read(columns=list(columns)) if LOOKS[1] in file.schema_arrow.names else None


def is_of_file(path: Path, digest: str) -> bool:
    """Tell whether stored predictions say that they were read from the file of this digest."""
    return bool(told(pq.read_schema(path)).get("file_digest") == digest)


def other_images(path: Path, samples: Samples) -> str:
    """Say how the images of a split, or their labels, are others than those of stored evidence.

    Parameters
    ----------
    path
        The evidence.
    samples
        The split as it is now.

    Returns
    -------
    str
        As a phrase; empty where they are the same, or no image was looked at.
    """
    table = _of_images(path, "image", "label")
    if table is None:
        return ""
    then = dict(zip(table["image"].to_pylist(), table["label"].to_pylist(), strict=True))
    now = dict(zip(samples.images, samples.labels, strict=True))
    # A flag may have named what are numbers now: then labels say nothing.
    named = any(map(is_number, now.values())) and not all(map(is_number, then.values()))
    others = {
        "new": [image for image in now if image not in then],
        "missing": [image for image in then if image not in now],
        "relabelled": [i for i in now if not named and i in then and now[i] != then[i]],
    }
    return "; ".join(
        f"{plural(len(images), f'{how} image')}, first {images[0]}"
        for how, images in others.items()
        if images
    )


def _by_look(index: pa.Table, samples: Samples) -> NDArray[np.int64]:
    found = pc.index_in(pa.array(samples.images, pa.string()), value_set=_whole(index, "image"))
    place: NDArray[np.int64] = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    looks = np.stack([index[name].fill_null(0).to_numpy() for name in LOOKS], axis=1)
    read = index["error"].is_null().to_numpy()
    same = np.flatnonzero(place >= 0)
    holds = (looks[place[same]] == samples.looks[same]).all(axis=1) & read[place[same]]
    place[same[~holds]] = -1
    return place


def _by_digest(
    index: pa.Table, samples: Samples, place: NDArray[np.int64], digests: Digests
) -> NDArray[np.int64]:
    """Read the files that may only have been moved or touched: one of their size was seen."""
    sizes = index[LOOKS[0]].fill_null(_UNKNOWN).to_numpy()
    seen = np.isin(samples.looks[:, 0], np.append(sizes, _UNKNOWN))
    maybe = np.flatnonzero((place < 0) & seen)
    known = index[DIGEST].combine_chunks()
    found = pc.index_in(digests.of(maybe), value_set=known, skip_nulls=True)
    place[maybe] = found.fill_null(-1).to_numpy(zero_copy_only=False)
    return place


def _digest(samples: Samples, image: str) -> bytes:
    try:
        return digest_of(samples.read(image))
    except OSError:
        return b""


def _of_one_label(index: pa.Table, samples: Samples, place: NDArray[np.int64]) -> NDArray[np.int64]:
    known = np.flatnonzero(place >= 0)
    labels = _whole(index, "label").take(pa.array(place[known]))
    same = pc.equal(labels, pa.array([samples.labels[row] for row in known.tolist()], pa.string()))
    place[known[~same.fill_null(False).to_numpy(zero_copy_only=False)]] = -1
    return place


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column.cast(pa.string())
