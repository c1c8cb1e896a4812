"""One pass over the headers of a tar: its images, and the labels beside them."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from auditor.data.files import Container
from auditor.data.folder import IMAGE_SUFFIXES, is_hidden, may_be_an_image
from auditor.data.labels import as_written, is_number
from auditor.errors import InputError

__all__ = ["Member", "TarListing", "read_listing"]

_BLOCK = tarfile.BLOCKSIZE
_LABELS = frozenset({"cls", "json"})
_LARGEST_LABEL = 1 << 20
_LONGEST_CLASS = 1_000
"""Characters; more is no class, and no number that Python reads."""
_LABEL_KEYS = ("label", "cls", "class")


class Member(NamedTuple):
    """An image in a tar."""

    name: str
    key: str
    """The name up to the first dot after its folder."""
    offset: int
    size: int


class TarListing(NamedTuple):
    """What a tar holds."""

    file: Container
    images: list[Member]
    labels: dict[str, str]
    """Key → label."""
    folders: set[str]
    """The top folders."""
    others: list[str]
    """What may be an image, or a link to some, is not called so, and lies beside no image of a
    shard."""
    headers: str
    """Digest of what the headers say, in hex: equal for a copy of the tar."""


class _Stated(NamedTuple):
    """What the members say, before it is known whether they are a shard."""

    plain: list[Member]
    """What would be an image if this were a folder."""
    labels: dict[str, dict[str, str]]
    """Suffix → key → label."""


def read_listing(path: Path, inside: str = "") -> TarListing:
    """List the images and labels of a tar below the folder ``inside``, which ends with a slash.

    Raises
    ------
    InputError
        The tar is damaged, a label in it cannot be read or contradicts another, or a shard holds
        pictures that are neither an image of it nor beside one.
    """
    listing = TarListing(Container.of(path), [], {}, set(), [], "")
    headers = hashlib.sha256()
    stated = _Stated([], {suffix: {} for suffix in _LABELS})
    with path.open("rb") as stream:
        for member in _members(path, stream):
            headers.update(repr((member.name, member.size, member.mtime, member.chksum)).encode())
            name = _name(path, member)
            if not name.startswith(inside) or _is_hidden(name.removeprefix(inside)):
                continue
            _sort_in(listing, stated, member, name.removeprefix(inside), stream)
    listing.labels.update(_together(path, stated.labels["cls"], stated.labels["json"]))
    if listing.labels:
        _list_shard(listing, stated.plain)
    else:
        listing.images.extend(stated.plain)
    return listing._replace(headers=headers.hexdigest())


def _list_shard(listing: TarListing, plain: list[Member]) -> None:
    """Take the images of a shard; what else lies beside one belongs to it, unless it is labelled.

    A name with a further dot is another part of the image, not another image: one that is beside
    none, or has a label of its own, would be judged by nobody.
    """
    images = [m for m in plain if f".{m.name[len(m.key) + 1 :]}".lower() in IMAGE_SUFFIXES]
    keys = {member.key for member in images}
    labelled = {name[: -len(".cls")] for name in listing.others if name.lower().endswith(".cls")}
    for name, key, *_ in plain:
        if key not in keys or name.rpartition(".")[0] in labelled:
            raise InputError(
                f"{listing.file.path}: {name} would be a part of {key}, for in a shard a name "
                "ends at its first dot; write it and its label with no further dot, or leave it out"
            )
    listing.images.extend(images)
    listing.others[:] = [name for name in listing.others if _split(name)[0] not in keys]


def _name(path: Path, member: tarfile.TarInfo) -> str:
    """Return where a member lies below the root of the tar, however its name spells that."""
    name = posixpath.normpath(member.name.lstrip("/"))
    if name.partition("/")[0] == "..":
        raise InputError(
            f"{path}: {member.name} leads out of the tar; write the tar from the folder itself"
        )
    return f"{name}/" if member.isdir() else name


def _is_hidden(name: str) -> bool:
    """Tell whether a folder would not list it: its name, or that of a folder above, is hidden."""
    return any(map(is_hidden, name.split("/")))


def _members(path: Path, stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield every member; tarfile takes a damaged header for the end, so the end is checked."""
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                yield member
                tar.members.clear()  # type: ignore[attr-defined]  # a million of them would fill the memory
            end = tar.offset
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{path}: damaged, or not a plain tar: {error}; was its copy cut short?"
        ) from None
    _require_end(path, stream, end)


def _require_end(path: Path, stream: IO[bytes], end: int) -> None:
    stream.seek(end)
    marker = stream.read(_BLOCK)
    if len(marker) < _BLOCK or any(marker):
        kind = "a damaged header" if len(marker) == _BLOCK else "no end marker"
        raise InputError(f"{path}: damaged: {kind} at byte {end:,}; was its copy cut short?")
    while rest := stream.read(_BLOCK << 7):
        if any(rest):
            raise InputError(
                f"{path}: there is more after its end marker (tars that were joined?); write it "
                "anew"
            )


def _sort_in(
    listing: TarListing,
    stated: _Stated,
    member: tarfile.TarInfo,
    name: str,
    stream: IO[bytes],
) -> None:
    folder, slash, _ = name.partition("/")
    if slash:
        listing.folders.add(folder)
    key, suffix = _split(name)
    if not member.isdir() and Path(name).suffix.lower() in IMAGE_SUFFIXES:
        if not member.isreg() or member.issparse():
            raise InputError(
                f"{listing.file.path}: {name} is {_kind(member)}; write the tar with its files "
                "themselves"
            )
        stated.plain.append(Member(name, key, member.offset_data, member.size))
    elif suffix in _LABELS and member.isreg() and member.size <= _LARGEST_LABEL:
        stream.seek(member.offset_data)
        label = _label(listing.file.path, name, suffix, stream.read(member.size))
        if label:
            earlier = stated.labels[suffix].setdefault(key, label)
            _require_same(listing.file.path, key, earlier, label)
    elif not member.isdir() and may_be_an_image(name):
        listing.others.append(name)


def _together(path: Path, cls: dict[str, str], others: dict[str, str]) -> dict[str, str]:
    """Return the labels; a number in one kind of file and a name in the other may well agree."""
    for key, label in others.items():
        if is_number(other := cls.get(key, label)) == is_number(label):
            _require_same(path, key, other, label)
    return others | cls


def _require_same(path: Path, key: str, one: str, other: str) -> None:
    equal = int(one) == int(other) if is_number(one) and is_number(other) else one == other
    if not equal:
        raise InputError(f'{path}: {key} is labelled "{one}" and "{other}"; keep one')


def _kind(member: tarfile.TarInfo) -> str:
    if member.issparse():
        return "stored with holes"
    return "a link" if member.issym() or member.islnk() else "not a regular file"


def _split(name: str) -> tuple[str, str]:
    folder, slash, last = name.rpartition("/")
    stem, _, suffix = last.partition(".")
    return folder + slash + stem, suffix.lower()


def _label(path: Path, name: str, suffix: str, data: bytes) -> str | None:
    if suffix == "json":
        return _from_json(data)
    try:
        label = data.decode().strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {name} is not UTF-8 text: {error}") from None
    if not 0 < len(label) <= _LONGEST_CLASS:
        held = f"holds {len(label):,} characters" if label else "is empty"
        raise InputError(f"{path}: {name} {held}; it must hold a class")
    return label


def _from_json(data: bytes) -> str | None:
    """Return the label in a JSON file; it may be about something else, or damaged."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    found = [content.get(key) for key in _LABEL_KEYS] if isinstance(content, dict) else []
    label = next((str(v).strip() for v in map(as_written, found) if isinstance(v, int | str)), "")
    return label if len(label) <= _LONGEST_CLASS else None
