"""What a report shows of the candidate's cost, and of its place among other models."""

from __future__ import annotations

from auditor.record.base import Record

__all__ = ["ComplexityCard", "EfficiencyExhibit", "EfficiencyPoint", "MemoryRow", "StageRow"]


class EfficiencyPoint(Record):
    """A model on the accuracy–cost plane."""

    name: str
    macs: int
    parameters: int
    top1: float | None
    """Top-1 accuracy as a share in [0, 1]."""


class StageRow(Record):
    """A part of the model; over all parts the figures sum to the model's."""

    name: str
    parameters: int
    macs: int
    activations: int


class MemoryRow(Record):
    """Bytes held in memory in one type of number."""

    dtype: str
    weights: int
    peak: int
    """At the peak of a forward pass of one image."""


class ComplexityCard(Record):
    """What one image costs, and in which part of the model."""

    activations: int
    macs_fvcore: int | None
    """Multiply–accumulates by fvcore's rule, which timm's tables follow."""
    bytes_on_disk: int | None
    memory: tuple[MemoryRow, ...]
    stages: tuple[StageRow, ...]
    uncounted: tuple[tuple[str, float], ...]
    """Operators that the count leaves out, with their share of the elements put out."""
    scaling: str
    """Where it stands beside EfficientNet's compound scaling; shown, never judged."""
    rule: str
    notes: tuple[str, ...] = ()


class EfficiencyExhibit(Record):
    """The candidate beside the published EfficientNet family and the user's own models."""

    candidate: EfficiencyPoint
    reference: tuple[EfficiencyPoint, ...]
    reference_source: str
    comparable: bool
    """Whether the candidate was tested on the data set of the reference."""
    baseline: EfficiencyPoint | None = None
    own: tuple[EfficiencyPoint, ...] = ()
    """Other models of the user's, tested on the same images as the candidate."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Own audits that do not compare, each with the reason."""
    frontier: tuple[EfficiencyPoint, ...] = ()
    """timm's published frontier, where the candidate was tested on ImageNet-1k."""
    frontier_source: str = ""
    standing: str = ""
    """Who dominates the candidate and by how much, by the figures as they are."""
    card: ComplexityCard | None = None
