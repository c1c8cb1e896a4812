"""Listens to what a model's last layer is given: its own summary of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FeatureTap", "last_layer"]

_MOST = float(np.finfo(np.float16).max)


class FeatureTap:
    """Keeps the last layer's input of the latest forward pass; the model is not changed.

    Parameters
    ----------
    model
        The model. timm names its last layer; of another it is the last linear one.
    """

    def __init__(self, model: nn.Module) -> None:
        self._seen: torch.Tensor | None = None
        layer = last_layer(model)
        self.found = layer is not None
        if layer is not None:
            layer.register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        del layer
        self._seen = inputs[0].detach() if inputs else None

    def take(self, n: int) -> NDArray[np.float16] | None:
        """Return the features of the latest batch, and forget them.

        Parameters
        ----------
        n
            Images in the batch.

        Returns
        -------
        numpy.ndarray or None
            Shape (n, d), the mean over places where there are any; None where the layer was not
            reached, or saw something else than one row an image.
        """
        seen, self._seen = self._seen, None
        if seen is None or seen.dim() < 2 or seen.shape[0] != n:
            return None
        flat = seen.float().flatten(2).mean(2) if seen.dim() > 2 else seen.float()
        values: NDArray[np.float16] = flat.clamp(-_MOST, _MOST).half().cpu().numpy()
        return values


def last_layer(model: nn.Module) -> nn.Module | None:
    """Return the layer that makes the logits; None where there is no linear one.

    Parameters
    ----------
    model
        A timm model, or any other.
    """
    from torch import nn

    named = getattr(model, "get_classifier", None)
    layer = named() if callable(named) else None
    if isinstance(layer, nn.Module) and not isinstance(layer, nn.Identity):
        return layer
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None
