"""What only a CUDA device can show: the same predictions, and a pass that outlives its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.decode import open_image
from auditor.data.samples import Samples
from auditor.data.sources import read_samples
from auditor.engine.candidate import Candidate
from auditor.engine.decoding import Decoder
from auditor.engine.inference import Inference
from auditor.engine.jpegs import CELLS, Jpeg, jpeg
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.precision import reproducible
from auditor.errors import InputError
from auditor.models.preprocessing import Preprocessing
from auditor.models.tensor_transform import OnTensors
from auditor.progress import Progress
from auditor.store import Store

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

MODEL = "efficientnet_b0"
SIDE = 96
CLASSES = tuple(f"class {n:03}" for n in range(1000))


def pictures(root: Path, count: int, sizes: Sequence[tuple[int, int]], **options: Any) -> Samples:
    """Return coarse pictures of two classes, of each size in turn."""
    random = np.random.default_rng(0)
    for n in range(count):
        folder = root / CLASSES[n % 2]
        folder.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (7, 8, 3), np.uint8))
        coarse.resize(sizes[n % len(sizes)]).save(folder / f"{n:04}.jpg", quality=90, **options)
    return read_samples(root)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """1,200 pictures: more than two stored parts."""
    return pictures(tmp_path_factory.mktemp("cuda"), 1200, [(128, 112)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same weights for whoever loads them: another process does, too."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(MODEL)
    _calibrate(model)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(model.state_dict(), path)
    return path


Make = Callable[..., Inference]


@pytest.fixture(scope="module")
def inference(checkpoint: Path) -> Make:
    def inference(samples: Samples, **engine: Any) -> Inference:
        devices = engine.pop("devices", None)
        table = CandidateTable(model=MODEL, checkpoint=checkpoint, input_size=SIDE)
        candidate = Candidate(table, EngineTable(**engine), ClassList(CLASSES, "given"), None)
        return Inference(candidate, samples, devices=devices)

    return inference


def _calibrate(model: torch.nn.Module) -> None:
    """Give BatchNorms statistics of such pictures; without, activations of random weights fade."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.nn.functional.interpolate(torch.randn(32, 3, 7, 7), size=(SIDE, SIDE)))
    model.eval()


def gathered(made: Inference, samples: Samples, folder: Path) -> pa.Table:
    store = Store(folder)
    failed = observe_samples(samples, {"test": Observing("key", made)}, store, Progress())
    table = store.load("test")
    assert not failed
    assert table is not None
    assert table["error"].null_count == len(samples)
    return table


def change(found: pa.Table, expected: pa.Table) -> float:
    """Return the largest change of a logit, as a share of the spread of its image's."""
    ours, theirs = logits(found), logits(expected)
    return float((np.abs(ours - theirs).max(1) / np.ptp(theirs, axis=1)).max())


def logits(table: pa.Table) -> np.ndarray[Any, Any]:
    """Return them but for a constant an image."""
    stored = np.frombuffer(b"".join(table["probabilities"].to_pylist()), "<f4")
    found: np.ndarray[Any, Any] = np.log(stored.astype(float)).reshape(table.num_rows, -1)
    found -= found.mean(1, keepdims=True)
    return found


@pytest.fixture(scope="module")
def on_cpu(inference: Make, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    made = inference(samples, device="cpu", backend="torch")
    return gathered(made, samples, tmp_path_factory.mktemp("cpu"))


@pytest.mark.parametrize(
    ("dtype", "off"), [("float32", 1e-3), ("float16", 0.02), ("bfloat16", 0.2)]
)
def test_it_says_what_the_cpu_says(
    inference: Make, samples: Samples, on_cpu: pa.Table, tmp_path: Path, dtype: str, off: float
) -> None:
    made = inference(samples, device="cuda", dtype=dtype)
    found = gathered(made, samples, tmp_path)
    assert found["image"].equals(on_cpu["image"])
    assert change(found, on_cpu) < off
    about = made.about()
    assert about["device"] == torch.cuda.get_device_name()
    assert about["batch_size"] == 512


def test_the_model_sees_batches_of_one_size_alone(
    inference: Make, samples: Samples, tmp_path: Path
) -> None:
    """Each further one would be planned for anew; what is tried out first, too."""
    made, sizes = inference(samples, device="cuda", backend="torch"), set[int]()
    assert made.batch_size == 512
    noted = made.candidate.loaded.model.register_forward_pre_hook(
        lambda _, given: sizes.add(len(given[0]))
    )
    gathered(made, samples, tmp_path)
    noted.remove()
    assert sizes == {512}


def test_two_replicas_say_what_one_says(inference: Make, samples: Samples, tmp_path: Path) -> None:
    device = torch.device("cuda:0")
    one = gathered(inference(samples, devices=(device,)), samples, tmp_path / "one")
    two = gathered(inference(samples, devices=(device, device)), samples, tmp_path / "two")
    assert two.equals(one)


def test_a_pass_is_repeated_to_the_last_bit(
    inference: Make, samples: Samples, tmp_path: Path
) -> None:
    tables = [
        gathered(inference(samples, dtype="float16"), samples, tmp_path / name) for name in "ab"
    ]
    assert tables[0].equals(tables[1])


def test_where_memory_runs_out_batches_are_halved(
    inference: Make, samples: Samples, on_cpu: pa.Table, tmp_path: Path
) -> None:
    made = inference(samples, batch_size=512)
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((held + (300 << 20)) / whole)
    try:
        found = gathered(made, samples, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert made.about()["batch_size_halved_to"] < 512
    assert change(found, on_cpu) < 1e-3


def test_the_largest_batch_is_smaller_where_memory_is(inference: Make, samples: Samples) -> None:
    made = inference(samples)
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((held + (300 << 20)) / whole)
    try:
        assert 1 <= (made.batch_size or 0) < 512
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize(("dtype", "off"), [("float32", 1e-3), ("float16", 0.04)])
def test_compiled_it_says_the_same(
    inference: Make, samples: Samples, on_cpu: pa.Table, tmp_path: Path, dtype: str, off: float
) -> None:
    made = inference(samples, dtype=dtype, backend="inductor", batch_size=256)
    found = gathered(made, samples, tmp_path)
    about = made.about()
    assert about["forward"].endswith(", compiled"), about["forward"]
    assert about["batch_size"] == 256
    assert change(found, on_cpu) < off
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("height", "width", "options", "mean"),
    [
        (333, 500, {"subsampling": 0}, 0.02),
        (500, 375, {"subsampling": 2}, 1.5),
        (400, 300, {"subsampling": 1}, 1.5),
        (300, 300, {"progressive": True}, 1.5),
        (1256, 260, {"subsampling": 0}, 0.02),
    ],
)
def test_a_picture_decoded_there_is_the_picture(
    height: int, width: int, options: Any, mean: float
) -> None:
    """With all of its colour it is Pillow's and torchvision's; else colour is spread otherwise."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (height // 8, width // 8, 3), np.uint8))
    files = []
    for turn in (coarse, coarse.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        stream = BytesIO()
        turn.resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", **options)
        files.append(stream.getvalue())
    steps = Preprocessing((3, 64, 64), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.875, "center", "test")
    ready = [steps.transform(reference=False)(open_image(file)) for file in files]
    on_tensors = steps.on_tensors()
    assert on_tensors is not None
    decoder = Decoder(torch.device("cuda"), on_tensors, lambda _: torch.empty(0))
    prepared = [jpeg(open_image(file, reduced=True), file, on_tensors) for file in files]
    found = decoder.batch([each for each in (*prepared, *ready) if each is not None])
    assert found.device.type == "cuda"
    assert found[2:].cpu().equal(torch.stack(ready))
    off = (found[:2].cpu().int() - torch.stack(ready).int()).abs().float()
    assert float(off.mean()) < mean


def test_what_cannot_be_decoded_there_is_decoded_here() -> None:
    """Four colours are not; it would not be asked, but as good as a file that is harmed."""
    stream, here = BytesIO(), torch.full((3, 64, 64), 7, dtype=torch.uint8)
    Image.new("CMYK", (100, 100)).save(stream, "JPEG")
    grey = bytes([90]) * CELLS**2
    bad = Jpeg(np.frombuffer(stream.getvalue(), np.uint8).copy(), 100 * 100, grey)
    stream = BytesIO()
    Image.new("RGB", (100, 100), (90, 90, 90)).save(stream, "JPEG")
    good = Jpeg(np.frombuffer(stream.getvalue(), np.uint8).copy(), 100 * 100, grey)
    decoder = Decoder(
        torch.device("cuda"),
        OnTensors(64, "bicubic", (64, 64)),
        lambda file: here if file is bad else torch.empty(0),
    )
    found = decoder.batch([good, bad, good]).cpu()
    assert found[1].equal(here)
    assert (found[[0, 2]].int() - 90).abs().max() <= 1


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """700 pictures with all of their colour, large enough to be decoded there."""
    sizes = [(320, 260), (256, 400), (500, 300), (260, 256)]
    return pictures(tmp_path_factory.mktemp("photographs"), 700, sizes, subsampling=0)


def test_files_are_decoded_there_from_end_to_end(
    inference: Make, photographs: Samples, tmp_path: Path
) -> None:
    device = torch.device("cuda:0")
    fast = gathered(inference(photographs, devices=(device,)), photographs, tmp_path / "fast")
    one, again, two = (
        inference(photographs, preprocessing="device", devices=devices)
        for devices in ((device,), (device,), (device, device))
    )
    found = gathered(one, photographs, tmp_path / "one")
    assert "nvJPEG" in one.about()["transform"]
    assert found["file.digest"].equals(fast["file.digest"])
    pairs = list(zip(logits(found), logits(fast), strict=True))
    assert min(np.corrcoef(*pair)[0, 1] for pair in pairs) > 0.9
    assert change(found, fast) > 0
    assert gathered(again, photographs, tmp_path / "again").equals(found)
    assert gathered(two, photographs, tmp_path / "two").equals(found)


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_float32_is_not_tf32(precision: str) -> None:
    """TF32 has 10 bits: it is off by 3e-4 here, float32 by 4e-7."""
    random = torch.Generator("cuda").manual_seed(0)
    left, right = (torch.randn(512, 512, device="cuda", generator=random) for _ in range(2))
    images, weight = left.reshape(1, 64, 64, 64), right[:64].reshape(64, 64, 8)[..., :3, None]
    torch.set_float32_matmul_precision(precision)
    try:
        with reproducible():
            found = left @ right, torch.nn.functional.conv2d(images, weight)
    finally:
        torch.set_float32_matmul_precision("highest")
    exact = (
        left.double() @ right.double(),
        torch.nn.functional.conv2d(images.double(), weight.double()),
    )
    for one, other in zip(found, exact, strict=True):
        assert float((one - other).abs().max() / other.abs().max()) < 1e-5


def test_a_cuda_device_that_is_not_there_is_named(inference: Make, samples: Samples) -> None:
    with pytest.raises(InputError, match=r'no device "cuda:77" here; there is cuda:0'):
        inference(samples, device="cuda:77")
