"""Whether features are kept is known before the first batch: a pass goes on with its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine import features
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.shards import PART
from auditor.progress import Progress
from auditor.store import Store

MODELS = """
class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return self.last(x).mean((2, 3))


class Places(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        return self.last(x.permute(0, 2, 3, 1).reshape(-1, 3)).reshape(len(x), -1, 2).mean(1)
"""


class Counting(Inference):
    """Counts the images it runs; may stop."""

    ran, stop = 0, 1 << 30

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        if self.ran >= self.stop:
            raise KeyboardInterrupt
        self.ran += len(images)
        return super().rows(images, prepared)


@pytest.fixture
def samples(image_folder: Callable[..., Path]) -> Samples:
    return read_folder(image_folder("test", {"a": PART, "b": 70}))


@pytest.mark.parametrize(
    ("model", "fit", "said"),
    [
        ("two", 10**9, "kept"),
        ("two", 3 * PART, "582 images × 3 features are too many to keep"),
        ("Pixels", 10**9, "the model has no last linear layer that sees each image"),
        ("Places", 10**9, "the model has no last linear layer that sees each image"),
    ],
)
def test_a_pass_with_features_goes_on_whether_or_not_they_are_kept(
    module: Callable[..., str],
    samples: Samples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    fit: int,
    said: str,
) -> None:
    monkeypatch.setattr(features, "FEATURES_THAT_FIT", fit)
    table = CandidateTable(module=f"{module(MODELS)}:{model}", input_size=12)
    engine = EngineTable(device="cpu", batch_size=64)
    candidate = Candidate(table, engine, ClassList(("a", "b"), "given"), None)

    def run(stop: int) -> Counting:
        counting = Counting(candidate, samples, features=True)
        counting.stop = stop
        assert counting.about()["features"] == said
        observing = {"test": Observing("key", counting)}
        assert not observe_samples(samples, observing, Store(tmp_path), Progress())
        return counting

    with pytest.raises(KeyboardInterrupt):
        run(PART)
    again = run(1 << 30)
    assert again.ran == len(samples) - PART
    stored = Store(tmp_path).load("test")
    assert stored is not None
    assert ("features" in stored.column_names) == (said == "kept")
    assert again.accepts(again.about())
    assert Counting(candidate, samples, features=True).accepts(again.about())
