"""Worker processes: they see what threads see, and what they die of stops nobody."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import audit
from auditor.config import EngineTable
from auditor.data.samples import Samples
from auditor.engine import ahead, root, workers
from auditor.engine.ahead import foresee, none_left_waiting
from auditor.engine.journal import NoJournal
from auditor.engine.looking import Seen, Threads, Wanted
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.shared_memory import SharedMemory
from auditor.engine.workers import Processes, lookers
from auditor.errors import InputError
from auditor.progress import Progress
from auditor.store import Store

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there is no memfd here")

N = 320
SOURCE = '''
import gc
import io
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from auditor.data.samples import Samples
from auditor.errors import InputError
from auditor.provider import Observer

N = 320


@dataclass(frozen=True)
class Reader:
    """Pictures that tell their number; one that is none."""

    changed: int = -1
    elsewhere: bool = False

    def read(self, image):
        if int(image) == self.changed:
            raise InputError("the container was changed")
        if int(image) == 7:
            return b"no picture"
        stream = io.BytesIO()
        Image.new("RGB", (1 + int(image), 2), (int(image) % 256, 3, 4)).save(stream, "PNG")
        return stream.getvalue()

    def stamp(self, image):
        return (image, os.getpid()) if self.elsewhere else image


class Awkward(Exception):
    """One that cannot be pickled."""

    def __init__(self, what):
        super().__init__(what)
        self.what = lambda: what


class Tensors(Observer):
    batch_size = 32

    def prepare(self, image, data):
        number = image.width - 1
        if number == 11:
            raise Awkward("eleven")
        whole = torch.full((3, 40, 60), number % 251, dtype=torch.uint8)
        return whole[:, :, 5:50] if number % 2 else whole.float()

    def rows(self, images, prepared):
        return {"mean": pa.array([float(each.float().mean()) for each in prepared])}

    def about(self):
        return {}


class Arrays(Tensors):
    def __init__(self):
        self.first = os.getpid()

    def prepare(self, image, data):
        large = np.full((100, 100), image.width, np.float32)
        here = os.getpid() == self.first
        return {"large": large, "small": large[:2, :2], "text": str(image.width), "here": here}

    def rows(self, images, prepared):
        return {"mean": pa.array([float(each["large"].mean()) for each in prepared])}


class Marker:
    """Leaves a mark when another process has loaded it."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __setstate__(self, state):
        vars(self).update(state)
        if len(sys.argv) > 2:
            (self.folder / "loaded").write_text(f"garbage is looked for: {gc.isenabled()}")


class Deadly(Tensors):
    """Kills processes other than the first, a few times or always."""

    def __init__(self, folder, image, times, in_trials):
        self.folder, self.image, self.times = Path(folder), image, times
        self.in_trials, self.first = in_trials, os.getpid()

    def prepare(self, image, data):
        elsewhere = os.getpid() != self.first and (self.in_trials or len(sys.argv) > 2)
        deaths = len([*self.folder.glob("death-*")])
        if image.width - 1 == self.image and elsewhere and deaths < self.times:
            (self.folder / f"death-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(0.01)
        return torch.zeros(1)


class Counted(Tensors):
    """Leaves a mark a picture."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def prepare(self, image, data):
        (self.folder / f"seen-{image.width - 1}").write_text(str(gc.isenabled()))
        time.sleep(0.01)
        return torch.full((3, 40, 60), 7, dtype=torch.uint8)


class Wordy(Counted):
    """Says so much of a picture that what is said of a few fills a socket."""

    def prepare(self, image, data):
        super().prepare(image, data)
        return "word " * 10_000

    def rows(self, images, prepared):
        return {"mean": pa.array([float(len(each)) for each in prepared])}


class Late(Counted):
    """Cannot be loaded elsewhere while the first process has not let it, which it never does."""

    def __setstate__(self, state):
        time.sleep(600)


class Exact(Exception):
    """One that is not made again from what it was made from."""

    def __init__(self, one, other):
        super().__init__(one)


class Prepared(Tensors):
    """Prepares what does not come through a socket."""

    def __init__(self, what):
        self.what = what

    def prepare(self, image, data):
        number = image.width - 1
        unsent = {"unpicklable": lambda: number, "unloadable": Exact(number, 0)}
        return {"number": number, "unsent": unsent[self.what]}

    def rows(self, images, prepared):
        return {"mean": pa.array([float(each["number"]) for each in prepared])}


class AtHome(Tensors):
    def __init__(self):
        self.home = "here"

    def __setstate__(self, state):
        raise RuntimeError("nowhere else")


def samples(reader=Reader()):
    images = tuple(f"{k:03}" for k in range(N))
    return Samples(Path("/nowhere"), images, ("a",) * N, ("a", "b"), "", "memory", reader=reader)
'''


@pytest.fixture
def source(module: Callable[..., str]) -> Any:
    return import_module(module(SOURCE, by_colour=False))


@pytest.fixture(autouse=True)
def pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_FROM_IMAGES", 1)


def begun(samples: Samples, eyes: dict[str, Any], folder: Path | None = None) -> Iterator[Wanted]:
    """Want every image; begin when worker processes have loaded what they need."""
    patience = time.monotonic() + 60
    while folder is not None and not (folder / "loaded").exists():
        assert time.monotonic() < patience
        time.sleep(0.05)
    time.sleep(0.5 if folder else 0.0)
    for row in range(len(samples)):
        yield Wanted(row, eyes, True)


def seen(
    source: Any, samples: Samples, eyes: dict[str, Any], folder: Path, *, here: bool = True
) -> list[Seen]:
    everybody = {**eyes, "marker": source.Marker(folder)}
    with lookers(samples, everybody, 4, len(samples)) as looking:
        assert isinstance(looking, Processes)
        wanted = begun(samples, eyes, folder)
        return [*looking.looked_at(wanted, 64, NoJournal({}, here=here))]


def by_threads(samples: Samples, eyes: dict[str, Any]) -> list[Seen]:
    with Threads(samples, 2) as looking:
        return [*looking.looked_at(begun(samples, eyes), 64, NoJournal({}))]


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name != "here"}
    return value if isinstance(value, str) else np.asarray(value).tolist()


def alike(found: Sequence[Seen], expected: Sequence[Seen]) -> None:
    assert [one.row for one in found] == [one.row for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.digest, one.error) == (other.digest, other.error)
        assert {*one.crashed} == {*other.crashed}
        assert plain(one.prepared) == plain(other.prepared)


@pytest.mark.parametrize("room", [16 << 20, 50_000, 0])
def test_they_see_what_threads_see(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(workers, "_ROOM", room or workers._ROOM)
    monkeypatch.setattr(workers, "_ROOMS", 8 if room else 1)
    samples, eyes = source.samples(), {"tensors": source.Tensors(), "arrays": source.Arrays()}
    found = seen(source, samples, eyes, tmp_path)
    alike(found, by_threads(samples, eyes))
    assert sum(not one.prepared["arrays"]["here"] for one in found if not one.error) > N / 2
    assert found[7].error is not None
    assert "eleven" in str(found[11].crashed["tensors"])
    assert len(found) == N


def test_the_evidence_is_the_same(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for count in (1, 4):
        monkeypatch.setattr(root, "_FROM_CORES", 5 - count)
        store, samples = Store(tmp_path / str(count)), source.samples()
        eyes = {"test": Observing("key", source.Arrays())}
        engine = EngineTable(workers=4)
        assert observe_samples(samples, eyes, store, Progress(), engine) == {}
        tables.append(store.load("test"))
    assert tables[0] is not None
    assert tables[0].equals(tables[1])


def test_an_image_that_kills_is_named_and_the_rest_is_seen(source: Any, tmp_path: Path) -> None:
    samples = source.samples()
    found = seen(source, samples, {"deadly": source.Deadly(tmp_path, 300, 99, True)}, tmp_path)
    assert {one.row: one.error for one in found if one.error and one.row != 7} == {
        300: "it killed the process that looked at it (SIGSEGV)"
    }
    assert [one.row for one in found] == [*range(N)]


@pytest.mark.parametrize("times", [1, 2, 99])
def test_one_that_kills_by_chance_is_looked_at_again(
    source: Any, tmp_path: Path, times: int
) -> None:
    """After a few deaths in a row this process does the rest."""
    deadly = source.Deadly(tmp_path, 300, times, False)
    found = seen(source, source.samples(), {"deadly": deadly}, tmp_path)
    assert len([*tmp_path.glob("death-*")]) == min(times, 3)
    assert [one.row for one in found if one.error] == [7]
    assert [one.row for one in found] == [*range(N)]


@pytest.mark.parametrize("ahead", [True, False])
def test_what_only_this_process_has_is_looked_at_here(
    source: Any, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """Who cannot load it is let go, once: the number may be another's afterwards."""
    if ahead:
        foresee(N, 4)
    ended, end = list[int](), os.killpg

    def noted(group: int, sign: int) -> None:
        ended.append(group)
        end(group, sign)

    monkeypatch.setattr(os, "killpg", noted)
    samples, eyes = source.samples(), {"home": source.AtHome()}
    with lookers(samples, eyes, 4, N) as looking:
        assert isinstance(looking, Processes)
        assert looking._root is not None
        looking._root.process.wait()
        found = [*looking.looked_at(begun(samples, eyes), 64, NoJournal({}))]
    alike(found, by_threads(samples, eyes))
    assert len(ended) == 1


def test_who_never_starts_is_not_waited_for(source: Any, tmp_path: Path) -> None:
    foresee(N, 4)
    samples, eyes = source.samples(), {"late": source.Late(tmp_path)}
    began = time.monotonic()
    with lookers(samples, eyes, 4, N) as looking:
        found = [*looking.looked_at(begun(samples, eyes), 64, NoJournal({}))]
    assert time.monotonic() - began < 60
    alike(found, by_threads(samples, eyes))


@pytest.mark.parametrize("what", ["unpicklable", "unloadable"])
def test_what_does_not_come_through_a_socket_is_prepared_here(
    source: Any, tmp_path: Path, what: str
) -> None:
    samples, eyes = source.samples(), {"prepared": source.Prepared(what)}
    found = seen(source, samples, eyes, tmp_path)
    assert [one.row for one in found] == [*range(N)]
    numbers = [one.prepared["prepared"]["number"] for one in found if not one.error]
    assert numbers == [number for number in range(N) if number != 7]


def test_where_processes_cannot_be_had_again_threads_go_on(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    samples, eyes = source.samples(), {"counted": source.Counted(tmp_path)}
    with lookers(samples, {**eyes, "marker": source.Marker(tmp_path)}, 4, N) as looking:
        assert isinstance(looking, Processes)
        assert looking._root is not None
        found = looking.looked_at(begun(samples, eyes, tmp_path), 64, NoJournal({}))
        first = [next(found) for _ in range(20)]
        monkeypatch.setattr(workers, "Root", none)
        monkeypatch.setattr(subprocess, "run", none)
        os.killpg(looking._root.process.pid, signal.SIGKILL)
        alike([*first, *found], by_threads(samples, eyes))


def test_what_a_reader_raises_is_raised_here(source: Any, tmp_path: Path) -> None:
    samples = source.samples(source.Reader(changed=250))
    with pytest.raises(InputError, match="the container was changed"):
        seen(source, samples, {"tensors": source.Tensors()}, tmp_path)


@pytest.mark.parametrize("here", [True, False])
def test_times_count_where_the_files_were_listed(source: Any, tmp_path: Path, here: bool) -> None:
    samples = source.samples(source.Reader(elsewhere=True))  # a file looks otherwise to a worker
    found = seen(source, samples, {"tensors": source.Tensors()}, tmp_path, here=here)
    changed = [one for one in found if one.error == "it changed while the data was read"]
    assert bool(changed) == here


def test_they_may_be_asked_again(source: Any, tmp_path: Path) -> None:
    """As an actor is, for one share after the other; what was given up halfway is forgotten."""
    samples, eyes = source.samples(), {"arrays": source.Arrays()}
    with lookers(samples, {**eyes, "marker": source.Marker(tmp_path)}, 4, N) as looking:
        left = looking.looked_at(begun(samples, eyes, tmp_path), 64, NoJournal({}))
        assert [next(left).row for _ in range(40)] == [*range(40)]
        found = [*looking.looked_at(begun(samples, eyes), 64, NoJournal({}))]
    alike(found, by_threads(samples, eyes))


def test_they_have_enough_to_do_while_this_process_waits_for_a_device(
    source: Any, tmp_path: Path
) -> None:
    """It waits at the fifth of 20 chunks; the four workers had two each.

    They look for garbage, though not while they load what they need.
    """
    samples, eyes = source.samples(), {"counted": source.Counted(tmp_path)}
    with lookers(samples, {**eyes, "marker": source.Marker(tmp_path)}, 4, N) as looking:
        found = looking.looked_at(begun(samples, eyes, tmp_path), N, NoJournal({}))
        assert [next(found).row for _ in range(65)] == [*range(65)]
        patience = time.monotonic() + 60
        while len([*tmp_path.glob("seen-*")]) < N - 1:  # one is no picture
            assert time.monotonic() < patience
            time.sleep(0.05)
        assert len([*found]) == N - 65
    assert (tmp_path / "loaded").read_text() == "garbage is looked for: False"
    assert {each.read_text() for each in tmp_path.glob("seen-*")} == {"True"}


def test_they_begin_before_the_first_image_is_asked_for(source: Any, tmp_path: Path) -> None:
    """Until then this process finds out how a GPU runs the model; nothing it is told is lost."""
    foresee(N, 4)
    samples, eyes = source.samples(), {"wordy": source.Wordy(tmp_path)}
    with lookers(samples, eyes, 4, N) as looking:
        found = looking.looked_at(begun(samples, eyes), N, NoJournal({}))
        patience = time.monotonic() + 60
        while len([*tmp_path.glob("seen-*")]) < N - 1:  # one is no picture
            assert time.monotonic() < patience
            time.sleep(0.05)
        alike([*found], by_threads(samples, eyes))


def test_threads_begin_when_the_first_image_is_asked_for(source: Any, tmp_path: Path) -> None:
    """Before, a model is compiled, and while it is traced nobody may call a module."""
    samples, eyes = source.samples(), {"counted": source.Counted(tmp_path)}
    with Threads(samples, 2) as looking:
        found = looking.looked_at(begun(samples, eyes), N, NoJournal({}))
        time.sleep(0.3)
        assert not [*tmp_path.glob("seen-*")]
        assert len([*found]) == N


def test_all_that_waits_for_a_device_has_room(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_CHUNK", 1)
    samples, eyes = source.samples(), {"tensors": source.Tensors()}
    with lookers(samples, {**eyes, "marker": source.Marker(tmp_path)}, 4, N) as looking:
        assert isinstance(looking, Processes)
        found = [*looking.looked_at(begun(samples, eyes, tmp_path), 64, NoJournal({}))]
        assert looking._memory is not None
        shared = np.frombuffer(looking._memory.bytes, np.uint8)
        pictures = [one.prepared["tensors"].numpy() for one in found if one.prepared]
        assert sum(np.shares_memory(shared, each) for each in pictures) > N - 16
        del found, pictures, shared


def test_what_was_started_ahead_is_taken_and_finds_what_can_be_imported_by_then(
    module: Callable[..., str], tmp_path: Path
) -> None:
    foresee(N, 4)
    (started,) = ahead._roots
    source = import_module(module(SOURCE, by_colour=False))
    samples, eyes = source.samples(), {"arrays": source.Arrays()}
    with lookers(samples, {**eyes, "marker": source.Marker(tmp_path)}, 4, N) as looking:
        assert isinstance(looking, Processes)
        assert (looking._root, ahead._roots) == (started, [])
        found = [*looking.looked_at(begun(samples, eyes, tmp_path), 64, NoJournal({}))]
    alike(found, by_threads(samples, eyes))
    assert sum(not one.prepared["arrays"]["here"] for one in found if not one.error) > N / 2
    ends(started.process.pid)


def test_what_was_started_ahead_in_vain_is_ended(source: Any) -> None:
    samples, eyes = source.samples(), {"arrays": source.Arrays()}
    with none_left_waiting():
        foresee(N, 5)
        (started,) = ahead._roots
        foresee(N, 5)
        with lookers(samples, eyes, 4, N) as looking:  # for another number of workers
            found = [*looking.looked_at(begun(samples, eyes), 64, NoJournal({}))]
        assert ahead._roots == [started]
        assert alive(started.process.pid)
    alike(found, by_threads(samples, eyes))
    assert ahead._roots == []
    ends(started.process.pid)


def test_nothing_is_started_ahead_where_processes_do_not_pay() -> None:
    for images, count in ((0, 4), (N, 3)):
        foresee(images, count)
        assert ahead._roots == []


@pytest.mark.parametrize("good", [True, False])
def test_an_audit_starts_it_ahead_and_leaves_none(
    good: bool,
    tmp_path: Path,
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that does not fit the data is refused before there is a pass."""
    started, begin = list[int](), root.Root.__init__

    def noted(self: root.Root, count: int, memory: SharedMemory | None = None) -> None:
        begin(self, count, memory)
        started.append(self.process.pid)

    monkeypatch.setattr(root.Root, "__init__", noted)
    monkeypatch.chdir(tmp_path)
    image_folder("test", {"a": 30, "b": 30})
    asked = {"module": f"{module('')}:{'two' if good else 'three'}"}
    settings: dict[str, Any] = {"candidate": asked, "data": {"test": "test"}}
    settings |= {"engine": {"workers": 4}}
    if good:
        audit(**settings)
    else:
        with pytest.raises(InputError, match="three has 3 outputs, the data has 2 classes"):
            audit(**settings)
    (group,) = started
    ends(group)


def test_threads_do_where_processes_do_not_pay(source: Any) -> None:
    samples, eyes = source.samples(), {"tensors": source.Tensors()}
    assert isinstance(lookers(samples, eyes, 3, N), Threads)
    assert isinstance(lookers(samples, eyes, 4, 0), Threads)
    eyes["tensors"].held = lambda: None
    assert isinstance(lookers(samples, eyes, 4, N), Threads)


def test_threads_do_where_memory_is_not_to_be_had(source: Any) -> None:
    samples, eyes = source.samples(), {"tensors": source.Tensors()}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with lookers(samples, eyes, 4, N) as looking:
            found = [*looking.looked_at(begun(samples, eyes), 64, NoJournal({}))]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    alike(found, by_threads(samples, eyes))


def test_who_waits_ends_with_this_process() -> None:
    script = """
import time
from auditor.engine import ahead
ahead.foresee(1 << 20, 4)
print(ahead._roots[0].process.pid, flush=True)
time.sleep(600)
"""
    ends_with_its_parent(script)


def test_nobody_is_left_behind_when_this_process_is_killed(source: Any, tmp_path: Path) -> None:
    script = f"""
import sys, time
sys.path[:0] = {[str(Path(source.__file__).parent)]!r}
import {source.__name__} as source
from auditor.engine.workers import Processes, lookers
from auditor.engine import root
root._FROM_IMAGES = 1
samples, eyes = source.samples(), {{"marker": source.Marker({str(tmp_path)!r})}}
with lookers(samples, eyes, 4, 300) as looking:
    print(looking._root.process.pid, flush=True)
    time.sleep(600)
"""
    ends_with_its_parent(script, tmp_path / "loaded")


def ends_with_its_parent(script: str, loaded: Path | None = None) -> None:
    """See that a group that a script names does so; killed once something is there."""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    while loaded is not None and not loaded.exists():
        time.sleep(0.05)
    assert alive(group)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    ends(group)


def ends(group: int) -> None:
    """See that none of a process group is left, soon."""
    patience = time.monotonic() + 60
    while alive(group):
        assert time.monotonic() < patience
        time.sleep(0.05)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
