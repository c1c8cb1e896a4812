"""Tells an observer that stumbles over an image from one that does not work at all."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence

from auditor.crashes import named
from auditor.errors import AuditorError, InputError

__all__ = ["Stumbles", "portable"]

_HOPELESS = 16
"""Crashes after which an observer that has prepared no image is given up."""


class Stumbles:
    """Keeps, for each observer of a pass, whether it ever worked and what it first died of.

    Parameters
    ----------
    patient
        Whether an observer that does not work is borne to the end: who sees a few images only
        cannot tell.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self.crashes = Counter[str]()
        """Images that each observer crashed on."""
        self.first: dict[str, BaseException] = {}
        """What each of them died of first."""
        self.working: set[str] = set()
        """Observers that have prepared an image."""

    def note(self, name: str, crashes: Sequence[BaseException], worked: bool) -> None:
        """Add what came of some images.

        Parameters
        ----------
        name
            The observer.
        crashes
            What it raised, an image each.
        worked
            Whether it prepared one of them.

        Raises
        ------
        BaseException
            The first crash of an observer that is to be given up: it was raised on purpose, or
            it is one of many and no image was ever prepared.
        """
        for crash in crashes:
            if isinstance(crash, AuditorError):
                raise crash
            self.first.setdefault(name, crash)
        self.crashes[name] += len(crashes)
        if worked:
            self.working.add(name)
        hopeless = self.crashes[name] >= _HOPELESS and name not in self.working
        if hopeless and not self._patient:
            raise self.first[name]

    def hopeless(self) -> dict[str, BaseException]:
        """Return the first crash of each observer that crashed and never worked."""
        return {k: crash for k, crash in self.first.items() if k not in self.working}


def portable(crash: BaseException) -> BaseException:
    """Return an exception that can travel to another process."""
    try:
        pickle.loads(pickle.dumps(crash))
    except Exception:  # foreign classes fail in ways of their own
        if isinstance(crash, AuditorError):
            return InputError(str(crash))
        return RuntimeError(named(crash))
    return crash
