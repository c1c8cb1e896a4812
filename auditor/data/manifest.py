"""A CSV or Parquet manifest: ``image,label`` and any further columns, kept as metadata."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from auditor.data.classes import ASSUMED
from auditor.data.labels import NamedLabels, in_order, is_number, name_labels
from auditor.data.samples import Samples
from auditor.data.tables import column_names, metadata_of, read_table, require_columns, text_column
from auditor.errors import InputError

__all__ = ["read_manifest", "refuse_duplicates"]


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


def refuse_duplicates(path: Path, images: list[str]) -> None:
    """Raise ``InputError`` for the first image that stands twice, with both lines.

    ``./a.png`` and ``b/../a.png`` are ``a.png``, and nobody sees the blanks around it.
    """
    seen: dict[str, int] = {}
    for row, image in enumerate(images):
        # Of two slashes at its start a path keeps both.
        plain = posixpath.normpath(image.strip()).replace("//", "/")
        first = seen.setdefault(plain, row)
        if first != row:
            spelt = "" if images[first] == image else f' as "{images[first]}"'
            raise InputError(
                f'{path}:{row + 2}: "{image}" stands already in line {first + 2}{spelt}; '
                "an image may be listed once"
            )
