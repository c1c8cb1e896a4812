"""What an unfinished pass over images has seen so far."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.store.files import is_unharmed, read_table, schema_of, write_stream
from auditor.writing import appearing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Parts", "remove_if_empty"]


_AGAIN = ".again"


class Parts:
    """What a pass has seen so far, a file for each part of its images.

    Parameters
    ----------
    folder
        Its own; created when a part is first saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def numbers(self, *, again: bool = False) -> set[int]:
        """Return the parts that are there and unharmed; if told so, those that serve once, too."""
        found = (path.stem for path in self.folder.glob("*.parquet"))
        stems = [stem.removesuffix(_AGAIN) if again else stem for stem in found]
        numbers = {int(stem) for stem in stems if stem.isdecimal()}
        return {number for number in numbers if is_unharmed(self._found(number))}

    def save(self, number: int, table: pa.Table, *, again: bool = False) -> None:
        """Keep a part; one that is to be seen ``again`` serves this pass alone."""
        with appearing(self._path(number, again=again)) as partial:
            write_stream([table], table.schema, partial)
            self._path(number, again=not again).unlink(missing_ok=True)

    def serves_once(self, number: int) -> bool:
        """Tell whether a part of this pass is to be seen again by the next."""
        return not self._path(number, again=False).exists()

    def read(self, number: int) -> pa.Table:
        """Return a part of this pass."""
        return read_table(self._found(number))

    def schemas(self, numbers: Iterable[int]) -> Iterator[tuple[int, pa.Schema]]:
        """Yield some parts of this pass and their columns."""
        for number in numbers:
            if (schema := schema_of(self._found(number))) is not None:
                yield number, schema

    def forget(self, number: int) -> None:
        """Remove a part."""
        self._found(number).unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget them all."""
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_if_empty(self.folder.parent)

    def _path(self, number: int, *, again: bool) -> Path:
        return self.folder / f"{number:06}{_AGAIN * again}.parquet"

    def _found(self, number: int) -> Path:
        path = self._path(number, again=False)
        return path if path.exists() else self._path(number, again=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder, unless there is something in it, or it is not there."""
    try:
        folder.rmdir()
    except OSError:
        return
