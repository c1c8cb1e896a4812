"""EfficientNet's compound scaling: one coefficient for width, depth and resolution.

References
----------
Tan, M. and Le, Q. V. (2019). EfficientNet: Rethinking model scaling for convolutional neural
networks. ICML. arXiv:1905.11946, equation 3: width βᵠ, depth αᵠ and resolution γᵠ with α = 1.2,
β = 1.1, γ = 1.15, so that α·β²·γ² ≈ 2 and the multiply–adds grow as 2ᵠ. The published B1–B7 were
rounded by hand and do not follow the formula; name those ``tf_efficientnet_b1`` … ``b7``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from auditor.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MAX_PHI", "build_efficientnet", "check_scaling", "compound"]

_ALPHA, _BETA, _GAMMA = 1.2, 1.1, 1.15
_BASE_RESOLUTION = 224
_RESOLUTION_STEP = 4
_MIN_RESOLUTION = 32  # the network halves its input five times
_CROP_PADDING = 32  # pixels; the reference implementation crops r of r + 32
MAX_PHI = 16.0
"""Largest |φ| accepted: beyond it the network has more than 2¹⁶ times B0's multiply–adds."""

# Stages of B0 in timm's notation: ds/ir depthwise-separable/inverted residual, r repeats, k kernel,
# s stride, e expansion, c channels, se squeeze-and-excitation ratio (table 1 of the paper).
_B0_STAGES = [
    ["ds_r1_k3_s1_e1_c16_se0.25"],
    ["ir_r2_k3_s2_e6_c24_se0.25"],
    ["ir_r2_k5_s2_e6_c40_se0.25"],
    ["ir_r3_k3_s2_e6_c80_se0.25"],
    ["ir_r3_k5_s1_e6_c112_se0.25"],
    ["ir_r4_k5_s2_e6_c192_se0.25"],
    ["ir_r1_k3_s1_e6_c320_se0.25"],
]


def compound(phi: float) -> tuple[float, float, int]:
    """Return the width and depth multipliers and the resolution for a compound coefficient.

    Parameters
    ----------
    phi
        φ of the paper; 0 is B0, each step about doubles the multiply–adds.

    Returns
    -------
    tuple[float, float, int]
        β**φ, α**φ, and 224·γ**φ pixels rounded to the nearest multiple of 4: the coarsest grid on
        which all published resolutions lie (260, 300 and 380 are not multiples of 8).

    Raises
    ------
    InputError
        φ is not a number between -16 and 16, or so small that under 32 pixels are left.

    Examples
    --------
    >>> compound(0)
    (1.0, 1.0, 224)
    """
    if not abs(phi) <= MAX_PHI:  # written so that NaN is refused too
        raise InputError(f"phi = {phi} is outside -{MAX_PHI:g} … {MAX_PHI:g}.")
    resolution = _BASE_RESOLUTION * _GAMMA**phi
    rounded = _RESOLUTION_STEP * math.floor(resolution / _RESOLUTION_STEP + 0.5)
    return check_scaling(_BETA**phi, _ALPHA**phi, rounded)


def check_scaling(width: float, depth: float, resolution: int) -> tuple[float, float, int]:
    """Return what was given, if a network can be built from it.

    Raises
    ------
    InputError
        A multiplier is not a positive finite number, or the resolution is below 32 pixels.
    """
    for name, value in (("width", width), ("depth", depth)):
        if not 0 < value < math.inf:
            raise InputError(f"{name} = {value} is not a positive number.")
    if resolution < _MIN_RESOLUTION:
        raise InputError(f"resolution = {resolution} is below {_MIN_RESOLUTION} pixels.")
    return width, depth, resolution


def build_efficientnet(
    width: float,
    depth: float,
    resolution: int,
    num_classes: int = 1000,
    *,
    in_chans: int = 3,
    dropout: float = 0.2,
    drop_path: float = 0.2,
) -> nn.Module:
    """Build an EfficientNet of any scaling, weights at random.

    State-dict keys and shapes equal timm's ``tf_efficientnet_b0`` … ``b8`` at the published
    coefficients, and so do the computations: TensorFlow's padding and BatchNorm ε = 1e-3.

    Parameters
    ----------
    width, depth
        Multipliers of the channels and of the repeats of each stage.
    resolution
        Side of the square input in pixels. It changes no weight, only the configuration.
    num_classes, in_chans
        Outputs and input channels.
    dropout, drop_path
        Rates before the classifier and of whole residual branches; without effect in evaluation.
    """
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet
    from torch import nn

    decode: Callable[..., Any] = decode_arch_def  # timm leaves it untyped
    round_width = partial(round_channels, multiplier=width)
    model: nn.Module = EfficientNet(
        block_args=decode(_B0_STAGES, depth),
        num_classes=num_classes,
        num_features=round_width(1280),
        in_chans=in_chans,
        stem_size=32,
        pad_type="same",
        round_chs_fn=round_width,
        act_layer=nn.SiLU,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
        drop_rate=dropout,
        drop_path_rate=drop_path,
    )
    config = _configuration(resolution, num_classes, in_chans)
    vars(model).update(default_cfg=config, pretrained_cfg=config)
    return model


def _configuration(resolution: int, num_classes: int, in_chans: int) -> dict[str, object]:
    # The normalisation of tf_efficientnet_b0. The crop is the rule behind timm's .875 for 224,
    # .904 for 300 and .949 for 600, from the reference implementation's preprocessing.py.
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    return {
        "architecture": "efficientnet",
        "num_classes": num_classes,
        "input_size": (in_chans, resolution, resolution),
        "interpolation": "bicubic",
        "crop_pct": round(resolution / (resolution + _CROP_PADDING), 3),
        "crop_mode": "center",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "conv_stem",
        "classifier": "classifier",
    }
