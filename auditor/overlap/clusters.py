"""Ties copies together: pictures that are joined by pairs, if possible of compared pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from auditor.overlap.contamination import EXACT
from auditor.overlap.result import OverlapPair
from auditor.overlap.splits import SplitSignatures

__all__ = ["clusters", "joining", "repeated"]


def joining(pairs: Iterable[OverlapPair]) -> list[OverlapPair]:
    """Return the pairs that tie pictures of one split together.

    Parameters
    ----------
    pairs
        All that were found within the split. Where pixels were compared, those whose pixels nobody
        looked at join nothing: a chain of look-alikes would tie strangers together. Where none
        were, as in signatures, all that were found join: there is nothing better to know it by.
    """
    found = list(pairs)
    looked = any(pair.verified and pair.kind not in EXACT for pair in found)
    return [pair for pair in found if pair.verified or not looked]


def clusters(pairs: Iterable[OverlapPair]) -> list[list[str]]:
    """Return the sets of pictures of one split that are copies of one another.

    Parameters
    ----------
    pairs
        All pairs within one split; :func:`joining` says which of them count.

    Returns
    -------
    list of list of str
        Each set sorted, at least two pictures; the sets by their first picture.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places: dict[str, int] = {}
    edges = [
        (
            places.setdefault(p.test_image, len(places)),
            places.setdefault(p.train_image, len(places)),
        )
        for p in joining(pairs)
    ]
    if not edges:
        return []
    ends, size = np.array(edges, np.int32), len(places)
    joined = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), (size, size))
    labels = connected_components(joined, directed=False)[1]
    found: dict[int, list[str]] = {}
    for image, label in zip(places, labels.tolist(), strict=True):
        found.setdefault(label, []).append(image)
    return sorted(sorted(images) for images in found.values())


def repeated(split: SplitSignatures) -> SplitSignatures:
    """Return the pictures of a split whose bytes or pixels are there more than once.

    Parameters
    ----------
    split
        Any split; of a large one this is the part that can be compared each with each.
    """
    files, pixels = Counter(split.bytes_digest), Counter(split.pixels_digest)
    digests = zip(split.bytes_digest, split.pixels_digest, strict=True)
    return split.at(
        [row for row, (file, seen) in enumerate(digests) if files[file] + pixels[seen] > 2]
    )
