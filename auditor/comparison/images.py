"""Finds the test images of an audit again, where they still lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from auditor.data.sources import read_samples
from auditor.engine.known import digest_of
from auditor.errors import InputError
from auditor.record import Audit

__all__ = ["Unchanged", "images_of", "reader_of"]


def reader_of(audit: Audit) -> Callable[[str], bytes] | None:
    """Return what opens a test image of an audit by its name; None where its data is gone.

    A relative path is one from the folder in which the audit was made.
    """
    given = images_of(audit)
    if given is None:
        return None
    try:
        return read_samples(given, audit.data.classes).read
    except InputError:
        return None


class Unchanged:
    """Opens images whose files are those that were audited, as far as that is known.

    Parameters
    ----------
    read
        Opens whatever lies there now.
    digests
        Image → digest of its file then.
    """

    def __init__(self, read: Callable[[str], bytes], digests: Mapping[str, bytes]) -> None:
        self._read, self._digests = read, digests
        self.changed = 0
        """Images that were asked for and are others now."""

    def read(self, image: str) -> bytes:
        """Return a file; ``LookupError`` where it is another now."""
        data = self._read(image)
        if digest_of(data) != self._digests.get(image, digest_of(data)):
            self.changed += 1
            raise LookupError(image)
        return data


def images_of(audit: Audit) -> Path | None:
    """Return where the test images of an audit lay; None where only predictions were given."""
    given = audit.provenance.settings.get("data", {}).get("test")
    return None if given is None else Path(given)
