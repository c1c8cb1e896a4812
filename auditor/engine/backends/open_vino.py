"""OpenVINO, in float32: of itself it computes in bfloat16 where the processor can.

torch is imported here at once, so import this module where a model is loaded and not before.
"""

from __future__ import annotations

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
    return FixedSizes(partial(_compiled, graph, input_size), (cpu_batch(input_size), 1))


def _compiled(graph: bytes, input_size: Size, images: int) -> Run:
    core = openvino.Core()
    model = core.read_model(graph)
    model.reshape([images, *input_size])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # threads that prepare images, and other audits, run beside it
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(batch: Tensor) -> Tensor:
        found = request.infer([batch.numpy()], share_inputs=True)
        return torch.from_numpy(found[0])

    return run
