"""JPEGs decoded where the model runs: the same pictures, the same errors, and no file lost.

torchcodec decodes on a CPU, too: what a GPU adds is tried out in ``test_cuda.py``.
"""

from __future__ import annotations

import pickle
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
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
from auditor.data.decode import open_image, to_rgb
from auditor.data.samples import Samples
from auditor.data.sources import read_samples
from auditor.engine import decoding, jpegs, root, waiting
from auditor.engine.candidate import Candidate
from auditor.engine.decoding import Decoder
from auditor.engine.inference import Inference
from auditor.engine.jpegs import Jpeg, jpeg
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.replica import Replica
from auditor.engine.running import Running
from auditor.errors import InputError
from auditor.models.preprocessing import Preprocessing
from auditor.models.tensor_transform import OnTensors
from auditor.progress import Progress
from auditor.store import Store

CPU = torch.device("cpu")
CLASSES = ("a", "b")
STEPS = Preprocessing((3, 32, 32), (0.5,) * 3, (0.5,) * 3, "bicubic", 0.875, "center", "test")
MODEL = """
import torch
from torch import nn


class Means(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.pool, self.last = nn.AdaptiveAvgPool2d(4), nn.Linear(16 * channels, 2)
        self.in_chans = channels

    def forward(self, x):
        return self.last(self.pool(x).flatten(1))


def means():
    return Means()


def grey():
    return Means(1)
"""


def drawn(size: tuple[int, int] = (300, 260), seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 7, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x112] = 6
    return encoded(drawn(), exif=exif.tobytes())


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """All kinds of files: what a device decodes, what it does not, and what nobody can."""
    whole = encoded(drawn(seed=1), quality=95)
    files = {
        "colour.jpg": whole,
        "small.jpg": encoded(drawn((40, 50), 2)),
        "grey.jpg": encoded(drawn(seed=3).convert("L")),
        "progressive.jpg": encoded(drawn(seed=4), progressive=True),
        "turned.jpg": turned(),
        "rgb.jpg": encoded(drawn(seed=5), keep_rgb=True),
        "cmyk.jpg": encoded(drawn(seed=6).convert("CMYK")),
        "plain.png": encoded(drawn(seed=7), "PNG"),
        "truncated.jpg": whole[: len(whole) // 2],
        "text.jpg": b"no picture",
        "upright.jpg": encoded(drawn(seed=8), exif=Image.Exif().tobytes()),
    }
    for name, data in files.items():
        place = tmp_path / "data" / CLASSES[len(name) % 2] / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return read_samples(tmp_path / "data")


@pytest.fixture
def candidate(module: Callable[..., str]) -> Callable[..., Candidate]:
    name = module(MODEL, by_colour=False)

    def candidate(preprocessing: Any = "device", model: str = "means", **given: Any) -> Candidate:
        table = CandidateTable(module=f"{name}:{model}", input_size=32, **given)
        engine = EngineTable(preprocessing=preprocessing, device="cpu")
        return Candidate(table, engine, ClassList(CLASSES, "given"), None)

    return candidate


def replica(made: Inference) -> Replica:
    runs = made._runs
    assert isinstance(runs, Running)
    return runs.replica


def gathered(made: Inference, samples: Samples, folder: Path, workers: int = 2) -> pa.Table:
    store, engine = Store(folder), EngineTable(workers=workers)
    observers = {"test": Observing("key", made)}
    assert not observe_samples(samples, observers, store, Progress(), engine)
    table = store.load("test")
    assert table is not None
    return table


def probabilities(table: pa.Table) -> np.ndarray[Any, Any]:
    stored = table.filter(pa.compute.is_null(table["error"]))["probabilities"].to_pylist()
    return np.frombuffer(b"".join(stored), "<f4").reshape(len(stored), -1)


def test_it_says_what_the_fast_way_says(candidate: Any, samples: Samples, tmp_path: Path) -> None:
    fast = gathered(Inference(candidate("fast"), samples), samples, tmp_path / "fast")
    found = gathered(Inference(candidate("device"), samples), samples, tmp_path / "device")
    assert found["image"].equals(fast["image"])
    assert found["error"].equals(fast["error"])
    assert found["error"].null_count == len(samples) - 2
    assert found["file.digest"].equals(fast["file.digest"])
    np.testing.assert_allclose(probabilities(found), probabilities(fast), atol=5e-3)
    assert not np.array_equal(probabilities(found), probabilities(fast))  # another way it is


def test_worker_processes_hand_the_files_over(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = Inference(candidate(), samples)
    threads = gathered(inference, samples, tmp_path / "threads")
    monkeypatch.setattr(root, "_FROM_IMAGES", 1)
    made = gathered(inference, samples, tmp_path / "processes", workers=4)
    assert made.equals(threads)


def test_no_model_is_loaded_to_prepare(candidate: Any, samples: Samples) -> None:
    there: Inference = pickle.loads(pickle.dumps(Inference(candidate(), samples)))
    data = encoded(drawn())
    assert there.reduced
    assert isinstance(there.prepare(open_image(data, reduced=True), data), Jpeg)
    assert "_loaded" not in vars(there.candidate)


def steps() -> OnTensors:
    found = STEPS.on_tensors()
    assert found is not None
    return found


def ready(data: bytes) -> torch.Tensor:
    return STEPS.transform(reference=False)(to_rgb(open_image(data)))


def decoder() -> Decoder:
    return Decoder(CPU, steps(), lambda file: ready(file.file.tobytes()))


def test_four_batches_are_decoded_while_one_waits_one_is_run_and_one_is_gathered(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, at, most = Inference(candidate("device"), samples), 0, 0
    rows = made.rows

    def counted(images: Sequence[str], prepared: Sequence[Any]) -> Any:
        nonlocal at, most
        waits: Any = rows(images, prepared)
        at += 1
        most = max(most, at)

        def finished() -> Any:
            nonlocal at
            at -= 1
            return waits()

        return finished

    monkeypatch.setattr(made, "rows", counted)
    monkeypatch.setattr(Inference, "batch_size", 1)
    gathered(made, samples, tmp_path)
    assert (at, most) == (0, 6)


def as_file(data: bytes, *, reduced: bool = True) -> Jpeg:
    found = jpeg(open_image(data, reduced=reduced), data, steps())
    assert found is not None
    return found


def off(found: torch.Tensor, files: list[bytes]) -> int:
    expected = torch.stack([ready(data) for data in files])
    return int((found.int() - expected.int()).abs().max())


def without_adobe(data: bytes) -> bytes:
    """Take away the only marker that says that the colours are stored as they are."""
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]


def fill_bytes(data: bytes) -> bytes:
    """Write one more byte before a marker, as is allowed and rare."""
    return data[:2] + b"\xff" + data[2:]


@pytest.mark.parametrize("reduced", [True, False])
def test_what_would_come_out_otherwise_is_decoded_here(reduced: bool) -> None:
    rgb = encoded(drawn(), keep_rgb=True)
    assert open_image(without_adobe(rgb)).info.get("adobe") is None
    others = {
        "small": encoded(drawn((300, 255))),
        "large": encoded(Image.new("L", (4097, 4096))),
        "many bytes": encoded(drawn()) + bytes(1 << 19),
        "another mark": fill_bytes(encoded(drawn())),
        "two": encoded(drawn(), "MPO", save_all=True, append_images=[drawn(seed=1)]),
        "rgb": rgb,
        "rgb by its components": without_adobe(rgb),
        "four colours": encoded(drawn().convert("CMYK")),
        "png": encoded(drawn(), "PNG"),
        "webp": encoded(drawn(), "WEBP"),
    }
    for name, data in others.items():
        assert jpeg(open_image(data, reduced=reduced), data, steps()) is None, name
    for data in (encoded(drawn()), encoded(drawn().convert("L")), encoded(drawn((256, 400)))):
        file, image = as_file(data, reduced=reduced), open_image(data)
        assert file.file.tobytes() == data
        assert file.pixels == image.width * image.height


@pytest.mark.parametrize("reduced", [True, False])
def test_an_orientation_is_not_applied(reduced: bool) -> None:
    """Whether Pillow can read it or not: nothing else here applies it."""
    plain = encoded(drawn())
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01%b\x06\0\0\0\0\0\0\0"
    big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    usual, *odd = (b"\x03\0\x01\0\0\0", b"\0\0\x01\0\0\0", b"\x03\0\0\0\0\0")
    heads = (b"Exif\0\0", b"Exif\0\xff", b"EXIF\0\0", b"123456")
    blocks = [head + block for head in heads for block in (tiff % usual, big, b"XX" + big[2:])]
    blocks += [b"Exif\0\0" + block for block in (*(tiff % kind for kind in odd), b"garbage", b"II")]
    files = [turned()]
    for block in blocks:
        segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block
        files += [plain[:2] + segment + plain[2:], plain[:20] + segment + plain[20:]]
    made = Decoder(CPU, steps(), lambda _: pytest.fail("it was turned"))
    assert off(made.batch([as_file(data, reduced=reduced) for data in files]), files) <= 2


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(256, 256), (700, 300), (333, 500)])
def test_right_pictures_are_taken(size: tuple[int, int], subsampling: int) -> None:
    random = np.random.default_rng(0)
    pictures = [drawn(size, seed) for seed in range(5)]
    pictures += [Image.fromarray(random.integers(0, 256, (*size[::-1], 3), np.uint8))]
    files = [encoded(each, subsampling=subsampling, quality=60) for each in pictures]
    made = Decoder(CPU, steps(), lambda _: pytest.fail("it was refused"))
    assert off(made.batch([as_file(data) for data in files]), files) <= 2


def failing(made: Decoder, bad: bytes, message: str) -> Callable[..., Any]:
    real = made._decode

    def fails(sources: list[torch.Tensor], **options: Any) -> Any:
        if any(source.numpy().tobytes() == bad for source in sources):
            raise RuntimeError(f"decode, DecodeJpegCuda.cpp:470, {message}\nsomewhere: 7")
        return real(sources, **options)

    return fails


@pytest.mark.parametrize(
    "message",
    ["nvjpegDecode failed: 2", "Failed to get image info: 3", "Unknown chroma subsampling"],
)
def test_a_file_that_is_not_decoded_there_is_decoded_here(message: str) -> None:
    files = [encoded(drawn(seed=seed)) for seed in range(5)]
    made, bad = decoder(), files[3]
    made._decode = failing(made, bad, message)
    mixed = [as_file(data) if i != 1 else ready(data) for i, data in enumerate(files)]
    found = made.batch(mixed)
    assert off(found, files) <= 2
    assert found[3].equal(ready(bad))
    assert found[1].equal(ready(files[1]))


@pytest.mark.parametrize(
    "message",
    ["nvjpegDecode failed: 6", "Failed to synchronize CUDA stream: 700", "CUDA error: misaligned"],
)
def test_what_is_no_file_of_its_own_is_raised(message: str) -> None:
    files = [encoded(drawn(seed=seed)) for seed in range(2)]
    made = decoder()
    made._decode = failing(made, files[1], message)
    with pytest.raises(RuntimeError, match=message):
        made.batch([as_file(data) for data in files])


def test_a_batch_that_fails_ends_the_pass_and_says_where(
    candidate: Any, samples: Samples, tmp_path: Path
) -> None:
    """Others wait behind it: none is lost, and another run ends as an undisturbed one."""
    expected = gathered(Inference(candidate(), samples), samples, tmp_path / "undisturbed")
    broken, store = Inference(candidate(), samples), Store(tmp_path / "resumed")
    broken.batch_size = 2
    made, bad = replica(broken).decoder, samples.read("a/colour.jpg")
    assert made is not None
    made._decode = failing(made, bad, "nvjpegDecode failed: 6")
    failed = observe_samples(samples, {"test": Observing("key", broken)}, store, Progress())
    assert "failed on cpu with a batch of 2, a/cmyk.jpg to a/colour.jpg" in str(failed["test"])
    assert "nvjpegDecode failed: 6" in str(failed["test"])
    assert store.load("test") is None
    found = gathered(Inference(candidate(), samples), samples, tmp_path / "resumed")
    assert found.equals(expected)


def test_a_picture_that_comes_out_otherwise_there_is_decoded_here() -> None:
    """As nvJPEG may make it, without a word, of a file that is harmed."""
    files = [encoded(drawn(seed=seed)) for seed in range(4)]
    made = decoder()
    real = made._decode

    def half(sources: list[torch.Tensor], **options: Any) -> Any:
        pictures = real(sources, **options)
        pictures[2][:, 130:] = 128
        return pictures

    made._decode = half
    found = made.batch([as_file(data) for data in files])
    assert off(found, files) <= 2
    assert found[2].equal(ready(files[2]))
    assert not found[1].equal(ready(files[1]))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("nvjpegDecode failed: 5")]
)
def test_where_memory_runs_out_fewer_are_decoded_at_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    files = [encoded(drawn(seed=seed)) for seed in range(5)]
    made, asked = decoder(), list[int]()
    real = made._decode

    def small(sources: list[torch.Tensor], **options: Any) -> Any:
        asked.append(len(sources))
        if len(sources) > 2 or len(asked) == 2:
            raise error
        return real(sources, **options)

    made._decode = small
    assert off(made.batch([as_file(data) for data in files]), files) <= 2
    assert asked == [5, 2, 1, 1, 3, 1, 2]
    monkeypatch.setattr(decoding, "_AT_ONCE", 2 * 300 * 260)
    asked.clear()
    asked += [0, 0]
    assert off(made.batch([as_file(data) for data in files]), files) <= 2
    assert asked[2:] == [2, 2, 1]


def test_one_file_for_which_there_is_no_memory_is_tried_again() -> None:
    made, left, file = decoder(), [1], encoded(drawn())
    real = made._decode

    def full(sources: list[torch.Tensor], **options: Any) -> Any:
        if left:
            left.pop()
            raise torch.OutOfMemoryError
        return real(sources, **options)

    made._decode = full
    assert off(made.batch([as_file(file)]), [file]) <= 2
    left += [1, 1]
    with pytest.raises(torch.OutOfMemoryError):
        made.batch([as_file(file)])


NO_MEMORY = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("nvjpegDecode failed: 5")]


class Beside:
    """Decodes only where the model is given few images at once: it leaves no room for more."""

    def __init__(self, made: Inference, most: int, error: Exception) -> None:
        self.replica, self.most, self.error = replica(made), most, error
        assert self.replica.decoder is not None
        self.real = self.replica.decoder._decode
        self.replica.decoder._decode = self

    def __call__(self, sources: list[torch.Tensor], **options: Any) -> Any:
        if (self.replica.most or 512) > self.most:
            raise type(self.error)(*self.error.args)
        return self.real(sources, **options)


@pytest.mark.parametrize("error", NO_MEMORY)
@pytest.mark.parametrize(("batch_size", "most"), [(8, 3), (4, 1), (2, 1)])
def test_where_decoders_have_no_room_the_model_gives_way(
    candidate: Any, samples: Samples, tmp_path: Path, error: Exception, batch_size: int, most: int
) -> None:
    expected = gathered(Inference(candidate(), samples), samples, tmp_path / "undisturbed")
    tight = Inference(candidate(), samples)
    tight.batch_size = batch_size
    Beside(tight, most, error)
    found = gathered(tight, samples, tmp_path / "tight")
    assert found["image"].equals(expected["image"])
    assert found["error"].equals(expected["error"])
    np.testing.assert_allclose(probabilities(found), probabilities(expected), rtol=1e-5)
    assert 0 < tight.about()["batch_size_halved_to"] <= most


@pytest.mark.parametrize("error", NO_MEMORY)
def test_where_nothing_gives_them_room_the_next_step_is_said(
    candidate: Any, samples: Samples, tmp_path: Path, error: Exception
) -> None:
    full = Inference(candidate(), samples)
    Beside(full, 0, error)
    failed = observe_samples(
        samples, {"test": Observing("key", full)}, Store(tmp_path / "full"), Progress()
    )
    said = "cpu ran out of memory, or failed, on one image, beside what decodes there, of 3×32×32"
    assert isinstance(failed["test"], InputError)
    assert said in str(failed["test"])
    assert "[engine] device" in str(failed["test"])


def test_what_a_decoder_held_is_free_before_another_tries(
    candidate: Any, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, tries = Inference(candidate(), samples), list[bool]()
    full.batch_size = 4
    beside, held = Beside(full, 1, NO_MEMORY[0]), weakref.WeakSet[torch.Tensor]()

    def held_while_it_fails(sources: list[torch.Tensor], **options: Any) -> Any:
        picture = torch.zeros(9)
        held.add(picture)
        return beside(sources, **options)

    def released(device: torch.device) -> None:
        assert device == CPU
        for _ in range(500):  # a thread is at the end of what failed in it
            if held:
                time.sleep(0.01)
        tries.append(not held)

    decoder = replica(full).decoder
    assert decoder is not None
    decoder._decode = held_while_it_fails
    monkeypatch.setattr(waiting, "release", released)
    gathered(full, samples, tmp_path / "full", workers=1)
    assert tries
    assert all(tries)


def test_without_torchcodec_it_says_how_to_get_it(
    candidate: Any, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(InputError, match=r'"device": torchcodec .*; pip install "auditor\[gpu\]"'):
        Inference(candidate(), samples)


def test_a_device_without_a_decoder_is_named() -> None:
    with pytest.raises(InputError, match="nothing decodes JPEGs on mps; leave it out"):
        Decoder(torch.device("mps"), steps(), lambda _: torch.empty(0))


@pytest.mark.parametrize(
    ("given", "ran"),
    [
        ({}, "fast, JPEGs of 256 pixels and more, 512 KiB and less, on the device (libjpeg, "),
        ({"interpolation": "lanczos"}, "reference"),
        ({"model": "grey"}, "fast"),
    ],
)
def test_what_ran_is_said(candidate: Any, samples: Samples, given: Any, ran: str) -> None:
    said = Inference(candidate(**given), samples).about()["transform"]
    assert said.startswith(ran)
    assert ("device" in said) == ("device" in ran)


@pytest.mark.parametrize(
    ("share", "mode", "fills"),
    [(0.9, "center", True), (1.0, "squash", True), (1.2, "center", False), (1.2, "squash", False)],
)
def test_a_crop_that_is_larger_than_the_picture_is_not_for_a_device(
    share: float, mode: str, fills: bool
) -> None:
    steps = replace(STEPS, crop_pct=share, crop_mode=mode).on_tensors()
    assert steps is not None
    assert steps.fills_the_crop == fills


def test_it_is_another_candidate_by_its_decoder(
    candidate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast, device = candidate("fast").identity, candidate().identity
    monkeypatch.setattr(jpegs, "installed_version", lambda _: "99.9")
    assert len({fast, device, candidate().identity}) == 3
