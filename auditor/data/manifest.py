"""A CSV or Parquet manifest: ``image,label`` and any further columns, kept as metadata."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from auditor.data.classes import ASSUMED
from auditor.data.labels import NamedLabels, in_order, is_number, name_labels
from auditor.data.samples import Samples
from auditor.data.tables import (
    column_names,
    is_table,
    metadata_of,
    read_table,
    require_columns,
    text_column,
)
from auditor.errors import InputError
from auditor.wording import plural

__all__ = ["none_is_there", "read_manifest", "refuse_duplicates", "refuse_respelt"]

_JOINERS = "\u200c\u200d"
"""Characters that nobody sees and that words and emoji are spelt with."""


def read_manifest(path: Path, classes: Sequence[str] | None = None) -> Samples:
    """Read a manifest; image paths are relative to the folder that it lies in.

    Parameters
    ----------
    path
        The manifest.
    classes
        The user's list, in which labels are places where all are numbers and no class is.
    """
    names = column_names(path)
    require_columns(path, names, ("image", "label"))
    table = read_table(path)
    if table.num_rows == 0:
        raise InputError(f"{path}: no rows; an empty split cannot be judged")
    images, labels = (text_column(path, table, name) for name in ("image", "label"))
    refuse_duplicates(path, images)
    refuse_respelt(path, images, path.parent)
    further = [name for name in names if name not in ("image", "label")]
    metadata = metadata_of(table, further)
    found = _named(path, labels, classes)
    return Samples(path.parent, tuple(images), *found, str(path), metadata)


def _named(path: Path, labels: list[str], classes: Sequence[str] | None) -> NamedLabels:
    if classes and all(map(is_number, labels)) and not any(map(is_number, classes)):
        places = [int(label) for label in labels]
        return name_labels(places, lambda row: f"{path}:{row + 2}", given=classes)
    found, order = in_order(labels)
    return NamedLabels(tuple(labels), found, f"{ASSUMED}the manifest's labels in {order}")


def none_is_there(samples: Samples) -> str:
    """Say of a manifest's images that all are missing, as a sentence; empty where one is there.

    For whoever looks at them: a manifest may be read for its labels alone.
    """
    if samples.reader is not None or not is_table(Path(samples.source)):
        return ""
    if not all(_is_missing(samples.path(image)) for image in samples.images):
        return ""
    return (
        f"{samples.source}: none of its {plural(len(samples), 'image')} is there; the first was "
        f"looked for at {samples.path(samples.images[0])}; paths are relative to the manifest"
    )


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:  # is said of each image
        return False
    return False


def refuse_duplicates(path: Path, images: Sequence[str]) -> None:
    """Raise ``InputError`` for the first image that stands twice, with both lines.

    ``./a.png`` and ``b/../a.png`` are ``a.png``, and nobody sees the blanks around it.
    """
    for first, row in _repeated(map(_place, images)):
        raise _twice(path, images, first, row)


def refuse_respelt(path: Path, images: Sequence[str], root: Path | None = None) -> None:
    r"""Raise ``InputError`` for the first image that stands twice as another system spells it.

    ``\a\b.png`` may be ``a/b.png``, and what is told apart by nothing but its Unicode form, or by
    characters that nobody sees, may be one image.

    Parameters
    ----------
    path, images
        The file that names them, one a row.
    root
        What they are relative to: names of two files that are there may stay.
    """
    for first, row in _repeated(map(_spelt_alike, images)):
        if root is None or not _are_two_files(root / images[first], root / images[row]):
            raise _twice(path, images, first, row)


def _repeated(keys: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the row of a key and each later one of the same key."""
    seen: dict[str, int] = {}
    for row, key in enumerate(keys):
        if (first := seen.setdefault(key, row)) != row:
            yield first, row


def _place(image: str) -> str:
    # Of two slashes at its start a path keeps both.
    return posixpath.normpath(image.strip()).replace("//", "/")


def _spelt_alike(image: str) -> str:
    if not image.isascii():
        image = unicodedata.normalize("NFC", image)
        image = "".join(s for s in image if s in _JOINERS or unicodedata.category(s) != "Cf")
    return _place(image.replace("\\", "/")).lstrip("/")


def _are_two_files(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return not one.samefile(other)
    return False


def _twice(path: Path, images: Sequence[str], first: int, row: int) -> InputError:
    spelt = "" if images[first] == images[row] else f' as "{images[first]}"'
    return InputError(
        f'{path}:{row + 2}: "{images[row]}" stands already in line {first + 2}{spelt}; '
        "an image may be listed once"
    )
