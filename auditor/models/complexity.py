"""What one image costs: parameters, multiply–adds and activations."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor.errors import Unavailable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ComplexityFigures", "measure_complexity"]


@dataclass(frozen=True)
class ComplexityFigures:
    """The cost of one image.

    Parameters
    ----------
    parameters
        Trainable and frozen, each shared one once; buffers are not parameters.
    macs
        Multiply–adds of convolutions, linear layers and matrix products: what papers on efficient
        networks call FLOPs. BatchNorm is not in it; timm's tables count it (1.5–3.5% more).
    activations
        Elements that those operators put out.
    uncounted
        Other operators that ran and computed something, without a share in `macs`.
    """

    parameters: int
    macs: int
    activations: int
    uncounted: tuple[str, ...]


def measure_complexity(model: nn.Module, input_size: tuple[int, int, int]) -> ComplexityFigures:
    """Measure a model, left as it is, on one image.

    Nothing is computed where a copy of the model runs on the meta device; a model that needs real
    numbers runs once where it is.

    Parameters
    ----------
    model
        In evaluation mode.
    input_size
        Channels, height, width.

    Raises
    ------
    Unavailable
        The model does not run on an image of this size.

    References
    ----------
    Multiply–adds: half the total of ``torch.utils.flop_counter.FlopCounterMode``. Activations:
    Radosavovic, I. et al. (2020). Designing network design spaces. CVPR. arXiv:2003.13678,
    section 3.1, with matrix products included, as fvcore and timm's tables have it.
    """
    macs, activations, uncounted = _count_anywhere(model, input_size)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return ComplexityFigures(parameters, macs, activations, uncounted)


def _count_anywhere(
    model: nn.Module, input_size: tuple[int, int, int]
) -> tuple[int, int, tuple[str, ...]]:
    try:
        return _count(copy.deepcopy(model).to("meta").eval(), input_size)
    except Exception:  # a copy, a missing meta kernel, a branch on a value: the model decides
        pass
    try:
        return _count(model, input_size)
    except Exception as error:
        shape = "×".join(map(str, input_size))
        raise Unavailable(
            f"The model does not run on an image of {shape}: {error}", "error"
        ) from error


def _count(model: nn.Module, input_size: tuple[int, int, int]) -> tuple[int, int, tuple[str, ...]]:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    counter = FlopCounterMode(display=False)
    outputs = _outputs_counter()
    # Fused attention hides its score matrix on some machines; figures must not depend on that.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), outputs, counter:
        model(torch.zeros(1, *input_size, device=device))
    return counter.get_total_flops() // 2, outputs.activations, tuple(sorted(outputs.uncounted))


def _outputs_counter() -> Any:
    # The class is made here because its base comes from torch, which must not be imported earlier.
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class OutputsCounter(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.activations = 0
            self.uncounted: set[str] = set()

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            output = func(*args, **(kwargs or {}))
            if func.overloadpacket in flop_registry:
                self.activations += (output[0] if isinstance(output, tuple) else output).numel()
            elif _computes(func):
                self.uncounted.add(_name(func))
            return output

    return OutputsCounter()


_MOVES = frozenset(
    (
        *("empty", "empty_like", "new_empty", "zeros", "zeros_like", "ones", "ones_like", "full"),
        *("full_like", "arange", "clone", "to_copy", "copy", "cat", "stack", "index", "roll"),
        *("constant_pad_nd", "pixel_shuffle", "unsafe_view", "detach", "lift_fresh", "as_strided"),
    )
)


def _computes(operator: Any) -> bool:
    """Return whether an operator does arithmetic, rather than make, move or view elements."""
    returned = operator._schema.returns
    alias = returned[0].alias_info if returned else None
    is_view = alias is not None and not alias.is_write
    return not is_view and _name(operator) not in _MOVES


def _name(operator: Any) -> str:
    name: str = operator.overloadpacket.__name__
    return name.strip("_")  # silu_ is silu in place, _to_copy is internal
