"""Finds the test images of an audit again, where they still lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from auditor.data.sources import read_samples
from auditor.errors import InputError
from auditor.record import Audit

__all__ = ["images_of", "reader_of"]


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


def images_of(audit: Audit) -> Path | None:
    """Return where the test images of an audit lay; None where only predictions were given."""
    given = audit.provenance.settings.get("data", {}).get("test")
    return None if given is None else Path(given)
