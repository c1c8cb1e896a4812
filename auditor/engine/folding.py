"""Folds batch normalisation into the convolution before it: the same numbers in fewer passes.

In evaluation a BatchNorm is a fixed scale and shift of each channel, and so is part of what the
convolution before it may compute. On a CPU an EfficientNet spends more time on its 49 BatchNorms
than on arithmetic.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import fx, nn

__all__ = ["fold_batch_norms"]


def fold_batch_norms(model: nn.Module) -> tuple[nn.Module, int]:
    """Return a copy in which every BatchNorm that directly follows a convolution is part of it.

    Parameters
    ----------
    model
        In evaluation mode; left as it is.

    Returns
    -------
    tuple[nn.Module, int]
        The copy and how many were folded. The model itself and 0 where its graph cannot be traced
        or holds no such pair.

    References
    ----------
    ``torch.nn.utils.fusion.fuse_conv_bn_weights``.
    """
    try:
        found = list(_pairs(model))
        folded = copy.deepcopy(model) if found else model
    except Exception:  # control flow on values, foreign code: whatever tracing and copying meet
        return model, 0
    for convolution, norm in found:
        _fold(folded, convolution, norm)
    return folded, len(found)


def _pairs(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of a convolution and of the BatchNorm that alone reads what it puts out."""
    if (inner := _wrapped(model)) is not None:
        yield from ((f"module.{one}", f"module.{other}") for one, other in _pairs(inner))
        return
    graph = _trace(model)
    modules: dict[Any, nn.Module] = dict(model.named_modules(remove_duplicate=False))
    calls = [node for node in graph.nodes if node.op == "call_module"]
    # A module that is shared, under one name or two, is folded for none of its readers.
    times = Counter(id(modules[node.target]) for node in calls)
    for node in calls:
        source: Any = node.args[0] if node.args else None
        if getattr(source, "op", None) != "call_module" or len(source.users) != 1:
            continue
        convolution, norm = modules[source.target], modules[node.target]
        once = times[id(convolution)] == times[id(norm)] == 1
        if once and _is_plain_convolution(convolution) and _is_plain_norm(norm):
            yield source.target, node.target


def _wrapped(model: nn.Module) -> nn.Module | None:
    """Return the model inside a wrapper of torch's that calls it and cannot be traced itself."""
    from torch import nn
    from torch.optim.swa_utils import AveragedModel

    known = type(model) in (nn.DataParallel, AveragedModel)
    return model.get_submodule("module") if known else None


def _trace(model: nn.Module) -> fx.Graph:
    # The class is made here because its base comes from torch, which must not be imported earlier.
    from torch import fx, nn

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            leaf = isinstance(m, nn.Conv2d | nn.BatchNorm2d)
            return leaf or super().is_leaf_module(m, module_qualified_name)

    return Tracer().trace(model)


def _is_plain_convolution(module: nn.Module) -> bool:
    """Return whether it convolves with its weight as stored; weight standardisation does not."""
    from timm.layers.conv2d_same import Conv2dSame
    from torch import nn

    return type(module) in (nn.Conv2d, Conv2dSame) and _is_untouched(module)


def _is_plain_norm(module: nn.Module) -> bool:
    from timm.layers.norm_act import BatchNormAct2d
    from torch import nn

    known = type(module) in (nn.BatchNorm2d, BatchNormAct2d)
    return known and module.running_mean is not None and _is_untouched(module)


def _is_untouched(module: nn.Module) -> bool:
    hooks: Any = (module._forward_hooks, module._forward_pre_hooks)
    return not any(hooks) and not hasattr(module, "parametrizations")


def _fold(model: nn.Module, convolution: str, norm: str) -> None:
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    conv: Any = model.get_submodule(convolution)
    bn: Any = model.get_submodule(norm)
    statistics = (bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *statistics)
    parent, _, name = norm.rpartition(".")
    # timm's BatchNorm applies its activation, too; dropping out does nothing in evaluation.
    setattr(model.get_submodule(parent), name, getattr(bn, "act", nn.Identity()))
