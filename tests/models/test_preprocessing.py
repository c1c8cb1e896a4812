from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import nn

from auditor.errors import InputError
from auditor.models.preprocessing import Preprocessing, differences, resolve

HALF = (0.5, 0.5, 0.5)


def picture(mode: str = "RGB", size: tuple[int, int] = (90, 60)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def default(**changes: object) -> Preprocessing:
    return resolve(nn.Identity(), {}, changes)


def test_the_models_own_configuration_is_used(tiny: nn.Module) -> None:
    chosen = resolve(tiny, {}, {})
    assert (chosen.input_size, chosen.crop_pct) == ((3, 160, 160), 0.95)
    assert "model's own" in chosen.source
    assert differences(chosen, tiny) == ()


def test_a_model_without_configuration_has_imagenets_defaults() -> None:
    chosen = default()
    assert chosen.input_size == (3, 224, 224)
    assert (chosen.mean, chosen.std) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    assert "ImageNet" in chosen.source


def test_training_arguments_come_before_the_model(tiny: nn.Module) -> None:
    args = {"img_size": 96, "mean": list(HALF), "crop_pct": 1.0, "interpolation": "", "lr": 0.1}
    chosen = resolve(tiny, args, {})
    assert (chosen.input_size, chosen.mean, chosen.crop_pct) == ((3, 96, 96), HALF, 1.0)
    assert chosen.std == IMAGENET_DEFAULT_STD
    assert "mean, crop_pct, img_size from the checkpoint's training arguments" in chosen.source
    assert differences(chosen, tiny) == (
        "input_size (3, 96, 96) instead of (3, 160, 160)",
        "mean (0.5, 0.5, 0.5) instead of (0.485, 0.456, 0.406)",
        "crop_pct 1 instead of 0.95",
    )


def test_training_arguments_are_read_as_timm_reads_them(tiny: nn.Module) -> None:
    args = {"input_size": [3, 64, 96], "mean": [0.4], "std": [0.3], "crop_mode": "squash"}
    chosen = resolve(tiny, args, {})
    resolve_timm: Callable[..., dict[str, object]] = resolve_data_config  # untyped in timm
    timms = resolve_timm(args, model=tiny)
    assert {name: getattr(chosen, name) for name in timms} == timms


def test_the_user_comes_first(tiny: nn.Module) -> None:
    overrides = {"input_size": 48, "mean": HALF, "std": None, "model": "anything"}
    chosen = resolve(tiny, {"img_size": 96, "mean": [0.1, 0.1, 0.1], "std": [0.2]}, overrides)
    assert (chosen.input_size, chosen.mean) == ((3, 48, 48), HALF)
    assert chosen.std == (0.2, 0.2, 0.2)
    assert chosen.source.startswith("input_size, mean as given; std from the checkpoint's")


def test_unusable_training_arguments_say_what_to_do_and_can_be_overridden() -> None:
    args = {"mean": 0.5}
    with pytest.raises(InputError, match="give mean yourself"):
        resolve(nn.Identity(), args, {})
    assert resolve(nn.Identity(), args, {"mean": HALF}).mean == HALF


@pytest.mark.parametrize(
    "args",
    [
        {"crop_pct": "abc"},
        {"mean": ["a", "b", "c"]},
        {"std": [[1.0], [1.0], [1.0]]},
        {"input_size": ["a", "b", "c"]},
        {"input_size": [3, math.inf, 32]},
    ],
)
def test_training_arguments_that_are_no_numbers_are_named(args: dict[str, object]) -> None:
    (name,) = args
    with pytest.raises(
        InputError, match=f"training arguments .*{name}.* describe no.* give {name} yourself"
    ):
        resolve(nn.Identity(), args, {})
    given = {"input_size": 32, "mean": HALF, "std": HALF, "crop_pct": 0.9}
    assert resolve(nn.Identity(), args, given).crop_pct == 0.9


def test_a_configuration_of_the_models_own_that_describes_nothing_is_named() -> None:
    model = nn.Identity()
    vars(model)["pretrained_cfg"] = {"crop_pct": "abc"}
    with pytest.raises(
        InputError,
        match=r"own configuration .* describes no preprocessing; give input_size and mean",
    ):
        resolve(model, {}, {})


def test_an_input_is_at_most_as_large_as_the_file_may_say() -> None:
    args = {"img_size": 10**7}
    said = r"img_size from the checkpoint's training arguments.*at most 16,384"
    with pytest.raises(InputError, match=said):
        resolve(nn.Identity(), args, {})
    assert resolve(nn.Identity(), {"img_size": 16_384}, {}).input_size == (3, 16_384, 16_384)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "bicubik"}, 'did you mean "bicubic"'),
        ({"crop_mode": "centre"}, 'did you mean "center"'),
        ({"crop_pct": -1.0}, "not positive"),
        ({"input_size": -8}, "not positive"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
        ({"mean": (0.5, 0.5)}, "3 channels"),
        ({"mean": (123.675, 116.28, 103.53)}, "divide those of levels up to 255 by 255"),
        ({"std": (58.395, 57.12, 57.375)}, "divide those of levels up to 255 by 255"),
    ],
)
def test_what_is_impossible_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        default(**changes)


def test_the_transform_is_timms() -> None:
    chosen = default(input_size=32, crop_pct=0.8, mean=HALF, std=HALF)
    timms = create_transform(32, interpolation="bicubic", crop_pct=0.8, mean=HALF, std=HALF)
    assert torch.equal(chosen.transform()(picture()), timms(picture()))


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"]


@pytest.mark.parametrize("mode", [*MODES, "LAB", "RGBa", "I;16", "I;16B"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_image_is_accepted(mode: str, channels: int) -> None:
    chosen = resolve(nn.Identity(), {"in_chans": channels}, {"input_size": 16})
    tensor = chosen.transform()(Image.new(mode, (20, 30)))
    assert tensor.shape == (channels, 16, 16)
    assert tensor.dtype == torch.float32


def test_transparent_palettes_keep_their_colours_in_silence() -> None:
    image = picture("P")
    image.info["transparency"] = bytes(256)
    opaque = picture("P")
    transform = default().transform()
    assert torch.equal(transform(image), transform(opaque))


def test_grey_models_take_one_channel_and_the_mean_of_the_means() -> None:
    model = timm.create_model("test_efficientnet", in_chans=1)
    chosen = resolve(model, {}, {})
    assert chosen.input_size == (1, 160, 160)
    assert chosen.mean == pytest.approx((sum(IMAGENET_DEFAULT_MEAN) / 3,))
    assert chosen.transform()(picture()).shape == (1, 160, 160)


def test_more_channels_than_an_image_has_are_refused() -> None:
    with pytest.raises(InputError, match="1 or 3 channels"):
        resolve(nn.Identity(), {"in_chans": 4, "mean": [0.5], "std": [0.5]}, {})


def test_worker_processes_can_be_given_the_transform() -> None:
    transform = default(input_size=16).transform()
    again = pickle.loads(pickle.dumps(transform))
    assert torch.equal(transform(picture()), again(picture()))


def test_describe_names_every_step() -> None:
    said = default(input_size=32, crop_pct=0.8, mean=HALF).describe()
    for part in ("3×32×32", "bicubic", "center crop 0.8", "mean (0.5, 0.5, 0.5)", "as given"):
        assert part in said
