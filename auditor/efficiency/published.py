"""The published EfficientNets on the plane of accuracy and cost."""

from __future__ import annotations

from auditor.efficiency.frontier import Place
from auditor.models.reference import efficientnet_reference

__all__ = ["published_efficientnets"]


def published_efficientnets() -> tuple[Place, ...]:
    """Return EfficientNet-B0 to B7 with the lower of the two published accuracies."""
    return tuple(
        Place(model.name, model.macs, min(model.top1, model.top1_timm) / 100)
        for model in efficientnet_reference()
    )
