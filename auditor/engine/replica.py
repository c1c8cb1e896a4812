"""The candidate on one device: takes prepared images, has the results when they are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from auditor.crashes import named
from auditor.engine.compiling import Run, compiled
from auditor.engine.features import FeatureTap
from auditor.engine.link import Arrays, Link
from auditor.engine.memory import largest_batch, out_of_memory, release, too_small
from auditor.engine.precision import reproducible
from auditor.engine.ranking import ranked
from auditor.engine.waiting import Waiting, make_again
from auditor.errors import AuditorError, InputError, first_line

if TYPE_CHECKING:
    import torch

    from auditor.engine.candidate import Candidate
    from auditor.engine.decoding import Decoder
    from auditor.engine.forward import Forward
    from auditor.engine.jpegs import Jpeg

__all__ = ["Replica", "memory_format"]

_LARGE = 300
"""Side in pixels from which channels_last loses on a GPU; see ``memory_format``."""
_SEVERAL = 2
"""Images that show whether a layer sees each by itself."""


class Replica:
    """A model on its device.

    Parameters
    ----------
    forward
        The model as it is run.
    device, dtype
        Where and in what.
    candidate
        Says how its input is normalised and how many logits an image it must return.
    probabilities
        Whether all of them are kept.
    features_of
        How many images' features are wanted in all; 0 for none.
    decoder
        Decodes files on the device, where they are given instead of pictures.
    """

    def __init__(
        self,
        forward: Forward,
        device: torch.device,
        dtype: str,
        candidate: Candidate,
        *,
        probabilities: bool,
        features_of: int = 0,
        decoder: Decoder | None = None,
    ) -> None:
        import torch

        self.forward, self.device = forward, device
        self._tap = FeatureTap(forward.model, features_of) if features_of else None
        self._size, self._compiled = 0, cast("Run | None", None)
        self._said = ""
        self.most: int | None = None
        """Images a forward pass since memory ran out; None where it never did."""
        self.fell_back = False
        """Whether memory ran out for what was compiled, and it went on without."""
        self._name, self._outputs = candidate.name, len(candidate.classes.names)
        self._preprocessing, self._keep_all = candidate.loaded.preprocessing, probabilities
        self._kind, self._dtype = dtype, cast("torch.dtype", getattr(torch, dtype))
        self._format = memory_format(device, self._preprocessing.input_size)
        self._link, self.decoder = Link(device), decoder
        self._waiting = deque[Waiting]()
        if device.type == "cuda":
            forward.model.to(memory_format=self._format)
        if self._tap is not None:
            self._fits(_SEVERAL)  # so that whether they are kept is known before the first batch

    @property
    def form(self) -> str:
        """The order of its input in memory."""
        import torch

        return "channels_last" if self._format is torch.channels_last else "contiguous"

    def __str__(self) -> str:
        """Return how it runs, as a phrase."""
        way = str(self.forward)
        if self.device.type == "cuda":  # the order there is chosen here
            way = way.replace("channels_last", self.form, 1)
        return f"{way}{self._said}"

    @property
    def refused(self) -> str:
        """Why features are not kept; empty while they are."""
        return self._tap.refused if self._tap else ""

    @contextmanager
    def naming(self, images: Sequence[str]) -> Iterator[None]:
        """Say of a failure in the block on which device and with which images it came.

        Parameters
        ----------
        images
            The batch that is worked on.

        Raises
        ------
        RuntimeError
            Whatever the model raises by itself.
        """
        try:
            yield
        except AuditorError:
            raise
        except Exception as error:  # foreign code: ONNX Runtime's errors have no base
            is_plain = isinstance(error, RuntimeError)
            said = first_line(error) if is_plain else named(error).splitlines()[0]
            other = "" if self.device.type == "cpu" else "; try [engine] device cpu"
            raise RuntimeError(
                f"{self._name} failed on {self.device} with a batch of {len(images)}, "
                f"{images[0]} to {images[-1]}: {said}{other}"
            ) from error

    def start(
        self, images: Sequence[torch.Tensor | Jpeg], label: NDArray[np.integer]
    ) -> Callable[[], Arrays]:
        """Run a batch; return what waits for its results.

        Where memory runs out the batch is run again in halves, and so is every one after it; so
        it is where memory runs out for what decodes beside the model.

        Parameters
        ----------
        images
            As ``Preprocessing.transform`` returned them; or files, where there is a decoder.
        label
            The true class of each, shape (n,).

        Returns
        -------
        callable
            Returns what ``ranked`` computes as arrays, and ``features``, where they are kept.

        Raises
        ------
        InputError
            Not one image fits or runs, or the outputs have another shape than (images, classes).
        """
        import torch

        labels = self._link.pinned(torch.from_numpy(label.astype(np.int64)))
        pictures = cast("Sequence[torch.Tensor]", images)
        if self.decoder is None and self.device.type != "cuda":
            return self._begun(self._link.stack(pictures), labels)
        start = self.decoder.start if self.decoder else self._link.stacking
        this = Waiting(partial(start, pictures), labels)
        self._waiting.append(this)
        while self._waiting and self._waiting[0].batch.done():
            self._begin(self._waiting.popleft())
        return lambda: self._results(this)

    def _results(self, asked: Waiting) -> Arrays:
        while not asked.begun.done():
            self._begin(self._waiting.popleft())
        return asked.begun.result()()

    def _begin(self, waiting: Waiting) -> None:
        """Run what was made: in one thread, for cuDNN makes its plans anew in another."""
        try:
            waiting.begun.set_result(self._begun(self._made(waiting), waiting.labels))
        except Exception as error:  # to be raised where it is waited for
            waiting.begun.set_exception(error)

    def _made(self, waiting: Waiting) -> torch.Tensor:
        """Return a batch; the model makes room where there was none to decode it beside."""
        last = False
        while self.decoder and (said := waiting.no_room):
            if last:
                raise self._too_small("one image, beside what decodes there,", said)
            last = self.most == 1
            self._halve(len(waiting.labels))
            make_again([waiting, *self._waiting], self.device)
        return waiting.batch.result()

    def _begun(self, batch: torch.Tensor, labels: torch.Tensor) -> Callable[[], Arrays]:
        while (parts := self._try(batch, labels)) is None:
            self._halve(len(batch))
        return lambda: _joined([part() for part in parts])

    def _halve(self, batch: int) -> None:
        """Give the model half as many images at once, now and from now on."""
        self.most = max(1, min(self.most or batch, batch) // 2)
        self.fell_back |= self._compiled is not None
        self._size, self._compiled = 0, None

    def largest_batch(self) -> int:
        """Return how many images fit at once, by trying; see ``auditor.engine.memory``."""
        found = largest_batch(self._fits, self._preprocessing.input_size)
        release(self.device)
        return found

    def fill(self, batch: int) -> None:
        """Fill up what comes in smaller batches: cuDNN plans anew for another size.

        Not where layers are listened to.

        Parameters
        ----------
        batch
            Images.
        """
        self._size = batch

    def compile(self, batch: int) -> None:
        """Compile for batches of one size; go on as before where that fails or differs.

        Call it before threads prepare images: a model that is compiled is traced.

        Parameters
        ----------
        batch
            Images; what comes in smaller batches is filled up.
        """
        import torch

        size = (batch, *self._preprocessing.input_size)
        noise = torch.randn(size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode(), reproducible():
            # A tensor as a batch will be: one made elsewhere would be compiled for separately.
            images = self._laid_out(noise.to(self.device).clone())
            run, refused = compiled(self.forward.model, images, self._kind)
        self._size, self._compiled = batch, None if refused else run
        self._said = f"; {refused}" if refused else ", compiled"

    def _fits(self, n: int) -> bool:
        import torch

        try:
            empty = torch.zeros(n, *self._preprocessing.input_size, dtype=torch.uint8)
            self._run(self._link.send(empty), torch.zeros(n, dtype=torch.int64))()
        except Exception as error:  # foreign code; anything else is said when it runs
            if out_of_memory(error):
                return False
        return True

    def _try(self, batch: torch.Tensor, labels: torch.Tensor) -> list[Callable[[], Arrays]] | None:
        """Run a batch in as many pieces as it takes; None where memory ran out."""
        import torch

        size = self.most or len(batch)
        try:
            pieces = zip(torch.split(batch, size), torch.split(labels, size), strict=True)
            send = self._link.send
            return [self._run(send(piece), send(label)) for piece, label in pieces]
        except Exception as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise self._too_small("one image", first_line(error)) from error
        release(self.device)  # here, for the error's traceback held what the pass had allocated
        return None

    def _too_small(self, images: str, said: str) -> InputError:
        return too_small(self.device, images, self._preprocessing.input_size, said)

    def _run(self, images: torch.Tensor, label: torch.Tensor) -> Callable[[], Arrays]:
        import torch

        with torch.inference_mode(), reproducible():
            images = images.contiguous(memory_format=self._format)  # now: of a byte a value
            batch = self._laid_out(self._preprocessing.normalise(images, self._dtype))
            if self.streams == 1:
                return self._fetched(self._logits(batch), label)
        logits = self._pool.submit(self._alone, batch)
        return lambda: self._fetched(logits.result(), label)()

    @property
    def streams(self) -> int:
        """How many batches the model runs beside each other."""
        return self.forward.streams

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.streams, "stream")

    def _alone(self, batch: torch.Tensor) -> Any:
        import torch

        with torch.inference_mode():
            return self.forward.model(batch)

    def _fetched(self, logits: Any, label: torch.Tensor) -> Callable[[], Arrays]:
        """Rank the outputs where they are; return what brings the results here."""
        import torch

        with torch.inference_mode():
            self._require_shape(logits, len(label))
            found = ranked(logits, label, probabilities=self._keep_all)
            features = self._tap.take(len(label)) if self._tap else None
            return self._link.fetch(found if features is None else {**found, "features": features})

    def plain(self, images: torch.Tensor) -> Any:
        """Return what the model as it came gives for normalised images, laid out as batches are.

        Parameters
        ----------
        images
            Floating point, shape (n, channels, height, width), on the device.

        Returns
        -------
        Any
            Logits, shape (n, K), if it is the classifier that it is said to be.
        """
        return self.forward.plain(self._laid_out(images))

    def _laid_out(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.to(self._dtype).contiguous(memory_format=self._format)

    def _logits(self, batch: torch.Tensor) -> Any:
        from torch.nn import functional

        if len(batch) > self._size:
            return self.forward.model(batch)
        run = self.forward.model if self._compiled is None else self._compiled
        if missing := self._size - len(batch):
            filled = functional.pad(batch, (0, 0, 0, 0, 0, 0, 0, missing))
            return run(self._laid_out(filled))[: len(batch)]
        return run(batch)

    def _require_shape(self, logits: Any, n: int) -> None:
        shape = tuple(getattr(logits, "shape", ()))
        if shape != (n, self._outputs):
            raise InputError(
                f"{self._name} returned {shape or type(logits).__name__} for a batch of {n}; "
                f"it must return one logit for each of the {self._outputs} classes"
            )


def memory_format(device: torch.device, input_size: tuple[int, int, int]) -> torch.memory_format:
    """Return the order in memory that is fastest, by rule: an interrupted audit goes on alike.

    On a CPU ``channels_last`` is 1.6 times as fast. On an H200 it gained 8% on EfficientNet-B0 in
    float32, 58% in bfloat16 and 38% in float16 (tests/benchmarks/RESULTS.md); by timm's published
    tables it loses 2–16% on B4 (380 pixels) and B7 (600).

    Parameters
    ----------
    device
        Where the model runs.
    input_size
        Channels, height, width.
    """
    import torch

    if device.type != "cuda" or max(input_size[1:]) < _LARGE:
        return torch.channels_last
    return torch.contiguous_format


def _joined(parts: Sequence[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    names = set.intersection(*(set(part) for part in parts))
    return {name: np.concatenate([part[name] for part in parts]) for name in names}
