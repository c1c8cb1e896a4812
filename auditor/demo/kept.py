"""Folders that are made once and kept for the next run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from auditor.errors import InputError
from auditor.models.identity import digest_facts, digest_file, installed_version

__all__ = ["STAMP", "edition", "make_once"]

STAMP = ".auditor-demo"
"""File that marks a folder as the demo's own, and says which edition of the demo made it."""

_PACKAGES = ("scikit-learn", "pillow", "numpy", "torch", "timm", "safetensors")


def edition() -> str:
    """Return a digest of all that the demo's folders are made from: its code and the packages."""
    from auditor import __version__

    sources = sorted(Path(__file__).parent.glob("*.py"))
    facts: dict[str, object] = {path.name: digest_file(path) for path in sources}
    versions = {name: installed_version(name) for name in _PACKAGES}
    return digest_facts({**facts, **versions, "auditor": __version__})


def make_once(directory: Path, edition: str, make: Callable[[], None]) -> bool:
    """Fill a folder, unless this edition has filled it before; return whether it was filled.

    Parameters
    ----------
    directory
        Emptied first; a folder without the demo's stamp is never touched.
    edition
        What `edition` returns.
    make
        Fills the folder. Where it is interrupted, the next call starts over.

    Raises
    ------
    InputError
        The folder was there before, and the demo did not make it.
    """
    stamp = directory / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == edition:
        return False
    if directory.exists() and not stamp.is_file():
        raise InputError(
            f"{directory} is already there, and not the demo's; choose another --output"
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    stamp.touch()
    make()
    stamp.write_text(edition, encoding="utf-8")
    return True
