"""What makes two candidates the same: the bytes that decide their outputs, never where they lie."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from auditor.errors import InputError
from auditor.store.files import sha256_of

__all__ = [
    "DECODING",
    "digest_facts",
    "digest_file",
    "installed_version",
    "installed_versions",
    "refuse_pointer",
]

DECODING = ("numpy", "pillow")
"""What decodes pictures and turns them into numbers: another version may make other ones."""

_POINTER = b"version https://git-lfs.github.com/spec/"
_SAME = {"onnxruntime": ("onnxruntime-gpu",)}
"""Package → others that bring the same module, for other hardware."""


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex, reading it in pieces.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def refuse_pointer(path: Path) -> None:
    """Raise ``InputError`` where Git LFS left a text that stands for the file."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise InputError(f"{path} is a Git LFS pointer, not the file itself: git lfs pull")


def digest_facts(facts: Mapping[str, object]) -> str:
    """Return the SHA-256, in hex, of plain values; the order in which they are given is nothing."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def installed_version(package: str) -> str | None:
    """Return a package's version without importing it, or None where it is not installed."""
    for name in (package, *_SAME.get(package, ())):
        with suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def installed_versions(packages: Iterable[str] = DECODING) -> dict[str, str | None]:
    """Return package → version, as ``installed_version`` does."""
    return {name: installed_version(name) for name in packages}
