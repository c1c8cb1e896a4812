from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from auditor.models.complexity import ComplexityFigures, measure_complexity
from auditor.models.stages import REST


def measured(model: nn.Module, side: int = 64) -> ComplexityFigures:
    return measure_complexity(model.eval(), (3, side, side))


def names(model: nn.Module, side: int = 64) -> list[str]:
    return [stage.name for stage in measured(model, side).stages]


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "test_resnet", "test_convnext"])
def test_stages_sum_to_the_model(name: str) -> None:
    with torch.device("meta"):
        figures = measured(timm.create_model(name), 160)
    stages = figures.stages
    assert sum(stage.parameters for stage in stages) == figures.parameters
    assert sum(stage.macs for stage in stages) == figures.macs
    assert sum(stage.activations for stage in stages) == figures.activations


def test_an_efficientnet_has_seven_blocks_between_stem_and_head() -> None:
    with torch.device("meta"):
        model = timm.create_model("tf_efficientnet_b0")
    blocks = [f"blocks.{n}" for n in range(7)]
    assert names(model) == ["conv_stem", "bn1", *blocks, "conv_head", "bn2", "classifier"]


def test_equal_neighbours_are_one_row() -> None:
    with torch.device("meta"):
        model = timm.create_model("vit_tiny_patch16_224")
    assert names(model, 224) == ["patch_embed", "blocks.0–11", "norm", "head", REST]


def test_a_wrapper_is_opened() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = timm.create_model("test_resnet", num_classes=0)
            self.head = nn.Linear(96, 2)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.head(self.net(images))
            return scores

    found = names(Wrapper())
    assert found[-1] == "head"
    assert {"net.layer1", "net.layer2"} <= set(found)


def test_a_shared_part_is_paid_for_each_time_and_held_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Conv2d(3, 3, 1)
            self.out = nn.Conv2d(3, 3, 1)
            self.out.weight = self.mix.weight

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.out(self.mix(self.mix(images)))
            return scores

    mix, out = measured(Twice(), 4).stages
    assert (mix.parameters, out.parameters) == (12, 3)
    assert (mix.macs, out.macs) == (2 * 16 * 9, 16 * 9)


def test_what_belongs_to_no_part_is_listed() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 12))

        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.linear(images.flatten(1), self.weight)

    (only,) = measured(Bare(), 2).stages
    assert (only.name, only.parameters, only.macs) == (REST, 24, 24)
