"""What observers look at before a pass: the same images in every process, and none that kills."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.journal import NoJournal
from auditor.engine.looking import looked_at
from auditor.engine.observation import Observing, observe_samples
from auditor.progress import Progress
from auditor.provider import Observer
from auditor.store import Store

FOLDED = """
def folded():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), ByColour(2))
"""
EYES = """
import os
import signal

import pyarrow as pa

from auditor.provider import Observer


class Deadly:
    def __init__(self, root, images, name):
        self.root, self.images, self.name = root, images, name

    def read(self, image):
        if image in self.images:
            os.kill(os.getpid(), getattr(signal, self.name))
        return (self.root / image).read_bytes()

    def stamp(self, image):
        return 1, 1


class Eye(Observer):
    batch_size = 8

    def try_out(self, look):
        self.widths = [look(row, lambda picture: picture.width) for row in range(4)]

    def prepare(self, image, data):
        return image.width

    def rows(self, images, prepared):
        return {"width": pa.array(prepared, pa.int64())}

    def about(self):
        return {"widths": self.widths}
"""
PASS = """
import sys
from dataclasses import replace
from pathlib import Path

from auditor.data.folder import read_folder
from auditor.engine.observation import Observing, observe_samples
from auditor.progress import Progress
from auditor.store import Store
from {module} import Deadly, Eye

folder, store, name = sys.argv[1:]
samples = read_folder(Path(folder))
samples = replace(samples, reader=Deadly(Path(folder), samples.images[1:3], name))
observers = {{"eye": Observing("k" * 64, Eye())}}
observe_samples(samples, observers, Store(Path(store)), Progress(sys.stderr))
"""
READ: list[str] = []


class Noting:
    """Notes which images were read, in this process; one of them cannot be."""

    def __init__(self, root: Path, bad: str) -> None:
        self.root, self.bad = root, bad

    def read(self, image: str) -> bytes:
        READ.append(image)
        if image == self.bad:
            raise ZeroDivisionError
        return (self.root / image).read_bytes()

    def stamp(self, image: str) -> object:
        return 1, image


class Trying(Observer):
    """Tries out its first image, of what is left to it."""

    def __init__(self, raised: Exception | None = None) -> None:
        self.raised, self.tried = raised, list[object]()

    def try_out(self, look: Callable[[int, Callable[[Image.Image], Any]], Any]) -> None:
        self.tried.append(look(0, lambda picture: picture.size))
        if self.raised:
            raise self.raised

    def prepare(self, image: Image.Image, data: bytes) -> Any:
        return len(data)

    def rows(self, images: Any, prepared: Any) -> Any:
        return {"bytes": pa.array(prepared, pa.int64())}

    def about(self) -> dict[str, Any]:
        assert self.tried  # before anything is asked of it
        return {}


@pytest.fixture
def samples(image_folder: Callable[..., Path]) -> Samples:
    return read_folder(image_folder("test", {"a": 9, "b": 8}))


@pytest.fixture
def inference(module: Callable[..., str], samples: Samples) -> Inference:
    table = CandidateTable(module=f"{module(FOLDED)}:folded", input_size=12)
    candidate = Candidate(table, EngineTable(), ClassList(("a", "b"), "given"), None)
    reader = Noting(samples.root, samples.images[1])
    return Inference(candidate, replace(samples, reader=reader))


def test_an_image_that_fails_in_whatever_way_is_passed_over(inference: Inference) -> None:
    assert "1 of 1 BatchNorms folded" in inference.about()["forward"]


def test_another_process_looks_at_the_same_images(inference: Inference) -> None:
    samples = inference.samples
    journal = NoJournal({0: "it kills"})
    inference.try_out(lambda row, work: looked_at(samples, row, work, journal))
    READ.clear()
    inference.about()
    assert READ == []
    other = pickle.loads(pickle.dumps(inference))
    assert other.about()["forward"] == inference.about()["forward"]
    assert tuple(READ) == samples.images[2:10]


def test_observers_try_out_before_a_pass_and_leave_nothing(
    samples: Samples, tmp_path: Path
) -> None:
    store, eye, other = Store(tmp_path / "evidence"), Trying(), Trying(ValueError("no"))
    observers = {"eye": Observing("k" * 64, eye), "other": Observing("l" * 64, other)}
    failed = observe_samples(samples, observers, store, Progress())
    assert [*failed] == ["other"]
    assert str(failed["other"]) == "no"
    assert eye.tried == [(16, 16)]
    assert store.unfinished() == []
    assert [*observe_samples(samples, {"other": observers["other"]}, store, Progress())] == [
        "other"
    ]
    assert store.unfinished() == []


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL"])
def test_images_that_kill_are_found_one_a_process_and_seen_by_nobody(
    image_folder: Callable[..., Path], module: Callable[..., str], tmp_path: Path, name: str
) -> None:
    folder, modules = image_folder("test", {"a": 9, "b": 8}), module(EYES, by_colour=False)
    code, said = PASS.format(module=modules), list[str]()
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "evidence"), name]
    for expected in (-signal.Signals[name], -signal.Signals[name], 0):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr
        said.append(done.stderr)
    assert "trying 1 images by themselves: a process died at them" in said[-1]
    table = Store(tmp_path / "evidence").load("eye")
    assert table is not None
    lost = {row["image"]: row["error"] for row in table.to_pylist() if row["error"]}
    reason = f"it killed the process that looked at it ({name})"
    assert lost == {"a/0001.png": reason, "a/0002.png": reason}
