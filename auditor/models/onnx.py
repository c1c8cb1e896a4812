"""ONNX graphs, run by ONNX Runtime."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.errors import InputError, first_line
from auditor.models.labels import find_class_names

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import Tensor

    from auditor.models.graph import GraphInput, GraphModel

__all__ = ["OnnxGraph", "external_files", "load_onnx", "only_cpu", "read_graph"]

_NUMBERS = {"float": "float32", "double": "float64"}
"""What ONNX calls otherwise than torch."""
_FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


_ON_CUDA = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
"""As torch runs a model here: float32 is float32, and what runs a convolution is not found by
timing, which would choose another kernel, and other last bits, each time."""


class OnnxGraph:
    """An ONNX Runtime session on each device that it is asked to run on.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        import torch

        self.path = path
        session = _session(path, "CPUExecutionProvider", {})
        self._sessions: dict[torch.device, Any] = {torch.device("cpu"): session}
        taken, given = session.get_inputs(), session.get_outputs()
        self.taken = _only(path, "inputs", taken)
        self.given = _only(path, "outputs", [o for o in given if len(o.shape) == 2] or given)
        self.notes = _chosen(path, self.given.name, [o.name for o in given if o is not self.given])

    @property
    def version(self) -> str:
        """That of ONNX Runtime."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the graph's scores, on the device of the images."""
        import torch

        session = self._on(images.device)
        scores = session.run([self.given.name], {self.taken.name: images.cpu().numpy()})[0]
        return torch.from_numpy(scores).to(images.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Share the session, which nothing changes."""
        return self

    def _on(self, device: torch.device) -> Any:
        import onnxruntime

        if device not in self._sessions:
            provider = {"cuda": "CUDAExecutionProvider"}.get(device.type, device.type)
            if provider not in onnxruntime.get_available_providers():
                raise InputError(
                    f"The ONNX Runtime that is installed cannot run {self.path.name} on "
                    f'{device.type}; say [engine] device = "cpu", or install onnxruntime-gpu'
                )
            settings = _ON_CUDA | {"device_id": str(device.index or 0)}
            self._sessions[device] = _session(self.path, provider, settings)
        return self._sessions[device]


def only_cpu() -> bool:
    """Return whether the ONNX Runtime that is installed has no GPU."""
    try:
        import onnxruntime
    except ImportError:  # said when the file is loaded
        return True
    return "CUDAExecutionProvider" not in onnxruntime.get_available_providers()


def load_onnx(path: Path) -> GraphModel:
    """Load an ONNX graph that takes images and gives scores.

    Raises
    ------
    InputError
        ONNX Runtime is not installed, the file is no graph that it can run, or the graph does not
        take images as numbers with a fraction.
    """
    from auditor.models.graph import GraphModel, named_types

    external_files(path)
    graph = OnnxGraph(path)
    described = read_graph(path)
    way = f"ONNX Runtime {graph.version}, as exported"
    taken, classes = _taken(path, graph.taken), _classes(described)
    numbers = named_types(_weights(described))
    return GraphModel(path.name, graph, taken, classes, way, numbers, graph.notes)


def _weights(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    import onnx

    for tensor in model.graph.initializer:
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        yield _NUMBERS.get(name, name), math.prod(tensor.dims)


def read_graph(path: Path) -> onnx.ModelProto:
    """Return the graph without the weights that lie beside it.

    Raises
    ------
    InputError
        The package is not installed, or the file is not ONNX.
    """
    try:
        import onnx
    except ImportError:
        raise InputError(_not_installed(path)) from None
    try:
        return onnx.load(str(path), load_external_data=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such model file") from None
    except Exception as error:  # protobuf's errors are not its package's
        raise InputError(f"{path} is not an ONNX file, or damaged: {first_line(error)}") from error


def external_files(path: Path) -> list[Path]:
    """Return the files with weights beside a graph: its own, its nodes' and its subgraphs'.

    Raises
    ------
    InputError
        One is missing, or lies outside of the graph's folder.
    """
    named = {
        entry.value
        for tensor in _tensors(read_graph(path))
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = [path.parent / name for name in sorted(named)]
    for file in files:
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(
                f"{path}: its weights are at {file}, outside of its folder; not loaded"
            )
        if not file.is_file():
            raise InputError(f"{path}: its weights are in {file.name}, which is not beside it")
    return files


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor in a message of ONNX, wherever in it."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            inner = [value] if hasattr(value, "ListFields") else value
            yield from (tensor for each in inner for tensor in _tensors(each))


def _session(path: Path, provider: str, settings: Mapping[str, str]) -> Any:
    import torch

    try:
        import onnxruntime
    except ImportError:
        raise InputError(_not_installed(path)) from None
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # what the record says of threads
    options.log_severity_level = 4  # errors are raised as well, and memory that ran out is borne
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[(provider, dict(settings))], enable_fallback=0
        )
    except Exception as error:  # its errors have no common base
        raise InputError(f"ONNX Runtime cannot run {path}: {first_line(error)}") from error
    if provider not in session.get_providers():  # it goes on without what does not load
        raise InputError(
            f"ONNX Runtime did not load its {provider}, and would run {path.name} elsewhere; "
            "install the onnxruntime-gpu that is made for this CUDA and cuDNN, or say [engine] "
            'device = "cpu"'
        )
    return session


def _not_installed(path: Path) -> str:
    return f"{path.name} needs ONNX Runtime: pip install onnx onnxruntime"


def _only(path: Path, what: str, found: Sequence[Any]) -> Any:
    if len(found) != 1:
        named = ", ".join(each.name for each in found)
        raise InputError(
            f"{path}: {len(found)} {what} ({named}); it must take images and give scores"
        )
    return found[0]


def _chosen(path: Path, judged: str, others: Sequence[str]) -> tuple[str, ...]:
    """Say which output is judged, where there are several."""
    if not others:
        return ()
    note = (
        f'Of the outputs of {path.name} "{judged}" was judged, for it alone has two dimensions, '
        f"(images, classes); not {', '.join(others)}."
    )
    return (note,)


def _taken(path: Path, given: Any) -> GraphInput:
    import torch

    from auditor.models.graph import GraphInput

    shape = [size if isinstance(size, int) and size > 0 else None for size in given.shape]
    if len(shape) != 4 or given.type not in _FLOATS:
        raise InputError(
            f'{path}: its input "{given.name}" is {given.type} {given.shape}; it must be float '
            "images, as (n, channels, height, width) or (n, height, width, channels), prepared "
            "outside of the graph"
        )
    batch, *sizes = shape
    last = _channels_last(sizes[0], sizes[2])
    channels, height, width = (sizes[2], sizes[0], sizes[1]) if last else sizes
    dtype = getattr(torch, _FLOATS[given.type])
    return GraphInput(batch or 1, batch, channels, height, width, last, dtype)


def _channels_last(second: int | None, fourth: int | None) -> bool:
    """Tell whether the channels are in the fourth place: where an image's are, else the fewer."""
    from auditor.models.graph import CHANNELS

    if second in CHANNELS or fourth in CHANNELS:
        return second not in CHANNELS
    return second is not None and fourth is not None and fourth < second


def _classes(model: onnx.ModelProto) -> tuple[str, ...] | None:
    facts = {entry.key: _decoded(entry.value) for entry in model.metadata_props}
    also = {"classes": facts.get("names") or facts.get("labels")}  # as Ultralytics writes them
    return find_class_names(facts, also)


def _decoded(text: str) -> object:
    for decode in (json.loads, ast.literal_eval):
        try:
            value: object = decode(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return _plain(value)
    return text


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value
