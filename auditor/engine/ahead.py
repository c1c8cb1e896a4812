"""Starts a GPU while the model is loaded: that takes seconds of one core, which a GPU does not."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from auditor.engine.decoding import jpeg_decoder
from auditor.models.device import is_there

if TYPE_CHECKING:
    import torch

__all__ = ["start_ahead"]


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

    with suppress(Exception), torch.inference_mode():
        kernel = torch.zeros(8, 8, 3, 3, device=device)
        torch.nn.functional.conv2d(kernel, kernel)
        if decodes:
            jpeg_decoder(device)
