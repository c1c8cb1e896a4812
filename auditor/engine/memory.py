"""What a device's memory holds: how many images at once, and what to do when it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from auditor.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "MOST_IMAGES",
    "free_memory",
    "largest_batch",
    "most_tried",
    "out_of_memory",
    "release",
    "too_small",
]

MOST_IMAGES = 512
"""Images of 224 × 224 a batch that are tried at most: those of one stored part."""
_PIXELS = MOST_IMAGES * 224 * 224
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "Failed to allocate memory",
    "not enough memory",
    "ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "unable to find an engine to execute this computation",
    "Unable to find a valid cuDNN algorithm",
)
"""Words of errors; the last three mean other things as well, of which one image fails, too."""
_ONNX_SIGNS = (*_SIGNS, "CUDA failure 2:")
"""ONNX Runtime's own words besides: whatever CUDA calls it, 2 is memory."""


def largest_batch(fits: Callable[[int], bool], size: tuple[int, int, int]) -> int:
    """Return the largest power of two of images that fit, at least 1.

    It depends on memory alone, never on times, so that an interrupted audit goes on as it began.
    Larger images are tried in smaller batches: a GPU is busy with them as well, and what waits for
    it on the host stays within some hundred MB.

    Parameters
    ----------
    fits
        Says whether a batch of so many images fits.
    size
        Channels, height, width of an image.
    """
    batch = most_tried(size)
    while batch > 1 and not fits(batch):
        batch //= 2
    return batch


def most_tried(size: tuple[int, int, int]) -> int:
    """Return how many images ``largest_batch`` tries first."""
    pixels = size[1] * size[2]
    return min(MOST_IMAGES, 1 << max(0, (_PIXELS // pixels).bit_length() - 1))


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whichever device and in whose words."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    onnx = type(error).__module__.partition(".")[0] == "onnxruntime"  # its errors have no base
    said = any(sign in str(error) for sign in (_ONNX_SIGNS if onnx else _SIGNS))
    return said and (onnx or isinstance(error, RuntimeError))


def release(device: torch.device) -> None:
    """Give back what torch holds of a device's memory without using it."""
    import torch

    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_memory(device: torch.device) -> str:
    """Return how much memory is free there, for people."""
    import torch

    free: float | None = None
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):  # elsewhere the system does not say
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return "free memory unknown" if free is None else f"{free / 2**30:.1f} GiB free"


def too_small(
    device: torch.device, images: str, size: Sequence[int], said: str, instead: str = ""
) -> InputError:
    """Return the error of a device on which not even so few images fit.

    Parameters
    ----------
    device
        The device.
    images
        How many, in words.
    size
        Channels, height, width of each.
    said
        In what words it was refused.
    instead
        What else can be done about it.
    """
    return InputError(
        f"{device} ran out of memory, or failed, on {images} of {'×'.join(map(str, size))} "
        f"({free_memory(device)}): {said}; end what else uses it, or choose another [engine] "
        f"device, or a smaller dtype{instead}"
    )
