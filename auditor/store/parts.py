"""What an unfinished pass over images has seen so far."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auditor.store.files import read_table, schema_of, sha256_of, write_stream
from auditor.writing import appearing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Parts", "remove_if_empty"]


_AGAIN = ".again"
_NAME = re.compile(rf"(\d{{6,}})({re.escape(_AGAIN)})?-([0-9a-f]{{64}})\.parquet")
_SHARE = re.compile(r"share-(\d+)-of-(\d+)\.json")


class _Part(NamedTuple):
    """A file whose name says what was written: it appears with its content, or not at all."""

    path: Path
    again: bool
    digest: str

    @property
    def is_unharmed(self) -> bool:
        """Whether it is what was written; what cannot be read is not."""
        try:
            return sha256_of(self.path) == self.digest
        except OSError:
            return False


class Parts:
    """What a pass has seen so far, a file for each part of its images.

    Parameters
    ----------
    folder
        Its own; created when a part is first saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[int, _Part] = {}

    def numbers(self, *, again: bool = False) -> set[int]:
        """Return the parts that are there and unharmed; if told so, those that serve once, too."""
        self._list()
        found = self._listed.items()
        return {n for n, part in found if (again or not part.again) and part.is_unharmed}

    def save(self, number: int, table: pa.Table, *, again: bool = False) -> None:
        """Keep a part; one that is to be seen ``again`` serves this pass alone."""
        stem = f"{number:06}{_AGAIN * again}"
        with appearing(self.folder / stem) as partial:
            write_stream([table], table.schema, partial)
            digest = sha256_of(partial)
            path = self.folder / f"{stem}-{digest}.parquet"
            self.forget(number)  # before: of two nobody could tell which was the later
            partial.replace(path)
        self._listed[number] = _Part(path, again, digest)

    def serves_once(self, number: int) -> bool:
        """Tell whether a part of this pass is to be seen again by the next."""
        found = self._found(number)
        return found is None or found.again

    def read(self, number: int) -> pa.Table:
        """Return a part of this pass."""
        found = self._found(number)
        if found is None:
            raise FileNotFoundError(f"{self.folder}: part {number} is not there")
        return read_table(found.path)

    def schemas(self, numbers: Iterable[int]) -> Iterator[tuple[int, pa.Schema]]:
        """Yield some parts of this pass and their columns."""
        for number in numbers:
            found = self._found(number)
            if found is not None and (schema := schema_of(found.path)) is not None:
                yield number, schema

    def forget(self, number: int) -> None:
        """Remove a part."""
        for path in self.folder.glob(f"{number:06}[-.]*.parquet"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget them all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_if_empty(self.folder.parent)

    def share(self, number: int, of: int) -> Path:
        """Return where it is said what the parts of a share are, once all of them are there."""
        return self.folder / f"share-{number}-of-{of}.json"

    def shares(self) -> list[str]:
        """Return the shares of which that is said, as ``2/8``."""
        found = [_SHARE.fullmatch(path.name) for path in self.folder.glob("share-*.json")]
        numbers = sorted((int(each[1]), int(each[2])) for each in found if each)
        return [f"{number}/{of}" for number, of in numbers]

    def _found(self, number: int) -> _Part | None:
        found = self._listed.get(number)
        if found is None or not found.path.exists():  # another pass may have made it
            self._list()
            found = self._listed.get(number)
        return found

    def _list(self) -> None:
        names = [(_NAME.fullmatch(path.name), path) for path in self.folder.glob("*.parquet")]
        self._listed = {
            int(name[1]): _Part(path, bool(name[2]), name[3]) for name, path in names if name
        }


def remove_if_empty(folder: Path) -> None:
    """Remove a folder, unless there is something in it, or it is not there."""
    try:
        folder.rmdir()
    except OSError:
        return
