"""The transform on tensors against timm's own on PIL's pictures."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torchvision.transforms.functional import normalize
from torchvision.transforms.v2 import functional as F  # noqa: N812 - as everywhere

from auditor.models.preprocessing import Preprocessing, resolve
from auditor.models.tensor_transform import OnTensors

GREY_LEVEL = 1 / 255


def steps(**changes: object) -> Preprocessing:
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    return resolve(nn.Identity(), {}, plain | changes)


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture with edges and gradients, as photographs have, rather than noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def difference(chosen: Preprocessing, picture: Image.Image) -> float:
    """Return the largest difference between the two ways' inputs."""
    fast = chosen.normalise(chosen.transform(reference=False)(picture)[None])
    return (fast[0] - chosen.transform()(picture)).abs().max().item()


@settings(deadline=None, max_examples=40)
@given(
    st.integers(20, 400),
    st.integers(20, 400),
    st.sampled_from(["bilinear", "bicubic"]),
    st.sampled_from([0.8, 0.875, 0.95, 1.0]),
    st.sampled_from([32, 48, 96]),
)
def test_stays_within_two_grey_levels_of_timms_steps(
    width: int, height: int, interpolation: str, crop: float, size: int
) -> None:
    chosen = steps(input_size=size, interpolation=interpolation, crop_pct=crop)
    picture = smooth(width, height)
    assert difference(chosen, picture) <= 2.01 * GREY_LEVEL


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([17, 32, [24, 40]]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(["bilinear", "bicubic"]),
    st.booleans(),
)
def test_is_torchvisions_resizing_and_cropping(
    sizes: tuple[int, int],
    size: int | list[int],
    crop: tuple[int, int],
    interpolation: str,
    grey: bool,
) -> None:
    """Without importing it; what a crop lacks is black, too."""
    picture = smooth(*sizes).convert("L" if grey else "RGB")
    levels = torch.from_numpy(np.array(picture)).view(sizes[1], sizes[0], -1).permute(2, 0, 1)
    wanted = [size] if isinstance(size, int) else size
    large = F.resize(levels, wanted, F.InterpolationMode(interpolation), antialias=True)
    expected = F.center_crop(large, list(crop))
    assert OnTensors(size, interpolation, crop)(picture).equal(expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1"])
def test_takes_every_mode_that_the_reference_takes(mode: str) -> None:
    chosen = steps(input_size=32)
    picture = smooth(60, 50).convert(mode)
    assert chosen.transform(reference=False)(picture).shape == (3, 32, 32)
    assert difference(chosen, picture) <= 2.01 * GREY_LEVEL


def test_pixels_stay_in_eight_bits_and_a_batch_is_normalised_at_once() -> None:
    chosen = steps(input_size=32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    batch = torch.stack([chosen.transform(reference=False)(smooth(60, 50, s)) for s in range(3)])
    assert batch.dtype == torch.uint8
    expected = normalize(batch.float() / 255, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    torch.testing.assert_close(chosen.normalise(batch), expected)
    torch.testing.assert_close(
        chosen.normalise(batch.contiguous(memory_format=torch.channels_last)), expected
    )
    assert torch.equal(chosen.normalise(expected), expected)
    assert batch.dtype == torch.uint8


NORMALISED = [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("mean", "std"), NORMALISED)
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_every_level_is_normalised_to_the_nearest_value_of_a_narrow_dtype(
    dtype: torch.dtype, mean: tuple[float, ...], std: tuple[float, ...], form: torch.memory_format
) -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    chosen, batch = steps(mean=mean, std=std), levels.contiguous(memory_format=form)
    found = chosen.normalise(batch, dtype)
    assert found.is_contiguous(memory_format=form)
    assert found.equal(chosen.normalise(batch).to(dtype))


@pytest.mark.parametrize(
    "changes",
    [{"interpolation": "lanczos"}, {"crop_mode": "border"}],
)
def test_is_the_reference_where_tensors_cannot_do_the_same(changes: dict[str, object]) -> None:
    chosen = steps(input_size=32, **changes)
    picture = smooth(60, 50)
    assert torch.equal(chosen.transform(reference=False)(picture), chosen.transform()(picture))


def test_worker_processes_can_be_given_it() -> None:
    transform = steps(input_size=32).transform(reference=False)
    picture = smooth(60, 50)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(picture), transform(picture))
