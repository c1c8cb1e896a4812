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

from auditor.efficiency.frontier import Place

__all__ = [
    "FRONTIER",
    "ReferenceModel",
    "TimmModel",
    "efficientnet_reference",
    "frontier_reference",
    "published_efficientnets",
]

FRONTIER = "timm's results (August 2026, Apache-2.0), ImageNet-1k without other training images"

_SOURCE = (
    "Tan & Le 2019, arXiv:1905.11946v5, table 2 (accuracy; where it is judged, timm's "
    "re-evaluation of August 2026 counts instead, if it is lower); counted with torch (parameters, "
    "multiply–adds)"
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
    top1_timm
        The same, as timm evaluated the published weights.
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
    top1_timm: float
    parameters: int
    macs: int
    activations: int
    macs_fvcore: int
    source: str


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
    parameters, macs, macs_fvcore
        Exact counts; the last by fvcore's rule.
    gmacs
        10⁹ multiply–adds as published, by fvcore's rule, rounded to 10⁷.
    role
        ``re-evaluation`` of an EfficientNet, or on the ``frontier``.
    """

    name: str
    resolution: int
    top1: float
    parameters: int
    macs: int
    macs_fvcore: int
    gmacs: float
    role: str


def efficientnet_reference() -> tuple[ReferenceModel, ...]:
    """Return EfficientNet-B0 to B7, smallest first."""
    return tuple(_reference(row) for row in _rows("efficientnet_reference.csv"))


def published_efficientnets() -> tuple[Place, ...]:
    """Return EfficientNet-B0 to B7 with the lower of the two published accuracies."""
    return tuple(
        Place(model.name, model.macs, min(model.top1, model.top1_timm) / 100)
        for model in efficientnet_reference()
    )


def frontier_reference(role: str = "frontier") -> tuple[TimmModel, ...]:
    """Return timm's published models of a role, by multiply–adds."""
    rows = (row for row in _rows("imagenet_reference.csv") if row["role"] == role)
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
        macs_fvcore=int(row["macs_fvcore"]),
        gmacs=float(row["timm_gmacs"]),
        role=row["role"],
    )


def _reference(row: Mapping[str, str]) -> ReferenceModel:
    return ReferenceModel(
        name=row["model"],
        width=float(row["width"]),
        depth=float(row["depth"]),
        resolution=int(row["resolution"]),
        top1=float(row["paper_top1"]),
        top5=float(row["paper_top5"]),
        top1_timm=float(row["timm_aa_top1"]),
        parameters=int(row["params"]),
        macs=int(row["macs_flopcounter"]),
        activations=round(float(row["timm_csv_macts"]) * 1e6),
        macs_fvcore=int(row["macs_fvcore_incl_bn"]),
        source=_SOURCE,
    )
