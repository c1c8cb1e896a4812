"""float32 that is float32, and no kernel chosen by a race, whatever torch was told before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["reproducible"]

_FULL = "ieee"
_SWITCHES = (
    ("cuda", "matmul"),
    ("cudnn", "conv"),
    ("cudnn", "rnn"),
    ("mkldnn", "matmul"),
    ("mkldnn", "conv"),
    ("mkldnn", "rnn"),
)
"""Where torch says, since 2.9, in what an operator computes float32."""


_lock = threading.Lock()
_entered: list[ExitStack] = []
"""One for each thread inside; the first has what was set."""


@contextmanager
def reproducible() -> Iterator[None]:
    """Have float32 mean float32, not TF32 or bfloat16, and kernels be chosen by rule.

    By default torch computes float32 convolutions on CUDA in TF32; a candidate's module may have
    said so of products, too. Torch's switches are the process's: the first thread that comes in
    sets them, and the last one that leaves puts everything back.
    """
    with _lock:
        _entered.append(ExitStack() if _entered else _set_all())
    try:
        yield
    finally:
        with _lock:
            _entered.pop().close()


def _set_all() -> ExitStack:
    with ExitStack() as stack:
        stack.enter_context(_by_rule())
        stack.enter_context(_full_precision())
        return stack.pop_all()


@contextmanager
def _by_rule() -> Iterator[None]:
    from torch.backends import cudnn

    kept = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, True
    try:
        yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = kept


@contextmanager
def _full_precision() -> Iterator[None]:
    """Set torch's old switches and its new ones alike: products fail where the two disagree."""
    import torch
    from torch.backends import cudnn

    switches = _switches()
    kept = [each.fp32_precision for each in switches]
    _set(switches, [_FULL] * len(switches))  # first: the old ones cannot be read beside others
    products, convolutions = torch.get_float32_matmul_precision(), _old_convolutions()
    try:
        torch.set_float32_matmul_precision("highest")
        cudnn.allow_tf32 = False
        _set(switches, [_FULL] * len(switches))  # again, for setting an old one resets the new
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        cudnn.allow_tf32 = convolutions
        _set(switches, kept)


def _switches() -> list[Any]:
    import torch

    found = (getattr(getattr(torch.backends, of), name, None) for of, name in _SWITCHES)
    return [each for each in found if hasattr(each, "fp32_precision")]


def _set(switches: list[Any], values: list[str]) -> None:
    for switch, value in zip(switches, values, strict=True):
        switch.fp32_precision = value


def _old_convolutions() -> bool:
    """Return the old switch, which fails where it says otherwise than the new ones: full."""
    from torch.backends import cudnn

    try:
        return cudnn.allow_tf32
    except RuntimeError:
        return True
