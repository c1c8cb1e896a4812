"""The candidate in processes of its own says what it says in this one, and none is left behind."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from auditor import audit
from auditor.config import CandidateTable, EngineTable, load_config
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine import ahead, apart, collecting, model_handle, root
from auditor.engine.ahead import foresee_model, none_left_waiting
from auditor.engine.apart import Apart, apart_on
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.model_handle import ModelHandle
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.packing import Packed, pack, unpack
from auditor.engine.probing import environment
from auditor.engine.running import Running
from auditor.engine.shared_memory import SharedMemory
from auditor.errors import InputError, Unavailable
from auditor.progress import Progress
from auditor.store import Store

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="processes share no memory here"
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
TWO = (CPU, CPU)
CLASSES = tuple("abcdefg")
COUNTS = {"a": 9, "b": 8, "c": 6}
MODELS = """
import os
import signal
import sys
import threading
import time
import torch
from torch import nn


THERE = "pytest" not in sys.modules


class Network(nn.Module):
    limit = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 6, 3), nn.Linear(6, 7)

    def forward(self, x):
        if self.limit is not None and len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return 20 * self.last(self.conv(x.float()).relu().mean((2, 3)))


def network():
    return Network()


def small():
    model = Network()
    model.limit = 3
    return model


def large():
    model = Network()
    model.extra = nn.Parameter(torch.tensor([1e6]))
    return model


def other():
    model = Network()
    torch.seed()
    nn.init.normal_(model.last.weight)
    return model


class Broken(Network):
    def forward(self, x):
        return self.last(x) if len(x) > 2 else super().forward(x)


class Leaving(Network):
    def forward(self, x):
        return sys.exit("goodbye") if len(x) > 2 else super().forward(x)


class Ending(Network):
    def forward(self, x):
        return os._exit(3) if len(x) > 2 and THERE else super().forward(x)


class Dying(Network):
    def forward(self, x):
        if len(x) > 2 and THERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


class Forking(Network):
    def forward(self, x):
        if len(x) > 2 and THERE:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


class Here(Network):
    def forward(self, x):
        y, is_noise = super().forward(x), x.min() < -2.2  # a black picture is at -2.1
        return y if is_noise else y * 0 + os.getpid() % 1000 / 1000 * torch.arange(7)


broken, leaving, ending, dying, forking, here = Broken, Leaving, Ending, Dying, Forking, Here


class Noise(Network):
    def __init__(self):
        super().__init__()
        torch.seed()
        self.noise = torch.randn(7)

    def forward(self, x):
        return super().forward(x) + self.noise


class Buffer(Noise):
    def __init__(self):
        super().__init__()
        noise = self.noise
        del self.noise
        self.register_buffer("noise", noise, persistent=False)


noise, buffer = Noise, Buffer


def threaded():
    threading.Thread(target=time.sleep, args=(60,), daemon=not THERE).start()
    return Network()


def unloadable():
    if THERE:
        raise ValueError("not here")
    return Network()


def deadly():
    if THERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return Network()
"""


@pytest.fixture(autouse=True)
def _every_image_pays_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "PART", 1)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the processes that will be started by then."""
    found, begin = list[int](), ModelHandle.__init__

    def noted(self: ModelHandle) -> None:
        begin(self)
        found.append(self._process.pid)

    monkeypatch.setattr(ModelHandle, "__init__", noted)
    return found


@pytest.fixture
def samples(image_folder: Callable[..., Path]) -> Samples:
    return read_folder(image_folder("test", COUNTS))


@pytest.fixture
def candidate(module: Callable[..., str]) -> Callable[..., Candidate]:
    name = module(MODELS, by_colour=False)

    def candidate(model: str = "network", **engine: Any) -> Candidate:
        table = CandidateTable(module=f"{name}:{model}", input_size=12)
        given = EngineTable(device="cpu", backend="torch", **engine)
        return Candidate(table, given, ClassList(CLASSES, "given"), None)

    return candidate


def gathered(made: Inference, samples: Samples, folder: Path, workers: int = 2) -> pa.Table:
    store, engine = Store(folder), EngineTable(workers=workers)
    failed = observe_samples(samples, {"test": Observing("key", made)}, store, Progress(), engine)
    if failed:
        raise failed["test"]
    table = store.load("test")
    assert table is not None
    return table


@pytest.mark.parametrize("count", [2, 3])
def test_several_devices_say_what_one_says_in_order(
    candidate: Any, samples: Samples, tmp_path: Path, count: int
) -> None:
    one = Inference(candidate(batch_size=4), samples, features=True)
    several = Inference(candidate(batch_size=4), samples, features=True, devices=(CPU,) * count)
    assert isinstance(several._apart, Apart)
    expected = gathered(one, samples, tmp_path / "one")
    found = gathered(several, samples, tmp_path / "several")
    assert found.equals(expected)
    assert found["features"].null_count == 0
    here, there = one.about(), several.about()
    assert there.pop("device") == f"{count} × {here.pop('device')}"
    assert there == here
    assert (one.under_way, several.under_way) == (1, count)


def test_each_seeks_the_module_beside_the_file_that_names_it(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the working directory, where another one has its name."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = "module_beside_its_file"
    for folder, source in (("beside", MODELS), ("here", "raise RuntimeError('the other one')")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text(source)
    file = tmp_path / "beside" / "auditor.toml"
    file.write_text(f'[candidate]\nmodule = "{name}:network"\ninput_size = 12\n')
    monkeypatch.chdir(tmp_path / "here")
    table = load_config(file)[0].candidate
    engine = EngineTable(device="cpu", backend="torch", batch_size=4)
    made = Candidate(table, engine, ClassList(CLASSES, "given"), None)
    expected = gathered(Inference(candidate(batch_size=4), samples), samples, tmp_path / "one")
    several = Inference(made, samples, devices=TWO)
    assert gathered(several, samples, tmp_path / "several").equals(expected)
    assert several.under_way == 2


def test_batches_go_to_the_devices_in_turn_and_to_no_model_of_this_process(
    candidate: Any, samples: Samples, tmp_path: Path
) -> None:
    several = Inference(candidate("here", batch_size=4), samples, devices=TWO)
    found = gathered(several, samples, tmp_path)
    scores = np.frombuffer(b"".join(found["probabilities"].to_pylist()), "<f4").reshape(-1, 7)
    who = [tuple(each) for each in scores.round(4).tolist()]
    assert len(set(who)) == 2
    assert who == [who[row // 4 % 2 * 4] for row in range(len(samples))]


def test_files_are_decoded_there(
    candidate: Any, module: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Handed over by worker processes, where they lie."""
    folder = tmp_path / "large"
    for n in range(24):
        place = folder / CLASSES[n % 2] / f"{n:02}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(n).integers(0, 256, (6, 7, 3), np.uint8)
        Image.fromarray(coarse).resize((320, 260)).save(place, quality=95)
    samples = read_folder(folder)
    monkeypatch.setattr(root, "_FROM_IMAGES", 1)
    devices = {"one": (CPU,), "two": TWO}
    made = {
        name: gathered(
            Inference(
                candidate(batch_size=4, preprocessing="device", workers=4), samples, devices=each
            ),
            samples,
            tmp_path / name,
            workers=4,
        )
        for name, each in devices.items()
    }
    assert made["one"]["error"].null_count == len(samples)
    assert made["two"].equals(made["one"])


def test_what_workers_share_is_not_copied() -> None:
    theirs, room = SharedMemory(1 << 20), memoryview(bytearray(1 << 20))
    there = np.frombuffer(theirs.bytes[4096 : 4096 + 50_000], np.uint8)
    there[:] = 7
    value = ([there, np.full(50_000, 8, np.uint8), "name"], torch.full((200, 50), 9))
    packed = pack(value, room, theirs)
    assert sum(here for here, *_ in packed.places) == 3
    there[:] = 6
    (first, second, name), third = unpack(packed, room, theirs.bytes)
    assert (first == 6).all()
    assert (second == 8).all()
    assert (third == 9).all()
    assert name == "name"
    del first, there, value
    theirs.close()


@given(
    sizes=st.lists(st.integers(0, 20_000), max_size=6),
    room=st.integers(0, 60_000),
    seed=st.integers(0, 9),
)
def test_whatever_the_room_what_is_packed_comes_out(sizes: list[int], room: int, seed: int) -> None:
    random, memory = np.random.default_rng(seed), memoryview(bytearray(room))
    value = [random.integers(0, 256, size, np.uint8) for size in sizes]
    packed = Packed(*pickle.loads(pickle.dumps(tuple(pack(value, memory)))))
    found = unpack(packed, memory)
    assert len(found) == len(value)
    assert all(np.array_equal(a, b) for a, b in zip(found, value, strict=True))
    places = sorted(tuple(place[1:]) for place in packed.places)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("broken", RuntimeError, r"failed on cpu with a batch of 4, a/.* to a/.*: mat1 and"),
        ("leaving", SystemExit, "goodbye"),
        ("ending", RuntimeError, r"on cpu: the process that ran it was ended with status 3$"),
        ("forking", RuntimeError, r"on cpu: the process that ran it was ended by SIGKILL"),
        ("dying", RuntimeError, r"on cpu: the process that ran it was ended by SIGKILL; if memory"),
    ],
)
def test_what_fails_there_is_said_here(
    candidate: Any, samples: Samples, tmp_path: Path, model: str, kind: Any, said: str
) -> None:
    several = Inference(candidate(model, batch_size=4), samples, devices=TWO)
    processes = pids(several)
    with pytest.raises(kind, match=said):
        gathered(several, samples, tmp_path)
    assert not any(map(alive, processes))


def test_a_pass_whose_process_is_killed_goes_on_where_it_was(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "PART", 4)
    expected = gathered(Inference(candidate(), samples), samples, tmp_path / "undisturbed")
    several = Inference(candidate(batch_size=4), samples, devices=TWO)
    rows = several.rows
    at: list[int] = []

    def killed(images: Sequence[str], prepared: Sequence[Any]) -> Any:
        at.append(1)
        if len(at) == 5:
            os.kill(pids(several)[0], signal.SIGKILL)
        return rows(images, prepared)

    monkeypatch.setattr(several, "rows", killed)
    with pytest.raises(RuntimeError, match="was ended by SIGKILL"):
        gathered(several, samples, tmp_path / "killed")
    assert 2 <= len(Store(tmp_path / "killed").parts("test", "key").numbers()) < 6
    again = Inference(candidate(batch_size=4), samples, devices=TWO)
    assert gathered(again, samples, tmp_path / "killed").equals(expected)


@pytest.mark.parametrize("model", ["other", "noise", "buffer", "unloadable", "deadly"])
def test_what_another_process_does_not_load_alike_runs_here(
    candidate: Any, samples: Samples, tmp_path: Path, model: str, started: list[int]
) -> None:
    several = Inference(candidate(model), samples, devices=TWO)
    assert len(started) == 2
    assert not any(map(alive, started))
    found = gathered(several, samples, tmp_path)
    assert found["error"].null_count == len(samples)
    assert isinstance(several._started, Running)
    assert "×" not in several.about()["device"]


def test_what_runs_here_after_all_still_says_how_at_the_end(
    candidate: Any, samples: Samples, tmp_path: Path
) -> None:
    several = Inference(candidate("unloadable", batch_size=4), samples, devices=TWO)
    gathered(several, samples, tmp_path)
    running = several._started
    several.end()
    assert several._started is running


@pytest.mark.parametrize("wrong", ["labels", "model"])
def test_none_is_left_where_the_candidate_does_not_fit(
    candidate: Any, image_folder: Callable[..., Path], started: list[int], wrong: str
) -> None:
    unknown = read_folder(image_folder("other", {"z": 20} if wrong == "labels" else {"a": 20}))
    given = candidate("network" if wrong == "labels" else "missing")
    with pytest.raises(InputError) as kept:
        Inference(given, unknown, devices=TWO)
    assert len(started) == 2
    assert not any(map(alive, started)), kept


def test_a_process_that_died_before_it_was_given_a_model_is_replaced(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_DRIVER", tmp_path)
    with none_left_waiting():
        foresee_model(EngineTable(preprocessing="device"))
        (waiting,) = ahead._models
        os.kill(waiting._process.pid, signal.SIGKILL)
        waiting._process.wait()
        several = Inference(candidate(), samples, devices=TWO)
        assert isinstance(several._started, Apart)
        gathered(several, samples, tmp_path / "there")


def test_a_dtype_that_cannot_hold_the_model_is_refused_before_the_pass(
    candidate: Any, samples: Samples
) -> None:
    """So that the audit goes on without the cheaper one."""
    with pytest.raises(Unavailable, match="values that float16 cannot hold"):
        Inference(candidate("large"), samples, "float16", devices=TWO)
    with pytest.raises(InputError, match="values that float16 cannot hold"):
        Inference(candidate("large", dtype="float16"), samples, devices=TWO)


def test_only_what_is_made_of_this_memory_is_found_in_it() -> None:
    one = SharedMemory(1 << 16)
    assert one.place(one.bytes[77:99]) == 77
    assert one.place(memoryview(bytearray(9))) is None
    one.close()
    other = SharedMemory(1 << 16)
    assert one.place(other.bytes[77:99]) is None
    other.close()


def test_without_another_process_this_one_runs_it(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: Any, **__: Any) -> Any:
        raise OSError("too many open files")

    monkeypatch.setattr(model_handle, "SharedMemory", none_left)
    several = Inference(candidate(), samples, devices=TWO)
    assert several._apart is None
    assert gathered(several, samples, tmp_path).num_rows == len(samples)


def test_what_python_ignores_in_its_path_is_ignored(
    candidate: Any, samples: Samples, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    several = Inference(candidate(), samples, devices=TWO)
    assert isinstance(several._started, Apart)
    several.end()


def test_memory_that_runs_out_there_is_said_here(
    candidate: Any, samples: Samples, tmp_path: Path
) -> None:
    several = Inference(candidate("small", batch_size=8), samples, devices=TWO)
    found = gathered(several, samples, tmp_path / "halved")
    about = several.about()
    assert (about["batch_size"], about["batch_size_halved_to"]) == (8, 2)
    whole = gathered(Inference(candidate(), samples), samples, tmp_path / "whole")
    assert found["predicted"].equals(whole["predicted"])


def test_what_was_never_run_still_says_how_it_would(candidate: Any, samples: Samples) -> None:
    several = Inference(candidate(batch_size=4), samples, devices=TWO)
    processes = pids(several)
    several.end()
    assert not any(map(alive, processes))
    assert several.about()["batch_size"] == 4


def test_none_is_left_where_nobody_ends_it(candidate: Any, samples: Samples) -> None:
    several = Inference(candidate(), samples, devices=TWO)
    processes = pids(several)
    assert all(map(alive, processes))
    del several
    gc.collect()
    assert not any(map(alive, processes))


def test_none_outlives_who_asked(candidate: Any, samples: Samples, tmp_path: Path) -> None:
    table = candidate("threaded").table
    script = f"""
import os, signal, sys
import torch
from auditor.config import CandidateTable, EngineTable, load_config
from auditor.engine.apart import Apart
from auditor.engine.candidate import Candidate
from auditor.engine.running import Job
from auditor.engine.sample_outputs import Sample
table = CandidateTable(module={table.module!r}, input_size=12)
candidate = Candidate(table, EngineTable(device="cpu"), None, None)
made = Apart(Job(candidate, "float32", 9), (torch.device("cpu"),) * 2)
print(*(each._process.pid for each in made._processes), flush=True)
made.holds(Sample.of(candidate.loaded))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    processes = [int(each) for each in done.stdout.split()]
    for _ in range(100):
        if not any(map(alive, processes)):
            break
        time.sleep(0.1)
    assert not any(map(alive, processes))


@pytest.mark.parametrize(
    ("devices", "images", "workers", "decodes", "count"),
    [
        ((CPU,), 10**6, 16, True, 0),
        ((CUDA,), 10**6, 16, False, 0),
        ((CUDA,), 10**6, 16, True, 1),
        ((CUDA,), 100, 16, True, 0),
        ((CUDA,), 10**6, 2, True, 0),
        ((CUDA,) * 8, 10**6, 16, False, 8),
        ((CUDA,) * 8, 1_500, 16, True, 3),
        ((CUDA,) * 8, 512, 16, False, 0),
    ],
)
def test_a_process_is_started_where_it_pays(
    monkeypatch: pytest.MonkeyPatch,
    devices: Sequence[torch.device],
    images: int,
    workers: int,
    decodes: bool,
    count: int,
) -> None:
    monkeypatch.setattr(apart, "PART", 512)
    assert len(apart_on(devices, images, workers, decodes=decodes)) == count


@pytest.mark.parametrize("given", [True, False])
def test_a_process_that_was_started_ahead_is_given_the_model(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    monkeypatch.setattr(ahead, "_DRIVER", tmp_path)
    expected = gathered(Inference(candidate(batch_size=4), samples), samples, tmp_path / "here")
    with none_left_waiting():
        foresee_model(EngineTable(preprocessing="device"))
        foresee_model(EngineTable(preprocessing="device"))
        (waiting,) = ahead._models
        time.sleep(2.0 if given else 0.0)  # it imports what it will need, or is about to
        if given:
            several = Inference(candidate(batch_size=4), samples, devices=TWO)
            assert pids(several)[0] == waiting._process.pid
            assert gathered(several, samples, tmp_path / "there").equals(expected)
    assert not alive(waiting._process.pid)


def test_it_is_ended_before_a_pass_that_needs_none(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_DRIVER", tmp_path)
    foresee_model(EngineTable(preprocessing="device"))
    (waiting,) = ahead._models
    Inference(candidate(), samples)
    assert not alive(waiting._process.pid)


@pytest.mark.parametrize(
    "settings",
    [
        {"preprocessing": "fast"},
        {"preprocessing": "device", "device": "cpu"},
        {"preprocessing": "device", "kind": "ray"},
    ],
)
def test_none_is_started_ahead_where_none_will_be_given_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(ahead, "_DRIVER", tmp_path)
    foresee_model(EngineTable(**settings))
    assert ahead._models == []
    monkeypatch.setattr(ahead, "_DRIVER", tmp_path / "none")
    foresee_model(EngineTable(preprocessing="device"))
    assert ahead._models == []


@pytest.mark.parametrize(("gathered_before", "count"), [(False, 1), (True, 0)])
def test_an_audit_starts_it_ahead_where_nothing_was_gathered(
    gathered_before: bool,
    count: int,
    tmp_path: Path,
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    started: list[int],
) -> None:
    """The device is none on which a process pays, so that it is ended unasked."""
    monkeypatch.chdir(tmp_path)
    image_folder("test", {"a": 30, "b": 30})
    settings: dict[str, Any] = {"data": {"test": "test"}}
    settings |= {"candidate": {"module": f"{module('')}:two"}}
    settings |= {"engine": {"preprocessing": "device", "workers": 1}}
    if gathered_before:
        audit(**settings)
    monkeypatch.setattr(ahead, "_DRIVER", tmp_path)
    audit(**settings)
    assert len(started) == count
    assert not any(map(alive, started))


def pids(made: Inference) -> list[int]:
    assert made._apart is not None
    return [each._process.pid for each in made._apart._processes]


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
