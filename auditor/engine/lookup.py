"""Finds the row of an image by its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows"]


class Rows:
    """Names → rows in 16 bytes a name; a dict of 1.28 million takes ten times as much.

    Parameters
    ----------
    names
        Each once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        keys = np.fromiter(map(hash, names), np.int64, len(names))
        self._rows = np.argsort(keys, kind="stable")
        self._keys = keys[self._rows]

    def __reduce__(self) -> tuple[type[Rows], tuple[Sequence[str]]]:
        """Leave the hashes behind: every process has its own."""
        return Rows, (self._names,)

    def find(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return their rows, shape (n,), in the order of the names.

        Raises
        ------
        ValueError
            One of them is not there.
        """
        wanted = np.fromiter(map(hash, names), np.int64, len(names))
        places = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        rows: NDArray[np.int64] = self._rows[places]
        for n, name in enumerate(names):
            if self._names[rows[n]] != name:  # another of the same hash, or not there
                rows[n] = self._names.index(name)
        return rows
