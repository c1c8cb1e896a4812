"""Starts what a pass will need before that is asked for: processes and GPUs take seconds to start.

A process that nobody has taken by the end is ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from auditor.engine.model_handle import ModelHandle
from auditor.engine.root import Root, worth_it
from auditor.engine.shared_memory import SharedMemory, has_shared_memory

if TYPE_CHECKING:
    import torch

    from auditor.config import EngineTable

__all__ = [
    "dismiss_model",
    "foresee",
    "foresee_model",
    "foreseen",
    "foreseen_model",
    "none_left_waiting",
    "start_ahead",
]

_DRIVER = Path("/dev/nvidiactl")
"""There where NVIDIA's driver is."""
_roots: list[Root] = []
"""What forks the workers of a pass: one, or none."""
_models: list[ModelHandle] = []
"""What will be given a model: one, or none."""


def foresee(images: int, count: int) -> SharedMemory | None:
    """Start what forks the workers of the next pass, if that will have any.

    Returns what they will put arrays into.

    Parameters
    ----------
    images
        How many the pass may look at.
    count
        How many workers.
    """
    if not _roots and worth_it(images, count):
        with suppress(OSError):  # threads will do it all, or what is needed is there by then
            _roots.append(Root(count))
    return _roots[0].memory if _roots else None


def foreseen(count: int) -> Root | None:
    """Return what was started ahead for so many workers, if it was."""
    if _roots and _roots[0].count == count:
        return _roots.pop()
    return None


@contextmanager
def none_left_waiting() -> Iterator[None]:
    """End what was started ahead of a pass that did not take it, or never came to be."""
    try:
        yield
    finally:
        while _roots:
            root = _roots.pop()
            root.end()
            root.memory.close()
        dismiss_model()


def foresee_model(engine: EngineTable) -> None:
    """Start the process that the next pass gives its model, if that pays by all that is known.

    Torch has not been imported by then. Other devices, and what else turns out to have a process of
    its own, are started by the pass.

    Parameters
    ----------
    engine
        How the pass will run.
    """
    cuda = engine.device.startswith(("auto", "cuda")) and _DRIVER.exists()
    decodes = engine.kind == "local" and engine.preprocessing == "device"
    if cuda and decodes and not _models and has_shared_memory():
        with suppress(OSError):  # the pass will see
            _models.append(ModelHandle())


def foreseen_model() -> ModelHandle | None:
    """Return the process that was started ahead, if one was and is still there."""
    while _models:
        if (model := _models.pop()).lives:
            return model
        model.end()
    return None


def dismiss_model() -> None:
    """End the process that was started ahead and will be given no model."""
    while (model := foreseen_model()) is not None:
        model.end()


def start_ahead(wanted: str, *, decodes: bool) -> Thread | None:
    """Begin to start the device of a pass; what fails there is said by whoever uses it.

    Its context, cuDNN's libraries and what decodes JPEGs took 1.6 s of an H200's host, one after
    the other.

    Parameters
    ----------
    wanted
        The device, named as for ``auditor.models.device.choose_device``.
    decodes
        Whether files are decoded there.

    Returns
    -------
    Thread or None
        What starts it; None for a device that needs no start, or is not there.
    """
    import torch

    from auditor.models.device import is_there

    if not wanted.startswith(("auto", "cuda")) or not torch.cuda.is_available():
        return None
    if not is_there(wanted):
        return None
    if decodes:  # here: of what two threads import at once, one may see a half
        with suppress(Exception):
            import_module("torchcodec.decoders")
    device = torch.device("cuda" if wanted == "auto" else wanted)
    thread = Thread(target=_start, args=(device, decodes), name="start")
    thread.start()
    return thread


def _start(device: torch.device, decodes: bool) -> None:
    import torch

    from auditor.engine.decoding import jpeg_decoder

    with suppress(Exception), torch.inference_mode():
        kernel = torch.zeros(8, 8, 3, 3, device=device)
        torch.nn.functional.conv2d(kernel, kernel)
        if decodes:
            jpeg_decoder(device)
