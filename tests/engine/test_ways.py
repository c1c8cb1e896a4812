"""Rows that were made in different ways never stand in one table under one name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.decode import open_image
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.assembling import about_of
from auditor.engine.candidate import Candidate
from auditor.engine.collecting import Task
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.shards import PART
from auditor.engine.ways import LAST_BITS, MAY_DIFFER, difference, joined, said_by, saying
from auditor.errors import InputError
from auditor.progress import Progress
from auditor.store import Store
from auditor.store.parts import Parts
from tests.engine.conftest import Widths

values = st.integers(-5, 5) | st.text(max_size=500) | st.lists(st.text(max_size=9))
abouts = st.dictionaries(st.text(min_size=1, max_size=9), values, max_size=6)


class Eye(Widths):
    """Says how it works; may stop in the middle."""

    batch_size = 64

    def __init__(self, stop: int | None = None, **about: Any) -> None:
        self.stop, self.said, self.seen = stop, about, 0

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        if self.seen == self.stop:
            raise KeyboardInterrupt
        self.seen += len(images)
        return {"by": pa.array([str(self.said.get("forward"))] * len(prepared))}

    def about(self) -> dict[str, Any]:
        return self.said


@given(abouts, abouts)
def test_a_part_says_how_it_was_made(about: dict[str, Any], now: dict[str, Any]) -> None:
    made = saying(pa.table({"n": [1]}), about)
    assert said_by(made.schema, about) == about
    elsewhere = said_by(made.schema, now)
    assert (difference(elsewhere, now, ()) is None) == (about == now)


def test_what_must_be_the_same_is_named() -> None:
    one, other = {"forward": "torch", "device": "A"}, {"forward": "OpenVINO", "device": "B"}
    assert difference(one, other, MAY_DIFFER) == 'forward is "torch" and "OpenVINO"'
    assert difference(one, {**one, "device": "B"}, MAY_DIFFER) is None
    assert difference(one, {**one, "device": "B"}, LAST_BITS) == 'device is "A" and "B"'
    assert joined([one, {**one, "device": "B"}, one]) == {"forward": "torch", "device": "A, B"}


def test_of_long_values_the_part_is_shown_in_which_they_differ() -> None:
    long = "torch, channels_last; " + 9 * "not ONNX Runtime, for it is not faster; "
    said = difference({"notes": f"{long}1 fold{long}"}, {"notes": f"{long}2 folds{long}"}, ())
    assert said is not None
    one, _, other = said.removeprefix("notes is ").partition('" and "')
    assert len(said) < 200
    assert "1 fold" in one
    assert "2 folds" in other


@pytest.fixture
def samples(image_folder: Callable[..., Path]) -> Samples:
    return read_folder(image_folder("test", {"a": PART, "b": 50}))


def look(samples: Samples, folder: Path, eye: Eye) -> pa.Table | None:
    store = Store(folder)
    assert not observe_samples(samples, {"test": Observing("key", eye)}, store, Progress())
    return store.load("test")


@pytest.mark.parametrize("field", ["forward", "device", "dtype"])
def test_a_pass_that_goes_on_in_another_way_begins_anew(
    samples: Samples, tmp_path: Path, field: str
) -> None:
    first: dict[str, Any] = {"forward": "torch", "device": "GPU", "dtype": "float16"}
    with pytest.raises(KeyboardInterrupt):
        look(samples, tmp_path / "evidence", Eye(stop=PART, **first))
    second = Eye(**{**first, field: "other"})
    table = look(samples, tmp_path / "evidence", second)
    assert second.seen == len(samples)
    assert table is not None
    assert len(set(table["by"].to_pylist())) == 1


def test_one_that_goes_on_in_the_same_way_goes_on(samples: Samples, tmp_path: Path) -> None:
    classes = [f"class {n}" for n in range(99)]
    about: dict[str, Any] = {"forward": "torch", "classes": classes, "threads": 2}
    with pytest.raises(KeyboardInterrupt):
        look(samples, tmp_path / "evidence", Eye(stop=PART, **about))
    again = Eye(**{**about, "threads": 3})
    assert look(samples, tmp_path / "evidence", again) is not None
    assert again.seen == len(samples) - PART


def test_one_that_goes_on_with_another_decoder_begins_anew(
    samples: Samples, tmp_path: Path, install: Callable[[str, str], None]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        look(samples, tmp_path / "evidence", Eye(stop=PART))
    install("pillow", "0.1")
    again = Eye()
    assert look(samples, tmp_path / "evidence", again) is not None
    assert again.seen == len(samples)


def test_parts_of_machines_that_are_unlike_are_not_put_together(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts")
    eye = Eye(forward="torch", classes=["x" * 500])
    for number, forward in enumerate(("torch", "torch", "OpenVINO")):
        about = {"forward": forward, "classes": ["x" * 500], "device": str(number)}
        parts.save(number, saying(pa.table({"n": [number]}), about))
    task = Task("test", "key", eye, np.arange(3 * PART), parts)
    with pytest.raises(
        InputError, match=r'forward is "OpenVINO" and "torch"; set \[engine\] device'
    ):
        about_of(task, parts.schemas(range(3)))
    assert parts.numbers() == {0, 1}
    assert about_of(task, parts.schemas(range(3))) == {**eye.about(), "device": "0, 1"}


def test_what_was_said_together_is_said_once() -> None:
    said = ["one", "two, one", "three", "two"]
    assert joined([{"device": each} for each in said]) == {"device": "one, two, three"}
    assert joined([{"source": "a, a"}] * 2) == {"source": "a, a"}


def test_how_a_model_runs_is_settled_before_anything_is_seen(
    module: Callable[..., str], image_folder: Callable[..., Path]
) -> None:
    """By the first images of the whole, whichever of them a process looks at."""
    name = module(
        """
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x):
        y = self.conv(x).mean((2, 3))
        return -y if x.detach().numpy().std() < 0.5 else y  # of noise, not of pictures
""",
        by_colour=False,
    )
    samples = read_folder(image_folder("test", {"a": 5, "b": 5}))
    table = CandidateTable(module=f"{name}:Network", input_size=16)
    engine = EngineTable(backend="onnxruntime")
    candidate = Candidate(table, engine, ClassList(("a", "b"), "given"), None)
    inference = Inference(candidate, samples)
    before = inference.about()
    assert before["forward"].startswith("torch, channels_last; not ONNX Runtime")
    files = [samples.read(image) for image in samples.images]
    inference.rows(samples.images, [inference.prepare(open_image(f), f) for f in files])
    assert inference.about() == before
