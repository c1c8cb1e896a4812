"""Class folders in a ZIP file: ``CLASS/NAME.jpg``, read without unpacking."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor import InputError
from auditor.data.folder import IMAGE_SUFFIXES, class_folder_order, natural
from auditor.data.samples import Samples


@dataclass(frozen=True)
class ZipImages:
    """Opens the file for each image, so that threads do not share a position in it."""

    path: Path
    changed: int

    def read(self, image: str) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(image)
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise OSError(f"{self.path.name}: {error}") from error  # the rest goes on

    def stamp(self, image: str) -> object:
        return self.changed, image


def claims(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def read(path: Path, classes: Sequence[str] | None) -> Samples:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a ZIP file that can be read: {error}") from None
    images = [n for n in names if "/" in n and Path(n).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise InputError(f"{path}: no images; it needs CLASS/NAME.jpg")
    labels = [image.partition("/")[0] for image in images]
    folders = sorted(set(labels), key=natural)
    reader = ZipImages(path, path.stat().st_mtime_ns)
    order = class_folder_order(folders)
    return Samples(
        path, tuple(images), tuple(labels), tuple(folders), order, str(path), reader=reader
    )
