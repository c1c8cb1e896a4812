"""A pass in batches and parts: what they depend on, and how an interrupted one ends."""

from __future__ import annotations

import errno
import io
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.shards import PART
from auditor.errors import NotWritten
from auditor.progress import Progress
from auditor.store import Store
from auditor.store.parts import Parts
from tests.engine.conftest import Widths

N = 2 * PART + 76
"""Images of the split: two parts and a bit."""
KEY = "k" * 64


@cache
def picture(width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, 2)).save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True)
class Memory:
    def read(self, image: str) -> bytes:
        return picture(1 + int(image) % 16)

    def stamp(self, image: str) -> object:
        return image


@pytest.fixture
def samples() -> Samples:
    images = tuple(f"{n:04}" for n in range(N))
    labels = tuple("ab"[n % 2] for n in range(N))
    return Samples(Path("/nowhere"), images, labels, ("a", "b"), "", "memory", reader=Memory())


class Eye(Widths):
    """Keeps how large its batches were; may be interrupted at one of them."""

    def __init__(
        self,
        batch_size: int | None = 100,
        *,
        images: Sequence[str] | None = None,
        stop: int | None = None,
        crash: int = 0,
        error: type[BaseException] = KeyboardInterrupt,
    ) -> None:
        self.batch_size, self.stop, self.crash, self.error = batch_size, stop, crash, error
        self.images = None if images is None else frozenset(images)
        self.batches: list[int] = []

    def prepare(self, image: Image.Image, data: bytes) -> Any:
        if image.width == self.crash:
            raise ValueError("poison")
        return super().prepare(image, data)

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        if len(self.batches) == self.stop:
            raise self.error
        self.batches.append(len(prepared))
        return super().rows(images, prepared)


class Device(Eye):
    """Answers later; counts how many batches it is at."""

    under_way = 1

    def __init__(self, under_way: int) -> None:
        super().__init__()
        self.under_way, self.at, self.most = under_way, 0, 0

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        columns = super().rows(images, prepared)
        self.at += 1
        self.most = max(self.most, self.at)

        def finish() -> Any:
            self.at -= 1
            return columns

        return finish


Look = Callable[..., str]


@pytest.fixture
def look(samples: Samples, tmp_path: Path) -> Look:
    """A pass for some eyes; returns the digest of what the first of them has seen."""

    def look(where: str = "evidence", **eyes: Eye) -> str:
        store = Store(tmp_path / where)
        observers = {name: Observing(KEY, eye) for name, eye in eyes.items()}
        assert observe_samples(samples, observers, store, Progress()) == {}
        return store.digests()[next(iter(eyes))]

    return look


BATCHES = 2 * [100, 100, 100, 100, 100, 12] + [76]


def test_batches_end_with_their_part_whoever_else_looks(look: Look, samples: Samples) -> None:
    alone, beside = Eye(), Eye()
    first = look("alone", eye=alone)
    second = look("beside", eye=beside, other=Eye(7), few=Eye(64, images=samples.images[5:9]))
    assert alone.batches == beside.batches == BATCHES
    assert first == second


def test_who_does_not_mind_is_given_batches_of_one_size(look: Look) -> None:
    eye = Eye(None)
    look(eye=eye)
    assert eye.batches == [64] * (2 * PART // 64) + [64, 12]


def test_who_wants_few_images_gets_parts_of_these(look: Look, samples: Samples) -> None:
    few, wanted = Eye(images=samples.images[::2]), samples.images[::2]
    look(eye=few, other=Eye(7))
    assert few.batches == [100, 100, 100, 100, 100, 12, len(wanted) - PART]


@pytest.mark.parametrize("under_way", [1, 2, 3])
def test_what_is_under_way_makes_no_difference(look: Look, under_way: int) -> None:
    device = Device(under_way)
    assert look("device", eye=device) == look("plain", eye=Eye())
    assert (device.most, device.at, device.batches) == (under_way, 0, BATCHES)


@pytest.mark.parametrize("number", [0, 2], ids=["first", "last"])
def test_a_part_that_cannot_be_stored_ends_the_pass(
    look: Look, samples: Samples, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also where it is the last, after which nothing is stored that would notice."""
    save = Parts.save

    def full(self: Parts, part: int, table: pa.Table, *, again: bool = False) -> None:
        if part == number:
            raise NotWritten(self.folder, OSError(errno.ENOSPC, "No space left on device"))
        save(self, part, table, again=again)

    with monkeypatch.context() as patched:
        patched.setattr(Parts, "save", full)
        with pytest.raises(NotWritten, match="No space left"):
            look(eye=Eye())
    assert look(eye=Eye()) == look("undisturbed", eye=Eye())


def test_what_was_seen_is_stored_when_an_interrupted_pass_has_ended(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, stored = Parts.save, list[int]()

    def slow(self: Parts, part: int, table: pa.Table, *, again: bool = False) -> None:
        time.sleep(0.2)
        save(self, part, table, again=again)
        stored.append(part)

    monkeypatch.setattr(Parts, "save", slow)
    with pytest.raises(KeyboardInterrupt):
        look(eye=Eye(stop=7))
    assert stored == [0]


@pytest.mark.parametrize("crash", [0, 3], ids=["", "with images that crash"])
@pytest.mark.parametrize("stops", [[0], [7], [12], [6, 3, 0], [1, 7, 1]])
def test_an_interrupted_pass_ends_as_an_undisturbed_one(
    look: Look, stops: list[int], crash: int
) -> None:
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            look(eye=Eye(stop=stop, crash=crash), other=Eye(9))
    last = Eye(crash=crash)
    assert look(eye=last, other=Eye(9)) == look("undisturbed", eye=Eye(crash=crash))


def test_parts_that_were_stored_are_not_looked_at_again(look: Look) -> None:
    with pytest.raises(KeyboardInterrupt):
        look(eye=Eye(stop=7))
    last = Eye()
    look(eye=last)
    assert last.batches == BATCHES[6:]


def test_a_part_in_which_an_observer_crashed_serves_one_pass(look: Look) -> None:
    with pytest.raises(KeyboardInterrupt):
        look(seen=Eye(crash=5, stop=8))  # within the second part
    assert look(seen=Eye()) == look("whole", seen=Eye())


def test_a_part_with_an_image_that_the_system_did_not_give_serves_one_pass(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Memory.read

    def refused(self: Memory, image: str) -> bytes:
        if image == "0003":
            raise OSError(5, "input/output error")
        return given(self, image)

    with monkeypatch.context() as patched:
        patched.setattr(Memory, "read", refused)
        with pytest.raises(KeyboardInterrupt):
            look(seen=Eye(stop=8))
    assert look(seen=Eye()) == look("whole", seen=Eye())


def test_who_failed_goes_on_where_it_failed(look: Look, samples: Samples, tmp_path: Path) -> None:
    store = Store(tmp_path / "evidence")
    eyes = {"eye": Observing(KEY, Eye(stop=7, error=RuntimeError)), "other": Observing(KEY, Eye())}
    failed = observe_samples(samples, eyes, store, Progress())
    assert list(failed) == ["eye"]
    assert list(store.digests()) == ["other"]
    last = Eye()
    assert look(eye=last) == look("undisturbed", eye=Eye())
    assert last.batches == BATCHES[6:]
    assert store.unfinished() == []


def test_a_file_that_changed_since_it_was_listed_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for n in range(1, 6):
        (folder / f"{n}.png").write_bytes(picture(n))
    samples = read_folder(tmp_path / "data")
    assert samples.identity  # as the graph asks for it, before any image is read
    (folder / "2.png").write_bytes(picture(7))
    (folder / "4.png").touch()
    store = Store(tmp_path / "evidence")
    assert observe_samples(samples, {"eye": Observing(KEY, Eye())}, store, Progress()) == {}
    table = store.load("eye")
    assert table is not None
    changed = "it changed while the data was read"
    assert table["error"].to_pylist() == [None, changed, None, changed, None]
    assert table["width"].to_pylist() == [1, None, 3, None, 5]


def test_threads_are_gone_after_an_interrupt(look: Look) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        look(eye=Eye(stop=1))
    assert threading.active_count() == before
