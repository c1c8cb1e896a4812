"""What the candidate costs: parameters, MACs, activations, memory, by stage; its scaling."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

from auditor.evidence.columns import telling, told
from auditor.evidence.provider import gather
from auditor.models.complexity import ComplexityFigures, Memory, Uncounted, measure_complexity
from auditor.models.stages import Stage

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from torch import nn

    from auditor.models.handle import Candidate

__all__ = ["Complexity", "complexity", "cost_of"]


@dataclass(frozen=True)
class Complexity:
    """Cost of one image through the candidate.

    Parameters
    ----------
    parameters
        Learned values.
    macs
        Multiply–accumulate operations of convolution and linear layers; FLOPs are twice this.
    activations
        Output elements of the same layers.
    input_size
        Channels, height, width.
    bytes_on_disk
        Size of the checkpoint file; None without one.
    uncounted
        Operators that the count leaves out, the largest share first.
    stages
        The same figures by part of the model, which sum to the totals.
    fp32, bf16
        Memory of the weights and at the peak of a forward pass of one image.
    macs_fvcore
        Multiply–accumulates by fvcore's rule, which timm's tables follow.
    scaling
        Where it stands beside EfficientNet's compound scaling, as a sentence.
    notes
        What a reviewer must know of how it was counted.
    """

    parameters: int
    macs: int
    activations: int
    input_size: tuple[int, int, int]
    bytes_on_disk: int | None = None
    uncounted: tuple[Uncounted, ...] = ()
    stages: tuple[Stage, ...] = ()
    fp32: Memory | None = None
    bf16: Memory | None = None
    macs_fvcore: int | None = None
    scaling: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        figures: ComplexityFigures,
        input_size: tuple[int, int, int],
        bytes_on_disk: int | None,
        scaling: str = "",
    ) -> Self:
        """Return measured figures as evidence; the parameters are those of the class."""
        return cls(
            parameters=figures.parameters,
            macs=figures.macs,
            activations=figures.activations,
            input_size=input_size,
            bytes_on_disk=bytes_on_disk,
            uncounted=figures.uncounted,
            stages=figures.stages,
            fp32=figures.fp32,
            bf16=figures.bf16,
            macs_fvcore=figures.macs_fvcore,
            scaling=scaling,
            notes=figures.notes,
        )

    def to_table(self) -> pa.Table:
        """Return the figures in the table's metadata."""
        import pyarrow as pa

        return telling(pa.table({}), asdict(self))

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        values = told(table)
        for name in ("input_size", "notes"):
            values[name] = tuple(values[name])
        values["uncounted"] = tuple(Uncounted(**each) for each in values["uncounted"])
        values["stages"] = tuple(Stage(**each) for each in values["stages"])
        for name in ("fp32", "bf16"):
            values[name] = values[name] and Memory(**values[name])
        return cls(**values)


@gather(Complexity, version=2)
def complexity(candidate: Candidate) -> Complexity:
    """Count the candidate's cost, without computing anything where that is possible."""
    from auditor.models.scaling_law import scaling_of

    model, size = candidate.loaded.model, candidate.loaded.preprocessing.input_size
    if candidate.spec.file is not None:
        return cost_of(model, candidate.spec.file, size)
    figures, checkpoint = measure_complexity(model, size), candidate.spec.checkpoint
    stored = None if checkpoint is None else checkpoint.stat().st_size
    return Complexity.of(figures, size, stored, str(scaling_of(model, size[1])))


def cost_of(model: nn.Module, path: Path, size: tuple[int, int, int]) -> Complexity:
    """Return what one image costs in a model that is one file.

    Parameters
    ----------
    model, path
        From :func:`auditor.models.whole.open_whole`, and its file.
    size
        Channels, height, width.

    Raises
    ------
    Unavailable
        The graph holds operators that are not counted, or takes several images at once.
    """
    from auditor.models.graph import GraphModel
    from auditor.models.whole import size_of

    assert isinstance(model, GraphModel)
    if path.suffix.lower() == ".onnx":
        from auditor.models.onnx_cost import ONNX_RULE, count_onnx

        counted = count_onnx(path, model.taken, size)
        return Complexity(*counted, size, size_of(path), notes=(ONNX_RULE,))
    from auditor.models.exported import part_for_one_image

    figures = measure_complexity(part_for_one_image(model), size)
    # An exported program has lost the parts that its operators stood in.
    return Complexity.of(replace(figures, stages=()), size, size_of(path))
