"""Listens to what a model's last layer is given: its own summary of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FeatureTap", "last_layer"]

FEATURES_THAT_FIT = 100_000_000
"""Features are kept up to this many values (images × features): 200 MB."""
_MOST = 65504.0
"""Largest finite float16."""


class FeatureTap:
    """Keeps the last layer's input of the latest forward pass; the model is not changed.

    Parameters
    ----------
    model
        The model. timm names its last layer; of another it is the last linear one.
    images
        How many images it will see in all; decides whether their features fit.
    """

    def __init__(self, model: nn.Module, images: int = 1) -> None:
        self._seen: torch.Tensor | None = None
        self._images = images
        self.refused = ""
        """Why features are not kept; empty while they are."""
        layer = last_layer(model)
        if layer is not None:
            layer.register_forward_pre_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        del layer
        self._seen = inputs[0].detach() if inputs else None

    def take(self, n: int) -> torch.Tensor | None:
        """Return the features of the latest batch, and forget them.

        Parameters
        ----------
        n
            Images in the batch.

        Returns
        -------
        torch.Tensor or None
            float16, shape (n, d), where the model runs; the mean over places where there are any.
            None from the first time on that the layer was not reached, saw something else than one
            row an image, or saw more than fits; ``refused`` then says why.
        """
        seen, self._seen = self._seen, None
        if self.refused:
            return None
        if seen is None or seen.dim() < 2 or seen.shape[0] != n:
            self.refused = "the model has no last linear layer that sees each image"
        elif self._images * seen.shape[1] > FEATURES_THAT_FIT:
            self.refused = (
                f"{self._images:,} images × {seen.shape[1]:,} features are too many to keep"
            )
        if seen is None or self.refused:
            return None
        flat = seen.float().flatten(2).mean(2) if seen.dim() > 2 else seen.float()
        return flat.clamp(-_MOST, _MOST).half()


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
