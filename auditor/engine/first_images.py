"""The images on which it is tried out how a model is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from auditor.data.samples import Samples
from auditor.engine.forward import TRIED
from auditor.engine.journal import NoJournal
from auditor.engine.looking import looked_at

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from auditor.provider import Look

__all__ = ["FirstImages"]

_SOUGHT = 64
"""Images among which readable ones are sought."""


class FirstImages:
    """The first of a whole split that can be read.

    Pickled once they are known, they are known there, too: another process looks at no others.

    Parameters
    ----------
    samples
        The split.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._rows: Sequence[int] = range(min(len(samples), _SOUGHT))

    def prepared(self, prepare: Callable[[Image], Tensor], look: Look | None) -> list[Tensor]:
        """Return them, prepared; none where none can be read.

        Parameters
        ----------
        prepare
            Makes a tensor of a picture.
        look
            As for ``Observer.try_out``; None where nobody keeps a journal.
        """
        look = look or self._look
        pictures = ((row, look(row, prepare)) for row in self._rows)
        found = dict(islice(((row, p) for row, p in pictures if p is not None), TRIED))
        self._rows = tuple(found)
        return [*found.values()]

    def _look(self, row: int, work: Callable[[Image], Any]) -> Any:
        return looked_at(self._samples, row, work, NoJournal({}))
