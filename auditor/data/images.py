"""Images without a model: class folders, a folder of images, or a manifest whose label may lack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auditor.data.folder import IMAGE_SUFFIXES, images_below, natural, unlike_images
from auditor.data.manifest import (
    none_is_there,
    read_manifest,
    refuse_duplicates,
    refuse_respelt,
)
from auditor.data.samples import LeftOut, Samples
from auditor.data.sources import source_of
from auditor.data.tables import (
    column_names,
    is_table,
    metadata_of,
    read_table,
    require_columns,
    text_column,
)
from auditor.errors import InputError

__all__ = ["read_images", "refuse_nested"]


def read_images(path: Path) -> Samples:
    """List images whose labels need not be known.

    Parameters
    ----------
    path
        A folder or a manifest. In a folder the label is the class folder, unless an image lies
        in the folder itself: then no label is known. A manifest needs ``image`` alone.

    Returns
    -------
    Samples
        Labels that are not known are empty.

    Raises
    ------
    InputError
        There is no such folder or manifest, no image in it, or none where it says.
    """
    if (source := source_of(path)) is not None:
        return source.read(path, None)
    if path.is_dir():
        return _folder(path)
    if path.exists() and is_table(path):
        samples = _table(path)
        if missing := none_is_there(samples):
            raise InputError(missing)
        return samples
    if not path.exists():
        raise InputError(f"{path}: no such folder or file")
    raise InputError(
        f"{path}: neither a folder nor a manifest; save a list of images as .csv, with commas"
    )


def refuse_nested(train: Path, test: Path) -> None:
    """Raise ``InputError`` where both are one source, or one folder lies in the other.

    Links are followed first. Manifests may lie side by side.
    """
    a, b = train.resolve(), test.resolve()
    if a == b:
        raise InputError(
            f"{train} and {test}: the same images are given for training and for test; "
            "give two different sources"
        )
    for inner, outer, names in ((b, a, (test, train)), (a, b, (train, test))):
        if outer.is_dir() and inner.is_dir() and inner.is_relative_to(outer):
            raise InputError(
                f"{names[0]} lies inside {names[1]}: its images would count for both splits; "
                "give two folders side by side, or manifests"
            )


def _folder(root: Path) -> Samples:
    images, others = images_below(root)
    told = unlike_images(others)
    if not images:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES)[:6])
        raise InputError(f"{root}: no images in it ({kinds}, …){told and f'; {told}'}")
    flat = any("/" not in image for image in images)
    labels = ["" if flat else image.partition("/")[0] for image in images]
    return replace(_samples(root, images, labels, root), left_out=LeftOut.of(others, told))


def _table(path: Path) -> Samples:
    names = column_names(path)
    if "label" in names:
        return read_manifest(path)
    require_columns(path, names, ("image",))
    table = read_table(path)
    images = text_column(path, table, "image")
    if not images:
        raise InputError(f"{path}: no rows; there is nothing to look at")
    refuse_duplicates(path, images)
    refuse_respelt(path, images, path.parent)
    further = [name for name in names if name != "image"]
    return _samples(path.parent, images, [""] * len(images), path, metadata_of(table, further))


def _samples(
    root: Path,
    images: list[str],
    labels: list[str],
    source: Path,
    metadata: dict[str, tuple[str, ...]] | None = None,
) -> Samples:
    classes = tuple(sorted({*labels} - {""}, key=natural))
    order = "not asked for"
    return Samples(root, tuple(images), tuple(labels), classes, order, str(source), metadata or {})
