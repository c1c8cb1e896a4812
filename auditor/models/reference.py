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

``imagenet_reference.csv`` has more of timm's published results (the same repository, tables of
August 2026, Apache-2.0): its re-evaluation of EfficientNet-B0 to B7, and the Pareto frontier of
accuracy and MACs among all models trained on ImageNet-1k alone. Left out of that are BEiT v2, whose
tokeniser saw other images, and models that are published with their branches merged and built
with them apart (RepGhost, GhostNet v3). ``top1`` and ``top5`` are timm's, in percent;
``parameters``, ``macs`` and ``macs_fvcore`` are counted here; ``timm_gmacs`` and ``timm_macts`` are
timm's figures, rounded as published, in 10⁹ multiply–adds by fvcore's rule and 10⁶ activations.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

__all__ = [
    "FRONTIER",
    "SOURCE",
    "ReferenceModel",
    "TimmModel",
    "efficientnet_reference",
    "frontier_reference",
]

FRONTIER = "timm's results (August 2026, Apache-2.0), ImageNet-1k without other training images"
"""Where the figures of the frontier come from."""

SOURCE = (
    "Tan & Le 2019, arXiv:1905.11946v5, table 2 (accuracy; where it is judged, timm's "
    "re-evaluation of August 2026 counts instead, if it is lower); counted with torch (parameters, "
    "multiply–adds)"
)
"""Where the figures of the EfficientNets come from."""


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
    top1
        Accuracy on ImageNet in percent, as the paper has it.
    top1_timm
        The same, as timm evaluated the published weights.
    parameters, macs
        Exact counts; multiply–adds for one image, without BatchNorm.
    """

    name: str
    width: float
    depth: float
    resolution: int
    top1: float
    top1_timm: float
    parameters: int
    macs: int


class TimmModel(NamedTuple):
    """A model that timm publishes, on ImageNet-1k.

    Parameters
    ----------
    name
        timm's name, with the tag of its weights.
    resolution
        Side of the input in pixels.
    top1
        Accuracy in percent.
    parameters, macs
        Exact counts; multiply–adds for one image, without BatchNorm.
    """

    name: str
    resolution: int
    top1: float
    parameters: int
    macs: int


def efficientnet_reference() -> tuple[ReferenceModel, ...]:
    """Return EfficientNet-B0 to B7, smallest first."""
    return tuple(_reference(row) for row in _rows("efficientnet_reference.csv"))


def frontier_reference() -> tuple[TimmModel, ...]:
    """Return the Pareto frontier of timm's published models, by multiply–adds."""
    rows = (row for row in _rows("imagenet_reference.csv") if row["role"] == "frontier")
    return tuple(sorted((_timm(row) for row in rows), key=lambda model: model.macs))


def _rows(file: str) -> list[dict[str, str]]:
    text = resources.files("auditor.models").joinpath(file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _timm(row: Mapping[str, str]) -> TimmModel:
    return TimmModel(
        name=row["model"],
        resolution=int(row["resolution"]),
        top1=float(row["top1"]),
        parameters=int(row["parameters"]),
        macs=int(row["macs"]),
    )


def _reference(row: Mapping[str, str]) -> ReferenceModel:
    return ReferenceModel(
        name=row["model"],
        width=float(row["width"]),
        depth=float(row["depth"]),
        resolution=int(row["resolution"]),
        top1=float(row["paper_top1"]),
        top1_timm=float(row["timm_aa_top1"]),
        parameters=int(row["params"]),
        macs=int(row["macs_flopcounter"]),
    )
