from __future__ import annotations

import math

import pytest
import timm
import torch

from auditor.errors import InputError
from auditor.models.preprocessing import resolve
from auditor.models.reference import ReferenceModel, efficientnet_reference
from auditor.models.scaling import build_efficientnet, compound


def test_phi_zero_is_the_baseline() -> None:
    assert compound(0) == (1.0, 1.0, 224)


@pytest.mark.parametrize(
    ("phi", "resolution"), [(0.5, 240), (1, 256), (2, 296), (1.5, 276), (-1, 196)]
)
def test_compound_follows_the_paper(phi: float, resolution: int) -> None:
    width, depth, side = compound(phi)
    assert width == pytest.approx(1.1**phi)
    assert depth == pytest.approx(1.2**phi)
    assert side == resolution
    assert abs(side - 224 * 1.15**phi) <= 2


@pytest.mark.parametrize("phi", [math.nan, math.inf, 17, -16.0])
def test_an_impossible_phi_is_refused(phi: float) -> None:
    with pytest.raises(InputError):
        compound(phi)


def shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}


PUBLISHED = [
    *((f"tf_efficientnet_b{n}", r) for n, r in enumerate(efficientnet_reference())),
    ("tf_efficientnet_b8", (2.2, 3.6, 672)),
    ("tf_efficientnet_l2", (4.3, 5.3, 800)),
]


@pytest.mark.parametrize(("name", "scaling"), PUBLISHED, ids=[name for name, _ in PUBLISHED])
def test_published_coefficients_give_timms_state_dict(
    name: str, scaling: ReferenceModel | tuple[float, float, int]
) -> None:
    if isinstance(scaling, ReferenceModel):
        scaling = (scaling.width, scaling.depth, scaling.resolution)
    with torch.device("meta"):
        assert shapes(build_efficientnet(*scaling)) == shapes(timm.create_model(name))


@pytest.mark.parametrize("number", range(8))
def test_preprocessing_is_timms(number: int) -> None:
    row = efficientnet_reference()[number]
    with torch.device("meta"):
        ours = resolve(build_efficientnet(row.width, row.depth, row.resolution), {}, {})
        # noisy-student and AutoAugment weights share everything but the weights
        theirs = resolve(timm.create_model(f"tf_efficientnet_b{number}.aa_in1k"), {}, {})
    assert ours.input_size == theirs.input_size
    assert (ours.mean, ours.std, ours.interpolation) == (
        theirs.mean,
        theirs.std,
        theirs.interpolation,
    )
    assert ours.crop_pct == pytest.approx(theirs.crop_pct, abs=0.0011)


def test_equal_weights_compute_the_same() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("tf_efficientnet_b0", num_classes=7).eval()
    ours = build_efficientnet(1, 1, 224, num_classes=7).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 75, 75)  # an odd size, where paddings differ
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))
