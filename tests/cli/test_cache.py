"""``auditor cache``: what evidence is kept, and what is removed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow as pa
import pytest

from auditor.store import GENERATIONS, Store

Cli = Callable[..., CompletedProcess[str]]

KEYS = [letter * 64 for letter in "abcdef"]
HOLDING = """
import sys
from pathlib import Path
from auditor.store.locks import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_holds(lock: Path) -> Iterator[None]:
    """Hold a lock as a pass in another process does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


@pytest.fixture
def store(here: Path) -> Store:
    """Evidence of a candidate, of two before it, and of a pass that was interrupted."""
    store = Store(here / "audit" / "evidence")
    for rows, key in enumerate(KEYS[:3], 1):
        store.save("test", key, pa.table({"x": range(rows)}), {})
    store.save("overlap", KEYS[0], pa.table({"x": range(1234)}), {})
    store.parts("train", KEYS[4]).save(0, pa.table({"x": range(9)}))
    return store


def lines(done: CompletedProcess[str]) -> list[list[str]]:
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("\n\n")[0]
    return [re.split(r" {2,}", line.strip()) for line in table.splitlines()]


def test_everything_that_is_kept_is_listed(cli: Cli, store: Store) -> None:
    done = cli("cache")
    header, *rows = lines(done)
    assert header == ["evidence", "rows", "size", "gathered", "key"]
    assert [(row[0], row[1], row[-1]) for row in rows[:-1]] == [
        ("overlap", "1,234", "a" * 12),
        ("test", "3", "c" * 12),
        ("test", "1", "set aside"),
        ("test", "2", "set aside"),
    ]
    assert (rows[-1][0], rows[-1][-2:]) == ("train", ["e" * 12, "unfinished"])
    assert re.search(r"\n\n[\d.]+ [kM]?B in audit/evidence\n$", done.stdout)


def test_a_file_that_is_not_what_was_stored_is_marked(cli: Cli, store: Store) -> None:
    sound = {row[0]: row[-1] for row in lines(cli("cache"))[1:3]}
    assert sound == {"overlap": "a" * 12, "test": "c" * 12}
    path = store.directory / "overlap.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(50) + content[150:])
    (store.directory / "test.parquet").unlink()
    for aside in store.directory.glob("earlier/*"):
        aside.write_bytes(b"")
    assert [row[-1] for row in lines(cli("cache"))[1:-1]] == [
        "damaged",
        "missing",
        *2 * ["set aside, damaged"],
    ]


def test_what_is_not_judged_now_is_removed(cli: Cli, store: Store, here: Path) -> None:
    (store.directory / "test.parquet.0123.partial").write_bytes(b"left by a kill")
    (store.directory / "stray.parquet").write_bytes(b"named by nothing")
    done = cli("cache", "--prune")
    assert re.match(r"removed 5 files and folders, [\d.]+ kB\n", done.stdout)
    assert {row[0] for row in lines(cli("cache"))[1:]} == {"overlap", "test"}
    names = {path.name for path in store.directory.iterdir()} - {".locks"}
    assert names == {"manifest.json", "overlap.parquet", "test.parquet"}
    assert Store(store.directory).load("test", KEYS[2]) == pa.table({"x": range(3)})
    assert Store(store.directory).load("test", KEYS[0]) is None
    assert cli("cache", "audit", "--prune").stdout.startswith("removed 0 files and folders, 0 B\n")


@pytest.mark.parametrize("share", ["", "-1-of-2"])
def test_a_pass_that_is_under_way_elsewhere_stays(cli: Cli, store: Store, share: str) -> None:
    lock = store.directory / ".locks" / f"{KEYS[4][:16]}{share}.lock"
    with another_process_holds(lock):
        assert cli("cache", "--prune").returncode == 0
        assert store.parts("train", KEYS[4]).numbers() == {0}
    assert cli("cache", "--prune").returncode == 0
    assert store.parts("train", KEYS[4]).numbers() == set()


def test_shards_that_are_to_be_merged_stay(cli: Cli, store: Store) -> None:
    parts = store.parts("train", KEYS[5])
    for number in (10, 2):
        parts.save(number, pa.table({"x": range(9)}))
        parts.share(number, 12).write_text("{}")
    rows = {row[-2]: row[-1] for row in lines(cli("cache")) if row[0] == "train"}
    assert rows == {"e" * 12: "unfinished", "f" * 12: "shards 2/12, 10/12, to be merged"}
    parts.share(10, 12).unlink()
    assert cli("cache", "--prune").returncode == 0
    assert parts.numbers() == {2, 10}
    assert lines(cli("cache"))[-1][-1] == "shard 2/12, to be merged"
    assert store.parts("train", KEYS[4]).numbers() == set()


def test_a_file_that_is_being_written_elsewhere_stays(cli: Cli, store: Store) -> None:
    def pieces() -> Iterator[pa.Table]:
        yield TABLE
        assert cli("cache", "--prune").returncode == 0

    store.save_stream("test", KEYS[5], pieces(), TABLE.schema, {})
    assert Store(store.directory).load("test", KEYS[5]) == TABLE


TABLE = pa.table({"x": [1, 2, 3]})


def test_the_names_of_locks_are_those_of_passes(store: Store) -> None:
    with store.gathering([KEYS[4]], lambda: None, "-1-of-2"):
        assert (store.directory / ".locks" / f"{KEYS[4][:16]}-1-of-2.lock").exists()
        assert store.prune()
        assert store.parts("train", KEYS[4]).numbers() == {0}


def test_a_few_earlier_candidates_are_kept(cli: Cli, here: Path) -> None:
    store = Store(here / "audit" / "evidence")
    for key in KEYS:
        store.save("test", key, TABLE, {})
    assert sum(row[-1] == "set aside" for row in lines(cli("cache"))) == GENERATIONS


@pytest.mark.parametrize("arguments", [(), ("--prune",), ("none",)])
def test_no_evidence_is_an_error(cli: Cli, here: Path, arguments: tuple[str, ...]) -> None:
    done = cli("cache", *arguments)
    assert done.returncode == 2
    assert "/evidence: no evidence is kept there; name the folder of an audit" in done.stderr
    assert [*here.iterdir()] == []


def test_a_manifest_that_is_none_is_named(cli: Cli, store: Store) -> None:
    (store.directory / "manifest.json").write_text('{"evidence": {"test": {"file": "x"}}}')
    done = cli("cache")
    assert done.returncode == 2
    assert "manifest.json: not an evidence manifest" in done.stderr
