"""Evidence on disk: a Parquet file a kind of evidence, and a manifest that says what it rests on.

An entry is reused while its key (a digest of all it was made from) is the same and its file is
unharmed. What it replaces is set aside for a while, so that going back to an earlier candidate
costs nothing. A pass over images writes parts as it goes: an interrupted run keeps them, and the
whole is put together from them without ever being in memory.

Several processes may use one folder: files appear in one step, the manifest is changed under a
lock, and :meth:`Store.gathering` lets one of those wait that would do the same work.
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from auditor.errors import Unavailable
from auditor.store.files import read_open, sha256_of, sha256_of_open, write_stream
from auditor.store.locks import held, held_if_free
from auditor.store.manifest import EARLIER, Entry, Manifest, StoredFile
from auditor.store.parts import Parts, remove_if_empty
from auditor.writing import appearing, write_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EVIDENCE", "GENERATIONS", "Store", "StoredFile"]

EVIDENCE = "evidence"
"""The folder of a store, beside what was made from it."""

GENERATIONS = 4
"""How many earlier entries of a name are set aside."""

_MANIFEST = "manifest.json"
_WRITING = "-writing"
_OUTDATED = "outdated-"
_SHORT = 16
"""Characters of a key that tell it apart in the name of a folder."""
_HARMS = {
    "missing": "it is missing",
    "unreadable": "it cannot be read",
    "damaged": f"its digest is not the one in {_MANIFEST}: it is damaged",
}
"""What became of a file, in a word → in words that follow its name."""

Found = TypeVar("Found")


class Store:
    """A folder of evidence.

    Parameters
    ----------
    directory
        Created when something is first saved.
    asked
        What evidence is made from now, as JSON values by table and key; kept with what is saved.
    """

    def __init__(
        self, directory: Path, asked: Mapping[str, Mapping[str, object]] | None = None
    ) -> None:
        self.directory = directory
        self._asked = {} if asked is None else {"asked": {k: dict(v) for k, v in asked.items()}}
        self._manifest = directory / _MANIFEST
        self._digests: dict[object, str] = {}
        """How a file looked → its digest then, so that it is read once."""
        self._used: dict[str, str] = {}
        """Name → digest of what was loaded or saved last: others may replace the current entry."""
        self._entries: dict[str, Entry] = {}
        self._earlier: dict[str, list[Entry]] = {}
        self._read_manifest()

    def key(self, name: str) -> str | None:
        """Return the key under which evidence is stored, if it is."""
        return self._entries.get(name, {}).get("key")

    def asked(self, name: str) -> Mapping[str, Mapping[str, object]] | None:
        """Return what stored evidence was made from, in the user's words; None where not known."""
        found: Mapping[str, Mapping[str, object]] | None = self._entries.get(name, {}).get("asked")
        return found

    def tell(self) -> None:
        """Keep with all that was used here what it is called now: its files may have moved."""
        told = {n: e | self._asked for n, e in self._entries.items() if self._is_used(n, e)}
        if told.items() <= self._entries.items():
            return
        with self._changing():
            now = self._entries.items()
            self._entries |= {n: e | self._asked for n, e in now if self._is_used(n, e)}

    def _is_used(self, name: str, entry: Entry) -> bool:
        return name in self._used and self._used[name] == entry.get("sha256")

    def digests(self) -> dict[str, str]:
        """Return name → SHA-256 of every stored file; of what was used here, as it was used."""
        stored = {k: v["sha256"] for k, v in self._entries.items() if "sha256" in v}
        return dict(sorted({**stored, **self._used}.items()))

    def listed(self) -> list[StoredFile]:
        """Return every file of evidence, the current ones first."""
        found = [(name, entry, True) for name, entry in self._entries.items() if "file" in entry]
        found += [(n, e, False) for n, entries in self._earlier.items() for e in entries]
        return [
            StoredFile(
                name,
                entry["key"],
                entry["rows"],
                self._size(entry),
                entry.get("stored", ""),
                current,
                self.directory / entry["file"],
                self._harm(entry),
            )
            for name, entry, current in found
        ]

    def harm(self, name: str) -> str | None:
        """Return what became of the file of current evidence; None where it is sound, or none."""
        entry = self._entries.get(name, {})
        if "file" not in entry or not (harm := self._harm(entry)):
            return None
        return f"{self.directory / entry['file']}: {_HARMS[harm]}"

    def load(self, name: str, key: str | None = None) -> pa.Table | None:
        """Return stored evidence; None where it is absent, harmed, or of another key."""
        return self._had(name, key, self._table)

    def find(self, name: str, key: str | None = None) -> Path | None:
        """Return the unharmed file of stored evidence.

        Of what was set aside, that with the key becomes the current one again.

        Raises
        ------
        Unavailable
            It could not be had, and the reason was stored in its place.
        """
        return self._had(name, key, self._unharmed)

    def like(self, name: str, method: str) -> Path | None:
        """Return the latest unharmed file that was made by the same method, of whatever data."""
        entries = [self._entries.get(name, {}), *reversed(self._earlier.get(name, []))]
        for entry in entries:
            if entry.get("method") == method and (path := self._unharmed(entry)) is not None:
                return path
        return None

    def origin(self, name: str) -> Mapping[str, str]:
        """Return what stored evidence was made from."""
        found: Mapping[str, str] = self._entries[name].get("origin", {})
        return found

    def save(self, name: str, key: str, table: pa.Table, origin: Mapping[str, str]) -> None:
        """Store evidence in one step, with the identities of what it was made from."""
        self.save_stream(name, key, [table], table.schema, origin)

    def save_stream(
        self,
        name: str,
        key: str,
        tables: Iterable[pa.Table],
        schema: pa.Schema,
        origin: Mapping[str, str],
        method: str = "",
    ) -> None:
        """Store evidence that comes in pieces; what a piece lacks of the schema is null."""
        file = self.directory / f"{name}.parquet"
        with held(self._lock(f"{name}{_WRITING}")), appearing(file) as partial:
            rows = write_stream(tables, schema, partial)
            entry: Entry = {
                "key": key,
                "method": method,
                "origin": dict(origin),
                "file": file.name,
                "sha256": sha256_of(partial),
                "rows": rows,
                "stored": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                **self._asked,
            }
            with self._changing():
                self._set_aside(name, key)
                partial.replace(file)
                self._entries[name] = entry
        self._used[name] = entry["sha256"]
        for folder in self.directory.glob(f"{name}.parts/{key[:_SHORT]}*"):
            Parts(folder).remove()

    def outdate(self, names: Iterable[str], resting: Iterable[str] = ()) -> None:
        """Let evidence answer to no key, so that it is made again; its rows may serve for that.

        Parameters
        ----------
        names
            What is current.
        resting
            What was made from it: what is set aside of that is no better.
        """
        resting = set(resting)
        with self._changing():
            for name in {*names, *resting}:
                if "file" in (entry := self._entries.get(name, {})):
                    self._entries[name] = _outdated(entry)
            for name in resting & self._earlier.keys():
                self._earlier[name] = [_outdated(entry) for entry in self._earlier[name]]

    def save_unavailable(self, name: str, reason: Unavailable) -> None:
        """Remember why evidence could not be had, for those who judge it elsewhere."""
        self._used.pop(name, None)
        said = {"key": "", "unavailable": reason.reason, "status": reason.status, **self._asked}
        if self._entries.get(name) == said:
            return
        with self._changing():
            self._set_aside(name, "")
            self._entries[name] = said

    def parts(self, name: str, key: str, among: str = "") -> Parts:
        """Return the place where a pass keeps what it has seen so far.

        Parameters
        ----------
        name, key
            What it will be stored as.
        among
            A digest of the images to see, where they are not all: parts of others are no parts of
            it.
        """
        return Parts(self.directory / f"{name}.parts" / f"{key[:_SHORT]}{among and '-'}{among}")

    @contextmanager
    def gathering(
        self, keys: Iterable[str], waiting: Callable[[], None], share: str = ""
    ) -> Iterator[None]:
        """Hold off others who would gather the same; ``waiting`` is called where one does already.

        Other shares of the same are not held off. Afterwards the manifest is read again: they may
        have finished.
        """
        with ExitStack() as locks:
            for key in sorted(set(keys)):
                locks.enter_context(held(self._lock(f"{key[:_SHORT]}{share}"), waiting))
            self._read_manifest()
            yield

    def unfinished(self) -> list[Path]:
        """Return the folders of passes that did not end."""
        return sorted(folder for folder in self.directory.glob("*.parts/*") if folder.is_dir())

    def prune(self) -> list[Path]:
        """Remove what is set aside, what no entry names, and all that is unfinished but shares.

        Returns
        -------
        list of Path
            The files and folders that are gone. What another process is gathering now stays.
        """
        with self._changing():
            self._earlier = {}
            kept = {self.directory / entry.get("file", "") for entry in self._entries.values()}
            strays = [*self.directory.glob("*.parquet"), *self.directory.glob(f"{EARLIER}/*")]
            removed = [path for path in strays if path not in kept]
            removed += filter(self._is_left_behind, self.directory.glob("*.partial"))
            for path in removed:
                path.unlink(missing_ok=True)
            for folder in (each for each in self.unfinished() if not Parts(each).shares()):
                with self._if_nobody_gathers(folder.name[:_SHORT]) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)
                        removed.append(folder)
        for folder in (*self.directory.glob("*.parts"), self.directory / EARLIER):
            remove_if_empty(folder)
        return removed

    def _is_left_behind(self, partial: Path) -> bool:
        """Tell whether nobody is writing a file: whoever began it has died."""
        name = partial.name.partition(".")[0]
        with held_if_free(self._lock(f"{name}{_WRITING}")) as free:
            return free

    @contextmanager
    def _if_nobody_gathers(self, key: str) -> Iterator[bool]:
        """Hold a pass and all shares of it, unless another process is at one of them."""
        others = self.directory.glob(f".locks/{key}*.lock")
        with ExitStack() as locks:
            paths = {self._lock(key), *others}
            yield all(locks.enter_context(held_if_free(path)) for path in sorted(paths))

    def _set_aside(self, name: str, key: str) -> None:
        """Move the current entry of a name out of the way of another one."""
        entry = self._entries.get(name, {})
        if "file" not in entry or entry["key"] == key:
            return
        path = self.directory / entry["file"]
        aside = self.directory / EARLIER / f"{name}-{entry['key'][:_SHORT]}.parquet"
        if not path.exists():
            return
        aside.parent.mkdir(exist_ok=True)
        path.replace(aside)
        others = [e for e in self._earlier.get(name, []) if e["key"] != entry["key"]]
        moved = entry | {"file": aside.relative_to(self.directory).as_posix()}
        kept = [*others, moved]
        for dropped in kept[:-GENERATIONS]:
            (self.directory / dropped["file"]).unlink(missing_ok=True)
        self._earlier[name] = kept[-GENERATIONS:]

    def _had(
        self, name: str, key: str | None, get: Callable[[Entry], Found | None]
    ) -> Found | None:
        """Return what ``get`` makes of the current entry, if that is of the key.

        Where it is not, or its file is not what it was, another process may have put its own in
        the place since the manifest was read: then it is asked once more, with nobody at it.
        """
        found = self._of_current(name, key, get)
        if found is None and self._manifest.exists():
            if key is None:
                self._read_manifest()
                return self._of_current(name, key, get)
            with self._changing():
                self._take_back(name, key)
                return self._of_current(name, key, get)
        return found

    def _of_current(
        self, name: str, key: str | None, get: Callable[[Entry], Found | None]
    ) -> Found | None:
        entry = self._entries.get(name)
        if entry is None or key not in (None, entry["key"]):
            return None
        if "unavailable" in entry:
            raise Unavailable(entry["unavailable"], entry["status"])
        if (found := get(entry)) is not None:
            self._used[name] = entry["sha256"]
        return found

    def _take_back(self, name: str, key: str) -> None:
        """Make what was set aside the current entry again, if it is there and unharmed."""
        entries = self._earlier.get(name, [])
        found = next((entry for entry in entries if entry["key"] == key), None)
        if found is None or self._unharmed(found) is None:
            return
        self._earlier[name] = [entry for entry in entries if entry is not found]
        path = self.directory / found["file"]
        self._set_aside(name, key)
        path.replace(self.directory / f"{name}.parquet")
        self._entries[name] = found | {"file": f"{name}.parquet"}

    def _unharmed(self, entry: Entry) -> Path | None:
        with self._opened(entry) as file:
            return None if file is None else self.directory / entry["file"]

    def _harm(self, entry: Entry) -> str:
        if self._unharmed(entry) is not None:
            return ""
        try:
            (self.directory / entry["file"]).open("rb").close()
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"
        return "damaged"

    def _table(self, entry: Entry) -> pa.Table | None:
        with self._opened(entry) as file:
            return None if file is None else read_open(file)

    @contextmanager
    def _opened(self, entry: Entry) -> Iterator[BufferedReader | None]:
        """Open an entry's file; None where it is not what it was when it was stored.

        Whoever puts another in its place meanwhile changes nothing of what is read.
        """
        path = self.directory / entry.get("file", "")
        try:
            file = path.open("rb")
        except OSError:
            yield None
            return
        with file:
            yield file if self._digest(file) == entry["sha256"] else None

    def _digest(self, file: BufferedReader) -> str | None:
        status = os.fstat(file.fileno())
        look = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if look not in self._digests:
            try:
                self._digests[look] = sha256_of_open(file)
            except OSError:
                return None
        return self._digests[look]

    def _size(self, entry: Mapping[str, str]) -> int:
        try:
            return (self.directory / entry["file"]).stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Read the manifest anew, and write it where it was changed, with nobody else at it."""
        with held(self._lock("manifest")):
            self._read_manifest()
            before = Manifest(self._entries, self._earlier).text()
            yield
            after = Manifest(self._entries, self._earlier).text()
            if after != before:
                write_text(self._manifest, after)

    def _lock(self, name: str) -> Path:
        return self.directory / ".locks" / f"{name}.lock"

    def _read_manifest(self) -> None:
        self._entries, self._earlier = Manifest.read(self._manifest)


def _outdated(entry: Entry) -> Entry:
    return entry | {"key": f"{_OUTDATED}{entry['key'].removeprefix(_OUTDATED)}"}
