"""One side of the join: a split's signatures, and what is searched and opened of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.overlap.pixels import Prepared, prepare
from auditor.overlap.views import View, cropped

__all__ = [
    "MIN_CONTRAST",
    "Kind",
    "Match",
    "OpenImage",
    "Side",
    "SplitSignatures",
    "grouped",
    "one_of_each",
    "unlike_first",
]

Kind = Literal["same-bytes", "same-pixels", "near-duplicate", "transformed"]
OpenImage = Callable[[str], Image.Image]
Key = TypeVar("Key", bound=Hashable)

MIN_CONTRAST = 4.0
"""Grey levels: below this only equal bytes or pixels count, for the hash is made of noise.

JPEG at quality 75 leaves 95% of CIFAR-10's hashes within 4 bits where the contrast is brought
down to 4 grey levels, 85% at 2 and 52% at 1. No picture of CIFAR-10 is below 4.
"""

_OPEN = 4096
"""Prepared pictures kept, about 105 kB each."""


class SplitSignatures(NamedTuple):
    """The signatures of a split's readable images, as parallel arrays."""

    images: Sequence[str]
    """Paths relative to the split's root, each once."""
    labels: Sequence[str]
    """Class names."""
    bytes_digest: list[bytes]
    """Digests of the files."""
    pixels_digest: list[bytes]
    """Digests of the pixels."""
    phash: NDArray[np.uint64]
    """Perceptual hashes, shape (n,)."""
    contrast: NDArray[np.float32]
    """Standard deviations of the grey thumbnails, grey levels, shape (n,)."""
    soft: NDArray[np.int8]
    """Soft hashes, shape (n, 256)."""
    views: NDArray[np.int8] | None = None
    """Soft hashes of the stored views, shape (n, views, 256); None where there are none."""

    def at(self, places: Sequence[int]) -> SplitSignatures:
        """Return the signatures at some places, in their order."""
        return SplitSignatures(
            [self.images[place] for place in places],
            [self.labels[place] for place in places],
            [self.bytes_digest[place] for place in places],
            [self.pixels_digest[place] for place in places],
            self.phash[places],
            self.contrast[places],
            self.soft[places],
            None if self.views is None else self.views[places],
        )


class Match(NamedTuple):
    """Two pictures that match, by their places in the two splits."""

    left: int
    """Place in the left split."""
    right: int
    """Place in the right split."""
    kind: Kind
    """How they match."""
    distance: int = 0
    """Bits in which the hashes differ."""
    similarity: float = 1.0
    """Of the pixels, or of the soft hashes where they were not seen, within −1..1."""
    transform: str = ""
    """What was done to one of them."""
    score: float = 1.0
    """What the threshold is compared with."""
    verified: bool = True
    """Whether the pixels were seen."""


class Side:
    """A split's distinct pictures with contrast enough, ready to be searched and opened.

    Parameters
    ----------
    split
        The signatures.
    open_image
        Opens an image by its path within the split; None where the pictures may not be seen.
    """

    def __init__(self, split: SplitSignatures, open_image: OpenImage | None) -> None:
        self.split = split
        self._copies = grouped(split.pixels_digest)
        firsts = [group[0] for group in self._copies.values()]
        self.distinct = [first for first in firsts if split.contrast[first] >= MIN_CONTRAST]
        """The first of each set of equal pictures, ascending."""
        self.set_apart = np.flatnonzero(split.contrast < MIN_CONTRAST).tolist()
        """Places of all pictures without contrast enough, ascending."""
        self.phash = split.phash[self.distinct]
        """Their hashes."""
        self.labels = [split.labels[place] for place in self.distinct]
        """Their labels."""
        self.soft = split.soft[self.distinct]
        """Their soft hashes."""
        self.seen = open_image is not None
        """Whether the pictures may be seen."""

        self.views = None if split.views is None else split.views[self.distinct]
        """Soft hashes of their views."""

        # Without self: a cycle would keep the cache until the collector comes by.
        places = self.distinct

        def opened(row: int) -> Image.Image:
            if open_image is None:
                raise ValueError("pictures that may not be seen were to be compared")
            return open_image(split.images[places[row]])

        @lru_cache(_OPEN)
        def prepared(row: int, view: View | None = None) -> Prepared:
            picture = opened(row)
            return prepare(cropped(picture, view) if view else picture)

        self.picture = opened
        """Opens the distinct picture of this number."""
        self.prepared = prepared
        """Opens the distinct picture of this number and prepares it, or a view of it."""

    def same_file(self, row: int, other: Side, column: int) -> bool:
        """Tell whether two distinct pictures are one file or equal in their pixels."""
        place, partner = self.distinct[row], other.distinct[column]
        return (
            self.split.bytes_digest[place] == other.split.bytes_digest[partner]
            or self.split.pixels_digest[place] == other.split.pixels_digest[partner]
        )

    def copies_of(self, place: int) -> list[int]:
        """Return the places of all pictures equal to this one, itself among them."""
        return self._copies[self.split.pixels_digest[place]]


def one_of_each(places: Iterable[int], labels: Sequence[str]) -> list[int]:
    """Return the first place of each label."""
    first: dict[str, int] = {}
    for place in places:
        first.setdefault(labels[place], place)
    return list(first.values())


def unlike_first(places: Iterable[int], labels: Sequence[str], own: str) -> list[int]:
    """Put the places of other labels than one's own first."""
    return sorted(places, key=lambda place: labels[place] == own)


def grouped(keys: Iterable[Key], places: Iterable[int] | None = None) -> dict[Key, list[int]]:
    """Collect places by key, both in the order in which they come.

    Parameters
    ----------
    keys
        One key a place.
    places
        The places; 0, 1, 2 … where not given.

    Returns
    -------
    dict
        Each key's places.

    >>> grouped("aba")
    {'a': [0, 2], 'b': [1]}
    """
    groups: dict[Key, list[int]] = {}
    for place, key in enumerate(keys) if places is None else zip(places, keys, strict=True):
        groups.setdefault(key, []).append(place)
    return groups
