"""Whole passes in batches of one size, as on a GPU, but on the CPU: compiled, interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.running import Running
from auditor.engine.shards import PART
from auditor.progress import Progress
from auditor.store import Store

pytestmark = pytest.mark.usefixtures("fresh")

ROOM: list[float] = [torch.inf]
"""Images for which there is memory."""
RAN: list[int] = []
"""Sizes of the batches that the model was given."""


@torch.library.custom_op("auditor_tests::held", mutates_args=())
def held(x: Tensor) -> Tensor:
    """Run out of memory as a compiled graph does: when it runs, not when it is compiled."""
    RAN.append(len(x))
    if len(x) > ROOM[0]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return x.clone()


@held.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(held(self.conv(x)).relu().mean((2, 3)))
        return logits


def network() -> Network:
    return Network()


class Filled(Running):
    """Runs batches of one size on the CPU, too."""

    _fills, _compiles = True, False


class Compiled(Filled):
    """Compiles there."""

    _compiles = True


class Compiling(Inference):
    """Compiles on the CPU, too; counts images, and may have memory run out, or stop, after some."""

    kind: type[Running] = Compiled

    def __init__(self, samples: Samples, batch_size: int, **after: int) -> None:
        table = CandidateTable(module=f"{__name__}:network", input_size=12)
        engine = EngineTable(backend="torch", device="cpu", batch_size=batch_size)
        candidate = Candidate(table, engine, ClassList(("a", "b"), "given"), None)
        super().__init__(candidate, samples)
        vars(self)["_started"] = self.kind(self._job, torch.device("cpu"))
        self.after, self.batches = after, list[int]()

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        if sum(self.batches) >= self.after.get("stop", len(self.samples)):
            raise KeyboardInterrupt
        if sum(self.batches) >= self.after.get("full", len(self.samples)):
            ROOM[0] = 100
        self.batches.append(len(images))
        return super().rows(images, prepared)


class Filling(Compiling):
    """Is not compiled."""

    kind = Filled


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    ROOM[0] = torch.inf
    yield
    ROOM[0] = torch.inf


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    from PIL import Image

    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for n in range(2 * PART + 90):
        folder = root / "ab"[n % 2]
        folder.mkdir(exist_ok=True)
        picture = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
        picture.save(folder / f"{n:04}.png")
    return read_folder(root)


@pytest.fixture
def seen(samples: Samples, tmp_path: Path) -> Callable[[Inference], pa.Table]:
    def seen(inference: Inference) -> pa.Table:
        store = Store(tmp_path)
        observing = {"test": Observing("key", inference)}
        assert not observe_samples(samples, observing, store, Progress())
        table = store.load("test")
        assert table is not None
        assert table["error"].null_count == len(samples)
        return table

    return seen


def test_where_memory_runs_out_in_the_middle_the_pass_ends_well(
    samples: Samples, seen: Callable[[Inference], pa.Table]
) -> None:
    inference = Compiling(samples, 256, full=PART)
    table = seen(inference)
    about = inference.about()
    assert about["forward"].endswith(", compiled")
    assert about["compiled"] == "until memory ran out"
    assert about["batch_size_halved_to"] == 64
    ROOM[0] = torch.inf
    plain = Inference(inference.candidate, samples)
    expected = plain.rows(samples.images[:4], prepared(plain, samples.images[:4]))
    assert table["top5"][:4].to_pylist() == expected["top5"].to_pylist()  # type: ignore[index]


def test_short_batches_are_filled_up(
    samples: Samples, seen: Callable[[Inference], pa.Table]
) -> None:
    inference = Filling(samples, 384)
    RAN.clear()
    table = seen(inference)
    assert set(RAN) - {4, 1} == {256}  # few alone, to see whether the model is steady
    assert table.num_rows == len(samples) == 2 * PART + 90
    plain = Inference(inference.candidate, samples)
    for start in (0, len(samples) - 4):
        images = samples.images[start : start + 4]
        expected = plain.rows(images, prepared(plain, images))
        assert table["top5"][start : start + 4].to_pylist() == expected["top5"].to_pylist()  # type: ignore[index]


def prepared(inference: Inference, images: Sequence[str]) -> list[Any]:
    from auditor.data.decode import open_image

    files = [inference.samples.read(image) for image in images]
    return [inference.prepare(open_image(file), file) for file in files]


@pytest.mark.parametrize(
    ("asked", "used"), [(1, 1), (100, 86), (256, 256), (384, 256), (512, 512), (1000, 512)]
)
def test_parts_are_cut_into_equal_batches_for_what_is_compiled_for_one_size(
    samples: Samples, asked: int, used: int
) -> None:
    """Short ones are filled up: of 384 images a third of the work would be thrown away."""
    inference = Compiling(samples, asked)
    assert inference.batch_size == inference.about()["batch_size"] == used
    batches = -(-PART // used)
    assert batches == -(-PART // min(asked, PART))  # no more of them than asked for
    assert batches * used < PART + batches  # hardly anything is filled up


@pytest.mark.parametrize("batch_size", [256, 128])
def test_one_that_ran_out_of_memory_goes_on_from_its_parts(
    samples: Samples, seen: Callable[[Inference], pa.Table], batch_size: int
) -> None:
    """With as much memory as before, or with less."""
    with pytest.raises(KeyboardInterrupt):
        seen(Compiling(samples, 256, full=PART - 256, stop=2 * PART))
    ROOM[0] = torch.inf
    again = Compiling(samples, batch_size)
    seen(again)
    assert sum(again.batches) == len(samples) - 2 * PART
    assert "compiled" not in again.about()
