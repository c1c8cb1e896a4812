"""What one image through an ONNX graph costs, from the shapes in the graph."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auditor.errors import first_line
from auditor.models.onnx import read_graph

if TYPE_CHECKING:
    import onnx

    from auditor.models.graph import GraphInput

__all__ = ["ONNX_RULE", "Counted", "count_onnx"]

ONNX_RULE = "MACs are those of convolutions, Gemm and matrix products in the ONNX graph."

_WEIGHT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_MULTIPLY = _WEIGHT.keys() | {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
_NOT_COUNTED = frozenset(
    {"ConvTranspose", "DeformConv", "CausalConvWithState", "Einsum", "LSTM", "GRU", "RNN"}
    | {"Attention", "LinearAttention", "AffineGrid", "DFT", "STFT", "Det"}
    | {"If", "Loop", "Scan", "SequenceMap"}
)
"""Operators with multiply–adds of their own that are not counted here."""
_SCALES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), (1, 2)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (1, 2, 4, 5, 6, 7)),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (2, 3)),
}
"""Operator → which inputs are scales and zero points: they belong to the numbers' format."""
_INTEGERS: dict[str, tuple[int, ...]] = {"DequantizeLinear": (0,), "QLinearConv": (8,)}
"""Operator → which inputs are weights though they are whole numbers of full width, as biases."""
_BESIDE = "session.model_external_initializers_file_folder_path"
_NARROW = ("INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2", "FLOAT8", "FLOAT4")

Shapes = dict[str, tuple[int, ...]]


class Counted(NamedTuple):
    """Parameters, MACs and activations of one image; None where they are not known."""

    parameters: int | None
    macs: int | None
    activations: int | None
    unknown: tuple[str, ...] = ()
    """Why not, one phrase each."""


def count_onnx(path: Path, taken: GraphInput, size: tuple[int, int, int]) -> Counted:
    """Count what one image costs.

    MACs are those of convolutions, Gemm and matrix products: the elements that they put out times
    the products that make up each. Parameters are all weights with a fraction, quantised ones among
    them, and the statistics of BatchNorms that were not folded.

    MACs are not known where the graph holds other operators that multiply, or its shapes cannot be
    told; parameters are not where an operator of another domain may have packed them.
    """
    model = read_graph(path)
    parameters, packed = _parameters(model)
    counted = _multiplied(model, path.parent, taken, size)
    if isinstance(counted, str):
        return Counted(None if packed else parameters, None, None, (counted,))
    macs, activations = counted
    if not parameters and macs:
        return Counted(None, macs, activations, ("the graph holds no weights",))
    return Counted(parameters, macs, activations)


def _multiplied(
    model: onnx.ModelProto, folder: Path, taken: GraphInput, size: tuple[int, int, int]
) -> tuple[int, int] | str:
    """Return MACs and activations of one image, or why they are not known."""
    import onnx

    others = sorted({node.op_type for node in model.graph.node if _is_other(node)})
    if others:
        return f"{', '.join(others)} in the graph is not counted"
    if not any(node.op_type in _MULTIPLY for node in model.graph.node):
        return "the graph holds no convolution and no matrix product"
    try:
        return _summed(model, taken, size)
    except (KeyError, onnx.shape_inference.InferenceError):
        pass  # arithmetic on shapes, as TensorFlow's padding is exported
    try:
        return _summed(_folded(model, folder), taken, size)
    except Exception as error:  # the errors of ONNX Runtime have no common base
        free = taken.fewest != taken.most
        advice = "; export it for a fixed number of images" if free else ""
        return f"the shapes in the graph cannot be told ({first_line(error)}){advice}"


def _summed(
    model: onnx.ModelProto, taken: GraphInput, size: tuple[int, int, int]
) -> tuple[int, int]:
    """Return MACs and activations of one image; `model` then states no shape but its input's."""
    shapes = _shapes(model, taken, size)
    counted = [node for node in model.graph.node if node.op_type in _MULTIPLY]
    outputs = [prod(shapes[node.output[0]]) for node in counted]
    macs = sum(n * _products(node, shapes) for node, n in zip(counted, outputs, strict=True))
    return macs // taken.fewest, sum(outputs) // taken.fewest


def _folded(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return a graph in which ONNX Runtime has worked out what follows from its input's shape.

    Weights that lie beside it are read from `folder`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    options.add_session_config_entry(_BESIDE, str(folder.resolve()))
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "folded.onnx"
        options.optimized_model_filepath = str(file)
        given = model.SerializeToString()
        onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        folded = read_graph(file)
    if others := sorted({node.op_type for node in folded.graph.node if _is_other(node)}):
        raise ValueError(f"ONNX Runtime made {', '.join(others)} of it")
    return folded


def _is_other(node: onnx.NodeProto) -> bool:
    return node.op_type in _NOT_COUNTED or not _is_standard(node)


def _is_standard(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx")


def _shapes(model: onnx.ModelProto, taken: GraphInput, size: tuple[int, int, int]) -> Shapes:
    """Return the shapes that follow from the weights, for the fewest images that the graph takes.

    Shapes that the file states may be those of another size of image; nothing holds it to them.
    """
    import onnx

    graph = model.graph
    tensors = list(_constants(graph.node, graph.initializer))
    weights = {tensor.name for tensor in tensors}
    given = next(value for value in graph.input if value.name not in weights)
    channels, height, width = size
    pixels = (height, width, channels) if taken.channels_last else size
    for dimension, n in zip(given.type.tensor_type.shape.dim, (taken.fewest, *pixels), strict=True):
        dimension.dim_value = n
    del graph.value_info[:], graph.input[:]
    graph.input.append(given)
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in tensors}
    for value in (given, *inferred.value_info, *inferred.output):
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.HasField("shape") and all(sizes):
            shapes[value.name] = tuple(sizes)
    return shapes


def _products(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Return how many products make up one element of the output."""
    if node.op_type in _WEIGHT:
        return prod(shapes[node.input[_WEIGHT[node.op_type]]][1:])
    left = shapes[node.input[0]]
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return left[0] if transposed else left[-1]


def _parameters(model: onnx.ModelProto) -> tuple[int, bool]:
    """Return how many weights there are, and whether some may be packed into whole numbers."""
    total, packed = 0, False
    for nodes, tensors in _parts(model):
        scales = {name for node in nodes for name in _inputs(node, _SCALES)}
        integers = {name for node in nodes for name in _inputs(node, _INTEGERS)}
        foreign = {name for node in nodes if not _is_standard(node) for name in node.input}
        for tensor in tensors:
            counts = _has_fraction(tensor) or _is_narrow(tensor) or tensor.name in integers
            if counts and tensor.name not in scales:
                total += prod(tensor.dims)
            packed |= tensor.name in foreign and not _has_fraction(tensor)
        total += sum(prod(each.dims) for node in nodes for each in _sparse(node))
    return total + sum(prod(each.dims) for each in model.graph.sparse_initializer), packed


def _inputs(node: onnx.NodeProto, table: dict[str, tuple[int, ...]]) -> Iterator[str]:
    places = table.get(node.op_type, ()) if _is_standard(node) else ()
    yield from (node.input[place] for place in places if place < len(node.input))


def _has_fraction(tensor: onnx.TensorProto) -> bool:
    import onnx

    p = onnx.TensorProto
    return tensor.data_type in {p.FLOAT, p.FLOAT16, p.BFLOAT16, p.DOUBLE}


def _is_narrow(tensor: onnx.TensorProto) -> bool:
    """Tell whether numbers have at most eight bits: nothing else than weights is stored so."""
    import onnx

    kind = onnx.TensorProto.DataType.Name(tensor.data_type)
    return bool(tensor.dims) and kind.startswith(_NARROW)


def _parts(
    model: onnx.ModelProto,
) -> Iterator[tuple[list[onnx.NodeProto], list[onnx.TensorProto]]]:
    """Yield nodes and tensors of the graph, of those inside of it, and of its functions."""
    waiting = [(list(model.graph.node), model.graph.initializer)]
    waiting += [(list(function.node), ()) for function in model.functions]
    while waiting:
        nodes, initializers = waiting.pop()
        yield nodes, list(_constants(nodes, initializers))
        inner = [graph for node in nodes for each in node.attribute for graph in _graphs(each)]
        waiting += [(list(graph.node), graph.initializer) for graph in inner]


def _graphs(attribute: onnx.AttributeProto) -> Iterator[onnx.GraphProto]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _constants(
    nodes: Iterable[onnx.NodeProto], initializers: Iterable[onnx.TensorProto]
) -> Iterator[onnx.TensorProto]:
    yield from initializers
    for node in nodes:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                named = type(attribute.t)()
                named.CopyFrom(attribute.t)
                named.name = node.output[0]
                yield named


def _sparse(node: onnx.NodeProto) -> Iterator[onnx.SparseTensorProto]:
    for attribute in node.attribute if node.op_type == "Constant" else ():
        if attribute.name == "sparse_value":
            yield attribute.sparse_tensor
