"""Finds out what kind of place a path names, and reads the split from there.

A kind of place is a *source*: something with ``claims(path)`` and ``read(path, classes)``, such as
a module. Ours are asked first, then those of other packages (entry-point group
``auditor.sources``), and a plain image folder is what is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from numbers import Number
from pathlib import Path, PurePath
from types import UnionType
from typing import Protocol

import numpy as np

from auditor.crashes import named
from auditor.data.folder import listing, read_folder
from auditor.data.manifest import read_manifest
from auditor.data.samples import LeftOut, Reader, Samples
from auditor.data.tables import is_table
from auditor.errors import InputError
from auditor.plug_ins import SOURCES, blamed, broken, called, entries, loaded

__all__ = ["Source", "read_samples", "source_of"]


class Source(Protocol):
    """A kind of place that holds the images and labels of a split."""

    def claims(self, path: Path) -> bool:
        """Tell, at once and from the path, whether it is one of this kind."""
        ...

    def read(self, path: Path, classes: Sequence[str] | None) -> Samples:
        """List the split's images; ``classes`` are the user's, where labels may be numbers.

        Raises ``InputError`` where it cannot, naming the file and the next step.
        """
        ...


def read_samples(path: Path, classes: Sequence[str] | None = None) -> Samples:
    """Read a split from wherever the user pointed.

    Parameters
    ----------
    path
        A folder of class folders; a manifest; tars; Parquet files with images; a data set on
        disk; or what a plug-in knows. A pattern names several files of one kind.
    classes
        The user's list of classes, in which a label that is a number is a place.

    Raises
    ------
    InputError
        There is nothing that can be read.
    """
    source = source_of(path)
    if source is not None:
        return source.read(path, classes)
    if path.is_dir():
        return read_folder(path)
    if not path.exists():
        raise InputError(f"{path}: no such folder or manifest")
    if is_table(path):
        return read_manifest(path, classes)
    raise InputError(
        f"{path}: no source of images: it is neither a folder of class folders, a .csv or .parquet "
        "manifest, a .tar, nor a data set on disk; save a list of images as .csv, with commas"
    )


def source_of(path: Path) -> Source | None:
    """Return the source that claims a path; None for a plain folder, a manifest, or nothing."""
    return _built_in(path) or _plugged_in(path)


def _built_in(path: Path) -> Source | None:
    from auditor.data import arrow, parquet, tar

    sources: tuple[Source, ...] = (tar, arrow, parquet)
    with listing(path):
        return next((source for source in sources if source.claims(path)), None)


def _plugged_in(path: Path) -> Source | None:
    claiming: dict[str, Source] = {}
    for entry in entries(SOURCES):
        with _blamed(entry, path):
            source: Source = loaded(entry)
            if source.claims(path):
                claiming[entry.name] = _PlugIn(entry, source)
    if len(claiming) > 1:
        raise InputError(f"{path}: claimed by the plug-ins {', '.join(claiming)}; uninstall one")
    return next(iter(claiming.values()), None)


def _blamed(entry: EntryPoint, path: Path) -> AbstractContextManager[None]:
    return blamed(f"{called(entry)} failed on {path}", but=(InputError,))


@dataclass(frozen=True)
class _PlugIn:
    """A source of another package, held to what a source promises."""

    entry: EntryPoint
    source: Source

    def claims(self, path: Path) -> bool:
        return self.source.claims(path)

    def read(self, path: Path, classes: Sequence[str] | None) -> Samples:
        with _blamed(self.entry, path):
            samples = _sound(self.source.read(path, classes))
            if samples.reader is None:
                return samples
            reader = _PlugInReader(self.entry.name, samples.reader)
            _require_steady(reader, samples.images[0])
        return replace(samples, reader=reader)


_KINDS: dict[str, tuple[type | UnionType, str]] = {
    "root": (Path, "a Path"),
    "class_order": (str, "a text"),
    "source": (str, "a text"),
    "metadata": (Mapping, "a mapping"),
    "sample": (str, "a text"),
    "representative": (tuple | list, "a tuple"),
    "held_in": (tuple, "a tuple"),
    "left_out": (LeftOut, "LeftOut"),
}
"""Field of ``Samples`` → what it must be, beside its columns."""


def _sound(samples: object) -> Samples:
    """Return what a plug-in listed; raise ``TypeError`` or ``ValueError`` where it is no split."""
    if not isinstance(samples, Samples):
        raise TypeError(f"read returned {type(samples).__name__}, not Samples")
    for name, (kind, said) in _KINDS.items():
        if not isinstance(value := getattr(samples, name), kind):
            raise TypeError(f"{name} is {value!r}, not {said}")
    for name in ("read", "stamp"):
        if samples.reader is not None and not callable(getattr(samples.reader, name, None)):
            raise TypeError(f"its reader has no {name}(image)")
    _require_columns(samples)
    _require_representative(samples)
    if not _is_plain(samples.held_in):
        raise TypeError(f"held_in is {samples.held_in!r}; hold texts, bytes and numbers alone")
    for name, values in (("image", samples.images), ("class", samples.classes)):
        value, times = Counter(values).most_common(1)[0]
        if times > 1:
            raise ValueError(f'the {name} "{value}" is listed {times:,} times; list each once')
    if strange := set(samples.labels) - set(samples.classes):
        raise ValueError(f'the label "{min(strange)}" is none of its classes')
    return samples


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bytes | Number | PurePath)


def _require_steady(reader: Reader, image: str) -> None:
    """Refuse stamps of which no two are alike: every image would have changed during the pass."""
    one, other = reader.stamp(image), reader.stamp(image)  # both live: an address is used again
    if repr(one) != repr(other):
        raise TypeError(
            f"its reader's stamp of {image} is {one!r}, and {other!r} when asked again; return "
            "plain values that change with the image alone"
        )


def _require_representative(samples: Samples) -> None:
    """Refuse what does not say of each image, or of none, whether it is one of a fair sample."""
    found = samples.representative
    if any(not isinstance(value, bool | np.bool_) for value in found):
        raise TypeError("representative holds more than True and False")
    if found and len(found) != len(samples):
        raise ValueError(f"there are {len(found):,} representative for {len(samples):,} images")


def _require_columns(samples: Samples) -> None:
    """Refuse columns that are no sequences of texts, not parallel to images, or named like one."""
    if taken := samples.metadata.keys() & {"image", "label"}:
        raise ValueError(f'the metadata hold "{min(taken)}", the name of a column of each split')
    parallel = {"labels": samples.labels, **samples.metadata}
    columns = {"images": samples.images, "classes": samples.classes, **parallel}
    for name, values in columns.items():
        if not isinstance(values, tuple | list):
            raise TypeError(f"{name} is a {type(values).__name__}, not a tuple")
        if not values:
            raise ValueError(f"there are no {name}; an empty split cannot be judged")
        for value in values:
            if not isinstance(value, str):
                raise TypeError(f"{name} holds {value!r}, not a text")
        if name in parallel and len(values) != len(samples):
            raise ValueError(f"there are {len(values):,} {name} for {len(samples):,} images")


@dataclass(frozen=True)
class _PlugInReader:
    """Makes whatever fails on an image an error of that image alone."""

    name: str
    reader: Reader

    def read(self, image: str) -> bytes:
        try:
            found: object = self.reader.read(image)
        except (OSError, InputError):
            raise
        except (Exception, SystemExit) as error:
            raise OSError(f"the plug-in {self.name}: {named(error)}") from error
        if not isinstance(found, bytes):
            raise broken(
                f"{self.name}: its reader returned {type(found).__name__} for {image}, "
                "not the bytes of its file"
            )
        return found

    def stamp(self, image: str) -> object:
        with blamed(f"{self.name} failed on {image}"):
            return self.reader.stamp(image)
