"""What half precision cannot hold is kept in float32, or refused; never silently infinite."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auditor.engine.forward import ready
from auditor.engine.timing import Subject, time_models
from auditor.errors import InputError

CPU = torch.device("cpu")


def images(n: int = 128) -> Tensor:
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def loud() -> Any:
    """Activations of some thousand: within float16, but not their variance."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(
        nn.Conv2d(3, 64, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()
    with torch.no_grad():
        model[0].weight.mul_(700)
        found = model[0](images())
        model[1].running_mean.copy_(found.mean((0, 2, 3)))
        model[1].running_var.copy_(found.var((0, 2, 3)))
    assert model[1].running_var.max() > torch.finfo(torch.float16).max
    assert found.abs().max() < torch.finfo(torch.float16).max
    return model


@pytest.mark.parametrize(("dtype", "flips"), [("float16", 2), ("bfloat16", 12)])
def test_no_channel_is_lost_to_a_variance_beyond_the_dtype(
    loud: Any, dtype: str, flips: int
) -> None:
    half = ready(copy.deepcopy(loud), CPU, dtype)
    with torch.inference_mode():
        expected = loud(images())
        found = half(images().to(getattr(torch, dtype)))
    assert found.dtype == getattr(torch, dtype)
    assert int((found.argmax(1) != expected.argmax(1)).sum()) <= flips
    assert all(bool(value.isfinite().all()) for value in half.state_dict().values())


def test_what_the_dtype_holds_is_cast() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    half = ready(model, CPU, "float16")
    assert {each.dtype for each in half.parameters()} == {torch.float16}


def test_it_is_timed_on_images_of_its_dtype(loud: Any) -> None:
    first = nn.Sequential(copy.deepcopy(loud[1]), nn.Conv2d(64, 2, 1))
    found = time_models({"candidate": Subject(ready(first, CPU, "float16"), (64, 8, 8))}, 2, 0.01)
    assert (found.wall > 0).all()


def test_a_weight_that_would_be_infinite_is_named() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2))
    with torch.no_grad():
        model[1].weight[1, 1] = 70_000.0
    with pytest.raises(InputError, match=r"1\.weight has values that float16 cannot hold.*dtype"):
        ready(copy.deepcopy(model), CPU, "float16")
    ready(copy.deepcopy(model), CPU, "bfloat16")
    ready(copy.deepcopy(model), CPU, "float32")


def test_what_was_infinite_stays_so() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert ready(model, CPU, "float16").state_dict()["mask"].tolist() == [0.0, -torch.inf]


class _Masked(nn.Module):
    """Attention that looks at the first of two places alone."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        hidden = torch.tensor([0.0, torch.finfo(torch.float32).min])
        self.register_buffer("mask", hidden)
        self.register_buffer("seen", torch.tensor([True, False]))

    def forward(self, scores: Tensor) -> Tensor:
        return (scores + self.mask).softmax(-1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_mask_serves_as_infinity_too(dtype: str) -> None:
    model = ready(_Masked(), CPU, dtype)
    found = model(torch.tensor([[0.0, 5.0]], dtype=getattr(torch, dtype)))
    assert found.tolist() == [[1.0, 0.0]]


def test_the_dtype_that_is_refused_is_not_the_one_that_is_recommended() -> None:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight[0, 0] = 3.4e38
    with pytest.raises(InputError, match=r"bfloat16 cannot hold .* cheaper\)$"):
        ready(model, CPU, "bfloat16")
