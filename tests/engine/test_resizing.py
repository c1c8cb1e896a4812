"""Pictures of many sizes resized in one batch are torchvision's, within two grey levels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as everywhere

from auditor.engine import resizing
from auditor.engine.resizing import resized
from auditor.models.tensor_transform import OnTensors

CUBIC, LINEAR = "bicubic", "bilinear"


def picture(height: int, width: int, *, channels: int = 3, smooth: bool = False) -> Tensor:
    random = torch.Generator().manual_seed(height * 1000 + width)
    size = (channels, 5, 6) if smooth else (channels, height, width)
    drawn = torch.randint(0, 256, size, dtype=torch.uint8, generator=random)
    return F.resize(drawn, [height, width], antialias=True) if smooth else drawn


def torchvisions(pictures: list[Tensor], steps: OnTensors) -> Tensor:
    size: Any = [steps.size] if isinstance(steps.size, int) else list(steps.size)
    as_decoded = [each.permute(1, 2, 0).contiguous().permute(2, 0, 1) for each in pictures]
    kind = F.InterpolationMode(steps.interpolation)
    large = [F.resize(each, size, kind, antialias=True) for each in as_decoded]
    return torch.stack([F.center_crop(each, list(steps.crop)) for each in large])


def away(pictures: list[Tensor], steps: OnTensors) -> tuple[int, float]:
    """Return the largest difference, in levels, and the share of levels that differ."""
    found, expected = resized(pictures, steps), torchvisions(pictures, steps)
    assert found.dtype == torch.uint8
    assert found.shape == expected.shape
    off = (found.int() - expected.int()).abs()
    return int(off.max()), float((off > 0).float().mean())


@pytest.mark.parametrize("interpolation", [CUBIC, LINEAR])
@pytest.mark.parametrize(
    ("size", "crop"), [(48, (42, 42)), (33, (33, 33)), ([40, 36], (40, 36)), (200, (180, 170))]
)
def test_it_is_torchvisions(interpolation: str, size: Any, crop: Any) -> None:
    sizes = [(96, 96), (60, 80), (80, 60), (48, 48), (31, 97), (250, 49), (12, 15), (200, 333)]
    pictures = [picture(*each, smooth=smooth) for each in sizes for smooth in (False, True)]
    most, share = away(pictures, OnTensors(size, interpolation, crop))
    assert most <= 2
    assert share < 0.02


@given(st.integers(1, 120), st.integers(1, 120), st.integers(1, 40), st.integers(0, 9))
def test_of_any_size(height: int, width: int, side: int, more: int) -> None:
    steps = OnTensors(side + more, CUBIC, (side, side))
    assert steps.fills_the_crop
    most, _ = away([picture(height, width), picture(50, 40)], steps)
    assert most <= 2


def test_a_picture_that_is_not_resized_stays_as_it_is() -> None:
    steps = OnTensors(40, CUBIC, (40, 40))
    one = picture(40, 40)
    assert resized([one, picture(70, 50)], steps)[0].equal(one)


def test_grey_pictures_have_one_channel() -> None:
    grey = [picture(30, 44, channels=1), picture(44, 30, channels=1)]
    assert away(grey, OnTensors(20, LINEAR, (18, 18)))[0] <= 1


def test_as_many_as_fit_are_resized_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture(h, w) for h, w in ((90, 60), (20, 30), (60, 90), (20, 31), (90, 60))]
    steps = OnTensors(24, CUBIC, (20, 20))
    whole = resized(pictures, steps)
    for pixels in (1, 2000, 12_000):
        monkeypatch.setattr(resizing, "_PIXELS", pixels)
        assert resized(pictures, steps).equal(whole)
