"""Folding changes how a model computes, never what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from auditor.engine.folding import fold_batch_norms


def _trained_like(model: nn.Module) -> nn.Module:
    """Give every BatchNorm statistics, scales and shifts as training leaves them."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                if tensor is not None:
                    tensor.data.normal_(0, 0.3, generator=generator)
            for tensor in (module.running_var, module.weight):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def _batch(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "folded"),
    [("test_efficientnet", 13), ("tf_efficientnet_b0", 49), ("resnet10t", 14), ("test_vit", 0)],
)
def test_folds_timm_models(name: str, folded: int) -> None:
    model = _trained_like(timm.create_model(name, num_classes=7))
    copy, count = fold_batch_norms(model)
    batch = _batch(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(copy(batch), model(batch), rtol=1e-4, atol=1e-4)
    assert count == folded


@pytest.mark.parametrize("wrap", [nn.DataParallel, AveragedModel])
def test_folds_inside_the_wrappers_of_training(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = _trained_like(timm.create_model("test_efficientnet"))
    wrapped, batch = wrap(model).eval(), _batch(2, 3, 64, 64)
    folded, count = fold_batch_norms(wrapped)
    assert type(folded) is type(wrapped)
    assert count == 13
    inner = folded.get_submodule("module")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(inner(batch), model(batch), rtol=1e-4, atol=1e-4)


def test_the_model_itself_is_left_as_it_is() -> None:
    model = _trained_like(timm.create_model("test_efficientnet"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fold_batch_norms(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


class _Shared(nn.Module):
    """One convolution, two readers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        both: Tensor = self.bn(y) + y
        return both.mean((2, 3))


class _Twice(nn.Module):
    """One convolution, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.bn(self.conv(x)))
        return y.mean((2, 3))


class _Branching(nn.Module):
    """Control flow on a value, which no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y.mean((2, 3)) if y.sum() > 0 else -y.mean((2, 3))


class _Standardised(nn.Conv2d):
    """A convolution that does not use its weight as stored."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input - input.mean())


def _standardised() -> nn.Module:
    return nn.Sequential(_Standardised(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())


def _without_statistics() -> nn.Module:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Flatten())


@pytest.mark.parametrize("make", [_Shared, _Twice, _Branching, _standardised, _without_statistics])
def test_leaves_alone_what_it_cannot_fold(make: type[nn.Module]) -> None:
    model = _trained_like(make())
    same, count = fold_batch_norms(model)
    assert (same, count) == (model, 0)


def test_keeps_a_convolutions_own_bias() -> None:
    model = _trained_like(nn.Sequential(nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d(4)))
    folded, count = fold_batch_norms(model)
    batch = _batch(2, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(folded(batch), model(batch))
    assert count == 1
