"""The published EfficientNets, to place a candidate among.

Sources of ``efficientnet_reference.csv``, column by column:

``width``, ``depth``, ``resolution``, ``dropout``
    Coefficients of the reference implementation (``efficientnet_builder.py`` in tensorflow/tpu).
``paper_top1``, ``paper_top5``, ``paper_params_M``, ``paper_flops_B``
    Table 2 of Tan, M. and Le, Q. V. (2019), arXiv:1905.11946v5: ImageNet, one crop, percent;
    its "FLOPs" are multiply–adds.
``params``, ``macs_flopcounter``
    Counted on timm's ``tf_efficientnet_b*``; multiply–adds are half of what
    ``torch.utils.flop_counter.FlopCounterMode`` says. ``macs_fvcore_incl_bn`` also has BatchNorm.
``timm_aa_*``, ``timm_csv_gmacs``, ``timm_csv_macts``, ``ips_5090_amp``
    timm's published results and benchmark tables (huggingface/pytorch-image-models, Apache-2.0),
    AutoAugment weights: accuracy in percent, 10⁹ multiply–adds with BatchNorm, 10⁶ activations,
    images per second on an RTX 5090 with mixed precision.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

__all__ = ["ReferenceModel", "efficientnet_reference"]

_SOURCE = (
    "Tan & Le 2019, arXiv:1905.11946v5, table 2 (accuracy); counted with torch (parameters, "
    "multiply–adds); timm's benchmark tables (activations)"
)


@dataclass(frozen=True)
class ReferenceModel:
    """A published model.

    Parameters
    ----------
    name
        ``EfficientNet-B0`` … ``EfficientNet-B7``.
    width, depth
        Multipliers of channels and repeats.
    resolution
        Side of the input in pixels.
    top1, top5
        Accuracy on ImageNet in percent, as the paper has it.
    parameters, macs
        Exact counts; multiply–adds for one image, without BatchNorm.
    activations
        Output elements of convolutions and linear layers, known to 10⁴.
    macs_fvcore
        Multiply–adds by fvcore's rule, with BatchNorm and pooling, as timm's tables have them.
    source
        Where the figures come from.
    """

    name: str
    width: float
    depth: float
    resolution: int
    top1: float
    top5: float
    parameters: int
    macs: int
    activations: int
    macs_fvcore: int
    source: str


def efficientnet_reference() -> tuple[ReferenceModel, ...]:
    """Return EfficientNet-B0 to B7, smallest first."""
    file = resources.files("auditor.models").joinpath("efficientnet_reference.csv")
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(_reference(row) for row in csv.DictReader(lines))


def _reference(row: Mapping[str, str]) -> ReferenceModel:
    return ReferenceModel(
        name=row["model"],
        width=float(row["width"]),
        depth=float(row["depth"]),
        resolution=int(row["resolution"]),
        top1=float(row["paper_top1"]),
        top5=float(row["paper_top5"]),
        parameters=int(row["params"]),
        macs=int(row["macs_flopcounter"]),
        activations=round(float(row["timm_csv_macts"]) * 1e6),
        macs_fvcore=int(row["macs_fvcore_incl_bn"]),
        source=_SOURCE,
    )
