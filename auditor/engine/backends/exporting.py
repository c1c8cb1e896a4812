"""Turns a model into an ONNX graph.

torch is imported here at once, so import this module where a model is loaded and not before.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.jit._trace import TracerWarning
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["IMAGES", "INPUT", "ValueDependent", "export"]

INPUT, IMAGES = "images", "n"
"""The names of the graph's input and of its first dimension."""
_READS = {"aten::_local_scalar_dense", "aten::equal"}
"""What hands a tensor's value to Python."""

Size = tuple[int, int, int]


class ValueDependent(Exception):
    """The model computes differently for different images, which no recorded graph does."""


def export(model: nn.Module, input_size: Size) -> bytes:
    """Return the model's graph with its weights: ``INPUT`` (``IMAGES``, …) → logits.

    Call it before threads prepare images: a model that is traced changes, for that long, what
    calling any module does. It needs the package onnx. The exporter that torch recommends since
    2.9 is not used: it needs one more package and takes several times as long.

    Parameters
    ----------
    model
        In evaluation mode, on the CPU, float32; left as it is.
    input_size
        Channels, height, width.

    Raises
    ------
    ValueDependent
        See there.
    Exception
        Whatever torch raises on what has no counterpart in ONNX.
    """
    images = torch.zeros(2, *input_size)
    with torch.no_grad(), _ValuesStayInTensors():  # type: ignore[no-untyped-call]
        model(images)
    file: Any = io.BytesIO()  # which the exporter takes, though its annotations do not say so
    with torch.no_grad(), _quiet_exporter():
        torch.onnx.export(
            model,
            (images,),
            file,
            dynamo=False,
            input_names=[INPUT],
            dynamic_axes={INPUT: {0: IMAGES}},
        )
    graph: bytes = file.getvalue()
    return graph


class _ValuesStayInTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where Python is told what is in a tensor: it may go on differently for others.

    The exporter warns of that, too, but warns the same of a tensor's shape, which is harmless.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().partition(".")[0] in _READS:
            raise ValueDependent("what it computes depends on values")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Leave out what the exporter says of itself, and of shapes and constants that it records."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.|auditor\.")
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", message=".*onnx|.*ONNX", category=UserWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
