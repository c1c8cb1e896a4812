"""Looking at images on a Ray cluster: the same evidence, whatever dies."""

from __future__ import annotations

import dataclasses
import importlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from auditor.cli import main
from auditor.config import EngineTable
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine import cluster as clusters
from auditor.engine.cluster import Need, import_ray, room
from auditor.engine.observation import Observing, observe_samples
from auditor.errors import InputError
from auditor.progress import Progress
from auditor.store import Store

EYES = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from auditor.errors import ConfigError
from auditor.provider import Observer


class Eye(Observer):
    """Keeps the sum of what it sees."""

    batch_size = 64

    def prepare(self, image, data):
        return sum(image.tobytes())

    def rows(self, images, prepared):
        return {"sum": pa.array(prepared, pa.int64())}

    def about(self):
        return {"eye": type(self).__name__}


class Odd(Eye):
    """Crashes on some images."""

    def prepare(self, image, data):
        if (found := super().prepare(image, data)) % 7 == 0:
            raise ValueError("by seven")
        return found


class Blind(Eye):
    def prepare(self, image, data):
        raise ValueError("blind")


class Misled(Eye):
    def prepare(self, image, data):
        raise ConfigError(("data", "test"), "wrong data")


@dataclass
class Killing(Eye):
    """Kills its process, once."""

    flag: Path

    def prepare(self, image, data):
        try:
            self.flag.touch(exist_ok=False)
        except FileExistsError:
            return super().prepare(image, data)
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Waiting(Eye):
    """Waits on one node for its end, and elsewhere until somebody has begun there."""

    node: str
    flag: Path

    def prepare(self, image, data):
        import ray

        if ray.is_initialized() and ray.get_runtime_context().get_node_id() == self.node:
            self.flag.touch()
            time.sleep(600)
        while not self.flag.exists():
            time.sleep(0.01)
        return super().prepare(image, data)


@dataclass
class Deadly:
    """Opens files, and kills the process at some."""

    root: Path
    images: frozenset

    def read(self, image):
        if image in self.images:
            os.kill(os.getpid(), signal.SIGKILL)
        return (self.root / image).read_bytes()

    def stamp(self, image):
        return 1, 1
'''


TWO = """
def two():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four parts of tiny images, one of them broken."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (folder / "a").mkdir()
    for number in range(1600):
        pixels = random.integers(0, 255, (4, 4), np.uint8)
        Image.fromarray(pixels).save(folder / "a" / f"{number:04}.bmp")
    (folder / "a" / "0700.bmp").write_bytes(b"no picture")
    return folder


@pytest.fixture
def samples(folder: Path) -> Samples:
    return read_folder(folder)


@pytest.fixture
def eyes(module: Callable[..., str]) -> Any:
    """Observers that an actor can import."""
    return importlib.import_module(module(EYES, by_colour=False))


class Observed(NamedTuple):
    """What came of a pass: the stored bytes of each observer, and its failures."""

    stored: dict[str, bytes]
    failed: dict[str, str]


Look = Callable[..., Observed]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def look(samples: Samples, engine: EngineTable, **eyes: Any) -> Observed:
        folder = tmp_path / engine.kind
        observers = {name: Observing("key", eye) for name, eye in eyes.items()}
        failed = observe_samples(samples, observers, Store(folder), Progress(), engine)
        stored = {p.stem: p.read_bytes() for p in folder.glob("*.parquet")}
        return Observed(stored, {k: f"{type(v).__name__}: {v}" for k, v in failed.items()})

    return look


HERE = EngineTable()


def test_a_missing_ray_is_named(
    samples: Samples, eyes: Any, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'pip install "auditor\[ray\]"'):
        look(samples, EngineTable(kind="ray"), eye=eyes.Eye())


GPU_NODE, NODE, SMALL = {"CPU": 9.0, "GPU": 4.0}, {"CPU": 5.0}, {"CPU": 1.0, "memory": 7e9}


@pytest.mark.parametrize(
    ("nodes", "need", "expected"),
    [
        ([NODE, NODE, SMALL], Need(2, gpu=False), (4, {"num_cpus": 2})),
        ([SMALL, SMALL], Need(8, gpu=False), (2, {"num_cpus": 1})),
        ([{"memory": 1e9}], Need(2, gpu=True), (1, {"num_cpus": 2})),
        ([], Need(1, gpu=False), (1, {"num_cpus": 1})),
        ([NODE, GPU_NODE], Need(2, gpu=True), (4, {"num_cpus": 2, "num_gpus": 1})),
        ([NODE, GPU_NODE], Need(2, gpu=True, workers=1), (4, {"num_cpus": 1, "num_gpus": 1})),
        ([GPU_NODE], Need(2, gpu=False), (4, {"num_cpus": 2})),
        ([{"CPU": 2.0, "GPU": 8.0}], Need(2, gpu=True), (2, {"num_cpus": 1, "num_gpus": 1})),
    ],
)
def test_as_many_actors_as_fit(nodes: Any, need: Need, expected: Any) -> None:
    assert room(nodes, need) == expected


class Nodes(NamedTuple):
    """A cluster on this machine, and how to use it."""

    cluster: Any
    engine: EngineTable


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes of one CPU each."""
    pytest.importorskip("ray", reason="Ray is not installed")
    ray, size = import_ray(), {"num_cpus": 1, "object_store_memory": 100_000_000}
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(True, head_node_args={**size, "include_dashboard": False})
    cluster.add_node(**size)
    yield Nodes(cluster, EngineTable(kind="ray", address=cluster.address))
    ray.shutdown()
    cluster.shutdown()


def test_an_address_without_a_cluster_is_named(
    samples: Samples, eyes: Any, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setattr(clusters, "_KNOCK", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        for port in (1, mute.getsockname()[1]):
            where = f"127.0.0.1:{port}"
            with pytest.raises(InputError, match=rf"no Ray cluster at {where}: .*ray start --head"):
                look(samples, EngineTable(kind="ray", address=where), eye=eyes.Eye())


def test_two_nodes_give_the_evidence_of_one_machine(
    samples: Samples, eyes: Any, look: Look, nodes: Nodes
) -> None:
    observers = {
        "eye": eyes.Eye(),
        "odd": eyes.Odd(),
        "blind": eyes.Blind(),
        "misled": eyes.Misled(),
    }
    local, ray = look(samples, HERE, **observers), look(samples, nodes.engine, **observers)
    assert ray.stored == local.stored
    assert sorted(ray.stored) == ["eye", "odd"]
    assert ray.failed["blind"] == local.failed["blind"] == "ValueError: blind"
    assert "wrong data" in ray.failed["misled"]
    assert "wrong data" in local.failed["misled"]


def test_who_dies_is_replaced(
    samples: Samples, eyes: Any, look: Look, nodes: Nodes, tmp_path: Path
) -> None:
    local = look(samples, HERE, eye=eyes.Eye())
    ray = look(samples, nodes.engine, eye=eyes.Killing(tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    assert sums(tmp_path, "ray") == sums(tmp_path, "local")
    assert (ray.failed, local.failed) == ({}, {})


def sums(tmp_path: Path, kind: str) -> list[dict[str, Any]]:
    table = Store(tmp_path / kind).load("eye", "key")
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_a_node_may_end_midway(
    samples: Samples,
    eyes: Any,
    look: Look,
    nodes: Nodes,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    node = nodes.cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    flag = tmp_path / "begun"

    def end_it() -> None:
        while not flag.exists():
            time.sleep(0.01)
        nodes.cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=end_it)
    killer.start()
    eye = eyes.Waiting(node.node_id, flag)
    ray = look(samples, nodes.engine, eye=eye)
    killer.join()
    assert ray == look(samples, HERE, eye=eye)
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_an_image_that_kills_is_named_and_the_rest_is_seen(
    samples: Samples, eyes: Any, look: Look, nodes: Nodes, tmp_path: Path, folder: Path
) -> None:
    killers = frozenset({"a/0003.bmp", "a/0005.bmp", "a/1599.bmp"})
    deadly = dataclasses.replace(samples, reader=eyes.Deadly(folder, killers))
    assert look(deadly, nodes.engine, eye=eyes.Eye()).failed == {}
    errors = {row["image"]: row["error"] for row in sums(tmp_path, "ray") if row["error"]}
    assert errors.pop("a/0700.bmp")
    assert errors == dict.fromkeys(killers, "it killed the process that looked at it (SIGKILL)")


def test_a_full_cluster_is_named(
    samples: Samples, eyes: Any, look: Look, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Holder:
        def here(self) -> None: ...

    ray = import_ray()
    hold = ray.remote(num_cpus=1)(Holder)
    holders = [hold.remote() for _ in range(2)]
    ray.get([holder.here.remote() for holder in holders])
    monkeypatch.setattr(clusters, "_PATIENCE", 1.0)
    with pytest.raises(InputError, match=r"no actor in 1 s: one takes 1 CPU, free are none"):
        look(samples, nodes.engine, eye=eyes.Eye())
    for holder in holders:
        ray.kill(holder)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_model_predicts_the_same_bits(
    image_folder: Callable[..., Path],
    write: Callable[[str, str], Path],
    nodes: Nodes,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
) -> None:
    """The driver needs no such device as the nodes have: of the second it is told it has none."""
    import timm
    import torch

    folder = image_folder("test", {"a": 300, "b": 220}).parent
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=2)
    torch.save(model.state_dict(), folder / "model.pt")
    found = {}
    for engine in (HERE, nodes.engine):
        if engine.kind == "ray" and device == "cpu":
            monkeypatch.setattr("auditor.models.device._present", lambda: ("mps",))
        where = (
            f'device = "{device}"\nkind = "{engine.kind}"'
            + f'\naddress = "{engine.address}"' * bool(engine.address)
        )
        config = write(
            f"{engine.kind}.toml",
            '[candidate]\nmodel = "test_efficientnet"\ncheckpoint = "model.pt"\ninput_size = 32\n'
            f'[data]\ntest = "test"\n[engine]\n{where}\n'
            f'[output]\ndirectory = "{engine.kind}"\n',
        )
        assert main(["gather", str(config)]) == 0
        evidence = (folder / engine.kind / "evidence").glob("*.parquet")
        found[engine.kind] = {path.name: path.read_bytes() for path in evidence}
    assert found["ray"] == found["local"]
    assert {"test.parquet", "test_properties.parquet"} <= set(found["ray"])


def test_a_cluster_without_the_gpu_that_is_asked_for_is_named(
    image_folder: Callable[..., Path],
    write: Callable[[str, str], Path],
    module: Callable[..., str],
    nodes: Nodes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image_folder("test", {"a": 2, "b": 2})
    config = write(
        "auditor.toml",
        f'[candidate]\nmodule = "{module(TWO)}:two"\ninput_size = 16\n[data]\ntest = "test"\n'
        f'[engine]\ndevice = "cuda"\nkind = "ray"\naddress = "{nodes.engine.address}"\n',
    )
    assert main(["gather", str(config)]) != 0
    assert "no node of the Ray cluster has a GPU" in " ".join(capsys.readouterr().err.split())
