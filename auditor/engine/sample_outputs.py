"""What a loaded model answers to noise: by it two processes see that they hold the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from auditor.engine.forward import drawn
from auditor.engine.precision import reproducible

if TYPE_CHECKING:
    from auditor.models.candidate import LoadedModel

__all__ = ["Sample"]

_IMAGES = 2
_ALIKE = 1e-4
"""Largest change of a logit, as a share of the spread of its image's: another number of threads
adds in another order."""


class Sample(NamedTuple):
    """A model, as far as a few images tell."""

    weights: str
    """The digest of its weights, of the file where there is one."""
    logits: NDArray[np.float32]
    """Shape (images, classes), of the same noise each time; they depend on its code, and on what no
    file holds, as well."""

    @classmethod
    def of(cls, loaded: LoadedModel) -> Self:
        """Run a model as it was loaded: on the CPU, in float32."""
        import torch

        images = drawn(loaded.preprocessing.input_size)[:_IMAGES]
        with torch.inference_mode(), reproducible():
            return cls(loaded.weights_digest, loaded.model(images).float().numpy())

    def is_like(self, other: Sample) -> bool:
        """Tell whether it is the same model; not where one answers NaN."""
        one, two = self.logits, other.logits
        if self.weights != other.weights or one.shape != two.shape:
            return False
        return bool((np.abs(one - two) <= _ALIKE * np.ptp(one, axis=1, keepdims=True)).all())
