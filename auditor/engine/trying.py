"""Lets observers try out on the first images how they work, before a pass begins.

An image that kills the process then is remembered as one of the pass is
(``auditor.engine.journal``): the next process leaves it out, in the pass, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from auditor.data.samples import Samples
from auditor.engine.journal import Journal
from auditor.engine.looking import looked_at
from auditor.engine.probing import deadly
from auditor.errors import NotWritten
from auditor.progress import Progress
from auditor.provider import Observer
from auditor.store.parts import remove_if_empty

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Trial", "try_out"]


class Trial(NamedTuple):
    """What came of trying."""

    failed: dict[str, BaseException]
    """What became of the observers that failed."""
    poison: dict[int, str]
    """Images that nobody may open, and why."""


def try_out(
    samples: Samples, observers: Mapping[str, tuple[Observer, Path]], progress: Progress
) -> Trial:
    """Let each observer look at as many images as it likes.

    Parameters
    ----------
    samples
        The split.
    observers
        Name → who looks, and a folder of its own, where the images in hand are remembered.
    progress
        Is told when images are tried one by one.

    Raises
    ------
    NotWritten
        What is in hand cannot be stored.
    """
    trial = Trial({}, {})
    for name, (observer, folder) in observers.items():
        try:
            with _Looks(samples, name, observer, folder, progress) as looks:
                observer.try_out(looks)
                trial.poison.update(looks.poison)
        except NotWritten:
            raise
        except (Exception, SystemExit) as crash:
            trial.failed[name] = crash
    return trial


class _Looks:
    """Looks at images for one observer, and keeps a journal from the first of them on."""

    def __init__(
        self, samples: Samples, name: str, observer: Observer, folder: Path, progress: Progress
    ) -> None:
        self._samples, self._eyes, self._folder = samples, {name: observer}, folder
        self._progress, self._open = progress, ExitStack()
        self.poison: dict[int, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    def __call__(self, row: int, work: Callable[[Image], Any]) -> Any:
        return looked_at(self._samples, row, work, self._journal)

    @cached_property
    def _journal(self) -> Journal:
        journal = Journal(self._folder, self._deadly, self._progress)
        self.poison = journal.poison
        self._open.callback(self._leave)
        return self._open.enter_context(journal)

    def _deadly(self, rows: Sequence[int]) -> dict[int, str]:
        return deadly(self._samples, [(row, self._eyes) for row in rows])

    def _leave(self) -> None:
        """Leave no empty folder: it would pass for what is left of a pass."""
        for folder in (self._folder, *self._folder.parents[:2]):
            remove_if_empty(folder)
