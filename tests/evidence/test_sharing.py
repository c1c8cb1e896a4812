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
from auditor.evidence.files import read_table
from auditor.evidence.store import GENERATIONS, Store

KEYS = [f"{n:064}"[::-1] for n in range(1, 9)]
METHOD = "by model"


def table(n: int) -> pa.Table:
    return pa.table({"x": [n]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


def save(folder: Path, n: int, name: str = "test", method: str = METHOD) -> None:
    Store(folder).save(name, KEYS[n], table(n), {}, method)


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
from auditor.evidence.store import Store

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


COUNTED = """
from pathlib import Path


class Counted(ByColour):
    def forward(self, x):
        if len(x) > 1:
            with Path(__file__).with_name("looked").open("a") as stream:
                stream.write(len(x) * "x")
        return super().forward(x)


def counted():
    return Counted(2)
"""


def test_two_audits_at_once_do_the_work_once(
    tmp_path: Path, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    data, name = image_folder("test", {"a": 40, "b": 40}), module(COUNTED)
    command: list[Any] = [sys.executable, "-m", "auditor", "run"]
    command += ["--module", f"{name}:counted", "--test", data, "--output", "out"]
    modules = tmp_path / "modules"
    environment = {**os.environ, "PYTHONPATH": str(modules)}
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
    assert (modules / "looked").stat().st_size == 80
    assert Store(tmp_path / "out" / "evidence").unfinished() == []
