"""Measures images a second from JPEG files to logits on a CPU; prints Markdown.

python tests/benchmarks/inference.py FOLDER [IMAGES] [ROUNDS] [MODEL] [VALIDATE]

FOLDER holds class folders. One thread of torch, one that decodes; in each round every way runs over
the same images, in turn, and the ratio of CPU times is taken within the round. The weights are
random and the BatchNorms' statistics those of noise, so that activations are of normal size.

VALIDATE is timm's ``validate.py``: then whole processes are measured, too, start included, on all
images of FOLDER and with the machine's own number of threads.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.samples import Samples
from auditor.data.sources import read_samples
from auditor.engine.backends.choosing import BACKENDS
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.evidence.measuring import Measuring
from auditor.evidence.signatures import SigningSettings
from auditor.evidence.signing import Signing
from auditor.progress import Progress
from auditor.provider import Observer
from auditor.store import Store

DEFAULT, BEST = "timm: NCHW, batch 256", "timm: channels_last, batch 8"
OURS = "auditor (ONNX Runtime, as installed)"


class Took(NamedTuple):
    """Seconds of one way in one round."""

    processor: float
    wall: float


def weights(model: str, file: Path) -> None:
    """Write random weights that keep activations at a normal size."""
    torch.manual_seed(0)
    made: Any = timm.create_model(model)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        made.train()(torch.randn(16, *made.pretrained_cfg["input_size"]))
    save_file(made.state_dict(), file)


def handle(
    model: str, file: Path, samples: Samples, backend: str = "torch", preprocessing: str = "fast"
) -> Candidate:
    """Return a model of 1,000 classes, those of the folder among them."""
    found = dict.fromkeys(samples.labels)
    names = (*found, *(f"class {i}" for i in range(1000 - len(found))))
    keys: dict[str, Any] = {"preprocessing": preprocessing, "backend": backend}
    engine = EngineTable(workers=1, device="cpu", **keys)
    table = CandidateTable(model=model, checkpoint=file)
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
            failed = observe_samples(samples, named, store, Progress(), EngineTable(workers=1))
            seen = [store.load(name) for name in named if name not in failed]
            if failed or any(t is None or t["error"].null_count < len(samples) for t in seen):
                raise RuntimeError(f"not every image was looked at: {failed}")

    return run


def timed(run: Callable[[], None]) -> Took:
    """Return what one run takes."""
    processor, wall = time.process_time(), time.perf_counter()
    run()
    return Took(time.process_time() - processor, time.perf_counter() - wall)


def ways(model: str, file: Path, samples: Samples) -> dict[str, Callable[[], None]]:
    """Return each way to look at the images; say what it costs to make ours ready."""

    def inference(backend: str, preprocessing: str = "fast") -> Inference:
        started = time.process_time()
        made = Inference(handle(model, file, samples, backend, preprocessing), samples)
        seconds = time.process_time() - started
        print(f"Ready after {seconds:.1f} s of CPU: {made.about()['forward']}.")
        return made

    plain, last = (handle(model, file, samples) for _ in range(2))
    runtime, signing = inference("onnxruntime"), Signing(SigningSettings())
    found = {
        DEFAULT: timms(plain, samples, 256, last=False),
        BEST: timms(last, samples, 8, last=True),
        'auditor, `backend = "torch"`': ours(samples, inference("torch")),
        OURS: ours(samples, runtime),
        'the same, `preprocessing = "reference"`': ours(
            samples, inference("onnxruntime", "reference")
        ),
        "the same, with signatures and properties": ours(samples, runtime, signing, Measuring()),
    }
    if BACKENDS["openvino"].is_installed:
        found["auditor, with OpenVINO"] = ours(samples, inference("openvino"))
    return found


def processes(
    folder: str, validate: str, model: str, file: Path, rounds: int
) -> dict[str, list[Took]]:
    """Return what whole processes take, interleaved."""
    timm_ = [sys.executable, validate, "--data-dir", folder, "--model", model]
    timm_ += ["--checkpoint", str(file), "--device", "cpu"]
    own = [sys.executable, __file__, "--pass", folder, model, str(file)]
    commands = {
        DEFAULT: timm_,
        BEST: [*timm_, "--channels-last", "-b", "8", "-j", "2"],
        'auditor, `backend = "torch"`': [*own, "torch"],
        OURS: [*own, "onnxruntime"],
    }
    if BACKENDS["openvino"].is_installed:
        commands["auditor, with OpenVINO"] = [*own, "openvino"]
    # timm's own waits as it comes; ours sets its policy itself, as the command line does.
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    took: dict[str, list[Took]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, env=plain, check=True, capture_output=True)
            after, wall = (
                resource.getrusage(resource.RUSAGE_CHILDREN),
                time.perf_counter() - wall,
            )
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            took[name].append(Took(processor, wall))
    return took


def one_pass(folder: str, model: str, file: str, backend: str) -> None:
    """Run one way over all images, as a process of its own."""
    samples = read_samples(Path(folder))
    ours(samples, Inference(handle(model, Path(file), samples, backend), samples))()


def shown(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def table(took: dict[str, list[Took]], images: int) -> None:
    """Print rates and the ratios to timm's two, round by round."""
    print("| way | images/CPU s | images/s | CPU: × default | × best | wall: × default | × best |")
    print("|---|---|---|---|---|---|---|")
    for name, mine in took.items():
        cells = [
            shown([t[kind] / m[kind] for t, m in zip(took[than], mine, strict=True)])
            for kind in (0, 1)
            for than in (DEFAULT, BEST)
        ]
        rates = [images / statistics.median(m[kind] for m in mine) for kind in (0, 1)]
        print(f"| {name} | {' | '.join([*(f'{rate:.1f}' for rate in rates), *cells])} |")


def main(
    folder: str,
    images: str = "64",
    times: str = "6",
    model: str = "tf_efficientnet_b0",
    validate: str = "",
) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    everything, rounds = read_samples(Path(folder)), int(times)
    samples = everything.take(range(min(int(images), len(everything))))
    with tempfile.TemporaryDirectory() as where:
        file = Path(where) / "weights.safetensors"
        weights(model, file)
        runs = ways(model, file, samples)
        took: dict[str, list[Took]] = {name: [] for name in runs}
        for round_ in range(rounds + 1):
            for name, run in runs.items():
                found = timed(run)
                took[name] += [found] if round_ else []  # the first one warms up
        print(f"\n{model}, {len(samples)} images a round, {rounds} rounds, one thread\n")
        table(took, len(samples))
        if validate:
            whole = processes(folder, validate, model, file, max(1, rounds // 3))
            print(f"\nWhole processes, {len(everything)} images, {max(1, rounds // 3)} rounds\n")
            table(whole, len(everything))


if __name__ == "__main__":
    if sys.argv[1] == "--pass":
        one_pass(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
