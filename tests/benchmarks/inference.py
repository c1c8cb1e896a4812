"""Measures images a second from JPEG files to logits on a CPU; prints Markdown.

python tests/benchmarks/inference.py FOLDER [IMAGES] [ROUNDS] [MODEL]

FOLDER holds class folders. One thread of torch, one that decodes, random weights; in each round
every way runs over the same images, in turn, and the ratio of CPU times is taken within the round.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from PIL import Image

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.samples import Samples
from auditor.data.sources import read_samples
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.evidence.provider import Observer
from auditor.evidence.signatures import SigningSettings
from auditor.evidence.signing import Signing
from auditor.evidence.store import Store
from auditor.models.handle import Candidate
from auditor.progress import Progress

DEFAULT, BEST = "timm: NCHW, batch 32", "timm: channels_last, batch 8"
OURS, SIGNED = "auditor", "auditor, with signatures"


class Took(NamedTuple):
    """Seconds of one way in one round."""

    processor: float
    wall: float


def handle(model: str, samples: Samples, preprocessing: str = "fast") -> Candidate:
    """Return a model of 1,000 classes, those of the folder among them."""
    found = dict.fromkeys(samples.labels)
    names = (*found, *(f"class {i}" for i in range(1000 - len(found))))
    engine = EngineTable(preprocessing=preprocessing, workers=1)
    table = CandidateTable(module=f"timm.models:{model}")
    return Candidate(table, engine, ClassList(names, "given"), None)


def timms(candidate: Candidate, samples: Samples, batch: int, *, last: bool) -> Callable[[], None]:
    """Return a loop as timm's validation script runs it, without worker processes."""
    form = torch.channels_last if last else torch.contiguous_format
    model = candidate.loaded.model.to(memory_format=form).eval()
    transform = candidate.loaded.preprocessing.transform()

    def opened(image: str) -> torch.Tensor:
        return transform(Image.open(samples.path(image)).convert("RGB"))

    def run() -> None:
        with torch.inference_mode():
            for start in range(0, len(samples), batch):
                images = torch.stack([opened(i) for i in samples.images[start : start + batch]])
                model(images.contiguous(memory_format=form)).softmax(1).topk(5)

    return run


def ours(samples: Samples, *observers: Observer) -> Callable[[], None]:
    """Return a pass of the engine."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            named = {f"observer{i}": Observing("key", each) for i, each in enumerate(observers)}
            store = Store(Path(folder))
            failed = observe_samples(samples, named, store, Progress(), workers=1)
            seen = [store.load(name) for name in named if name not in failed]
            if failed or any(t is None or t["error"].null_count < len(samples) for t in seen):
                raise RuntimeError(f"not every image was looked at: {failed}")

    return run


def timed(run: Callable[[], None]) -> Took:
    """Return what one run takes."""
    processor, wall = time.process_time(), time.perf_counter()
    run()
    return Took(time.process_time() - processor, time.perf_counter() - wall)


def ways(model: str, samples: Samples) -> dict[str, Callable[[], None]]:
    """Return each way to look at the images; say what it costs to make ours ready."""
    candidate, plain, last = (handle(model, samples) for _ in range(3))
    _ = candidate.loaded
    started = time.process_time()
    inference = Inference(candidate, samples)
    seconds = time.process_time() - started
    print(f"Ready after {seconds:.1f} s of CPU: {inference.about()['forward']}.\n")
    signing = Signing(SigningSettings())
    return {
        DEFAULT: timms(plain, samples, 32, last=False),
        BEST: timms(last, samples, 8, last=True),
        "auditor, reference": ours(
            samples, Inference(handle(model, samples, "reference"), samples)
        ),
        OURS: ours(samples, inference),
        SIGNED: ours(samples, inference, signing),
    }


def shown(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main(
    folder: str, images: str = "64", times: str = "6", model: str = "tf_efficientnet_b0"
) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    samples, rounds = read_samples(Path(folder)), int(times)
    samples = samples.take(range(min(int(images), len(samples))))
    runs = ways(model, samples)
    for run in runs.values():
        run()
    took = [{name: timed(run) for name, run in runs.items()} for _ in range(rounds)]
    print(f"{model}, {len(samples)} images a round, {rounds} rounds\n")
    print("| way | images/CPU s | images/s, best | × default | × best | auditor alone |")
    print("|---|---|---|---|---|---|")
    for name in runs:
        cells = [
            shown([r[than].processor / r[name].processor for r in took]) for than in (DEFAULT, BEST)
        ]
        cells.append(shown([r[name].processor / r[OURS].processor for r in took]))
        rate = len(samples) / statistics.median(r[name].processor for r in took)
        wall = len(samples) / min(r[name].wall for r in took)
        print(f"| {name} | {rate:.1f} | {wall:.1f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
