"""How far two ways of running a model agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["change_of"]

_LEAST = 1e-30
"""Spread of logits that are all equal: no change of them is none, any change is too much."""


def change_of(found: torch.Tensor, plain: torch.Tensor) -> float:
    """Return the largest change of a logit, as a share of the spread of its image's logits.

    Parameters
    ----------
    found, plain
        Logits of the two in float32, shape (images, classes).

    Returns
    -------
    float
        At least 0; NaN where a logit is.
    """
    spread = plain.amax(1) - plain.amin(1)
    return float(((found - plain).abs().amax(1) / spread.clamp(min=_LEAST)).max())
