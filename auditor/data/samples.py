"""The images of one split and their labels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from auditor.data.single import read_file, stamp_of, status
from auditor.errors import InputError
from auditor.read_only import read_only_property

__all__ = ["NONE_LEFT_OUT", "LeftOut", "Reader", "Samples"]

_UNKNOWN = -1
_63_BITS = (1 << 63) - 1
_READ = 64
"""Images that are read to tell data from other data."""


class Reader(Protocol):
    """Opens the images of a split where they are not files of their own.

    It is called from many threads at once and may be pickled into other processes. It holds where
    the images lie, never their bytes.
    """

    def read(self, image: str) -> bytes:
        """Return an image's file; ``OSError`` where this one cannot be read, with the reason."""
        ...

    def stamp(self, image: str) -> object:
        """Return plain values that change when the image may have; nothing of it is read."""
        ...


class LeftOut(NamedTuple):
    """Files of a source that may be images and were not taken for one."""

    files: int = 0
    """How many they are."""
    first: str = ""
    """The first of them; empty where there is none."""
    said: str = ""
    """Which they are, and why, as a phrase; empty where there is none."""

    @classmethod
    def of(cls, files: Collection[str], said: str) -> Self:
        """Count them, and name the first."""
        return cls(len(files), min(files, default=""), said)


NONE_LEFT_OUT = LeftOut()


@dataclass(frozen=True, eq=False)
class Samples:
    """Images of one split, in a fixed order, opened only when asked for.

    Parameters
    ----------
    root
        Folder that the image paths are relative to; the container where they are not files.
    images, labels
        Parallel; paths with forward slashes, labels as class names.
    classes
        Every class that the source knows, in ``class_order``'s order.
    class_order
        Where that order came from, as a sentence; where nothing names it, that begins with
        "assumed: ", and an order that other data name goes before.
    source
        What the user pointed at, for the report.
    metadata
        Further columns of a manifest, parallel to ``images``.
    sample
        How these were chosen from a larger split; empty where they are all of it.
    """

    root: Path
    images: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    class_order: str
    source: str
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sample: str = ""
    representative: tuple[bool, ...] = ()
    """Whether each image belongs to the self-weighting part of a sample; empty means all."""
    reader: Reader | None = None
    """What opens the images; None where they are files below ``root``."""
    held_in: tuple[object, ...] = ()
    """Plain values that tell what holds the images from another of its name, and are those of its
    copies."""
    left_out: LeftOut = NONE_LEFT_OUT
    """Which files of the source were not taken for images."""

    def __post_init__(self) -> None:
        """Raise ``InputError`` for a name that no document and no table can hold."""
        for name in (self.source, *self.classes, *self.images):
            if not name.isascii() and any("\ud800" <= sign <= "\udfff" for sign in name):
                where = "" if name == self.source else f"{self.source}: "
                raise InputError(f"{where}{_escaped(name)}: the name is not UTF-8; rename it")

    def __len__(self) -> int:
        return len(self.images)

    def path(self, image: str) -> Path:
        """Return where an image lies, if it is a file of its own."""
        return self.root / image

    def read(self, image: str) -> bytes:
        """Return an image's file; may be called from many threads.

        Raises
        ------
        OSError
            It cannot be read.
        InputError
            What holds it was changed since it was listed.
        """
        return read_file(self.path(image)) if self.reader is None else self.reader.read(image)

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """The classes that no image has."""
        held = {*self.labels}
        return tuple(name for name in self.classes if name not in held)

    def take(self, rows: Sequence[int]) -> Samples:
        """Return the given rows, in the given order."""
        return replace(
            self,
            images=tuple(self.images[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
            metadata={k: tuple(v[row] for row in rows) for k, v in self.metadata.items()},
            representative=tuple(self.representative[row] for row in rows)
            if self.representative
            else (),
        )

    @read_only_property
    def looks(self) -> NDArray[np.int64]:
        """How the images looked when they were listed, as :meth:`look` tells it, shape (n, 3)."""
        facts = chain.from_iterable(map(self.look, self.images))
        return np.fromiter(facts, np.int64, 3 * len(self)).reshape(-1, 3)

    def look(self, image: str) -> tuple[int, int, int]:
        """Return how an image looks without opening it: a ``stat``.

        Returns
        -------
        tuple of int
            Its size in bytes, −1 where that is not known; 64 bits of a digest of where it lies and
            of all that changes when the image may have; and the number of its inode, −1 where it
            is no file of its own.

        Notes
        -----
        Files that one program wrote in a burst are often of one size and of the same times; then
        the inode alone tells that links or folders were exchanged. Its device is left out: NFS and
        containers number it anew at each mount. The inode stands by itself because some file
        systems (FUSE, SMB) number them anew, too, even during a pass: such files must be read to be
        known again, and parts of a pass may be made again, but no file has changed for that.
        """
        if self.reader is not None:
            return _UNKNOWN, self._stamp(self.reader.stamp(image)), _UNKNOWN
        found = status(self.path(image))
        if found is None:
            return _UNKNOWN, self._stamp(None), _UNKNOWN
        return found.st_size, self._stamp(stamp_of(found)), found.st_ino & _63_BITS

    def _stamp(self, values: object) -> int:
        told = f"{self._place}{values!r}".encode(errors="surrogateescape")
        digest = hashlib.blake2b(told, digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    @cached_property
    def _place(self) -> str:
        return str(self.root.resolve())

    @cached_property
    def identity(self) -> str:
        """SHA-256 over all columns by name, and over how the files look: a ``stat`` a file."""
        digest = hashlib.sha256(self._listed())
        digest.update(self.looks.astype("<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def content(self) -> str:
        """SHA-256 over all columns by name, sizes and some files: equal for a copy elsewhere.

        Sizes are often not known, or all alike; so one image of each of 64 stretches is read, which
        one nobody chooses.

        Raises
        ------
        InputError
            What holds the images was changed since they were listed.
        """
        digest = hashlib.sha256(self._listed())
        digest.update(self.looks[:, 0].astype("<i8").tobytes())
        digest.update(repr(self.held_in).encode())
        for row in _drawn(len(self), digest.digest()):
            digest.update(self._digest_of(self.images[row]))
        return digest.hexdigest()

    def _digest_of(self, image: str) -> bytes:
        try:
            return hashlib.sha256(self.read(image)).digest()
        except OSError:
            return b"unreadable"

    def _listed(self) -> bytes:
        told = self.sample, self.left_out.said, self.representative, [*self.metadata]
        digest = hashlib.sha256(repr(told).encode())
        for column in (self.images, self.labels, *self.metadata.values()):
            for value in column:
                digest.update(f"{len(value)}:{value}".encode())
        return digest.digest()


def _escaped(name: str) -> str:
    """Return a name with the bytes that are no text escaped."""
    try:
        return os.fsencode(name).decode(errors="backslashreplace")
    except UnicodeEncodeError:  # JSON may escape what no file's name holds
        return name.encode(errors="backslashreplace").decode()


def _drawn(n: int, seed: bytes) -> Iterator[int]:
    """Yield a row of each of several stretches of ``n``, which depends on the seed alone."""
    ends = [n * k // _READ for k in range(_READ + 1)]
    for start, end in pairwise(ends):
        if end > start:
            drawn = hashlib.sha256(seed + start.to_bytes(8, "big")).digest()
            yield start + int.from_bytes(drawn, "big") % (end - start)
