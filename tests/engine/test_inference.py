"""What is kept of a model's outputs, in halves or whole."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.decode import open_image
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.candidate import Candidate
from auditor.engine.forward import Forward
from auditor.engine.inference import Inference
from auditor.engine.replica import Replica
from auditor.engine.ways import LAST_BITS, difference
from auditor.errors import InputError

CPU = torch.device("cpu")
CLASSES = tuple("abcdefg")
MODELS = """
import torch
from torch import nn


class Network(nn.Module):
    limit = None
    steps = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 6, 3), nn.Linear(6, 7)

    def forward(self, x):
        if self.limit is not None and len(x) > self.limit and (self.limit or x.any()):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        y = self.last(self.conv(x.float()).relu().mean((2, 3)))
        return 20 * y if self.steps is None else (y * self.steps).round()


def network():
    return Network()


def coarse():
    model = Network()
    model.steps = 3.0
    return model


def small():
    model = Network()
    model.limit = 3
    return model


def hopeless():
    model = Network()
    model.limit = 0
    return model


class Broken(Network):
    def forward(self, x):
        return self.last(x) if x.any() else super().forward(x)


def broken():
    return Broken()


class Lacking(Network):
    def forward(self, x):
        return self.steps["gone"] if x.any() else super().forward(x)


def lacking():
    return Lacking()


class Wordy(Network):
    kind = RuntimeError

    def forward(self, x):
        if x.any():
            raise self.kind("no such kernel.\\nIt is there for\\nCPU")
        return super().forward(x)


def wordy():
    return Wordy()


def wordy_value():
    model = Wordy()
    model.kind = ValueError
    return model


class Sparse(Network):
    def forward(self, x):
        return super().forward(x).to_sparse()


def sparse():
    return Sparse()


class Blind(Network):
    def forward(self, x):
        return super().forward(x).log() if x.any() else super().forward(x)


def blind():
    return Blind()


class Narrow(Network):
    def forward(self, x):
        return super().forward(x)[:, :3] if x.any() else super().forward(x)


def narrow():
    return Narrow()
"""

Columns = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def samples(image_folder: Callable[..., Path]) -> Samples:
    return read_folder(image_folder("test", {"a": 9, "b": 8, "c": 6}))


@pytest.fixture
def candidate(module: Callable[..., str]) -> Callable[..., Candidate]:
    name = module(MODELS, by_colour=False)

    def candidate(model: str = "network", **engine: Any) -> Candidate:
        table = CandidateTable(module=f"{name}:{model}", input_size=12)
        return Candidate(table, EngineTable(**engine), ClassList(CLASSES, "given"), None)

    return candidate


def prepared(inference: Inference, samples: Samples) -> list[Any]:
    files = [samples.read(image) for image in samples.images]
    return [inference.prepare(open_image(file), file) for file in files]


def look(inference: Inference, samples: Samples, batch: int = 4) -> pa.Table:
    """Show the images in batches, with as many under way as the observer says."""
    images, ready = list(samples.images), prepared(inference, samples)
    waiting: deque[Any] = deque()
    tables = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        waiting.append(inference.rows(images[part], ready[part]))
        while len(waiting) >= inference.under_way:
            tables.append(columns(waiting.popleft()))
    return pa.concat_tables(tables + [columns(each) for each in waiting])


def columns(rows: Any) -> pa.Table:
    return pa.table(rows() if callable(rows) else rows)


def values(table: pa.Table, name: str, dtype: str, n: int) -> np.ndarray[Any, Any]:
    return np.frombuffer(b"".join(table[name].to_pylist()), dtype).reshape(n, -1)


def by_hand(candidate: Candidate, samples: Samples) -> np.ndarray[Any, Any]:
    """Probabilities, one image at a time."""
    preprocessing = candidate.loaded.preprocessing
    steps, model = preprocessing.transform(reference=False), candidate.loaded.model.eval()
    found = []
    for image in samples.images:
        batch = steps(open_image(samples.read(image)).convert("RGB"))[None]
        with torch.inference_mode():
            found.append(model(preprocessing.normalise(batch)).softmax(1)[0].numpy())
    return np.stack(found)


def test_what_is_kept_is_what_the_model_says(candidate: Any, samples: Samples) -> None:
    expected = by_hand(candidate(), samples)
    found, n = look(Inference(candidate(), samples), samples), len(samples)
    np.testing.assert_allclose(values(found, "probabilities", "<f4", n), expected, rtol=1e-5)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    assert values(found, "top5", "<i8", n).tolist() == order.tolist()
    assert found["predicted"].to_pylist() == [CLASSES[k] for k in order[:, 0]]
    label = [CLASSES.index(label) for label in samples.labels]
    np.testing.assert_allclose(
        found["true_probability"].to_numpy(), expected[np.arange(n), label], rtol=1e-5
    )


def test_of_equals_the_first_class_is_first(candidate: Any, samples: Samples) -> None:
    found, n = look(Inference(candidate("coarse"), samples), samples), len(samples)
    scores = values(found, "probabilities", "<f4", n)
    assert any(len(set(row)) < len(row) for row in scores.tolist())
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert values(found, "top5", "<i8", n).tolist() == order.tolist()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that works")
def test_a_device_that_cannot_be_used_is_named_with_what_to_do(
    candidate: Any, samples: Samples
) -> None:
    said = r"^cuda cannot run the model: .*; try \[engine\] device cpu$"
    with pytest.raises(InputError, match=said):
        Inference(candidate("network"), samples, devices=[torch.device("cuda")])


def test_a_batch_that_does_not_fit_is_run_in_halves(candidate: Any, samples: Samples) -> None:
    whole, halved = candidate(), candidate("small", batch_size=8)
    inference = Inference(halved, samples, features=True)
    assert inference.batch_size == 8
    expected = look(Inference(whole, samples, features=True), samples, 8)
    found, n = look(inference, samples, 8), len(samples)
    for name, dtype in {"probabilities": "<f4", "features": "<f2"}.items():
        ours, theirs = (values(table, name, dtype, n) for table in (found, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    assert found["predicted"].equals(expected["predicted"])
    about = inference.about()
    assert (about["batch_size"], about["batch_size_halved_to"]) == (8, 2)


def test_nothing_is_said_of_halves_where_there_were_none(candidate: Any, samples: Samples) -> None:
    inference = Inference(candidate(), samples)
    look(inference, samples)
    assert "batch_size_halved_to" not in inference.about()


@pytest.mark.parametrize(("batch_size", "many"), [(None, "2 images at once"), (1, "one image")])
def test_where_not_one_image_fits_the_next_step_is_said(
    candidate: Any, samples: Samples, batch_size: int | None, many: str
) -> None:
    inference = Inference(candidate("hopeless", batch_size=batch_size), samples)
    with pytest.raises(
        InputError, match=rf"cpu ran out of memory, or failed, on {many} .*free.*\[engine\]"
    ):
        look(inference, samples)


def test_so_it_is_where_memory_runs_out_later(candidate: Any, samples: Samples) -> None:
    handle = candidate()
    handle.loaded.model.limit = 0
    forward = Forward(handle.loaded.model, CPU, "float32", (3, 12, 12))
    replica = Replica(forward, CPU, "float32", handle, probabilities=True)
    images = prepared(Inference(candidate(), samples), samples)[:4]
    with pytest.raises(
        InputError, match=r"cpu ran out of memory, or failed, on one image of 3×12×12 .*\[engine\]"
    ):
        replica.start(images, np.zeros(4, int))


@pytest.mark.parametrize("batch", [None, 7])
def test_four_batches_are_prepared_ahead(candidate: Any, samples: Samples, batch: int) -> None:
    inference = Inference(candidate(batch_size=batch), samples)
    ahead = inference.ahead  # it is asked for before the size of a batch is
    assert ahead == 4 * (inference.batch_size or 0)
    assert (batch or 4) <= ahead


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (100, 64), (512, 512), (10**6, 512)])
def test_the_largest_batch_is_found_by_trying(candidate: Any, limit: int, expected: int) -> None:
    handle = candidate()
    handle.loaded.model.limit = limit
    forward = Forward(handle.loaded.model, CPU, "float32", (3, 12, 12))
    replica = Replica(forward, CPU, "float32", handle, probabilities=True)
    assert replica.largest_batch() == expected
    assert replica.most is None


@pytest.mark.parametrize(("model", "reason"), [("broken", "mat1 and"), ("lacking", "TypeError: ")])
def test_a_failure_names_the_device_and_the_batch(
    candidate: Any, samples: Samples, model: str, reason: str
) -> None:
    inference = Inference(candidate(model), samples)
    said = f"failed on cpu with a batch of 4, {samples.images[0]} to {samples.images[3]}: {reason}"
    with pytest.raises(RuntimeError, match=said):
        look(inference, samples)


@pytest.mark.parametrize(
    ("model", "reason"),
    [("wordy", "no such kernel"), ("wordy_value", "ValueError: no such kernel.")],
)
def test_of_a_long_failure_the_first_line_is_said(
    candidate: Any, samples: Samples, model: str, reason: str
) -> None:
    with pytest.raises(RuntimeError) as caught:
        look(Inference(candidate(model), samples), samples)
    assert str(caught.value).endswith(f"{samples.images[3]}: {reason}")


def test_outputs_of_another_layout_are_said_on_one_line(candidate: Any, samples: Samples) -> None:
    said = rf"failed on cpu with a batch of 4, {samples.images[0]} to .*Could not run 'aten::.*$"
    with pytest.raises(RuntimeError, match=said) as caught:
        look(Inference(candidate("sparse"), samples), samples)
    assert len(str(caught.value).splitlines()) == 1


def test_an_output_that_is_no_number_is_named(candidate: Any, samples: Samples) -> None:
    inference = Inference(candidate("blind"), samples)
    with pytest.raises(InputError, match=r"NaN or infinite outputs for \d of 4 images, first a/"):
        look(inference, samples)


def test_a_wrong_number_of_outputs_is_named(candidate: Any, samples: Samples) -> None:
    inference = Inference(candidate("narrow"), samples)
    with pytest.raises(InputError, match=r"returned \(4, 3\) for a batch of 4; .* 7 classes"):
        look(inference, samples)


def test_another_process_prepares_and_predicts_the_same(candidate: Any, samples: Samples) -> None:
    inference = Inference(candidate(), samples)
    other = pickle.loads(pickle.dumps(inference))
    assert len(pickle.dumps(inference)) < 50_000
    for a, b in zip(prepared(inference, samples), prepared(other, samples), strict=True):
        assert torch.equal(a, b)
    assert look(other, samples).equals(look(inference, samples))


def test_rows_of_another_dtype_or_model_form_are_not_accepted(
    candidate: Any, samples: Samples
) -> None:
    inference = Inference(candidate(), samples)
    about = inference.about()
    assert inference.accepts({**about, "batch_size": 3, "threads": 7})
    assert inference.accepts({**about, "device": "one processor, another one"})
    assert not inference.accepts({**about, "dtype": "bfloat16"})
    assert not inference.accepts({**about, "forward": "something else"})
    assert not inference.accepts({})


def test_a_model_that_runs_as_it_came_is_tried_out_on_no_image(
    candidate: Any, samples: Samples
) -> None:
    inference = Inference(candidate(backend="torch"), samples)
    inference.try_out(lambda *_: pytest.fail("it was looked at"))


def test_threads_are_nothing_that_a_pass_is_told_apart_by(candidate: Any, samples: Samples) -> None:
    """So one that was interrupted goes on with others, as one machine of several does."""
    inference, before, said = Inference(candidate(), samples), torch.get_num_threads(), []
    for threads in (1, 2, before):
        torch.set_num_threads(threads)
        said.append(inference.about())
    one, two, _ = said
    assert (one["threads"], two["threads"]) == (1, 2)
    assert one != two
    assert difference(one, two, LAST_BITS) is None
    assert difference(one, {**two, "device": "another"}, LAST_BITS) is not None


def test_a_sample_says_which_rows_stand_for_the_rest(candidate: Any, samples: Samples) -> None:
    import dataclasses

    flags = tuple(k % 2 == 0 for k in range(len(samples)))
    sampled = dataclasses.replace(samples, representative=flags)
    found = Inference(candidate(), sampled).describe(sampled.images[3:5])
    assert found["representative"].to_pylist() == list(flags[3:5])
    assert Inference(candidate(), samples).describe(samples.images) == {}
