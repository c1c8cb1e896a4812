"""Evidence that several candidates and several processes share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.errors import Unavailable
from auditor.evidence.signatures import SigningSettings
from auditor.standalone.searching import compare
from auditor.store import GENERATIONS, Store
from auditor.store.files import read_open, read_table

KEYS = [f"{n:064}"[::-1] for n in range(1, 9)]
METHOD = "by model"


def table(n: int) -> pa.Table:
    return pa.table({"x": [n]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


def save(folder: Path, n: int, name: str = "test", method: str = METHOD) -> None:
    Store(folder).save_stream(name, KEYS[n], [table(n)], table(n).schema, {}, method)


def files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.parquet"))


class TestGenerations:
    """What was stored before is set aside, and taken back."""

    def test_a_few_are_kept(self, folder: Path) -> None:
        for n in range(len(KEYS)):
            save(folder, n)
        store = Store(folder)
        kept = range(len(KEYS) - GENERATIONS - 1, len(KEYS))
        assert files(folder) == GENERATIONS + 1
        for n in range(len(KEYS)):
            assert store.load("test", KEYS[n]) == (table(n) if n in kept else None)

    def test_what_is_taken_back_is_the_current_one(self, folder: Path) -> None:
        for n in range(3):
            save(folder, n)
        assert Store(folder).load("test", KEYS[0]) == table(0)
        again = Store(folder)
        assert (again.key("test"), again.load("test")) == (KEYS[0], table(0))
        assert [kept.current for kept in again.listed()] == [True, False, False]
        assert files(folder) == 3

    def test_other_evidence_stays_as_it_is(self, folder: Path) -> None:
        save(folder, 0, "train")
        for n in range(3):
            save(folder, n)
        assert Store(folder).load("train", KEYS[0]) == table(0)

    @pytest.mark.parametrize("harm", [lambda content: content[:-3], lambda content: b""])
    def test_a_harmed_one_is_not_taken_back(
        self, folder: Path, harm: Callable[[bytes], bytes]
    ) -> None:
        save(folder, 0)
        save(folder, 1)
        (aside,) = folder.glob("earlier/*.parquet")
        aside.write_bytes(harm(aside.read_bytes()))
        assert Store(folder).load("test", KEYS[0]) is None
        assert Store(folder).like("test", METHOD) == folder / "test.parquet"
        assert Store(folder).load("test") == table(1)

    def test_a_removed_one_is_not_taken_back(self, folder: Path) -> None:
        save(folder, 0)
        save(folder, 1)
        (aside,) = folder.glob("earlier/*.parquet")
        aside.unlink()
        assert Store(folder).load("test", KEYS[0]) is None
        save(folder, 0)
        assert Store(folder).load("test", KEYS[1]) == table(1)

    def test_the_latest_of_a_method_is_found(self, folder: Path) -> None:
        for n in range(3):
            save(folder, n, method=METHOD)
        save(folder, 3, method="another")
        found = Store(folder).like("test", METHOD)
        assert found is not None
        assert pa.table({"x": [2]}) == read_table(found)
        assert Store(folder).like("test", "none") is None

    def test_a_reason_takes_the_place_and_gives_it_back(self, folder: Path) -> None:
        save(folder, 0)
        Store(folder).save_unavailable("test", Unavailable("no model"))
        with pytest.raises(Unavailable, match="no model"):
            Store(folder).load("test")
        assert Store(folder).load("test", KEYS[0]) == table(0)
        assert Store(folder).load("test") == table(0)

    @given(st.lists(st.integers(0, 5), min_size=1, max_size=14))
    def test_the_last_ones_that_were_used_are_there(
        self, tmp_path_factory: pytest.TempPathFactory, used: list[int]
    ) -> None:
        folder = tmp_path_factory.mktemp("evidence")
        recent: list[int] = []
        for n in used:
            store = Store(folder)
            assert (store.load("test", KEYS[n]) is not None) == (n in recent)
            if n not in recent:
                save(folder, n)
            recent = [*(k for k in recent if k != n), n][-GENERATIONS - 1 :]
            assert Store(folder).load("test") == table(n)
        assert files(folder) == len(recent)


SAVING = """
import sys
from pathlib import Path
import pyarrow as pa
from auditor.store import Store

folder, me = Path(sys.argv[1]), int(sys.argv[2])
for n in range(12):
    Store(folder).save("common", f"{me}{n:015}", pa.table({"x": [n]}), {})
    Store(folder).save(f"own_{me}_{n}", "k", pa.table({"x": [n]}), {})
"""


def _require_all(folder: Path, savers: int) -> None:
    store = Store(folder)
    for me in range(savers):
        for n in range(12):
            assert store.load(f"own_{me}_{n}", "k") == table(n), (me, n)
    assert store.load("common") == table(11)
    assert sum(kept.name == "common" for kept in store.listed()) == GENERATIONS + 1
    assert all(store.find(kept.name, kept.key) for kept in store.listed())
    assert not [*folder.rglob("*.partial")]


class TestTogether:
    """Several at one folder at once."""

    def test_threads_lose_nothing(self, folder: Path) -> None:
        def work(me: int) -> None:
            for n in range(12):
                Store(folder).save("common", f"{me}{n:015}", table(n), {})
                Store(folder).save(f"own_{me}_{n}", "k", table(n), {})

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        _require_all(folder, 3)

    def test_processes_lose_nothing_and_the_manifest_is_whole_at_any_time(
        self, folder: Path
    ) -> None:
        command = [sys.executable, "-c", SAVING, str(folder)]
        running = [subprocess.Popen([*command, str(me)]) for me in range(2)]
        manifest, read = folder / "manifest.json", 0
        while any(process.poll() is None for process in running):
            if manifest.exists():
                read += json.loads(manifest.read_text())["format"]
        assert [process.wait() for process in running] == [0, 0]
        assert read
        _require_all(folder, 2)

    def test_who_comes_second_waits_and_then_finds_it(self, folder: Path) -> None:
        begun, waiting, order = threading.Event(), threading.Event(), list[str]()
        store = Store(folder)

        def first() -> None:
            with Store(folder).gathering([KEYS[0], KEYS[1]], lambda: None):
                begun.set()
                assert waiting.wait(60)
                save(folder, 0)
                order.append("stored")

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(first)
            assert begun.wait(60)
            assert store.find("test", KEYS[0]) is None
            with store.gathering([KEYS[2], KEYS[0]], waiting.set):
                order.append("went on")
                assert store.load("test", KEYS[0]) == table(0)
            done.result()
        assert order == ["stored", "went on"]

    def test_what_others_put_in_the_place_does_not_hide_ones_own(self, folder: Path) -> None:
        mine, theirs = Store(folder), Store(folder)
        for store, n in ((mine, 0), (theirs, 1)):
            store.save("test", KEYS[n], table(n), {})
        for _ in range(2):
            assert mine.find("test", KEYS[0]) == folder / "test.parquet"
            assert mine.load("test", KEYS[0]) == table(0)
            assert theirs.load("test", KEYS[1]) == table(1)
        assert mine.digests() != theirs.digests()
        assert mine.load("test", KEYS[2]) is None

    def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(file: Any) -> pa.Table:
            monkeypatch.undo()
            save(folder, 1)
            return read_open(file)

        save(folder, 0)
        for key in (KEYS[0], None):
            store = Store(folder)
            assert store.load("test", KEYS[0]) == table(0)
            monkeypatch.setattr("auditor.store.store.read_open", late)
            assert store.load("test", key) == table(0)
            assert Store(folder).load("test") == table(1)

    def test_everybody_gets_ones_own_at_any_time(self, folder: Path) -> None:
        def work(n: int) -> None:
            store = Store(folder)
            for _ in range(40):
                if store.find("test", KEYS[n]) is None:
                    store.save("test", KEYS[n], table(n), {})
                assert store.load("test", KEYS[n]) == table(n)

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))

    def test_two_searches_with_other_settings_in_one_folder(
        self, tmp_path: Path, image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train, test = (image_folder(name, {"a": 3, "b": 3}) for name in ("train", "test"))
        save_stream, others = Store.save_stream, list[bool]()

        def interrupted(self: Store, name: str, *arguments: Any) -> None:
            save_stream(self, name, *arguments)
            if name == "test_signatures" and not others:
                others.append(True)
                compare(train, test, tmp_path / "out", settings={"views": True})

        monkeypatch.setattr(Store, "save_stream", interrupted)
        found = compare(train, test, tmp_path / "out")
        assert others
        alone = compare(train, test, tmp_path / "alone")
        assert found.overlap.pairs == alone.overlap.pairs
        assert found.report.exhibit == alone.report.exhibit
        assert found.test.settings == SigningSettings(views=False)

    def test_other_work_and_other_shares_are_not_held_off(self, folder: Path) -> None:
        def fail() -> None:
            raise AssertionError("it waited")

        store = Store(folder)
        with (
            store.gathering([KEYS[0]], fail, "-1-of-2"),
            Store(folder).gathering([KEYS[0]], fail, "-2-of-2"),
            Store(folder).gathering([KEYS[1]], fail),
        ):
            pass


def test_two_audits_at_once_do_the_work_once(
    tmp_path: Path,
    image_folder: Callable[..., Path],
    counted: str,
    looked: Callable[[], int],
) -> None:
    data = image_folder("test", {"a": 40, "b": 40})
    command: list[Any] = [sys.executable, "-m", "auditor", "run"]
    command += ["--module", counted, "--test", data, "--output", "out"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}
    running = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in running]
    statuses = [process.returncode for process in running]
    assert statuses in ([0, 0], [3, 3]), said
    verdicts = {out.partition("\n")[0] for out, _ in said}
    assert len(verdicts) == 1
    assert looked() == 80
    assert Store(tmp_path / "out" / "evidence").unfinished() == []
