"""JPEGs decoded, resized and cropped where the model runs.

NVIDIA's JPEG engines and kernels do it, through torchcodec. They say nothing of files that are cut
off or harmed: whether a file is whole is decided before, where it is read, and what comes out is
compared with what came out there, in grey.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from auditor.engine.jpegs import CELLS, FEWEST, MOST_BYTES, Jpeg, torchcodec
from auditor.engine.memory import out_of_memory, release
from auditor.engine.precision import reproducible
from auditor.engine.resizing import resized
from auditor.errors import InputError, first_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from auditor.models.tensor_transform import OnTensors

__all__ = ["Decoder", "jpeg_decoder", "no_memory"]

_DECODERS = {"cuda": "nvJPEG", "cpu": "libjpeg"}
_THREADS = 4
"""Batches that are worked on: most of the time goes into telling a GPU what it is to do. On an H200
one made 4,452 images a second, two 5,961, three 7,241, four 7,557."""
_AT_ONCE = 1 << 25
"""Pixels decoded in one call: more than some 128 usual pictures gain nothing on an H200."""
_APART = 12.0
"""Grey levels of a cell from which a picture is another one."""
_LUMA = (0.299, 0.587, 0.114)
_STATUS = re.compile(r": (\d+)\s*$")
_OF_A_FILE = (2, 3, 4, 9, 10)
"""nvJPEG's status where a file, or what is asked of it, is wrong, unknown or not all there."""
_NO_MEMORY = 5


class Decoder:
    """Makes batches of files, and of pictures that are ready, on a device.

    Parameters
    ----------
    device
        A CPU or a CUDA device.
    steps
        What becomes of a decoded picture.
    otherwise
        Returns the picture, ready, of a file that does not come out right there.

    Raises
    ------
    InputError
        torchcodec is not installed, or cannot decode there.
    """

    def __init__(
        self, device: torch.device, steps: OnTensors, otherwise: Callable[[Jpeg], Tensor]
    ) -> None:
        import torch

        self._device, self._steps, self._otherwise = device, steps, otherwise
        self._decode = jpeg_decoder(device)
        self._pool = ThreadPoolExecutor(_THREADS, "decode")
        cuda: Any = torch.cuda  # torch leaves streams untyped
        streams = _THREADS if device.type == "cuda" else 0
        self._streams = deque(cuda.Stream(device) for _ in range(streams))
        self._luma = torch.tensor(_LUMA, device=device).view(-1, 1, 1)
        self._down, self._across = (_means(side).to(device) for side in steps.crop)
        self._by = f"{_DECODERS[device.type]}, {torchcodec()}"

    def __str__(self) -> str:
        """Return what decodes which pictures, as a phrase."""
        kind = f"JPEGs of {FEWEST} pixels and more, {MOST_BYTES >> 10} KiB and less"
        return f"fast, {kind}, on the device ({self._by})"

    def start(self, prepared: Sequence[Jpeg | Tensor]) -> Future[Tensor]:
        """Begin to make a batch; parameters and result are those of ``batch``."""
        return self._pool.submit(self.batch, prepared)

    def batch(self, prepared: Sequence[Jpeg | Tensor]) -> Tensor:
        """Return 8-bit pictures on the device, (n, 3, height, width).

        Parameters
        ----------
        prepared
            In any mixture; pictures of shape (3, height, width).
        """
        import torch

        try:
            return self._beside(prepared)
        except Exception as error:
            if not no_memory(error):
                raise
        release(self._device)
        if len(prepared) == 1:
            return self._beside(prepared)  # what the others held is free again
        half = len(prepared) // 2
        with torch.inference_mode():
            return torch.cat([self.batch(prepared[:half]), self.batch(prepared[half:])])

    def _beside(self, prepared: Sequence[Jpeg | Tensor]) -> Tensor:
        """Work beside the model: torchcodec waits for the stream that it decodes on."""
        import torch

        if not self._streams:
            return self._made(prepared)
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

        shape = (len(prepared), 3, *self._steps.crop)
        ready = {i: each for i, each in enumerate(prepared) if not isinstance(each, Jpeg)}
        with torch.inference_mode(), reproducible():
            made = torch.empty(shape, dtype=torch.uint8, device=self._device)
            for part in _parts(prepared):
                right = self._put(made, part)
                ready |= {i: self._otherwise(file) for i, file in part.items() if i not in right}
            if ready:
                self._copy(made, ready, torch.stack([*ready.values()]))
        return made

    def _put(self, made: Tensor, part: dict[int, Jpeg]) -> set[int]:
        """Put pictures of files into their places; return those that came out right."""
        decoded = zip(part, self._decoded([*part.values()]), strict=True)
        there = {i: picture for i, picture in decoded if picture is not None}
        if not there:
            return set()
        pictures = resized([*there.values()], self._steps)
        self._copy(made, there, pictures)
        right = self._are_right(pictures, [part[i] for i in there])
        return {i for i, is_right in zip(there, right, strict=True) if is_right}

    def _copy(self, made: Tensor, places: Iterable[int], pictures: Tensor) -> None:
        import torch

        rows = torch.tensor([*places], device=self._device)
        made.index_copy_(0, rows, pictures.to(self._device))

    def _decoded(self, files: Sequence[Jpeg]) -> list[Tensor | None]:
        """Return the pictures; None for those that cannot be decoded there."""
        import torch

        sources = [torch.from_numpy(np.require(each.file, requirements="W")) for each in files]
        try:
            return list(self._decode(sources, mode="RGB", device=self._device))
        except RuntimeError as error:
            if not _is_of_a_file(error):
                raise
        return [None] if len(files) == 1 else [self._decoded([each])[0] for each in files]

    def _are_right(self, pictures: Tensor, files: Sequence[Jpeg]) -> list[bool]:
        import torch

        levels = torch.frombuffer(bytearray().join(each.grey for each in files), dtype=torch.uint8)
        expected = levels.view(-1, CELLS, CELLS).to(self._device)
        grey = (pictures.to(torch.float32) * self._luma).sum(1)
        off = self._down @ grey @ self._across.mT - expected
        right: list[bool] = (off.abs().amax((1, 2)) <= _APART).tolist()
        return right


def _means(side: int) -> Tensor:
    """Return what each pixel of a side counts for in each cell's mean, (CELLS, side)."""
    import torch

    width = side / CELLS
    start, pixels = torch.arange(CELLS)[:, None] * width, torch.arange(side)
    covered = torch.minimum(start + width, pixels + 1) - torch.maximum(start, pixels)
    return covered.clamp(min=0) / width


def _parts(prepared: Sequence[Jpeg | Tensor]) -> Iterator[dict[int, Jpeg]]:
    """Yield the files by their places, as many at once as are to be decoded in one call."""
    part, pixels = dict[int, Jpeg](), 0
    for i, each in enumerate(prepared):
        if isinstance(each, Jpeg):
            if part and pixels + each.pixels > _AT_ONCE:
                yield part
                part, pixels = {}, 0
            part[i] = each
            pixels += each.pixels
    if part:
        yield part


def _status(error: BaseException) -> int | None:
    """Return the status of nvJPEG or CUDA that an error names."""
    found = _STATUS.search(first_line(error))
    return int(found[1]) if found else None


def no_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, in nvJPEG's words or anybody's."""
    return out_of_memory(error) or (
        isinstance(error, RuntimeError) and _status(error) == _NO_MEMORY
    )


def _is_of_a_file(error: RuntimeError) -> bool:
    """Tell whether it is of one file, and no other fails for it."""
    if out_of_memory(error):
        return False
    status = _status(error)
    return "CUDA" not in str(error) if status is None else status in _OF_A_FILE


def jpeg_decoder(device: torch.device) -> Any:
    """Return torchcodec's function, once it was seen to work there; errors as of ``Decoder``."""
    setting = '[engine] preprocessing "device"'
    if device.type not in _DECODERS:
        raise InputError(f"{setting}: nothing decodes JPEGs on {device.type}; leave it out")
    smallest = BytesIO()
    Image.new("RGB", (16, 16)).save(smallest, "JPEG")
    try:
        decode = import_module("torchcodec.decoders").decode_jpeg
        decode([smallest.getvalue()], device=device)
    except Exception as error:  # whatever an installation may lack
        raise InputError(
            f"{setting}: torchcodec does not decode on {device}: {first_line(error)}; "
            'pip install "auditor[gpu]", or leave it out'
        ) from error
    return decode
