from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from auditor.models.mbconv import NotRecognised
from auditor.models.reference import ReferenceModel, efficientnet_reference
from auditor.models.scaling import build_efficientnet, compound
from auditor.models.scaling_law import Scaling, scaling_of

ROWS = efficientnet_reference()


def made(name: str) -> nn.Module:
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name)
    return model


def scaled(phi: float) -> Scaling:
    width, depth, side = compound(phi)
    with torch.device("meta"):
        found = scaling_of(build_efficientnet(width, depth, side), side)
    assert isinstance(found, Scaling)
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_published_models_are_recognised(row: ReferenceModel) -> None:
    found = scaling_of(made(f"tf_{row.name.lower().replace('-', '_')}"), row.resolution)
    assert isinstance(found, Scaling)
    assert (found.published, found.published_side) == (row.name, row.resolution)
    assert found.width.low <= row.width <= found.width.high
    assert found.depth.low <= row.depth <= found.depth.high
    assert f"{row.name} as published" in str(found)


def test_the_depths_of_b5_to_b7_do_not_follow_the_law() -> None:
    for number in (5, 6, 7):
        row = ROWS[number]
        found = scaling_of(made(f"tf_efficientnet_b{number}"), row.resolution)
        assert isinstance(found, Scaling)
        assert not found.exact
        assert found.depth.residual < -0.05
        assert found.depth.expected == pytest.approx(1.2**found.phi)


@settings(max_examples=6)
@given(st.integers(-20, 35))
def test_our_own_scalings_are_found_again(tenths: int) -> None:
    found = scaled(tenths / 10)
    assert found.exact
    assert [d.residual for d in (found.width, found.depth, found.resolution)] == [0, 0, 0]
    width, depth, side = compound(found.phi)
    again = scaled(found.phi)
    assert (again.width[:3], again.depth[:3], again.side) == (
        found.width[:3], found.depth[:3], found.side,
    )  # fmt: skip
    assert found.width.low <= width <= found.width.high
    assert found.depth.low <= depth <= found.depth.high
    assert side == found.side


@pytest.mark.parametrize("phi", [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0])
def test_simple_coefficients_come_back_as_given(phi: float) -> None:
    assert scaled(phi).phi == phi


def test_another_resolution_is_said() -> None:
    found = scaling_of(made("efficientnet_b3"), 224)
    assert "EfficientNet-B3 at 224 instead of 300 pixels" in str(found)
    assert isinstance(found, Scaling)
    assert found.resolution.residual < 0 < found.width.residual


def test_another_implementation_is_recognised() -> None:
    with torch.device("meta"):
        model = torchvision.models.efficientnet_b0(num_classes=5)
    wrapped = nn.Sequential(model, nn.Softmax(1))
    found = scaling_of(wrapped, 224)
    assert isinstance(found, Scaling)
    assert (found.published, found.phi) == ("EfficientNet-B0", 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tf_efficientnet_lite0", "squeeze-and-excitation"),
        ("efficientnet_es", "inverted bottleneck"),
        ("tf_efficientnetv2_b0", "inverted bottleneck"),
        ("mobilenetv3_small_050", "squeeze-and-excitation"),
        ("efficientnet_b1_pruned", "stages differ"),
        ("tinynet_e", "width multiplier"),
        ("tinynet_a", "depth multiplier"),
        ("resnet18", "3×3 convolution"),
        ("vit_tiny_patch16_224", "3×3 convolution"),
    ],
)
def test_others_are_not_taken_for_one(name: str, reason: str) -> None:
    found = scaling_of(made(name), 224)
    assert isinstance(found, NotRecognised)
    assert str(found).startswith("Not an EfficientNet: ")
    assert reason in found.reason


def test_a_model_without_convolutions_is_none() -> None:
    assert isinstance(scaling_of(nn.Linear(3, 2), 224), NotRecognised)
