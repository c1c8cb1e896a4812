"""torch.compile: for those who ask for it, where the job is long enough to pay for compiling.

torch is imported here at once, so import this module where a model is loaded and not before.
"""

from __future__ import annotations

import torch
from torch import nn

from auditor.engine.backends.sizes import FixedSizes
from auditor.engine.folding import fold_batch_norms
from auditor.engine.forward import cpu_batch

__all__ = ["build"]


def build(model: nn.Module, input_size: tuple[int, int, int]) -> nn.Module:
    """Return the model compiled, its BatchNorms folded; raises what the compiler raises."""
    folded, _ = fold_batch_norms(model)
    compiled = torch.compile(folded, dynamic=False)
    images = cpu_batch(input_size)
    with torch.inference_mode():  # compiled here, before threads prepare images
        compiled(_laid_out(torch.zeros(images, *input_size)))
    return FixedSizes(lambda _: lambda batch: compiled(_laid_out(batch)), (images,))


def _laid_out(batch: torch.Tensor) -> torch.Tensor:
    return batch.contiguous(memory_format=torch.channels_last)
