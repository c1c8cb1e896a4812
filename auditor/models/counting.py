"""What a forward pass does, operator by operator: multiply–adds, outputs, memory alive.

torch is imported here at once, so import this module where a model is measured and not before.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

__all__ = ["Pass", "bytes_of", "matrices", "watch_pass"]

_MOVES = frozenset(
    (
        *("empty", "empty_like", "new_empty", "zeros", "zeros_like", "ones", "ones_like", "full"),
        *("full_like", "arange", "clone", "to_copy", "copy", "cat", "stack", "index", "roll"),
        *("constant_pad_nd", "pixel_shuffle", "unsafe_view", "detach", "lift_fresh", "as_strided"),
        *("transpose", "assert_tensor_metadata", "assert_async", "assert_scalar"),
        *("new_zeros", "new_ones", "new_full", "zero", "empty_strided", "new_empty_strided"),
        *("squeeze", "unsqueeze"),
    )
)


@dataclass
class Pass:
    """What one forward pass did.

    Parameters
    ----------
    macs, activations
        Module name → multiply–adds, and output elements, of the counted operators that ran while
        it was the innermost module.
    elements
        Operator → elements that it put out, for every operator that does arithmetic.
    counted
        Which of those have a share in `macs`.
    missed
        Which of those may multiply and add, and have no share in `macs`.
    foreign
        Storage → its elements, of the weights that counted operators took and that are no
        parameters: tensors that come from nowhere or from buffers, or were made of such alone.
    fvcore_extra
        What fvcore's rule counts on top of `macs`.
    peak
        Largest sum of bytes alive at once, in float32 and with every float in two bytes; the
        weights are not in it.
    """

    macs: Counter[str] = field(default_factory=Counter)
    activations: Counter[str] = field(default_factory=Counter)
    elements: Counter[str] = field(default_factory=Counter)
    counted: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    foreign: dict[int, int] = field(default_factory=dict)
    fvcore_extra: int = 0
    peak: tuple[int, int] = (0, 0)


def watch_pass(model: nn.Module, images: Tensor) -> Pass:
    """Run a model once and return what it did; whatever the model raises is raised.

    Parameters
    ----------
    model
        In evaluation mode, on the device of `images`; on the meta device nothing is computed.
    images
        Shape (n, channels, height, width).
    """
    with ExitStack() as stack:
        seen = Pass()
        where = stack.enter_context(_innermost(model, seen))
        memory = _Memory((*model.parameters(), *model.buffers()))
        stack.enter_context(torch.no_grad())
        # Fused attention hides its score matrix on some machines; figures must not depend on that.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_PooledInputs(seen))
        stack.enter_context(_Operators(seen, where, memory, matrices(model)))
        memory.see((images,))
        model(images)
        seen.peak = memory.peak
    return seen


def matrices(model: nn.Module) -> list[Tensor]:
    """Return the buffers that may hold weights, beside those of eight bits, which surely do.

    Statistics and scales have one dimension.
    """
    found = (b for b in model.buffers() if b.ndim > 1 and b.is_floating_point())
    return [buffer for buffer in found if buffer.element_size() > 1]


def bytes_of(tensors: Iterable[Tensor]) -> tuple[int, int]:
    """Return the bytes of tensors in float32, and with every float in two bytes.

    Tensors of whole numbers stay as they are.
    """
    sizes = [_bytes(t.numel(), t.element_size(), t.is_floating_point()) for t in tensors]
    return sum(size[0] for size in sizes), sum(size[1] for size in sizes)


def _bytes(elements: int, width: int, floating: bool) -> tuple[int, int]:
    return (4 * elements, 2 * elements) if floating else (width * elements, width * elements)


@contextmanager
def _innermost(model: nn.Module, seen: Pass) -> Iterator[Callable[[], str]]:
    """Keep the name of the module that runs; a module called without its hooks is its caller.

    TorchScript has no hooks. Operators are seen in this thread alone, so what runs in another one
    is missed.
    """
    running = [""]
    here = threading.get_ident()

    def enter(name: str) -> None:
        if threading.get_ident() == here:
            running.append(name)
        else:
            seen.missed.add("what runs in another thread")

    def leave() -> None:
        if threading.get_ident() == here:
            running.pop()

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: enter(name)))
        # Not the hook's return value: what it returns would become the module's output.
        hooks.append(module.register_forward_hook(lambda *_: leave()))
    try:
        yield lambda: running[-1]
    finally:
        for hook in hooks:
            hook.remove()


class _Memory:
    """Sums the storages that are alive; those of the weights are known beforehand."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.peak = (0, 0)
        self._alive = [0, 0]
        self._seen: dict[int, Any] = {}
        for weight in weights:
            self._seen[weight.untyped_storage()._cdata] = None

    def see(self, output: Any) -> None:
        for tensor in _strided(output):
            self._add(tensor)
        self.peak = max(self.peak[0], self._alive[0]), max(self.peak[1], self._alive[1])

    def knows(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._seen

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        width = tensor.element_size()
        size = _bytes(storage.nbytes() // width, width, tensor.is_floating_point())
        self._alive = [a + b for a, b in zip(self._alive, size, strict=True)]
        self._seen[key] = weakref.ref(storage, lambda _: self._drop(key, size))

    def _drop(self, key: int, size: tuple[int, int]) -> None:
        del self._seen[key]
        self._alive = [a - b for a, b in zip(self._alive, size, strict=True)]


def _strided(values: Any) -> Iterator[Tensor]:
    for value in tree_leaves(values):
        if isinstance(value, Tensor) and value.layout is torch.strided:
            yield value


class _Operators(TorchDispatchMode):
    """Sees every operator that reaches a device."""

    def __init__(
        self, seen: Pass, where: Callable[[], str], memory: _Memory, buffers: Iterable[Tensor]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._where, self._memory = seen, where, memory
        self._foreign: dict[int, Any] = {}
        for buffer in buffers:
            self._mark(buffer)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket not in flop_registry and _is_composite(func):
            with self:  # which is off inside itself
                return func.decompose(*args, **kwargs)
        foreign = self._look_at(func, (args, kwargs))
        output = func(*args, **kwargs)
        self._memory.see(output)
        for tensor in _strided(output) if foreign else ():
            self._mark(tensor)
        self._count(func, args, kwargs, output)
        return output

    def _look_at(self, func: Any, inputs: Any) -> bool:
        """Notice tensors that come from nowhere, and return whether all do."""
        tensors = list(_strided(inputs))
        for tensor in tensors:
            if not self._memory.knows(tensor):
                self._mark(tensor)
        foreign = [each for each in tensors if each.untyped_storage()._cdata in self._foreign]
        for tensor in foreign if func.overloadpacket in flop_registry else ():
            storage = tensor.untyped_storage()
            self._seen.foreign[storage._cdata] = storage.nbytes() // tensor.element_size()
        return len(foreign) == len(tensors) > 0

    def _mark(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # until it dies, for its address is used again
        self._foreign[key] = weakref.ref(storage, self._forgetting(key))

    def _forgetting(self, key: int) -> Callable[[object], None]:
        return lambda _: (self._foreign.pop(key, None), None)[1]

    def _count(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        count = flop_registry.get(func.overloadpacket)
        if count is None and not _computes(func):
            return
        first = output[0] if isinstance(output, tuple | list) else output
        name, elements = _name(func), first.numel() if isinstance(first, Tensor) else 0
        self._seen.elements[name] += elements
        self._seen.fvcore_extra += _fvcore_extra(name, args, elements)
        if count is None and not _is_light(func):
            self._seen.missed.add(name if func.namespace == "aten" else func.name())
        if count is not None:
            place = self._where()
            self._seen.counted.add(name)
            self._seen.macs[place] += count(*args, **kwargs, out_val=output) // 2
            self._seen.activations[place] += elements


def _is_composite(operator: Any) -> bool:
    """Return whether an operator is made of others, as which it is seen but in inference mode."""
    key = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), key))


def _computes(operator: Any) -> bool:
    """Return whether an operator does arithmetic, rather than make, move or view elements."""
    returned = operator._schema.returns
    alias = returned[0].alias_info if returned else None
    is_view = alias is not None and not alias.is_write
    return not is_view and operator.namespace != "profiler" and _name(operator) not in _MOVES


_LIGHT = frozenset(
    (
        *("native_batch_norm", "native_batch_norm_legit_no_training", "native_batch_norm_legit"),
        *("cudnn_batch_norm", "miopen_batch_norm", "native_layer_norm", "native_group_norm"),
        *("fused_rms_norm", "weight_norm_interface", "linalg_vector_norm", "norm"),
        *("var", "var_mean", "std", "std_mean"),
        *("adaptive_avg_pool2d", "avg_pool2d", "adaptive_max_pool2d", "max_pool2d_with_indices"),
        *("adaptive_avg_pool1d", "avg_pool1d", "avg_pool3d", "adaptive_avg_pool3d"),
        *("max_pool3d_with_indices", "softmax", "log_softmax", "safe_softmax", "logsumexp"),
        *("mean", "sum", "prod", "max", "min", "amax", "amin", "aminmax", "argmax", "argmin"),
        *("all", "any", "cumsum", "cumprod", "topk", "sort", "argsort", "median", "count_nonzero"),
        *("kthvalue", "cummax", "cummin", "histc"),
        *("rrelu_with_noise", "max_unpool2d", "fractional_max_pool2d"),
        *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest_exact2d"),
        *("upsample_bilinear2d", "upsample_bicubic2d", "upsample_linear1d"),
        *("upsample_bilinear2d_aa", "upsample_bicubic2d_aa", "grid_sampler_2d"),
        *("hardswish", "elu", "celu", "selu", "mish", "softplus", "prelu", "glu", "rrelu"),
        *("log_sigmoid_forward", "hardshrink", "softshrink", "threshold", "dropout"),
        *("native_dropout", "bernoulli", "rand", "rand_like", "randn", "randn_like"),
        *("randperm", "diag_embed", "rot90", "scatter_reduce"),
        *("index_fill", "masked_fill", "masked_scatter"),
        *("reflection_pad1d", "reflection_pad2d", "replication_pad2d", "im2col", "col2im"),
        *("flip", "repeat", "eye", "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes"),
        *(
            "gather",
            "scatter",
            "scatter_add",
            "index_select",
            "index_put",
            "index_add",
            "embedding",
        ),
        *(
            "masked_select",
            "nonzero",
            "tril",
            "triu",
            "fill",
            "scalar_tensor",
            "local_scalar_dense",
        ),
        *("slice_scatter", "select_scatter", "take", "bucketize", "searchsorted", "unique2"),
        *("channel_shuffle", "native_channel_shuffle", "pixel_unshuffle", "one_hot", "equal"),
        *("linspace", "tril_indices", "triu_indices", "complex", "copy_to", "resize", "set"),
    )
)
"""Operators, elementwise ones aside, that do a few operations an element, or move it."""


def _is_light(operator: Any) -> bool:
    """Return whether an operator's multiply–adds are rightly left out, by what is known of it.

    A new operator, a quantised one and one of the user's own are not known: they may be all that
    the model does.
    """
    if operator.namespace != "aten":
        return False
    return torch.Tag.pointwise in operator.tags or _name(operator) in _LIGHT


def _name(operator: Any) -> str:
    name: str = operator.overloadpacket.__name__
    return name.strip("_")  # silu_ is silu in place, _to_copy is internal


_UPSAMPLED = {"upsample_nearest2d": 1, "upsample_bilinear2d": 4}
_NORMALISED = {"native_layer_norm": 2, "native_group_norm": 1}
"""Operator → position of its scale among the arguments."""


def _fvcore_extra(name: str, args: Any, elements: int) -> int:
    """Return what fvcore counts for an operator that has no multiply–adds of its own.

    Two for each element of a BatchNorm with scale and shift, and one without; five and four for
    one that takes its statistics from the image, LayerNorm and GroupNorm; one and four for each
    pixel that nearest and bilinear upsampling makes (``fvcore/nn/jit_handles.py``).
    """
    if "batch_norm" in name:
        by_image = any(argument is True for argument in args[3:6])
        return elements * ((5 if by_image else 2) - (args[1] is None))
    if name in _NORMALISED:
        scale = args[_NORMALISED[name]]
        return elements * (5 if scale is not None else 4)
    return elements * _UPSAMPLED.get(name, 0)


class _PooledInputs(TorchFunctionMode):
    """Sees adaptive average pooling, which is a plain mean by the time an operator runs.

    fvcore counts one for each element of its input, and nothing for other means.
    """

    def __init__(self, seen: Pass) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.adaptive_avg_pool2d:
            self._seen.fvcore_extra += prod(args[0].shape)
        return func(*args, **(kwargs or {}))
