"""Measures what inference makes of a GPU, from JPEG files to predictions; prints Markdown.

python tests/benchmarks/gpu.py FOLDER [IMAGES] [ROUNDS] [MODEL] [CHECKPOINT] [PARTS]

FOLDER holds class folders of JPEGs, which are linked again and again until there are IMAGES. With
no CHECKPOINT the weights are random: times hold, flips say little. Without a GPU everything runs on
the CPU, to try the script out. A part that fails says so, and the next one runs.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.samples import Samples
from auditor.data.sources import read_samples
from auditor.engine.forward import Forward
from auditor.engine.inference import Inference
from auditor.engine.journal import NoJournal
from auditor.engine.looking import Wanted
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.replica import Replica, memory_format
from auditor.engine.workers import lookers
from auditor.evidence.predictions import Predictions
from auditor.evidence.store import Store
from auditor.models.device import choose_device, describe_device
from auditor.models.handle import Candidate
from auditor.overlap.decode import open_image
from auditor.progress import Progress

DTYPES = ("float32", "bfloat16", "float16")
FORMS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SECONDS = 2.0
"""How long forward passes are repeated."""
DECODING = "decode and resize alone"
DEVICE = choose_device("auto")


class Setting:
    """The model and the images of one run of the script."""

    def __init__(self, folder: Path, model: str, checkpoint: str | None) -> None:
        self.samples = read_samples(folder)
        self.fastest = dict.fromkeys(DTYPES, float("nan"))
        """Images a second of the forward pass alone, by dtype."""
        given = {"model": model, "checkpoint": checkpoint}
        random = {"module": f"timm.models:{model}"}
        self._table = CandidateTable(**(given if checkpoint else random))
        outputs = self.handle("float32").loaded.num_classes
        found = dict.fromkeys(self.samples.labels)
        names = (*found, *(f"class {i}" for i in range(outputs - len(found))))
        self.classes = ClassList(names, "given")

    def handle(self, dtype: str) -> Candidate:
        """Return the candidate in a dtype; its random weights are the same each time."""
        torch.manual_seed(0)
        engine = EngineTable(dtype=dtype, workers=CORES)
        candidate = Candidate(self._table, engine, getattr(self, "classes", None), None)
        _ = candidate.loaded
        return candidate

    def replica(self, dtype: str) -> Replica:
        """Return the model as an audit runs it on one device."""
        candidate = self.handle(dtype)
        loaded = candidate.loaded
        forward = Forward(loaded.model, DEVICE, dtype, loaded.preprocessing.input_size)
        return Replica(forward, DEVICE, dtype, candidate, probabilities=False)


def wait() -> None:
    """Wait for the device."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def release() -> None:
    """Forget what earlier parts left on the device."""
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()


def rate(work: Callable[[], int]) -> float:
    """Return images a second of work that is repeated for a while, never waiting in between."""
    for _ in range(3):
        work()
    once = timed(lambda: sum(work() for _ in range(2))) / 2
    images, repeats = work(), max(4, round(SECONDS / once))
    return images * repeats / timed(lambda: sum(work() for _ in range(repeats)))


def synthetic(
    setting: Setting, dtype: str, form: torch.memory_format, batch: int, *, compiled: bool
) -> float:
    """Return images a second of forward passes over a batch that lies on the device."""
    release()
    kind = getattr(torch, dtype)
    loaded = setting.handle(dtype).loaded
    model: Any = loaded.model.eval().to(DEVICE, kind).to(memory_format=form)
    run = torch.compile(model) if compiled else model
    size = (batch, *loaded.preprocessing.input_size)
    images = torch.randn(size, device=DEVICE, dtype=kind).contiguous(memory_format=form)

    def work() -> int:
        with torch.inference_mode(), exact():
            run(images)
        return batch

    return rate(work)


def exact() -> AbstractContextManager[None]:
    """Let float32 mean float32, as in an audit, and not TF32."""
    flags: Any = torch.backends.cudnn.flags
    return cast(
        AbstractContextManager[None],
        flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False),
    )


def fed(setting: Setting, dtype: str, batch: int) -> float:
    """Return images a second of a replica that is given prepared images in memory."""
    release()
    replica = setting.replica(dtype)
    size = setting.handle(dtype).loaded.preprocessing.input_size
    random = torch.Generator().manual_seed(0)
    images = list(torch.randint(0, 256, (batch, *size), dtype=torch.uint8, generator=random))
    label, begun = np.zeros(batch, np.int64), deque[Callable[[], Any]]()

    def work() -> int:
        begun.append(replica.start(images, label))
        if len(begun) > 1:
            begun.popleft()()
        return batch

    return rate(work)


def forward_only(setting: Setting) -> None:
    """Print how fast the model alone is, and how much of it an audit gets from memory."""
    batch = setting.replica("float16").largest_batch() if DEVICE.type == "cuda" else 16
    print(f"\n## Forward passes, batch {batch}\n")
    print("| dtype | order | eager, img/s | compiled, img/s |\n|---|---|---|---|")
    eager: dict[tuple[str, str], float] = {}
    for dtype in DTYPES:
        for name, form in FORMS.items():
            eager[dtype, name] = synthetic(setting, dtype, form, batch, compiled=False)
            quick = DEVICE.type == "cuda" and dtype == "float16" and name == "channels_last"
            best = synthetic(setting, dtype, form, batch, compiled=True) if quick else float("nan")
            known = (setting.fastest[dtype], eager[dtype, name], best)
            setting.fastest[dtype] = float(np.nanmax(known))
            shown_best = f"{best:,.0f}" if quick else ""
            print(f"| {dtype} | {name} | {eager[dtype, name]:,.0f} | {shown_best} |", flush=True)
    print("\n| dtype | order chosen | fed from memory, img/s | of the same synthetic |")
    print("|---|---|---|---|")
    size = setting.handle("float32").loaded.preprocessing.input_size
    for dtype in DTYPES:
        last = memory_format(DEVICE, size) is torch.channels_last
        name, found = "channels_last" if last else "contiguous", fed(setting, dtype, batch)
        print(f"| {dtype} | {name} | {found:,.0f} | {found / eager[dtype, name]:.1%} |", flush=True)


def timms(setting: Setting, samples: Samples, workers: int) -> Callable[[], None]:
    """Return timm's validation loop with ``--amp --channels-last``.

    Not with ``--torchcompile``: its loader is slower than its model by far.
    """
    from timm.data.dataset import ImageDataset
    from timm.data.loader import create_loader

    loaded, dataset = setting.handle("float32").loaded, cast(Any, ImageDataset)
    steps = loaded.preprocessing
    model: Any = loaded.model.eval().to(DEVICE).to(memory_format=torch.channels_last)
    loader: Any = create_loader(
        dataset(str(samples.root)),
        input_size=steps.input_size,
        batch_size=256 if DEVICE.type == "cuda" else 16,
        use_prefetcher=True,
        interpolation=steps.interpolation,
        mean=steps.mean,
        std=steps.std,
        num_workers=workers,
        crop_pct=steps.crop_pct,
        crop_mode=steps.crop_mode,
        pin_memory=DEVICE.type == "cuda",
        device=DEVICE,
        persistent_workers=True,
    )
    half = torch.float16 if DEVICE.type == "cuda" else torch.bfloat16

    def run() -> None:
        with torch.inference_mode():
            for images, target in loader:
                images = images.contiguous(memory_format=torch.channels_last)
                with torch.autocast(DEVICE.type, dtype=half):
                    output = model(images)
                target = target.to(DEVICE)
                torch.nn.functional.cross_entropy(output, target).item()
                (output.topk(5).indices == target[:, None]).sum().item()

    return run


def seen(samples: Samples, inference: Inference) -> Predictions:
    """Return what a pass of the engine says of every image."""
    with tempfile.TemporaryDirectory() as folder:
        store, observers = Store(Path(folder)), {"test": Observing("key", inference)}
        failed = observe_samples(samples, observers, store, Progress())  # on every core
        table = store.load("test")
        if failed or table is None or table["error"].null_count < len(samples):
            raise RuntimeError(f"not every image was looked at: {failed}")
        return Predictions.from_table(table)


def preparing(inference: Inference, samples: Samples) -> Callable[[], None]:
    """Return the decoding and resizing alone, on every core, with the start of the workers."""
    eyes = {"test": inference}

    def run() -> None:
        wanted = (Wanted(row, eyes, True) for row in range(len(samples)))
        with lookers(samples, eyes, CORES, len(samples)) as looking:
            seen = looking.looked_at(wanted, 2048, NoJournal({}))
            half = len(samples) // 2
            deque(islice(seen, half), maxlen=0)
            began = time.perf_counter()  # whoever has to start has done so
            deque(seen, maxlen=0)
            steady = (len(samples) - half) / (time.perf_counter() - began)
        print(f"preparing, second half: {steady:,.0f} img/s", file=sys.stderr)

    return run


def end_to_end(setting: Setting, samples: Samples, rounds: int) -> None:
    """Print images a second from files to predictions, the ways in turn."""
    default = "timm, --amp --channels-last, 4 workers"
    best = f"timm, the same, {CORES} workers"
    runs: dict[str, Callable[[], object]] = {
        default: timms(setting, samples, 4),
        best: timms(setting, samples, CORES),
    }
    inferences = {dtype: Inference(setting.handle(dtype), samples) for dtype in DTYPES}
    runs |= {f"auditor, {k}": partial(seen, samples, each) for k, each in inferences.items()}
    runs[DECODING] = preparing(inferences["float32"], samples)
    for name, run in runs.items():
        print(f"warming up: {name}: {len(samples) / timed(run):,.0f} img/s", file=sys.stderr)
    took = [{name: timed(run) for name, run in runs.items()} for _ in range(rounds)]
    print(f"\n## End to end, {len(samples):,} images, {rounds} rounds, {CORES} cores\n")
    print("| way | img/s | × timm | × timm's best | of the limit |\n|---|---|---|---|---|")
    for name in runs:
        speeds = [len(samples) / r[name] for r in took]
        ratios = [shown([r[than] / r[name] for r in took], 2) for than in (default, best)]
        dtype = name.removeprefix("auditor, ")
        limit = min(len(samples) / min(r[DECODING] for r in took), setting.fastest.get(dtype, 0))
        share = f"{statistics.median(speeds) / limit:.0%}" if limit else ""
        print(f"| {name} | {shown(speeds, 0)} | {' | '.join(ratios)} | {share} |")
    print("\nThe limit is the lesser of decoding alone, at its best, and the forward pass alone.")
    about = inferences["float16"].about()
    print(f"It ran on {about['device']}, batch {about['batch_size']}, {about['forward']}.")


def timed(run: Callable[[], object]) -> float:
    """Return the seconds of one run, the device's included."""
    wait()
    started = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - started


def shown(values: Sequence[float], digits: int) -> str:
    """Return median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def flips(setting: Setting) -> None:
    """Print how many predictions another dtype changes, each image once."""
    print(
        f"\n## Predictions changed, {len(setting.samples):,} images\n\n| dtype | flips |\n|---|---|"
    )
    found = {}
    for dtype in DTYPES:
        release()
        inference = Inference(setting.handle(dtype), setting.samples)
        found[dtype] = seen(setting.samples, inference).predicted
        print(f"| {dtype} | {int((found[dtype] != found['float32']).sum())} |", flush=True)


def decoders() -> Iterator[tuple[str, Callable[[list[bytes]], list[torch.Tensor]]]]:
    """Yield what decodes JPEGs on the device here."""
    try:
        decode: Any = import_module("torchcodec.decoders").decode_jpeg
    except (ImportError, RuntimeError, AttributeError) as error:
        print(f"\ntorchcodec cannot be used: {str(error).splitlines()[0]}")
    else:
        yield "torchcodec", lambda files: list(decode(files, device=DEVICE))
    from torchvision.io import ImageReadMode
    from torchvision.io import decode_jpeg as older

    def torchvisions(files: list[bytes]) -> list[torch.Tensor]:
        tensors = [torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files]
        return list(older(tensors, mode=ImageReadMode.RGB, device=str(DEVICE)))

    yield "torchvision", torchvisions


def decoding(setting: Setting) -> None:
    """Print what decoding and resizing on the device gain, and what they change."""
    samples, replica = setting.samples, setting.replica("float32")
    inference = Inference(setting.handle("float32"), samples)
    files = [samples.read(image) for image in samples.images]
    jpegs = [file for file in files if file[:2] == b"\xff\xd8"]
    usual = [inference.prepare(open_image(file), file) for file in jpegs]
    took = min(timed(preparing(inference, samples)) for _ in range(3))
    print(f"\n## Decoding on the device, {len(jpegs):,} JPEGs, batches of 64\n")
    print("| decoder | img/s | mean and largest difference, grey levels | flips |")
    print(f"|---|---|---|---|\n| {CORES} cores | {len(samples) / took:,.0f} | | |")
    for name, decode in decoders():
        try:
            there = on_device(decode, jpegs, inference)
            again = partial(on_device, decode, jpegs, inference)
            seconds = min(timed(again) for _ in range(3))
        except Exception as error:
            print(f"| {name} | {type(error).__name__}: {str(error).splitlines()[0]} | | |")
            continue
        away = [(a.cpu().int() - b.int()).abs() for a, b in zip(there, usual, strict=True)]
        mean = statistics.mean(float(d.float().mean()) for d in away)
        changed = int((predicted(replica, there) != predicted(replica, usual)).sum())
        most = max(int(d.max()) for d in away)
        print(f"| {name} | {len(jpegs) / seconds:,.0f} | {mean:.2f}, {most} | {changed} |")


def on_device(decode: Any, files: list[bytes], inference: Inference) -> list[torch.Tensor]:
    """Decode, resize and crop in batches on the device."""
    from torchvision.transforms import v2

    timms: Any = inference.candidate.loaded.preprocessing._timms()
    resize, crop = timms.transforms[:2]
    steps = v2.Compose(
        [v2.Resize(resize.size, resize.interpolation, antialias=True), v2.CenterCrop(crop.size)]
    )
    remaining, done = iter(files), list[torch.Tensor]()
    while batch := list(islice(remaining, 64)):
        done += [steps(image) for image in decode(batch)]
    return done


def predicted(replica: Replica, images: list[torch.Tensor]) -> np.ndarray[Any, Any]:
    """Return the predicted class of each image."""
    found = []
    for start in range(0, len(images), 16):
        part = [image.cpu() for image in images[start : start + 16]]
        found.append(replica.start(part, np.zeros(len(part), np.int64))()["top5"][:, 0])
    return np.concatenate(found)


def linked(samples: Samples, images: int, folder: Path) -> Samples:
    """Link the images of a folder again and again, each time by another name."""
    for number in range(images):
        row = number % len(samples)
        place = folder / samples.labels[row]
        place.mkdir(exist_ok=True)
        source = samples.path(samples.images[row]).resolve()
        (place / f"{number:07}{source.suffix}").symlink_to(source)
    return read_samples(folder)


def main(
    folder: str,
    images: str = "50000",
    rounds: str = "3",
    model: str = "tf_efficientnet_b0",
    checkpoint: str = "",
    wanted: str = "forward,end to end,flips,decoding",
) -> None:
    """Print every table."""
    setting = Setting(Path(folder), model, checkpoint or None)
    print(f"# {model} on {describe_device(DEVICE)}, torch {torch.__version__}, {CORES} cores")
    with tempfile.TemporaryDirectory() as many:
        samples = linked(setting.samples, int(images), Path(many))
        parts: dict[str, Callable[[], None]] = {
            "forward": lambda: forward_only(setting),
            "end to end": lambda: end_to_end(setting, samples, int(rounds)),
            "flips": lambda: flips(setting),
            "decoding": lambda: decoding(setting),
        }
        for name in wanted.split(","):
            part = parts[name]
            release()
            try:
                part()
            except Exception as error:
                print(f"\n{name} failed: {type(error).__name__}: {error}")
    if DEVICE.type == "cuda":
        print(f"\nAt most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB were allocated.")


if __name__ == "__main__":
    main(*sys.argv[1:])
