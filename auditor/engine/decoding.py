"""JPEGs that are decoded, resized and cropped where the model runs.

NVIDIA's JPEG engines and kernels do it, through torchcodec. Here a file is decoded in grey, at a
fraction of its size: whether it is whole is decided by what decides it everywhere else, and hashes
need no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.engine.memory import out_of_memory, release
from auditor.engine.precision import reproducible
from auditor.engine.resizing import resized
from auditor.errors import InputError
from auditor.models.identity import installed_version
from auditor.overlap.decode import file_kind, full_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from auditor.models.tensor_transform import OnTensors

__all__ = ["Decoder", "Jpeg", "jpeg", "what_prepares"]

_DEVICES = ("cpu", "cuda")
_MODES = {1: "GRAY", 3: "RGB"}
_THREADS = 2
"""Batches that are worked on: while one is resized, the engines decode the other."""
_MOST_PIXELS = 1 << 24
"""Of a picture that is decoded there; larger ones are few, and take memory from all others."""
_AT_ONCE = 1 << 26
"""Pixels decoded in one call: more than some 128 usual pictures gain nothing on an H200."""
_ORIENTATION = 0x112
_YCC = 1


def what_prepares(transform: str) -> str:
    """Return a transform's name, with the version of what decodes on a device."""
    if transform != "device":
        return transform
    return f"device, torchcodec {installed_version('torchcodec')}"


class Jpeg(NamedTuple):
    """A file that is to be decoded where the model runs."""

    file: NDArray[np.uint8]
    pixels: int


def jpeg(image: Image.Image, data: bytes) -> Jpeg | None:
    """Return a file to be decoded elsewhere; None where another picture came of it there, or none.

    Parameters
    ----------
    image
        A picture from ``open_image``, of any size.
    data
        The file it was decoded from.
    """
    width, height = full_size(image) or image.size
    known = file_kind(image) in (("JPEG", "RGB"), ("JPEG", "L"))
    usual = image.info.get("adobe_transform", _YCC) == _YCC  # else its colours are stored as RGB
    if not known or not usual or width * height > _MOST_PIXELS or _is_turned(image):
        return None
    return Jpeg(np.frombuffer(data, np.uint8).copy(), width * height)  # torch wants it writable


def _is_turned(image: Image.Image) -> bool:
    """Tell whether torchcodec would turn it by its EXIF orientation; nothing else here does."""
    return "exif" in image.info and image.getexif().get(_ORIENTATION, 1) != 1


class Decoder:
    """Makes batches of files, and of pictures that are ready, on a device.

    Parameters
    ----------
    device
        A CPU or a CUDA device.
    steps
        What becomes of a decoded picture.
    channels
        1 or 3.
    otherwise
        Returns the picture, ready, of a file that cannot be decoded there.

    Raises
    ------
    InputError
        torchcodec is not installed, or cannot decode there.
    """

    def __init__(
        self,
        device: torch.device,
        steps: OnTensors,
        channels: int,
        otherwise: Callable[[Jpeg], Tensor],
    ) -> None:
        import torch

        self._device, self._steps, self._otherwise = device, steps, otherwise
        self._shape, self._mode = (channels, *steps.crop), _MODES[channels]
        self._decode = _torchcodecs(device)
        self._pool = ThreadPoolExecutor(_THREADS, "decode")
        cuda: Any = torch.cuda  # torch leaves streams untyped
        streams = _THREADS if device.type == "cuda" else 0
        self._streams = deque(cuda.Stream(device) for _ in range(streams))

    def start(self, prepared: Sequence[Jpeg | Tensor]) -> Future[Tensor]:
        """Begin to make a batch; parameters and result are those of ``batch``."""
        return self._pool.submit(self.batch, prepared)

    def batch(self, prepared: Sequence[Jpeg | Tensor]) -> Tensor:
        """Return 8-bit pictures on the device, (n, channels, height, width).

        Parameters
        ----------
        prepared
            In any mixture; pictures of shape (channels, height, width).
        """
        import torch

        try:
            return self._beside(prepared) if self._streams else self._made(prepared)
        except Exception as error:
            if len(prepared) == 1 or not out_of_memory(error):
                raise
        release(self._device)
        half = len(prepared) // 2
        with torch.inference_mode():
            return torch.cat([self.batch(prepared[:half]), self.batch(prepared[half:])])

    def _beside(self, prepared: Sequence[Jpeg | Tensor]) -> Tensor:
        """Work beside the model: torchcodec waits for the stream that it decodes on."""
        import torch

        stream = self._streams.pop()
        try:
            with torch.cuda.stream(stream):
                made = self._made(prepared)
            stream.synchronize()
        finally:
            self._streams.append(stream)
        made.record_stream(torch.cuda.current_stream(self._device))
        return made

    def _made(self, prepared: Sequence[Jpeg | Tensor]) -> Tensor:
        import torch

        shape = (len(prepared), *self._shape)
        ready = {i: each for i, each in enumerate(prepared) if not isinstance(each, Jpeg)}
        with torch.inference_mode(), reproducible():
            made = torch.empty(shape, dtype=torch.uint8, device=self._device)
            for part in _parts(prepared):
                decoded = self._decoded([file for _, file in part])
                found = {i: each for (i, _), each in zip(part, decoded, strict=True)}
                ready |= {i: self._otherwise(file) for i, file in part if found[i] is None}
                there = {i: each for i, each in found.items() if each is not None}
                if there:
                    self._put(made, there, resized([*there.values()], self._steps))
            if ready:
                self._put(made, ready, torch.stack([*ready.values()]))
        return made

    def _put(self, made: Tensor, places: Iterable[int], pictures: Tensor) -> None:
        import torch

        rows = torch.tensor([*places], device=self._device)
        made.index_copy_(0, rows, pictures.to(self._device))

    def _decoded(self, files: Sequence[Jpeg]) -> list[Tensor | None]:
        """Return the pictures; None for those that cannot be decoded there."""
        import torch

        sources = [torch.from_numpy(each.file) for each in files]
        try:
            return list(self._decode(sources, mode=self._mode, device=self._device))
        except RuntimeError as error:  # of one of them
            if out_of_memory(error):
                raise
        return [None] if len(files) == 1 else [self._decoded([each])[0] for each in files]


def _parts(prepared: Sequence[Jpeg | Tensor]) -> Iterator[list[tuple[int, Jpeg]]]:
    """Yield the files with their places, as many at once as are to be decoded in one call."""
    part, pixels = list[tuple[int, Jpeg]](), 0
    for i, each in enumerate(prepared):
        if isinstance(each, Jpeg):
            if part and pixels + each.pixels > _AT_ONCE:
                yield part
                part, pixels = [], 0
            part.append((i, each))
            pixels += each.pixels
    if part:
        yield part


def _torchcodecs(device: torch.device) -> Any:
    """Return its function, once it was seen to work there."""
    setting = '[engine] preprocessing "device"'
    if device.type not in _DEVICES:
        raise InputError(f"{setting}: nothing decodes JPEGs on {device.type}; leave it out")
    smallest = BytesIO()
    Image.new("RGB", (16, 16)).save(smallest, "JPEG")
    try:
        decode = import_module("torchcodec.decoders").decode_jpeg
        decode([smallest.getvalue()], device=device)
    except Exception as error:  # whatever an installation may lack
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{setting}: torchcodec does not decode on {device}: {reason}; "
            'pip install "auditor[gpu]", or leave it out'
        ) from error
    return decode
