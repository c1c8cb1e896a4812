"""Images that kill the process: which are found, and that no others are accused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor.engine.journal import CRASHED
from auditor.store import Store

N = 40
SOURCE = '''
import io
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from PIL import Image

from auditor.config import EngineTable
from auditor.data.samples import Samples
from auditor.engine.observation import Observing, observe_samples
from auditor.errors import AuditorError
from auditor.provider import Observer
from auditor.store import Store
from auditor.progress import Progress


def die(name):
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(0.2 if name == "SIGINT" else 60)


@dataclass(frozen=True)
class Reader:
    """Kills whoever reads one of its images, once or always."""

    deadly: str
    by: str
    once: str

    def read(self, image):
        if image == self.deadly and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            time.sleep(0.05)  # others are in hand by then
            die(self.by)
        stream = io.BytesIO()
        Image.new("L", (1 + int(image), 2)).save(stream, "PNG")
        return stream.getvalue()

    def stamp(self, image):
        return image


class Eye(Observer):
    batch_size = 8

    def __init__(self, log, deadly, by):
        self.log, self.deadly, self.by = log, deadly, by

    def prepare(self, image, data):
        if image.width - 1 == self.deadly and len(sys.argv) > 1:  # not when it is tried by itself
            time.sleep(0.05)
            die(self.by)
        if image.width - 2 == self.deadly:  # the next one is in hand all the while
            time.sleep(0.5)
        return image.width

    def rows(self, images, prepared):
        with open(self.log, "a") as stream:
            stream.writelines(f"{image}\\n" for image in images)
        return {"width": pa.array(prepared, pa.int64())}

    def about(self):
        return {}


def samples(n, reader):
    images = tuple(f"{k:03}" for k in range(n))
    return Samples(Path("/nowhere"), images, ("a",) * n, ("a", "b"), "", "memory", reader=reader)


if __name__ == "__main__":
    sys.modules["deadly_images"] = sys.modules["__main__"]
    Reader.__module__ = Eye.__module__ = "deadly_images"
    store, n, image, by, once, prepared = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    eye = Eye(f"{store}.log", int(prepared), by)
    observe_samples(
        samples(int(n), Reader(image, by, once)),
        {"eye": Observing("k" * 64, eye)},
        Store(Path(store)),
        Progress(sys.stderr),
        EngineTable(workers=4),
    )
'''


class Runs:
    """Passes, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.module = folder, folder / "deadly_images.py"
        self.module.write_text(SOURCE)
        self.evidence = folder / "evidence"
        self.said = ""

    def __call__(
        self,
        image: str = "",
        by: str = "SIGSEGV",
        *,
        once: str = "",
        prepared: int = -1,
        n: int = N,
        after_a_crash: bool = False,
    ) -> int:
        arguments = [self.evidence, n, image, by, once and self.folder / once, prepared]
        crashed = {CRASHED: "SIGSEGV"} if after_a_crash else {}
        done = subprocess.run(
            [sys.executable, self.module, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(self.folder), **crashed},
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.said = done.stderr
        return done.returncode

    def errors(self) -> dict[str, str]:
        """Return the images that could not be seen of complete evidence, and why."""
        table = Store(self.evidence).load("eye")
        assert table is not None
        assert table["image"].to_pylist() == [f"{n:03}" for n in range(table.num_rows)]
        rows: list[dict[str, Any]] = table.to_pylist()
        assert all((row["width"] is None) == (row["error"] is not None) for row in rows)
        return {row["image"]: row["error"] for row in rows if row["error"]}

    def looked(self) -> list[str]:
        return Path(f"{self.evidence}.log").read_text().split()


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_the_image_that_kills_is_named_and_all_others_are_seen(run: Runs, name: str) -> None:
    assert run("017", name) == -signal.Signals[name]
    assert Store(run.evidence).load("eye") is None
    assert run("017", name) == 0, run.said
    assert run.errors() == {"017": f"it killed the process that looked at it ({name})"}
    assert "a process died at them" in run.said
    assert len(run.looked()) >= N - 1
    assert Store(run.evidence).unfinished() == []


def test_what_was_stored_before_the_death_is_not_looked_at_again(run: Runs) -> None:
    n, image = 560, "550"  # a part is stored by then
    assert run(image, n=n) < 0
    before = len(run.looked())
    assert before >= 512
    assert run(image, n=n) == 0, run.said
    assert [*run.errors()] == [image]
    assert run.looked()[before:] == [f"{k:03}" for k in range(512, n) if f"{k:03}" != image]


def test_who_was_in_hand_when_the_user_killed_it_is_not_accused(run: Runs) -> None:
    assert run("017", "SIGKILL", once="killed") == -signal.SIGKILL
    assert run("017", "SIGKILL", once="killed") == 0, run.said
    assert "a process died at them" in run.said
    assert run.errors() == {}


def test_one_that_kills_though_not_by_itself_is_given_up_after_some_crashes(run: Runs) -> None:
    assert run(prepared=17) == -signal.SIGSEGV
    crashes = 1
    while run(prepared=17, after_a_crash=True) != 0:
        crashes += 1
        assert crashes <= 6
    assert crashes == 3
    assert run.errors() == {"017": "the process died 3 times while it was looked at"}


def test_deaths_that_nobody_saw_to_be_crashes_do_not_count(run: Runs) -> None:
    for name in ("SIGKILL", "SIGSEGV", "SIGKILL", "SIGSEGV"):
        assert run(prepared=17, by=name) == -signal.Signals[name]
    assert run() == 0
    assert run.errors() == {}


def test_an_interrupt_leaves_nothing_in_hand(run: Runs) -> None:
    assert run("017", "SIGINT", once="interrupted") != 0
    assert "KeyboardInterrupt" in run.said
    assert run("017", "SIGINT", once="interrupted") == 0
    assert "a process died at them" not in run.said
    assert run.errors() == {}
