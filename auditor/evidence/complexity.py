"""What the candidate costs: parameters, MACs, activations, memory, by stage; its scaling."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

from auditor.models.complexity import (
    ComplexityFigures,
    Memory,
    Uncounted,
    measure_complexity,
    sure_parameters,
)
from auditor.models.stages import Stage
from auditor.provider import gather
from auditor.store.columns import telling, told

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from torch import nn

    from auditor.engine.candidate import Candidate

__all__ = ["Complexity", "complexity", "cost_of"]


@dataclass(frozen=True)
class Complexity:
    """Cost of one image through the candidate.

    Parameters
    ----------
    parameters
        Learned values; None where they are not known.
    macs
        Multiply–accumulate operations of convolution and linear layers; FLOPs are twice this. None
        where not all that multiplies could be counted.
    activations
        Output elements of the same layers; None where the MACs are.
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
    unknown
        Why a figure is not known, one phrase each.
    """

    parameters: int | None
    macs: int | None
    activations: int | None
    input_size: tuple[int, int, int]
    bytes_on_disk: int | None = None
    uncounted: tuple[Uncounted, ...] = ()
    stages: tuple[Stage, ...] = ()
    fp32: Memory | None = None
    bf16: Memory | None = None
    macs_fvcore: int | None = None
    scaling: str = ""
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

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
            parameters=None if figures.more_parameters else figures.parameters,
            macs=None if figures.more_macs else figures.macs,
            activations=None if figures.more_macs else figures.activations,
            input_size=input_size,
            bytes_on_disk=bytes_on_disk,
            uncounted=figures.uncounted,
            stages=figures.stages,
            fp32=figures.fp32,
            bf16=figures.bf16,
            macs_fvcore=None if figures.more_macs else figures.macs_fvcore,
            scaling=scaling,
            notes=figures.notes,
            unknown=figures.doubts,
        )

    def to_table(self) -> pa.Table:
        """Return the figures in the table's metadata."""
        import pyarrow as pa

        return telling(pa.table({}), asdict(self))

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        values = told(table)
        for name in ("input_size", "notes", "unknown"):
            values[name] = tuple(values[name])
        values["uncounted"] = tuple(Uncounted(**each) for each in values["uncounted"])
        values["stages"] = tuple(Stage(**each) for each in values["stages"])
        for name in ("fp32", "bf16"):
            values[name] = values[name] and Memory(**values[name])
        return cls(**values)


@gather(Complexity, version=6)
def complexity(candidate: Candidate) -> Complexity:
    """Count the candidate's cost, without computing anything where that is possible."""
    from auditor.models.scaling_law import scaling_of

    model, size = candidate.loaded.model, candidate.loaded.preprocessing.input_size
    if candidate.spec.file is not None:
        return cost_of(model, candidate.spec.file, size)
    if candidate.engine.dtype != "float32":  # what has run is cast by then
        model = copy.deepcopy(model).float()
    figures, checkpoint = measure_complexity(model, size), candidate.spec.checkpoint
    stored = None if checkpoint is None else checkpoint.stat().st_size
    return Complexity.of(figures, size, stored, str(scaling_of(model, size[1])))


def cost_of(model: nn.Module, path: Path, size: tuple[int, int, int]) -> Complexity:
    """Return what one image costs in a model that is one file.

    Parameters
    ----------
    model, path
        From :func:`auditor.models.single_file.open_whole`, and its file.
    size
        Channels, height, width.

    Raises
    ------
    Unavailable
        An exported program cannot be measured.
    """
    from torch import nn

    from auditor.models.graph import GraphModel
    from auditor.models.single_file import size_of

    assert isinstance(model, GraphModel)
    stored = size_of(path)
    if path.suffix.lower() == ".onnx":
        from auditor.models.onnx_cost import ONNX_RULE, count_onnx

        counted = count_onnx(path, model.taken, size)
        return Complexity(
            counted.parameters,
            counted.macs,
            counted.activations,
            size,
            stored,
            notes=(ONNX_RULE,),
            unknown=counted.unknown,
        )
    if model.taken.takes_several:
        why = (
            f"{model.file} takes {model.taken.fewest} images at once, and no fewer; export it for "
            "1 or for any number"
        )
        return Complexity(sure_parameters(model), None, None, size, stored, unknown=(why,))
    assert isinstance(model.run, nn.Module)
    # An exported program has lost the parts that its operators stood in.
    figures = replace(measure_complexity(model.run, size), stages=())
    return Complexity.of(figures, size, stored)
