"""OpenVINO, in float32: of itself it computes in bfloat16 where the processor can.

torch is imported here at once, so import this module where a model is loaded and not before.
"""

from __future__ import annotations

import threading
from functools import partial

import openvino
import torch
from torch import Tensor, nn

from auditor.engine.backends.exporting import export
from auditor.engine.backends.sizes import FixedSizes, Run
from auditor.engine.forward import cpu_batch

__all__ = ["build"]

Size = tuple[int, int, int]


def build(model: nn.Module, input_size: Size) -> nn.Module:
    """Return the model as OpenVINO runs it on the CPU; raises what the exporter raises."""
    graph = export(model, input_size)
    return FixedSizes(
        partial(_compiled, graph, input_size),
        (cpu_batch(input_size), 1),
        streams=torch.get_num_threads(),
    )


def _compiled(graph: bytes, input_size: Size, images: int) -> Run:
    core = openvino.Core()
    model = core.read_model(graph)
    model.reshape([images, *input_size])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": torch.get_num_threads(),  # a thread a batch, as in onnx_runtime
        "ENABLE_CPU_PINNING": False,  # threads that prepare images, and other audits, run beside it
    }
    ready, own = core.compile_model(model, "CPU", settings), threading.local()

    def run(batch: Tensor) -> Tensor:
        if not hasattr(own, "request"):  # one serves a batch at a time
            own.request = ready.create_infer_request()
        return torch.from_numpy(own.request.infer([batch.numpy()], share_inputs=True)[0])

    return run
