"""Divides a pass over images among machines: each part of it belongs to one of them."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from auditor.errors import InputError

__all__ = ["PART", "Shard"]

PART = 512
"""Images of a part: what an interrupted pass can lose, and the least that a machine is given."""


class Shard(NamedTuple):
    """One of several equal shares of a pass."""

    number: int
    """From 1."""
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2/8``; ``InputError`` where it is no such share."""
        found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.of:
            raise InputError(f"--shard {text}: not a share; the second of eight is written 2/8")
        return shard

    def parts(self, total: int) -> range:
        """Return the parts of this share, of so many in all; neighbours, so that files are read on.

        >>> [list(Shard(number, 3).parts(7)) for number in (1, 2, 3)]
        [[0, 1], [2, 3], [4, 5, 6]]
        """
        return range(total * (self.number - 1) // self.of, total * self.number // self.of)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.number}/{self.of}"
