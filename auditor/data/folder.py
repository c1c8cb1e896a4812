"""An image folder: one folder a class, images anywhere below it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from auditor.data.samples import Samples
from auditor.errors import InputError

__all__ = ["IMAGE_SUFFIXES", "class_folder_order", "images_below", "natural", "read_folder"]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
    | {".heic", ".heif", ".avif", ".jxl", ".jp2"}
)
"""What counts as an image; the second row cannot be read yet, and is counted as unreadable."""


def read_folder(root: Path) -> Samples:
    """List the images of ``root/CLASS/**``.

    Classes stand in timm's order (natural, case-insensitive). Where torchvision's plain order
    differs, ``class_order`` says so: a checkpoint trained under one and audited under the other
    looks broken.
    """
    classes = _class_folders(root)
    pairs = [(image, name) for name in classes for image in images_below(root, name)]
    if not pairs:
        raise InputError(f"{root}: no images; it needs class folders with images in them")
    images, labels = zip(*sorted(pairs), strict=True)
    return Samples(root, images, labels, tuple(classes), class_folder_order(classes), str(root))


def _class_folders(root: Path) -> list[str]:
    names = [e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith(".")]
    if not names:
        raise InputError(
            f"{root}: no class folders; it needs one folder a class, with images in it"
        )
    return sorted(names, key=natural)


def natural(name: str) -> list[str | tuple[int, str]]:
    """Return timm's sorting key: numbers by value, letters without regard to case."""
    parts = re.split(r"(\d+)", name.lower())
    return [_value(part) if part.isdecimal() else part for part in parts]


def _value(digits: str) -> tuple[int, str]:
    """Return what orders numbers by value; Python's own have at most 4,300 digits."""
    plain = "".join(str(unicodedata.decimal(sign)) for sign in digits).lstrip("0")
    return len(plain), plain


def class_folder_order(classes: list[str]) -> str:
    """Say that class folders are in timm's order, and whether torchvision's is another."""
    order = "assumed: the class folders in timm's order (natural, case-insensitive)"
    if classes == sorted(classes):
        return f"{order}, which is torchvision's too"
    return f"{order}; torchvision's plain order differs, so give classes if it trained this model"


def images_below(root: Path, name: str = "") -> Iterator[str]:
    """Find the images in a folder and the folders in it, hidden ones left out.

    Parameters
    ----------
    root
        What their names are relative to.
    name
        Of the folder in it; ``root`` itself where empty.
    """
    seen: set[Path] = set()
    for folder, folders, files in os.walk(root / name, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and real not in seen)
        if real in seen:  # a link to a folder above: its images would count many times
            continue
        seen.add(real)
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in IMAGE_SUFFIXES:
                yield (Path(folder) / file).relative_to(root).as_posix()
