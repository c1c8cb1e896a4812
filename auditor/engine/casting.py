"""Casts a model to the dtype in which it runs, and refuses what that dtype cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["cast", "is_batch_norm"]


def cast(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a model on its device and in a dtype; changed in place.

    A BatchNorm's running variance is of the order of an activation squared: from 256 on it is
    infinite in float16, and its channel constant, while all outputs stay finite. So a BatchNorm
    that the dtype cannot hold stays in float32, which works beside inputs of half precision.

    Parameters
    ----------
    model
        In any state.
    device, dtype
        Where and in what it runs.

    Raises
    ------
    InputError
        A weight or a constant of another layer is finite, and would be infinite.
    """
    import torch

    beyond = _beyond(model, dtype)
    norms = {each for each in beyond.values() if is_batch_norm(each)}
    kept = {norm: {k: v.clone() for k, v in norm.state_dict().items()} for norm in norms}
    model = model.to(device, dtype=dtype)
    for norm, state in kept.items():
        norm.to(torch.float32).load_state_dict(state)
    tensors = dict(_tensors(model))
    for name in beyond:
        if bool(tensors[name].isinf().any()):
            short, most = str(dtype).removeprefix("torch."), torch.finfo(dtype).max
            wider = ', such as "bfloat16"' if dtype == torch.float16 else ""
            raise InputError(
                f"{name} has values that {short} cannot hold (beyond {most:.5g}); "
                f"run it in another ([engine] dtype, cheaper){wider}"
            )
    return model


def is_batch_norm(module: nn.Module) -> bool:
    """Tell whether a module is a BatchNorm of any kind."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return isinstance(module, _BatchNorm)


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _beyond(model: nn.Module, dtype: torch.dtype) -> dict[str, nn.Module]:
    """Return the finite tensors that would not be, by name, and whose they are.

    A buffer at the end of float32 is a mask, which infinity serves as well.
    """
    masks = {name for name, buffer in model.named_buffers() if _is_mask(buffer)}
    return {
        name: model.get_submodule(name.rpartition(".")[0])
        for name, tensor in _tensors(model)
        if tensor.is_floating_point()
        and tensor.dtype != dtype
        and name not in masks
        and bool((tensor.isfinite() & tensor.to(dtype).isinf()).any())
    }


def _is_mask(buffer: torch.Tensor) -> bool:
    """Tell whether all values are 0 or as large as float32 has them."""
    import torch

    if not buffer.is_floating_point():
        return False
    most = torch.finfo(torch.float32).max
    return bool(((buffer == 0) | (buffer.abs() >= 0.99 * most)).all())
