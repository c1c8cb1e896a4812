"""Class folders in a ZIP file: ``CLASS/NAME.jpg``, read without unpacking."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor import InputError
from auditor.data.files import Container
from auditor.data.folder import IMAGE_SUFFIXES, class_folder_order, may_be_an_image, natural
from auditor.data.samples import LeftOut, Samples


@dataclass(frozen=True)
class ZipImages:
    """Opens the file for each image, so that threads do not share a position in it."""

    file: Container

    def read(self, image: str) -> bytes:
        self.file.require_unchanged()  # else images of two files would be judged as one split
        try:
            with zipfile.ZipFile(self.file.path) as archive:
                return archive.read(image)
        except (KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise OSError(f"{self.file.path.name}: {error}") from error  # the rest goes on

    def stamp(self, image: str) -> object:
        return self.file.stamp, image  # the file's size and both its times, not one time alone


def claims(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def read(path: Path, classes: Sequence[str] | None) -> Samples:
    file = Container.of(path)  # before it is listed, so that a change meanwhile is seen
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a ZIP file that can be read: {error}") from None
    names = [member.filename for member in members if not _is_hidden(member.filename)]
    images = [name for name in names if "/" in name and _is_image(name)]
    if not images:
        raise InputError(f"{path}: no images; it needs CLASS/NAME.jpg")
    folders = sorted({name.partition("/")[0] for name in names if "/" in name}, key=natural)
    return Samples(
        root=path,
        images=tuple(images),
        labels=tuple(image.partition("/")[0] for image in images),
        classes=tuple(folders),
        class_order=class_folder_order(folders),
        source=str(path),
        reader=ZipImages(file),
        held_in=(_digest(members),),
        left_out=_left_out({*names} - {*images}),
    )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _digest(members: Sequence[zipfile.ZipInfo]) -> str:
    """Tell what is in the file from what is in others; a copy of it has the same."""
    told = [(member.filename, member.file_size, member.CRC) for member in members]
    return hashlib.sha256(repr(told).encode(errors="surrogateescape")).hexdigest()


def _left_out(others: set[str]) -> LeftOut:
    """Tell what may be an image and is not taken for one, so that the report says so."""
    files = [name for name in others if not name.endswith("/")]
    missed = [name for name in files if _is_image(name) or may_be_an_image(name)]
    said = (
        f"{len(missed):,} files that are not CLASS/NAME.jpg, first {min(missed)}" if missed else ""
    )
    return LeftOut.of(missed, said)
