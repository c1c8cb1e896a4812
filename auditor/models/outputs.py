"""What a model of the user's own puts out: logits are wanted, and probabilities are made such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["settle_outputs"]

_TOLERANCE = 1e-3


def settle_outputs(model: nn.Module, size: tuple[int, int, int], name: str) -> tuple[str, ...]:
    """See on a few images whether the outputs are probabilities, and say what was found.

    Softmax of probabilities would be nearly uniform: they are turned into their logarithms from
    here on, of which they are the softmax.

    Parameters
    ----------
    model
        Gives one row of scores for each image; in evaluation mode, on the CPU.
    size
        Channels, height, width.
    name
        What the notes call it.
    """
    import torch

    noise = torch.randn((3, *size), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            scores = [model(image[None]) for image in (torch.zeros(size), *noise)]
        outputs = torch.cat(scores).float()
        within = bool(((outputs >= 0) & (outputs <= 1)).all())
    except Exception:  # it fails again in the pass, which says on which images
        return ()
    if not within:
        return ()
    if ((outputs.sum(dim=1) - 1).abs() < _TOLERANCE).all():
        model.register_forward_hook(_logarithms)
        return (f"The outputs of {name} are probabilities and were taken as they are.",)
    return (
        f"The outputs of {name} lie between 0 and 1 and do not sum to 1 (sigmoids?); they were "
        "taken for logits, so its probabilities mean little.",
    )


def _logarithms(model: nn.Module, images: Any, outputs: Tensor) -> Tensor:
    import torch

    del model, images
    return outputs.float().clamp_min(torch.finfo(torch.float32).tiny).log()
