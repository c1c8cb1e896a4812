"""Ties copies together: pictures that are joined by pairs whose pixels were compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from auditor.overlap.result import OverlapPair
from auditor.overlap.splits import SplitSignatures

__all__ = ["clusters", "repeated"]


def clusters(pairs: Iterable[OverlapPair]) -> list[list[str]]:
    """Return the sets of pictures of one split that are copies of one another.

    Parameters
    ----------
    pairs
        Pairs within one split. Those whose pixels nobody looked at join nothing: a chain of
        look-alikes would tie strangers together.

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
        for p in pairs
        if p.verified
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
