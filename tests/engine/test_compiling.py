"""A compiled model says what the plain one says, or is not used; tried out on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.engine.candidate import Candidate
from auditor.engine.compiling import PAYS_FROM, compiled, pays
from auditor.engine.forward import Forward
from auditor.engine.replica import Replica, memory_format

pytestmark = pytest.mark.usefixtures("fresh")

CPU = torch.device("cpu")
MODEL = """
import torch
from torch import nn


class Network(nn.Module):
    wrong = 0.0
    most = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        y = self.last(self.conv(x).relu().mean((2, 3)))
        return y + self.wrong * x.mean() if torch.compiler.is_compiling() else y


def network():
    return Network()
"""


@pytest.fixture
def candidate(module: Callable[..., str]) -> Candidate:
    table = CandidateTable(module=f"{module(MODEL, by_colour=False)}:network", input_size=12)
    return Candidate(table, EngineTable(), ClassList(("a", "b"), "given"), None)


def replica(candidate: Candidate) -> Replica:
    forward = Forward(candidate.loaded.model, CPU, "float32", (3, 12, 12))
    return Replica(forward, CPU, "float32", candidate, probabilities=True)


def pictures(n: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(n)
    return list(torch.randint(0, 256, (n, 3, 12, 12), dtype=torch.uint8, generator=random))


def probabilities(of: Replica, n: int) -> Any:
    return of.start(pictures(n), np.zeros(n, np.int64))()["probabilities"]


@pytest.mark.parametrize("n", [3, 1, 4])
def test_batches_of_any_size_come_out_as_from_the_plain_model(candidate: Candidate, n: int) -> None:
    expected = probabilities(replica(candidate), n)
    quick = replica(candidate)
    quick.compile(3)
    assert str(quick).endswith(", compiled")
    np.testing.assert_allclose(probabilities(quick, n), expected, rtol=1e-5)


def test_real_batches_are_not_compiled_for_again(candidate: Candidate) -> None:
    """That would be while threads prepare images, which a compiler must not meet."""
    expected = probabilities(replica(candidate), 3)
    quick = replica(candidate)
    quick.compile(3)
    with torch.compiler.set_stance("fail_on_recompile"):
        found = [probabilities(quick, n) for n in (3, 1, 3)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_one_that_differs_is_not_used(candidate: Candidate) -> None:
    setattr(candidate.loaded.model, "wrong", 5.0)  # noqa: B010 - a plain number
    quick = replica(candidate)
    quick.compile(3)
    assert "; not compiled: that changed logits by more than 0.001 of their spread" in str(quick)
    np.testing.assert_array_equal(probabilities(quick, 3), probabilities(replica(candidate), 3))


@pytest.mark.parametrize(("wrong", "taken"), [(0.0, True), (0.1, True), (1.0, False)])
def test_in_half_precision_the_error_of_half_precision_is_allowed(
    candidate: Candidate, wrong: float, taken: bool
) -> None:
    model = candidate.loaded.model.bfloat16().eval()
    setattr(model, "wrong", wrong)  # noqa: B010 - a plain number
    random = torch.Generator().manual_seed(0)
    run, reason = compiled(
        model, torch.randn(9, 3, 12, 12, generator=random).bfloat16(), "bfloat16"
    )
    assert (run is not model) == taken
    said = "not compiled: that changed logits by more than 2 × the error of bfloat16, "
    assert taken or reason.startswith(said)


def test_where_the_plain_model_overflows_not_everything_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Overflows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.mean((2, 3)) * 60000).exp2() if x.dtype == torch.float16 else x.mean((2, 3))

    monkeypatch.setattr(
        torch, "compile", lambda model, **_: lambda x: 1000 * torch.randn(len(x), 3)
    )
    model = Overflows()
    run, reason = compiled(model, torch.rand(4, 3, 2, 2).half(), "float16")
    assert run is model
    assert reason.startswith("not compiled: that changed logits")


def test_one_that_cannot_be_compiled_is_run_as_it_is() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no such operator")

    model = Fails()
    run, reason = compiled(model, torch.rand(2, 3, 2, 2), "float32")
    assert run is model
    assert reason == "not compiled: no such operator"


def test_where_memory_runs_out_it_goes_on_without(candidate: Candidate) -> None:
    quick = replica(candidate)
    quick.compile(4)
    setattr(candidate.loaded.model, "most", 2)  # noqa: B010 - a plain number
    expected = probabilities(replica(candidate), 4)
    torch.compiler.reset()
    np.testing.assert_allclose(probabilities(quick, 4), expected, rtol=1e-5)
    assert quick.most == 2
    assert quick.fell_back
    assert str(quick).endswith(", compiled")  # as before it ran out


class Told(nn.Module):
    """Says something else once it is compiled."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3))
        return y.flip(1) if torch.compiler.is_compiling() else y


def test_however_many_are_of_one_class_each_is_compiled() -> None:
    """One on each of many GPUs; torch would run the ninth as it is, and not say so."""
    with torch.inference_mode():
        found = [compiled(Told(), torch.rand(n, 3, 2, 2), "float32")[1] for n in range(2, 13)]
    assert len(found) == 11
    assert all(reason.startswith("not compiled: that changed logits") for reason in found)


@torch.library.custom_op("auditor_tests::warned", mutates_args=())
def warned(x: Tensor) -> Tensor:
    return x.clone()


@warned.register_fake
def _(x: Tensor) -> Tensor:
    """Warn as a compiler may, of TF32 that is not used or of what it is made of."""
    warnings.warn("TensorFloat32 tensor cores available but not enabled", stacklevel=1)
    return torch.empty_like(x)


def test_what_a_compiler_warns_of_is_no_reason() -> None:
    class Warns(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = warned(x).mean((2, 3))
            return y

    with torch.inference_mode():
        assert compiled(Warns(), torch.rand(2, 3, 2, 2), "float32")[1] == ""


def test_batches_that_need_no_work_on_the_device_are_not_compiled_for_again(
    module: Callable[..., str],
) -> None:
    """Floats as timm prepares them, of the dtype and in the order that the model takes."""
    table = CandidateTable(module=f"{module()}:two", input_size=1)
    engine = EngineTable(preprocessing="reference")
    candidate = Candidate(table, engine, ClassList(("a", "b"), "given"), None)
    forward = Forward(candidate.loaded.model, CPU, "float32", (3, 1, 1), backend="torch")
    quick = Replica(forward, CPU, "float32", candidate, probabilities=True)
    quick.compile(3)
    images = [torch.rand(3, 1, 1) for _ in range(3)]
    with torch.compiler.set_stance("fail_on_recompile"):
        found = quick.start(images, np.zeros(3, np.int64))()
    assert found["finite"].all()


def test_it_pays_by_the_multiply_adds_of_the_whole_pass() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    bound = int(PAYS_FROM // (12 * 5)) + 1
    assert pays(model, (3, 2, 2), bound)
    assert not pays(model, (3, 2, 2), bound - 2)


def test_a_model_whose_cost_is_unknown_is_not_compiled() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("never")

    assert not pays(Fails(), (3, 2, 2), 10**18)


@pytest.mark.parametrize(
    ("device", "side", "last"),
    [("cpu", 600, True), ("cuda", 224, True), ("cuda", 380, False), ("mps", 380, True)],
)
def test_the_order_in_memory_follows_a_rule(device: str, side: int, last: bool) -> None:
    found = memory_format(torch.device(device), (3, side, side))
    assert (found is torch.channels_last) == last
