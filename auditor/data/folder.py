"""An image folder: one folder a class, images anywhere below it."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from auditor.data.classes import ASSUMED
from auditor.data.samples import LeftOut, Samples
from auditor.errors import InputError

__all__ = [
    "IMAGE_SUFFIXES",
    "class_folder_order",
    "images_below",
    "is_hidden",
    "listing",
    "may_be_an_image",
    "natural",
    "read_folder",
    "unlike_images",
]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm"}
    | {".heic", ".heif", ".avif", ".jxl", ".jp2"}
)
"""What counts as an image; the last row cannot be read yet, and is counted as unreadable."""

_BESIDE = frozenset(
    {".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".cfg", ".xml", ".html"}
    | {".htm", ".css", ".js", ".csv", ".tsv", ".xls", ".xlsx", ".doc", ".docx", ".log", ".sqlite"}
    | {".py", ".pyc", ".ipynb", ".sh", ".bat", ".zip", ".md5", ".sha1", ".sha256", ".sha512"}
    | {".db", ".ini", ".lnk", ".url"}
)
"""What lies beside images and nobody takes for one; the last row is what Windows leaves."""

_NAMED_BESIDE = frozenset(
    {"readme", "license", "licence", "copying", "notice", "authors", "changelog", "makefile"}
    | {"md5sums", "sha1sums", "sha256sums", "sha512sums"}
)
"""The same without a suffix."""

_FORKS = "__MACOSX"
"""What a Mac packs beside the files, in a folder of its own."""


def read_folder(root: Path) -> Samples:
    """List the images of ``root/CLASS/**``.

    Classes stand in timm's order (natural, case-insensitive), those that are alike to it in plain
    order. Where torchvision's plain order differs, ``class_order`` says so: a checkpoint trained
    under one and audited under the other looks broken. Files that may be images and are not taken
    for one are told in ``left_out``.
    """
    classes, loose = _class_folders(root)
    files = [(file, name) for name in classes for file in _files_below(root, name)]
    pairs = sorted((file, name) for file, name in files if _is_image(file))
    others = [(file, name) for file, name in files if may_be_an_image(file)]
    out = _left_out(loose, others, {name for _, name in pairs})
    if not pairs:
        needed = "it needs class folders with images in them"
        raise InputError(f"{root}: no images; {'; '.join(filter(None, (needed, out.said)))}")
    images, labels = zip(*pairs, strict=True)
    order = class_folder_order(classes)
    return Samples(root, images, labels, tuple(classes), order, str(root), left_out=out)


def _left_out(
    loose: Sequence[str], others: Sequence[tuple[str, str]], filled: Collection[str]
) -> LeftOut:
    """Say which files are no images of a class.

    Parameters
    ----------
    loose
        Files in no class folder that are images, or may be.
    others
        Files that are no images by their names, and their class.
    filled
        Classes that have images.
    """
    unlike = [file for file, _ in others]
    said = [unlike_images(unlike)]
    if loose:
        said.append(f"{_counted(loose)} in no class folder, first {min(loose)}")
    emptied = sorted({name for _, name in others} - {*filled}, key=natural)
    if emptied:
        said.append(f"no image is left of {', '.join(emptied[:5])}{', …' * (len(emptied) > 5)}")
    return LeftOut.of([*unlike, *loose], "; ".join(filter(None, said)))


def unlike_images(files: Sequence[str]) -> str:
    """Say of files that their names are no images', as a phrase; empty where there are none."""
    return f"{_counted(files)} whose suffix is no image's, first {min(files)}" if files else ""


def _counted(files: Sequence[str]) -> str:
    return f"{len(files):,} {'file' if len(files) == 1 else 'files'}"


def _class_folders(root: Path) -> tuple[list[str], list[str]]:
    """Return the class folders, and what is or may be an image beside them, of no class."""
    with listing(root):
        entries = [entry for entry in os.scandir(root) if not is_hidden(entry.name)]
    names = [entry.name for entry in entries if _is_folder(Path(entry))]
    files = {entry.name for entry in entries} - {*names}
    if not names:
        raise InputError(
            f"{root}: no class folders; it needs one folder a class, with images in it"
        )
    loose = sorted(file for file in files if _is_image(file) or may_be_an_image(file))
    return sorted(names, key=natural), loose


def _is_folder(path: Path) -> bool:
    """Tell whether this is a folder; a link to nothing may be one that is not mounted."""
    with listing(path):
        return stat.S_ISDIR(path.stat().st_mode)


@contextmanager
def listing(path: Path) -> Iterator[None]:
    """Refuse what the system does not show: the images in it would be missed by nobody."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be listed: {error.strerror}; mount it or make it readable, or remove "
            "it"
        ) from None


def natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return timm's sorting key: numbers by value, letters without regard to case.

    Names that are alike to it, such as ``Cat`` and ``cat`` or ``01`` and ``1``, stand in plain
    order; timm leaves them as the system lists them, which no copy of the folder need repeat.
    """
    parts = re.split(r"(\d+)", name.lower())
    return [_value(part) if part.isdecimal() else part for part in parts], name


def _value(digits: str) -> tuple[int, str]:
    """Return what orders numbers by value; Python's own have at most 4,300 digits."""
    plain = "".join(str(unicodedata.decimal(sign)) for sign in digits).lstrip("0")
    return len(plain), plain


def class_folder_order(classes: list[str]) -> str:
    """Say that class folders are in timm's order, and whether torchvision's is another."""
    order = f"{ASSUMED}the class folders in timm's order (natural, case-insensitive)"
    if classes == sorted(classes):
        return f"{order}, which is torchvision's too"
    return f"{order}; torchvision's plain order differs, so give classes if it trained this model"


def images_below(root: Path) -> tuple[list[str], list[str]]:
    """Find the images in a folder and the folders in it, hidden ones left out.

    Returns
    -------
    images, others
        Paths relative to the folder; the others are files that would be missed if they are images.
    """
    files = sorted(_files_below(root, ""))
    return [f for f in files if _is_image(f)], [f for f in files if may_be_an_image(f)]


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of that name is none of the user's."""
    return name.startswith(".") or name == _FORKS


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - of each file


def may_be_an_image(name: str) -> bool:
    """Tell of a file whether it would be missed, though its name is not that of an image."""
    if _is_image(name):
        return False
    path = Path(name)
    if not path.suffix:
        return path.name.lower() not in _NAMED_BESIDE
    return path.suffix.lower() not in _BESIDE


def _files_below(root: Path, name: str) -> Iterator[str]:
    seen = {root.resolve()} if name else set[Path]()
    for folder, folders, files in os.walk(root / name, onerror=_refuse, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = sorted(f for f in folders if not is_hidden(f) and real not in seen)
        if real in seen:  # a link to a folder above: its images would count many times
            continue
        seen.add(real)
        below = Path(folder).relative_to(root)
        # Joined as text, for paths take as long as all the rest.
        before = "" if below == Path() else f"{below.as_posix()}/"
        for file in sorted(f for f in files if not is_hidden(f)):
            if _is_image(file) or not _is_folder(Path(folder, file)):
                yield f"{before}{file}"


def _refuse(error: OSError) -> None:
    with listing(Path(error.filename)):
        raise error
