"""Puts a model where it runs, in the form in which it is judged and timed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["default_batch", "ready"]


def ready(model: nn.Module, device: torch.device, dtype: str) -> nn.Module:
    """Return a model on its device, in evaluation mode and ``channels_last``; changed in place.

    Parameters
    ----------
    model
        In any state.
    device
        Where it runs.
    dtype
        ``float32``, ``bfloat16`` or ``float16``.
    """
    import torch

    model = model.to(device, dtype=getattr(torch, dtype))
    return model.to(memory_format=torch.channels_last).eval()


def default_batch(device: torch.device) -> int:
    """Return how many images a forward pass takes, where the user does not say."""
    return 16 if device.type == "cpu" else 128
