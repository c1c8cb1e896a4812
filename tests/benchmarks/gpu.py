"""Measures what inference makes of a GPU, from JPEG files to predictions; prints Markdown.

python tests/benchmarks/gpu.py FOLDER [IMAGES] [ROUNDS] [MODEL] [CHECKPOINT] [PARTS] [VALIDATE]

FOLDER holds class folders of JPEGs, which are linked again and again until there are IMAGES. With
no CHECKPOINT the weights are random: times hold, flips say little. PARTS: ``forward``, ``memory``,
``end to end``, ``commands``, ``commands device``, ``starting``, ``flips``, ``decoding``; one that
fails says so, and the next one runs. ``commands`` takes whole processes, with their start, and
needs VALIDATE, timm's ``validate.py``; ``commands device`` leaves out the default preparation.
Without a GPU everything runs on the CPU, to try the script out; with simplejpeg installed, JPEGs
are then decoded as NVIDIA decodes them: colours of a lower resolution are repeated, not
interpolated.
"""

from __future__ import annotations

import cProfile
import gc
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from importlib.util import find_spec
from itertools import islice, product
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.decode import open_image
from auditor.data.samples import Samples
from auditor.data.sources import read_samples
from auditor.engine import decoding as engine_decoding
from auditor.engine import jpegs
from auditor.engine import running as engine_running
from auditor.engine.candidate import Candidate
from auditor.engine.collecting import Collector
from auditor.engine.decoding import Decoder
from auditor.engine.forward import Forward
from auditor.engine.hardware import usable_cores
from auditor.engine.inference import Inference
from auditor.engine.journal import NoJournal
from auditor.engine.jpegs import Jpeg
from auditor.engine.looking import Wanted
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.replica import Replica, memory_format
from auditor.engine.workers import Processes, lookers
from auditor.evidence.predictions import Predictions
from auditor.models.device import choose_device, describe_device
from auditor.progress import Progress
from auditor.registry import find_checks
from auditor.store import Store

DTYPES = ("float32", "bfloat16", "float16")
FORMS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
CORES = usable_cores()
SECONDS = 1.0
"""How long forward passes are repeated."""
WAYS = (("float32", "fast"), ("float16", "fast"), ("float32", "device"), ("float16", "device"))
"""Dtype, and where images are decoded: in workers, or on the device."""
UNDER_WAY = 3
"""Batches that an audit begins before it waits for the first."""
FEW = 8
"""One in so many images is enough to warm up, and for timm with four workers."""
BOTH = ("fast", "device")
BEST = f"timm, --amp --channels-last, {CORES} workers"
DEFAULT = "timm, the same, 4 workers"
DEVICE = choose_device("auto")
JUDGED = "top1-accuracy"
"""The check that wants the predictions alone."""


class Setting:
    """The model and the images of one run of the script."""

    def __init__(self, folder: Path, model: str, checkpoint: Path) -> None:
        self.samples, self.model, self.checkpoint = read_samples(folder), model, checkpoint
        self._table = CandidateTable(model=model, checkpoint=checkpoint)
        outputs = self.handle("float32").loaded.num_classes
        found = dict.fromkeys(self.samples.labels)
        names = (*found, *(f"class {i}" for i in range(outputs - len(found))))
        self.classes = ClassList(names, "given")

    def handle(self, dtype: str, preprocessing: str = "fast") -> Candidate:
        """Return the candidate in a dtype."""
        engine = EngineTable(dtype=dtype, preprocessing=preprocessing, workers=CORES)
        candidate = Candidate(self._table, engine, getattr(self, "classes", None), None)
        _ = candidate.loaded
        return candidate

    def replica(self, dtype: str) -> Replica:
        """Return the model as an audit runs it on one device."""
        candidate = self.handle(dtype)
        loaded = candidate.loaded
        forward = Forward(loaded.model, DEVICE, dtype, loaded.preprocessing.input_size)
        return Replica(forward, DEVICE, dtype, candidate, probabilities=False)


def random_weights(model: str, folder: Path) -> Path:
    """Return a checkpoint, so that every process loads the same."""
    import timm

    torch.manual_seed(0)
    path = folder / "weights.pth"
    torch.save(timm.create_model(model).state_dict(), path)
    return path


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

    def one_result() -> None:
        begun.append(replica.start(images, label))
        if len(begun) == UNDER_WAY:
            begun.popleft()()

    for _ in range(3 * UNDER_WAY):
        one_result()
    results, began, took = 0, time.perf_counter(), 0.0
    while took < SECONDS:  # from one result to another: what is begun has not been done
        one_result()
        results, took = results + 1, time.perf_counter() - began
    return batch * results / took


def forward_only(setting: Setting) -> None:
    """Print how fast the model alone is."""
    batch = setting.replica("float16").largest_batch() if DEVICE.type == "cuda" else 16
    print(f"\n## Forward passes, batch {batch}\n")
    print("| dtype | order | eager, img/s | compiled, img/s |\n|---|---|---|---|")
    for dtype in DTYPES:
        for name, form in FORMS.items():
            found = synthetic(setting, dtype, form, batch, compiled=False)
            quick = DEVICE.type == "cuda" and dtype == "float16" and name == "channels_last"
            best = f"{synthetic(setting, dtype, form, batch, compiled=True):,.0f}" if quick else ""
            print(f"| {dtype} | {name} | {found:,.0f} | {best} |", flush=True)


def memory(setting: Setting, rounds: int) -> None:
    """Print how much of the speed on synthetic images an audit gets that is fed from memory."""
    batch = 512 if DEVICE.type == "cuda" else 16
    print(f"\n## Fed from memory, batch {batch}, {rounds} rounds\n")
    print("| dtype | order chosen | synthetic, img/s | fed from memory, img/s | share |")
    print("|---|---|---|---|---|")
    size = setting.handle("float32").loaded.preprocessing.input_size
    form = memory_format(DEVICE, size)
    name = "channels_last" if form is torch.channels_last else "contiguous"
    for dtype in DTYPES:
        took = [
            (synthetic(setting, dtype, form, batch, compiled=False), fed(setting, dtype, batch))
            for _ in range(rounds)
        ]
        alone, found = zip(*took, strict=True)
        share = shown([f / a * 100 for a, f in took], 1)
        print(
            f"| {dtype} | {name} | {shown(alone, 0)} | {shown(found, 0)} | {share}% |", flush=True
        )


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
    """Return what workers do for an audit, alone, on every core, with their start."""
    eyes = {"test": inference}

    def run() -> None:
        wanted = (Wanted(row, eyes, not inference.reduced) for row in range(len(samples)))
        with lookers(samples, eyes, CORES, len(samples)) as looking:
            seen = looking.looked_at(wanted, 2048, NoJournal({}))
            half = len(samples) // 2
            deque(islice(seen, half), maxlen=0)
            began = time.perf_counter()  # whoever has to start has done so
            deque(seen, maxlen=0)
            steady = (len(samples) - half) / (time.perf_counter() - began)
        where = inference.candidate.transform
        print(f"workers alone, {where}, second half: {steady:,.0f} img/s", file=sys.stderr)

    return run


def ways(setting: Setting, samples: Samples) -> dict[str, Callable[[], object]]:
    """Return the ways from files to predictions; each starts what it needs, as a command would."""
    found: dict[str, Callable[[], object]] = {BEST: timms(setting, samples, CORES)}
    for where in BOTH:
        found[f"auditor, float16, {where}"] = partial(anew, setting, samples, where)
    return found


def anew(setting: Setting, samples: Samples, where: str) -> Predictions:
    """Return what a pass says, with all that it starts."""
    return seen(samples, Inference(setting.handle("float16", where), samples))


def end_to_end(setting: Setting, samples: Samples, few: Samples, rounds: int) -> None:
    """Print images a second from files to predictions, the ways in turn."""
    for where in ("fast", "device"):
        preparing(Inference(setting.handle("float16", where), few), few)()
    for name, run in ways(setting, few).items():
        print(f"warming up: {name}: {len(few) / timed(run):,.0f} img/s", file=sys.stderr)
    runs, images = ways(setting, samples), {DEFAULT: len(few)}
    runs[DEFAULT] = timms(setting, few, 4)
    speeds: list[dict[str, float]] = []
    for number in range(rounds):
        speeds.append({})
        for name, run in runs.items():
            speeds[-1][name] = images.get(name, len(samples)) / timed(run)
            print(f"round {number}: {name}: {speeds[-1][name]:,.0f} img/s", file=sys.stderr)
    print(f"\n## End to end, {len(samples):,} images, {rounds} rounds, {CORES} cores\n")
    print("| way | img/s | × timm, 4 workers | × timm's best |\n|---|---|---|---|")
    for name in runs:
        ratios = [shown([r[name] / r[than] for r in speeds], 2) for than in (DEFAULT, BEST)]
        print(f"| {name} | {shown([r[name] for r in speeds], 0)} | {' | '.join(ratios)} |")


def commands(
    setting: Setting, samples: Samples, validate: str, rounds: int, wheres: Sequence[str]
) -> None:
    """Print images a second of whole processes, in turn; what is gathered is what all audits are.

    Where a GPU decodes, hashes and properties are made of reduced pictures, too: else each file
    would be decoded here as well.
    """
    off = "".join(f'[checks.{c}]\nlevel = "off"\n' for c in find_checks().checks if c != JUDGED)
    speeds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = ["--model", setting.model, "--checkpoint", str(setting.checkpoint)]
        timm_ = [sys.executable, validate, "--data-dir", str(samples.root), *model]
        timm_ += ["--channels-last", "-b", "256", "-j", str(CORES), "--device", DEVICE.type]
        runs = {BEST: [*timm_, *(["--amp"] if DEVICE.type == "cuda" else [])]}
        classes, dtype = (
            Path(folder, "classes.txt"),
            "float16" if DEVICE.type == "cuda" else "float32",
        )
        classes.write_text("\n".join(setting.classes.names))
        for where in wheres:
            mode = "fast" if where == "device" else "exact"
            engine = f'[engine]\ndtype = "{dtype}"\npreprocessing = "{where}"\n'
            said = f'{engine}[overlap]\nhash_mode = "{mode}"\n{off}'
            Path(folder, f"{where}.toml").write_text(said)
            own = [sys.executable, "-m", "auditor", "gather", str(Path(folder, f"{where}.toml"))]
            own += [*model, "--classes", str(classes), "--test", str(samples.root)]
            runs[f"auditor gather, {where}"] = own
        for number, (name, command) in product(range(rounds), runs.items()):
            output = [] if name == BEST else ["--output", str(Path(folder, f"{number} {name}"))]
            done = partial(subprocess.run, [*command, *output], check=True, stdout=sys.stderr)
            speeds.setdefault(name, []).append(len(samples) / timed(done))
            print(f"round {number}: {name}: {speeds[name][-1]:,.0f} img/s", file=sys.stderr)
    print(f"\n## Whole commands, {len(samples):,} images, {rounds} rounds, {CORES} cores\n")
    print("| command | img/s | × timm's best |\n|---|---|---|")
    for name, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds[BEST], strict=True)]
        print(f"| {name} | {shown(found, 0)} | {shown(ratios, 2)} |", flush=True)


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


class Marks:
    """Notes when functions are called, in seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.calls: dict[str, list[tuple[float, float]]] = {}

    def watching(self, owner: Any, name: str) -> AbstractContextManager[Any]:
        """Note each call's begin and end."""
        original, calls = getattr(owner, name), self.calls.setdefault(name, [])

        def watched(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter() - self._began
            try:
                return original(*args, **kwargs)
            finally:
                calls.append((began, time.perf_counter() - self._began))

        return patch.object(owner, name, watched)


WATCHED = (
    (Processes, "_hand_out", "a worker was ready"),
    (Inference, "rows", "the first batch was prepared"),
    (engine_running, "require_steady", "the model was run to see that it is steady"),
    (Inference, "_columns", "the first results were here"),
    (Collector, "finish", "the last image was prepared"),
    (Store, "save_stream", "all were saved in one file"),
)
"""Whose function, its name, and what it says that it was called."""


def passes(setting: Setting, few: Samples) -> None:
    """Print what a short pass in each dtype waits for, one after the other in one process."""
    print(f"\n## When a pass of {len(few):,} images is where, in seconds\n")
    print("| dtype, decoded |", " | ".join(said for *_, said in WATCHED), "| the end |")
    print("|---" * (len(WATCHED) + 2) + "|")
    for dtype, where in WAYS:
        release()
        inference = Inference(setting.handle(dtype, where), few)
        marks = Marks()
        with ExitStack() as stack:
            for owner, name, _ in WATCHED:
                stack.enter_context(marks.watching(owner, name))
            whole = timed(partial(seen, few, inference))
        cells = [span(marks.calls[name]) for _, name, _ in WATCHED]
        print(f"| {dtype}, {where} | {' | '.join(cells)} | {whole:.2f} |", flush=True)


def span(calls: Sequence[tuple[float, float]]) -> str:
    """Return when something was first called, and how long it then took."""
    if not calls:
        return "never"
    began, ended = calls[0]
    return f"{began:.2f}, took {ended - began:.2f}"


def starting(setting: Setting, few: Samples) -> None:
    """Print where a short pass spends its time, in a process that has run one in another dtype."""
    passes(setting, few)
    release()
    inference = Inference(setting.handle("float16", "device"), few)
    profile = cProfile.Profile()
    profile.runcall(seen, few, inference)
    print(f"\n## Where a pass of {len(few):,} images spends its time\n\n```")
    pstats.Stats(profile).strip_dirs().sort_stats("cumulative").print_stats(40)
    print("```")


def as_nvidia() -> None:
    """Decode as a GPU does: an H200 was off Pillow by as much in 280 JPEGs, to eight digits.

    And small pictures, too, for which alone a model is trained in minutes.
    """
    from importlib import import_module

    decode: Any = import_module("simplejpeg").decode_jpeg

    def decoded(sources: list[torch.Tensor], mode: str, device: torch.device) -> list[torch.Tensor]:
        pictures = [decode(each.numpy(), mode, fastupsample=True) for each in sources]
        return [torch.from_numpy(each).permute(2, 0, 1).to(device) for each in pictures]

    engine_decoding.jpeg_decoder = lambda device: decoded
    jpegs.FEWEST = 1


def flips(setting: Setting) -> None:
    """Print how many predictions another dtype or decoder changes, each image once."""
    if DEVICE.type == "cpu" and find_spec("simplejpeg"):
        as_nvidia()
    samples = setting.samples
    print(f"\n## Predictions changed, {len(samples):,} images\n")
    print("| dtype | decoded | Top-1 | flips |\n|---|---|---|---|")
    usual = None
    others = (("float32", "reference"), ("bfloat16", "fast"))
    for dtype, where in (*WAYS, *others):
        if DEVICE.type == "cpu" and dtype != "float32":
            continue  # for hours
        release()
        found = seen(samples, Inference(setting.handle(dtype, where), samples))
        usual = found.predicted if usual is None else usual
        right, flipped = (found.predicted == found.label).mean(), found.predicted != usual
        print(f"| {dtype} | {where} | {right:.2%} | {int(flipped.sum())} |", flush=True)


def decoding(setting: Setting) -> None:
    """Print what decoding and resizing on the device gain, and what they change."""
    inference = Inference(setting.handle("float32", "device"), setting.samples)
    files = [setting.samples.read(image) for image in setting.samples.images]
    prepared = [inference.prepare(open_image(file, reduced=True), file) for file in files]
    sent = [each for each in prepared if isinstance(each, Jpeg)]
    preprocessing = inference.candidate.loaded.preprocessing
    steps = preprocessing.on_tensors()
    assert steps is not None
    decoder = Decoder(DEVICE, steps, inference._preparation.decoded)
    print(f"\n## Decoding on the device, {len(sent):,} JPEGs, batches of 512\n")
    batch = [sent[i % len(sent)] for i in range(512)]
    sources = [torch.from_numpy(each.file.copy()) for each in batch[:128]]

    def several() -> int:
        begun = [decoder.start(batch) for _ in range(8)]
        return sum(len(each.result()) for each in begun)

    works: dict[str, Callable[[], int]] = {
        "decode, 128 at once": lambda: len(decoder._decode(sources, device=DEVICE)),
        "decode, resize, crop": lambda: len(decoder.batch(batch)),
        "in several threads": several,
    }
    for name, work in works.items():
        print(f"{name}: {rate(work):,.0f} img/s", flush=True)
    there = torch.cat([decoder.batch(sent[i : i + 64]) for i in range(0, len(sent), 64)])
    usual = torch.stack([inference._preparation.decoded(each) for each in sent])
    away = (there.cpu().int() - usual.int()).abs()
    print(
        f"grey levels away: {float(away.float().mean()):.2f} in the mean, {int(away.max())} at most"
    )


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
    wanted: str = "forward,memory,end to end,flips,decoding",
    validate: str = "",
) -> None:
    """Print every table."""
    print(f"# {model} on {describe_device(DEVICE)}, torch {torch.__version__}, {CORES} cores")
    with ExitStack() as stack:
        many, less, drawn = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(3))
        weights = Path(checkpoint) if checkpoint else random_weights(model, Path(drawn))
        setting = Setting(Path(folder), model, weights)
        samples = linked(setting.samples, int(images), Path(many))
        few = linked(setting.samples, int(images) // FEW, Path(less))
        parts: dict[str, Callable[[], None]] = {
            "forward": lambda: forward_only(setting),
            "memory": lambda: memory(setting, int(rounds)),
            "end to end": lambda: end_to_end(setting, samples, few, int(rounds)),
            "commands": lambda: commands(setting, samples, validate, int(rounds), BOTH),
            "commands device": lambda: commands(
                setting, samples, validate, int(rounds), ("device",)
            ),
            "starting": lambda: starting(setting, few),
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
