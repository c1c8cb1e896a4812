"""What one image through an ONNX graph costs, from the shapes in the graph."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auditor.errors import Unavailable
from auditor.models.onnx import read_graph

if TYPE_CHECKING:
    import onnx

    from auditor.models.graph import GraphInput

__all__ = ["ONNX_RULE", "Counted", "count_onnx"]

ONNX_RULE = "MACs are those of Conv, Gemm and MatMul in the ONNX graph."

_MULTIPLY = frozenset({"Conv", "Gemm", "MatMul"})
_NOT_COUNTED = frozenset(
    {"ConvTranspose", "DeformConv", "Einsum", "LSTM", "GRU", "RNN", "Attention"}
    | {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "If", "Loop", "Scan"}
)
"""Operators with multiply–adds of their own that are not counted here."""

Shapes = dict[str, tuple[int, ...]]


class Counted(NamedTuple):
    """Parameters, MACs and activations of one image."""

    parameters: int
    macs: int
    activations: int


def count_onnx(path: Path, taken: GraphInput, size: tuple[int, int, int]) -> Counted:
    """Count what one image costs.

    MACs are those of Conv, Gemm and MatMul: the elements that they put out times the products
    that make up each. Parameters are all weights with a fraction, the statistics of BatchNorms
    that were not folded among them.

    Raises
    ------
    Unavailable
        The graph holds other operators that multiply, or its shapes cannot be told.
    """
    import onnx

    model = read_graph(path)
    others = sorted({node.op_type for node in model.graph.node if _is_other(node)})
    if others:
        raise Unavailable(f"the cost of {path.name} was not counted: it holds {', '.join(others)}")
    try:
        shapes = _shapes(model, taken, size)
        counted = [node for node in model.graph.node if node.op_type in _MULTIPLY]
        outputs = [prod(shapes[node.output[0]]) for node in counted]
        macs = sum(n * _products(node, shapes) for node, n in zip(counted, outputs, strict=True))
    except (KeyError, onnx.shape_inference.InferenceError) as error:
        raise Unavailable(
            f"the cost of {path.name} was not counted: the shapes in it cannot be told ({error})"
        ) from error
    return Counted(_parameters(model), macs // taken.fewest, sum(outputs) // taken.fewest)


def _is_other(node: onnx.NodeProto) -> bool:
    return node.op_type in _NOT_COUNTED or node.domain not in ("", "ai.onnx")


def _shapes(model: onnx.ModelProto, taken: GraphInput, size: tuple[int, int, int]) -> Shapes:
    """Return every tensor's shape, for the fewest images that the graph takes."""
    import onnx

    weights = {tensor.name for tensor in model.graph.initializer}
    given = next(value for value in model.graph.input if value.name not in weights)
    channels, height, width = size
    pixels = (height, width, channels) if taken.channels_last else size
    for dimension, n in zip(given.type.tensor_type.shape.dim, (taken.fewest, *pixels), strict=True):
        dimension.dim_value = n
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {t.name: tuple(t.dims) for t in _constants(graph)}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if all(sizes):
            shapes[value.name] = tuple(sizes)
    return shapes


def _products(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Return how many products make up one element of the output."""
    if node.op_type == "Conv":
        return prod(shapes[node.input[1]][1:])
    left = shapes[node.input[0]]
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return left[0] if transposed else left[-1]


def _parameters(model: onnx.ModelProto) -> int:
    import onnx

    p = onnx.TensorProto
    kinds = {p.FLOAT, p.FLOAT16, p.BFLOAT16, p.DOUBLE}
    return sum(prod(t.dims) for t in _constants(model.graph) if t.data_type in kinds)


def _constants(graph: onnx.GraphProto) -> Iterable[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                named = type(attribute.t)()
                named.CopyFrom(attribute.t)
                named.name = node.output[0]
                yield named
