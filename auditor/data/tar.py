"""Images in tar files, read where they lie: WebDataset shards, or class folders in a tar.

A shard holds, beside ``NAME.jpg``, its label as ``NAME.cls`` (a number or a name) or as ``label``
in ``NAME.json``; as WebDataset has it, NAME ends at the first dot. A tar without such labels is an
image folder, and a path may lead into it: ``cifar10.tar/train`` has the classes
``cifar10.tar/train/CLASS``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from auditor.data.files import SPLITS, Container, matching, named
from auditor.data.folder import class_folder_order, natural, unlike_images
from auditor.data.labels import NamedLabels, is_number, name_labels
from auditor.data.samples import LeftOut, Samples
from auditor.data.tar_listing import TarListing, read_listing
from auditor.errors import InputError

__all__ = ["TarImages", "claims", "read"]

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, eq=False)
class TarImages:
    """Where each image lies: about 200 bytes an image, its name and label among them."""

    files: list[Container] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    file: array[int] = field(default_factory=lambda: array("i"))
    offset: array[int] = field(default_factory=lambda: array("q"))
    size: array[int] = field(default_factory=lambda: array("q"))

    def read(self, image: str) -> bytes:
        """Return an image's file."""
        row = self.rows[image]
        return self.files[self.file[row]].read(self.offset[row], self.size[row])

    def stamp(self, image: str) -> object:
        """Return the tar's size and times, and the image's place in it."""
        row = self.rows[image]
        return self.files[self.file[row]].stamp, self.offset[row], self.size[row]


class _Place(NamedTuple):
    """A path to a tar, and the folder within it."""

    tars: Path
    inside: str


def claims(path: Path) -> bool:
    """Tell whether the path names a tar, a pattern of tars, or a folder within one."""
    return path.name.lower().endswith(_COMPRESSED) or _place(path) is not None


def read(path: Path, classes: Sequence[str] | None = None) -> Samples:
    """List the images of the tars; nothing is unpacked.

    Raises
    ------
    InputError
        Naming the tar and the member: damaged, without a label, with two of them, listed twice, or
        no image at all.
    """
    place = _place(path)
    if place is None:
        raise InputError(
            f"{path}: a compressed tar cannot be read at random; unpack it to a plain .tar"
        )
    files, images = matching(place.tars), TarImages()
    labels: list[str] = []
    headers: list[str] = []
    others: list[str] = []
    folders: set[str] = set()
    labelled: bool | None = None
    for name, file in named(files).items():
        listing = read_listing(file, place.inside)
        labelled = bool(listing.labels) if labelled is None and listing.images else labelled
        prefix = f"{name}/" if len(files) > 1 else ""
        _add(images, listing, prefix)
        others.extend(prefix + other for other in listing.others)
        labels.extend(_labels(listing, bool(labelled)))
        headers.append(listing.headers)
        folders |= listing.folders
    if not labels:
        raise InputError(f"{path}: no images in {len(files)} tar; {_expected(place)}")
    found = _named(path, labels, list(images.rows), folders, classes, bool(labelled))
    root = place.tars if len(files) == 1 else place.tars.parent
    return Samples(
        root,
        tuple(images.rows),
        *found,
        str(path),
        reader=images,
        held_in=tuple(headers),
        left_out=LeftOut.of(others, unlike_images(others)),
    )


def _place(path: Path) -> _Place | None:
    for tar in (path, *path.parents):
        if tar.suffix.lower() == ".tar" and not tar.is_dir():
            inside = path.relative_to(tar).as_posix()
            return _Place(tar, "" if inside == "." else f"{inside}/")
    return None


def _expected(place: _Place) -> str:
    where = f"below {place.inside} " if place.inside else ""
    return f"{where}it needs NAME.jpg beside NAME.cls or NAME.json, or CLASS/NAME.jpg"


def _add(images: TarImages, listing: TarListing, prefix: str) -> None:
    images.files.append(listing.file)
    for member in listing.images:
        name = prefix + member.name
        if images.rows.setdefault(name, len(images.rows)) != len(images.file):
            raise InputError(f"{listing.file.path}: {member.name} is in it twice; keep one")
        images.file.append(len(images.files) - 1)
        images.offset.append(member.offset)
        images.size.append(member.size)


def _labels(listing: TarListing, labelled: bool) -> Iterator[str]:
    """Yield the label of each image of a shard, each label used once."""
    left = dict(listing.labels)
    seen: set[str] = set()
    for member in listing.images:
        if not labelled:
            yield _folder(listing, member.name)
            continue
        if member.key in seen:
            raise InputError(f"{listing.file.path}: two images are called {member.key}; keep one")
        if member.key not in left:
            raise InputError(
                f"{listing.file.path}: {member.name} has no label; add {member.key}.cls, or "
                f'"label", a whole number or a name, in {member.key}.json'
            )
        seen.add(member.key)
        yield left.pop(member.key)
    if left:
        raise InputError(
            f"{listing.file.path}: {next(iter(left))} has a label and no image; the tar may be "
            "incomplete"
        )


def _folder(listing: TarListing, name: str) -> str:
    folder, slash, _ = name.partition("/")
    if not slash:
        raise InputError(
            f'{listing.file.path}: {name} has no label: neither a .cls, nor "label", a whole '
            "number or a name, in a .json, nor a class folder"
        )
    return folder


def _named(
    path: Path,
    labels: list[str],
    images: list[str],
    folders: set[str],
    classes: Sequence[str] | None,
    labelled: bool,
) -> NamedLabels:
    if labelled:
        # Where classes are called by numbers, numbers are names.
        numbers = all(map(is_number, labels)) and not any(map(is_number, classes or ()))
        values = [int(label) for label in labels] if numbers else labels
        return name_labels(values, lambda row: f"{path}: {images[row]}", given=classes)
    if folders <= SPLITS:
        splits = ", ".join(sorted(folders))
        raise InputError(f"{path}: holds {splits}; name one: {path}/{min(folders)}")
    names = {name: name for name in sorted(folders, key=natural)}
    order = class_folder_order(list(names))
    return NamedLabels(tuple(names[label] for label in labels), tuple(names), order)
