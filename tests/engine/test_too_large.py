"""An image that would be too large once resized is a row that is unreadable, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.progress import Progress
from auditor.store import Store

FOLDED = """
def folded():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), ByColour(2))
"""
LIMIT = 200_000


def written(path: Path, size: tuple[int, int], n: int) -> None:
    coarse = np.random.default_rng(n).integers(0, 256, (6, 7, 3), np.uint8)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(coarse).resize(size).save(path)


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """More refused pictures than an observer may crash on, before any that can be run."""
    folder = tmp_path / "test"
    for n in range(20):
        written(folder / "a" / f"{n:02}.png", (1, 3_000), n)
    for n in range(3):
        written(folder / "b" / f"long{n}.jpg", (256, 600), n)
        written(folder / "b" / f"whole{n}.jpg", (300, 260), n)
    return read_folder(folder)


@pytest.fixture
def candidate(module: Callable[..., str]) -> Callable[..., Candidate]:
    name = module(FOLDED)

    def candidate(preprocessing: str) -> Candidate:
        table = CandidateTable(module=f"{name}:folded", input_size=300)
        engine: Any = {"preprocessing": preprocessing}
        return Candidate(table, EngineTable(**engine), ClassList(("a", "b"), "given"), None)

    return candidate


@pytest.mark.parametrize("preprocessing", ["fast", "reference", "device"])
def test_it_is_named_whatever_prepares_it(
    candidate: Callable[[str], Candidate],
    samples: Samples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    preprocessing: str,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", LIMIT)
    inference, store = Inference(candidate(preprocessing), samples), Store(tmp_path / "evidence")
    assert (
        observe_samples(samples, {"test": Observing("k" * 64, inference)}, store, Progress()) == {}
    )
    table = store.load("test")
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pylist()
    lost = {row["image"]: row["error"] for row in rows if row["error"]}
    said = "too large once resized: 342 × {} pixels, limit 200000"
    assert lost == {
        **{f"a/{n:02}.png": said.format(1_026_000) for n in range(20)},
        **{f"b/long{n}.jpg": said.format(801) for n in range(3)},
    }
    assert all(row["predicted"] for row in rows if not row["error"])
