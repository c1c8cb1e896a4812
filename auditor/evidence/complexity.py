"""What the candidate costs: parameters, MACs, activations, bytes on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from auditor.evidence.provider import gather

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.models.handle import Candidate

__all__ = ["Complexity", "complexity"]


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
        Operations that the count leaves out, by name.
    """

    parameters: int
    macs: int
    activations: int
    input_size: tuple[int, int, int]
    bytes_on_disk: int | None = None
    uncounted: tuple[str, ...] = ()

    def to_table(self) -> pa.Table:
        """Return the figures in the table's metadata."""
        import pyarrow as pa

        about = json.dumps(asdict(self), sort_keys=True)
        return pa.table({}).replace_schema_metadata({"about": about})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        values = json.loads(table.schema.metadata[b"about"])
        for name in ("input_size", "uncounted"):
            values[name] = tuple(values[name])
        return cls(**values)


@gather(Complexity)
def complexity(candidate: Candidate) -> Complexity:
    """Count the candidate's cost, without computing anything."""
    from auditor.models.complexity import measure_complexity

    size = candidate.loaded.preprocessing.input_size
    figures = measure_complexity(candidate.loaded.model, size)
    checkpoint = candidate.spec.checkpoint
    return Complexity(
        figures.parameters,
        figures.macs,
        figures.activations,
        size,
        None if checkpoint is None else checkpoint.stat().st_size,
        figures.uncounted,
    )
