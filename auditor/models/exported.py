"""Programs that ``torch.export.save`` wrote (``.pt2``)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import InputError, first_line
from auditor.models.archive import vetted

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from auditor.models.graph import GraphInput, GraphModel

__all__ = ["load_exported"]


def load_exported(path: Path) -> GraphModel:
    """Load an exported program that takes images and gives scores.

    Raises
    ------
    InputError
        The file is no such program, could run code when it is loaded, or does not take images.
    """
    from auditor.models.graph import GraphModel, named_types

    program = _program(path)
    taken = _taken(path, program)
    try:
        module: Any = program.module(check_guards=False)  # checks are code that the file brings
    except TypeError:
        raise InputError(f"{path.name} needs torch 2.9 or later") from None
    _free(module)
    tensors = [each for each in program.state_dict.values() if each.is_floating_point()]
    weights = ((str(each.dtype).removeprefix("torch."), each.numel()) for each in tensors)
    return GraphModel(path.name, module, taken, numbers=named_types(weights))


def _program(path: Path) -> ExportedProgram:
    import torch

    stream = vetted(path)
    try:
        with _quiet():
            return torch.export.load(stream)
    except Exception as error:  # whatever another version of torch wrote
        raise InputError(
            f"{path} cannot be loaded by torch {torch.__version__}: {first_line(error)}; "
            "export it again"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from printing what the error says anyway."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _taken(path: Path, program: ExportedProgram) -> GraphInput:
    import torch

    from auditor.models.graph import GraphInput

    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.name in names]
    value = nodes[0].meta.get("val") if len(nodes) == 1 else None
    if not isinstance(value, torch.Tensor) or value.ndim != 4 or value.dtype != torch.float32:
        said = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else names
        raise InputError(
            f"{path}: it takes {said}; it must take float32 images, (n, channels, height, width)"
        )
    (fewest, most), *sizes = (_range(program, size) for size in value.shape)
    channels, height, width = (low if low == high else None for low, high in sizes)
    return GraphInput(fewest, most, channels, height, width)


def _free(module: torch.fx.GraphModule) -> None:
    """Free what a program computes with from the device that it was exported on.

    Tensors that stand in its code move with the module, and those that it makes are made where its
    input is.
    """
    import torch

    for name, value in [*vars(module).items()]:
        if isinstance(value, torch.Tensor):
            delattr(module, name)
            module.register_buffer(name, value, persistent=False)
    graph = module.graph
    (images,) = graph.find_nodes(op="placeholder")
    with graph.inserting_after(images):
        there = graph.call_function(getattr, (images, "device"))
    for node in graph.nodes:
        if "device" in node.kwargs:
            node.update_kwarg("device", there)
        elif node.target is torch.ops.aten.to.device:
            node.update_arg(1, there)
    module.recompile()


def _range(program: ExportedProgram, size: Any) -> tuple[int, int | None]:
    """Return the smallest and the largest value of a dimension."""
    if isinstance(size, int):
        return size, size
    found = program.range_constraints.get(size.node.expr)
    if found is None:
        return 1, None
    low, high = found.lower, found.upper
    most = int(high) if getattr(high, "is_Integer", False) else None  # else torch's own infinity
    return max(1, int(low)), most
