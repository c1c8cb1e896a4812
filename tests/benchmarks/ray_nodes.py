"""Gathers on two Ray nodes of this machine, kills some, and compares the evidence; prints Markdown.

python tests/benchmarks/ray_nodes.py FOLDER

FOLDER holds class folders. A small timm model with random weights predicts their images, here and
on two nodes of one CPU each; midway an actor, and then a node, is killed (SIGKILL). All evidence
must be the same, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from auditor.cli import main as auditor
from auditor.engine.cluster import import_ray
from auditor.engine.threads import wait_passively

CONFIG = """
[candidate]
model = "test_efficientnet"
checkpoint = "model.pt"
input_size = 64

[data]
test = "{folder}"

[engine]
kind = "{kind}"
backend = "{backend}"

[output]
directory = "{directory}"
"""
SIZE = {"num_cpus": 1, "object_store_memory": 150_000_000}
BACKENDS = ("torch", "onnxruntime", "openvino")


class Bench:
    """A cluster of two nodes, and a folder for what is gathered."""

    def __init__(self, folder: Path, place: Path, cluster: Any) -> None:
        self.folder, self.place, self.cluster = folder, place, cluster

    def gather(self, kind: str, name: str, backend: str) -> tuple[str, float]:
        """Gather; return the digest of all evidence, and seconds."""
        config = self.place / f"{name}.toml"
        config.write_text(
            CONFIG.format(folder=self.folder, kind=kind, backend=backend, directory=name)
        )
        started, said = time.perf_counter(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = auditor(["gather", str(config)])
        if status:
            raise SystemExit(said.getvalue())
        seconds, digest = time.perf_counter() - started, hashlib.sha256()
        for path in sorted((self.place / name / "evidence").glob("*.parquet")):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16], seconds

    def gather_while(self, kill: Callable[[], None], name: str) -> tuple[str, float]:
        """Gather, and kill something when a quarter of the parts is there."""
        parts = sum(1 for _ in self.folder.rglob("*.*")) // 512

        def wait() -> None:
            found = 0
            while found < max(1, parts // 4):
                time.sleep(0.02)
                found = len([*(self.place / name).rglob("test.parts/*/*.parquet")])
            kill()

        killer = threading.Thread(target=wait, daemon=True)
        killer.start()
        result = self.gather("ray", name, "torch")
        if killer.is_alive():
            raise SystemExit(f"{name}: it ended before anything was killed")
        return result

    def kill_actor(self) -> None:
        """End one of the actors."""
        os.kill(self._actors()[0], signal.SIGKILL)

    def kill_node(self) -> None:
        """End the second node with all that runs there."""
        self.cluster.remove_node(next(iter(self.cluster.worker_nodes)), allow_graceful=False)

    def _actors(self) -> list[int]:
        """Return the processes of actors below this cluster's nodes."""
        nodes = {
            node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()
        }
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                named = (place / "cmdline").read_bytes()
                if parent in nodes and named.startswith(b"ray::_Looker"):
                    found.append(int(place.name))
        return sorted(found)


def prepare(folder: Path, place: Path) -> None:
    """Write random weights."""
    import timm
    import torch

    classes = len([path for path in folder.iterdir() if path.is_dir()])
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=classes)
    torch.save(model.state_dict(), place / "model.pt")


def row(what: str, digest: str, seconds: float, reference: str) -> None:
    """Print a row."""
    same = "equal" if digest == reference else "**differs**"
    print(f"| {what} | `{digest}` | {same} | {seconds:.1f} s |", flush=True)


def main(folder: Path) -> None:
    """Print the table."""
    wait_passively()
    ray = import_ray()
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(True, head_node_args={**SIZE, "include_dashboard": False})
    cluster.add_node(**SIZE)
    os.environ["RAY_ADDRESS"] = cluster.address
    print("| run | digest of the evidence | beside here | wall |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        prepare(folder, Path(place))
        bench = Bench(folder, Path(place), cluster)
        for backend in BACKENDS:
            here, seconds = bench.gather("local", f"here-{backend}", backend)
            row(f"{backend}, here", here, seconds, here)
            row(f"{backend}, two nodes", *bench.gather("ray", f"ray-{backend}", backend), here)
            if backend == "torch":
                killed = bench.gather_while(bench.kill_actor, "actor")
                row("torch, an actor killed midway", *killed, here)
        here, _ = bench.gather("local", "again", "torch")
        row("torch, a node killed midway", *bench.gather_while(bench.kill_node, "node"), here)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
