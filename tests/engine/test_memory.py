"""How many images fit at once, and what says that memory ran out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.engine.candidate import Candidate
from auditor.engine.forward import Forward
from auditor.engine.inference import Inference
from auditor.engine.memory import MOST_IMAGES, free_memory, largest_batch, out_of_memory, release
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.replica import Replica
from auditor.progress import Progress
from auditor.store import Store

CPU = torch.device("cpu")


def onnx_error(words: str) -> Exception:
    """Return an error as ONNX Runtime raises it: of a kind that is an Exception and no more."""
    kind: type[Exception] = onnxruntime.capi.onnxruntime_pybind11_state.Fail
    return kind(f"[ONNXRuntimeError] : 1 : FAIL : {words}")


@given(st.integers(0, 2000), st.integers(1, 2000), st.integers(1, 2000))
def test_it_is_the_largest_power_of_two_that_fits(limit: int, height: int, width: int) -> None:
    tried: list[int] = []

    def fits(n: int) -> bool:
        tried.append(n)
        return n <= limit

    found = largest_batch(fits, (3, height, width))
    pixels = MOST_IMAGES * 224 * 224
    powers = [1 << k for k in range(10) if (1 << k) * height * width <= pixels]
    assert found == max((n for n in powers if n <= limit), default=1)
    assert tried == sorted(tried, reverse=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.00 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
        ),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_is_known_in_every_devices_words(error: Exception) -> None:
    assert out_of_memory(error)


def test_torchs_own_words_are_known() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(failed.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        ValueError("out of memory"),
        ValueError("Failed to allocate memory"),
        RuntimeError("CUDA failure 2: of another package"),
        onnx_error("Non-zero status code returned while running Conv node. Name:'conv'"),
        onnx_error("CUDA failure 209: no kernel image is available for execution on the device"),
    ],
)
def test_other_failures_are_not(error: Exception) -> None:
    assert not out_of_memory(error)


@pytest.mark.parametrize(
    "words",
    [
        "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 64",
        "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
        "CUDA failure 2: cudaErrorMemoryAllocation",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    ],
)
def test_onnx_runtime_says_it_in_errors_of_its_own(words: str) -> None:
    assert not isinstance(onnx_error(words), RuntimeError)
    assert out_of_memory(onnx_error(words))


@pytest.fixture
def hungry(tmp_path: Path) -> Path:
    """A graph that runs on two images; on more it asks for more memory than can be addressed."""
    constants = {
        "weight": np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32),
        "first": np.array([0]),
        "one": np.array([1]),
        "three": np.array([3]),
        "many": np.array([1 << 48]),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "weight"], ["g"], transB=1),
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["n"]),
        helper.make_node("Div", ["n", "three"], ["threes"]),
        helper.make_node("Min", ["threes", "one"], ["more"]),
        helper.make_node("Pow", ["many", "more"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["g", "zero"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hungry",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, 16, 16))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ("n", 2))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(tmp_path / "hungry.onnx"))
    return tmp_path / "hungry.onnx"


def candidate_of(file: Path, batch_size: int | None = None) -> Candidate:
    engine = EngineTable(device="cpu", batch_size=batch_size, workers=1)
    return Candidate(CandidateTable(model=str(file)), engine, ClassList(("a", "b"), "given"), None)


def test_onnx_runtimes_own_words_are_known(hungry: Path) -> None:
    session = onnxruntime.InferenceSession(str(hungry), providers=["CPUExecutionProvider"])
    session.run(None, {"images": np.zeros((2, 3, 16, 16), np.float32)})
    with pytest.raises(Exception, match="allocate") as failed:
        session.run(None, {"images": np.zeros((3, 3, 16, 16), np.float32)})
    assert out_of_memory(failed.value)


def test_the_largest_batch_of_an_onnx_graph_is_found_by_trying(hungry: Path) -> None:
    candidate = candidate_of(hungry)
    forward = Forward(candidate.loaded.model, CPU, "float32", (3, 16, 16))
    replica = Replica(forward, CPU, "float32", candidate, probabilities=True)
    assert replica.largest_batch() == 2


def test_an_onnx_graph_that_runs_out_of_memory_goes_on_in_halves(
    hungry: Path, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    samples = read_folder(image_folder("test", {"a": 4, "b": 4}))
    store, found = Store(tmp_path / "evidence"), []
    for name, batch_size in {"alone": 1, "halved": 8}.items():
        inference = Inference(candidate_of(hungry, batch_size), samples)
        each = {name: Observing("k", inference)}
        assert observe_samples(samples, each, store, Progress(), EngineTable(workers=1)) == {}
        table = store.load(name, "k")
        assert table is not None
        found.append(np.frombuffer(b"".join(table["probabilities"].to_pylist()), "<f4"))
    alone, halved = found
    np.testing.assert_allclose(halved, alone, rtol=1e-6)
    assert inference.about()["batch_size_halved_to"] == 2


def test_the_free_memory_of_this_machine_can_be_said() -> None:
    device = torch.device("cpu")
    release(device)
    assert free_memory(device).removesuffix(" GiB free") != ""
