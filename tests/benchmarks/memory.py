"""Measures the memory of a pass over few and many images; prints Markdown.

python tests/benchmarks/memory.py [IMAGES…]

The images are 64 small JPEGs under as many names as asked for, of 1,000 classes; a small model and
the signatures look at them in one pass, in a process of its own for each number. Peaks are of the
resident set, as Linux tells it (VmHWM), reset between the steps.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CLASSES = 1000
KINDS = 64


@dataclass(frozen=True)
class Repeated:
    """Gives the same few pictures under many names."""

    pictures: tuple[bytes, ...]

    def read(self, image: str) -> bytes:
        """Return one of them."""
        return self.pictures[int(image.removesuffix(".jpg")) % len(self.pictures)]

    def stamp(self, image: str) -> object:
        """Return nothing: they never change."""
        del image
        return None


def pictures() -> tuple[bytes, ...]:
    """Return small JPEGs of noise."""
    import numpy as np
    from PIL import Image

    drawn = np.random.default_rng(0).integers(0, 256, (KINDS, 4, 4, 3), np.uint8)
    made = []
    for pixels in drawn:
        stream = io.BytesIO()
        Image.fromarray(pixels).resize((32, 32)).save(stream, "JPEG")
        made.append(stream.getvalue())
    return tuple(made)


def peak() -> float:
    """Return the highest resident set since the last call, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(found.split()[1]) * 1024 / 1e6


def one(images: int) -> None:
    """Look at so many images, and print a row."""
    import torch

    from auditor.config import CandidateTable, EngineTable
    from auditor.data.classes import ClassList
    from auditor.data.samples import Samples
    from auditor.engine.candidate import Candidate
    from auditor.engine.inference import Inference
    from auditor.engine.observation import Observing, observe_samples
    from auditor.evidence.signatures import SigningSettings
    from auditor.evidence.signing import Signing
    from auditor.progress import Progress
    from auditor.store import Store

    torch.manual_seed(0)
    classes = tuple(f"class {k:04}" for k in range(CLASSES))
    names = tuple(f"{k:08}.jpg" for k in range(images))
    labels = tuple(classes[k % CLASSES] for k in range(images))
    samples = Samples(Path(), names, labels, classes, "given", "made", reader=Repeated(pictures()))
    _ = samples.identity
    listed = peak()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "small.py"
        file.write_text(
            "from torch import nn\n\n\ndef make():\n"
            "    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 1000))\n"
        )
        sys.path.insert(0, name)
        engine = EngineTable(backend="torch", batch_size=64)
        table = CandidateTable(module="small:make", input_size=32)
        candidate = Candidate(table, engine, ClassList(classes, "given"), None)
        observers = {
            "test": Observing("t", Inference(candidate, samples)),
            "test_signatures": Observing("s", Signing(SigningSettings())),
        }
        made_ready, store = peak(), Store(Path(name) / "evidence")
        started = time.perf_counter()
        failed = observe_samples(samples, observers, store, Progress(), engine)
        seconds, looked = time.perf_counter() - started, peak()
        if failed:
            raise RuntimeError(f"the pass failed: {failed}")
        size = sum(kept.size for kept in store.listed()) / 1e6
    print(
        f"| {images:,} | {listed:.0f} MB | {made_ready:.0f} MB | {looked:.0f} MB | "
        f"{looked - made_ready:.0f} MB | {size:.0f} MB | {seconds:.0f} s |",
        flush=True,
    )


def main(counts: list[int]) -> None:
    """Print the table, a process a row."""
    print(
        "| images | listed | model made ready | peak of the pass | of it the pass's own | evidence "
        "| seconds |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for count in counts:
        subprocess.run([sys.executable, __file__, "one", str(count)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(int(sys.argv[2]))
    else:
        main([int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_280_000])
