from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from auditor.errors import Unavailable
from auditor.models.complexity import measure_complexity
from auditor.models.reference import ReferenceModel, efficientnet_reference


@pytest.mark.parametrize("row", efficientnet_reference(), ids=lambda row: str(row.name))
def test_efficientnets_agree_with_what_is_published(row: ReferenceModel) -> None:
    with torch.device("meta"):
        model = timm.create_model(f"tf_{row.name.lower().replace('-', '_')}").eval()
    figures = measure_complexity(model, (3, row.resolution, row.resolution))
    assert figures.parameters == row.parameters
    assert figures.macs == row.macs
    assert figures.activations == pytest.approx(row.activations, rel=0.001)


def test_attention_agrees_with_timms_tables() -> None:
    with torch.device("meta"):
        model = timm.create_model("vit_base_patch16_224").eval()
    figures = measure_complexity(model, (3, 224, 224))
    assert figures.macs == pytest.approx(17.58e9, rel=0.002)
    assert figures.activations == pytest.approx(23.90e6, rel=0.001)


def test_a_small_network_agrees_with_a_count_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    figures = measure_complexity(model, (3, 8, 8))
    assert figures.parameters == (3 * 9 + 1) * 4 + (4 * 36 + 1) * 5
    assert figures.macs == 36 * 4 * 3 * 9 + 4 * 36 * 5
    assert figures.activations == 4 * 36 + 5
    assert figures.uncounted == ("relu",)


class Branching(nn.Module):
    """Looks at a value, which the meta device does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(images.flatten(1))
        return scores if images.mean() < 1 else -scores


def test_a_model_that_needs_values_is_run() -> None:
    assert measure_complexity(Branching(), (3, 2, 2)).macs == 24


def test_the_model_is_left_as_it_is() -> None:
    model = Branching()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_complexity(model, (3, 2, 2))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_size_that_does_not_fit_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="3×5×5") as caught:
        measure_complexity(Branching(), (3, 5, 5))
    assert caught.value.status == "error"
