"""The candidate on one device: batches of prepared images in, what is kept of its outputs out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from auditor.engine.compiling import pays
from auditor.engine.decoding import Decoder
from auditor.engine.forward import Forward, default_batch
from auditor.engine.jpegs import Jpeg
from auditor.engine.preparing import Preparation
from auditor.engine.replica import Replica
from auditor.engine.shards import PART
from auditor.engine.steadiness import require_steady
from auditor.errors import InputError, Unavailable
from auditor.models.device import describe_device, usable

if TYPE_CHECKING:
    import torch

    from auditor.engine.candidate import Candidate
    from auditor.engine.link import Arrays

__all__ = ["PROBABILITIES_THAT_FIT", "Job", "Running"]

PROBABILITIES_THAT_FIT = 50_000_000
"""Full probabilities are kept up to this many values (images × classes)."""


@dataclass(frozen=True)
class Job:
    """What is run, by whichever process.

    Parameters
    ----------
    candidate
        The model; loaded where it is first needed.
    dtype
        In what it computes.
    images
        How many are to be run in all.
    copied
        Whether on a copy: another dtype than the audit's, without which the audit goes on.
    features
        Whether to keep what the last layer is given, too.
    """

    candidate: Candidate
    dtype: str
    images: int
    copied: bool = False
    features: bool = False

    @property
    def keeps_all(self) -> bool:
        """Whether all probabilities are kept."""
        return self.images * len(self.candidate.classes.names) <= PROBABILITIES_THAT_FIT

    def unloaded(self) -> Self:
        """Return it for another process, which loads the model itself."""
        return replace(self, candidate=replace(self.candidate))


class Running:
    """A candidate that runs in this process.

    Parameters
    ----------
    job
        What is run.
    device
        Where.

    Raises
    ------
    InputError
        There is no such device, it cannot be used, or the dtype cannot hold the model.
    Unavailable
        Another dtype than the audit's cannot hold it.
    """

    def __init__(self, job: Job, device: torch.device) -> None:
        self._job, self._device = job, device
        self._candidate, self._engine = job.candidate, job.candidate.engine
        self._preparation = Preparation.of(job.candidate)
        model = self._candidate.loaded.model
        self._forward = self._put(copy.deepcopy(model) if job.copied else model)
        steps, decoded = self._preparation.steps, self._preparation.decoded
        self._decoder = Decoder(device, steps, decoded) if steps else None
        self._batch, self._steady = 0, job.copied  # a copy is as steady as the model

    def _put(self, model: torch.nn.Module) -> Forward:
        try:
            with usable(self._device):
                return Forward(
                    model,
                    self._device,
                    self._job.dtype,
                    self._candidate.loaded.preprocessing.input_size,
                    backend="torch" if self._compiles else self._engine.backend,
                    images=self._job.images,
                    tapped=self._job.features,
                )
        except InputError as error:
            if self._job.copied:  # without the cheaper one the audit goes on
                raise Unavailable(str(error), "error") from error
            raise

    @property
    def is_plain(self) -> bool:
        """Whether the model runs as it came, so that there is nothing to settle."""
        return self._forward.is_plain

    def settle(self, first: torch.Tensor) -> None:
        """Choose between ways of running the model; call it before anything is run.

        Parameters
        ----------
        first
            Images of the whole split, to be normalised, shape (n, channels, height, width).
        """
        batch = self._candidate.loaded.preprocessing.normalise(first)
        self._forward.settle(batch.to(self._device))

    @cached_property
    def replica(self) -> Replica:
        """The model, once it is settled how it is run."""
        return Replica(
            self._forward,
            self._device,
            self._job.dtype,
            self._candidate,
            probabilities=self._job.keeps_all,
            features_of=self._job.images if self._job.features else 0,
            decoder=self._decoder,
        )

    def largest_batch(self) -> int:
        """Return how many images are best run at once.

        The user's, else as many images as fit on CUDA, else what suits the device. On CUDA, where
        another size is planned or compiled for anew, parts are cut into equal batches of no more
        than that, and short ones are filled up.
        """
        batch, device = self._engine.batch_size, self._device
        if batch is None and device.type == "cuda":
            with usable(device):
                batch = self.replica.largest_batch()
        size = self._candidate.loaded.preprocessing.input_size
        batch = batch or default_batch(device, size)
        return -(-PART // -(-PART // batch)) if self._fills else batch

    def use_batch(self, size: int) -> None:
        """Run so many images at once from now on; models are compiled here.

        It is called before threads of this process prepare images: a model that is traced to be
        folded or compiled changes, for that long, what calling any module does, those of the
        transform among them.

        Parameters
        ----------
        size
            No more than ``largest_batch``.
        """
        self._batch = size
        if self._compiles:
            self.replica.compile(size)
        elif self._fills:
            self.replica.fill(size)

    @property
    def runs(self) -> bool:
        """Whether it is known how many images are run at once."""
        return bool(self._batch)

    @property
    def batch_size(self) -> int:
        """How many images are run at once; found out where nobody said it."""
        if not self.runs:
            self.use_batch(self.largest_batch())
        return self._batch

    @property
    def _fills(self) -> bool:
        """Whether batches are of one size: not for graphs, which have sizes of their own."""
        from auditor.models.graph import GraphModel

        graph = isinstance(self._candidate.loaded.model, GraphModel)
        return self._device.type == "cuda" and not graph and not self._job.features

    @property
    def _compiles(self) -> bool:
        """Whether to compile: on CUDA, if asked to or if it pays, and no layer is heard."""
        wanted = self._engine.backend
        if not self._fills or wanted not in ("auto", "inductor"):
            return False
        return wanted == "inductor" or self._pays

    @cached_property
    def _pays(self) -> bool:
        loaded = self._candidate.loaded
        return pays(loaded.model, loaded.preprocessing.input_size, self._job.images)

    @property
    def under_way(self) -> int:
        """How many batches may be begun before the first is waited for.

        Two a stream of work; one more for CUDA, where a batch is stacked beside it. Seven where
        files are decoded there: four are decoded, one waits for the model, one is run, and one is
        gathered meanwhile. With fewer the model waited for files, and files for it.
        """
        streams = self.replica.streams
        if self._decoder:
            return 7 * streams
        if self._device.type == "cuda":
            return 3 * streams
        return 1 if streams == 1 else 2 * streams

    def start(
        self, images: Sequence[str], prepared: Sequence[Any], label: NDArray[np.integer]
    ) -> Callable[[], Arrays]:
        """Run a batch; return what waits for its results, which are those of ``Replica.start``.

        Parameters
        ----------
        images
            What they are called.
        prepared
            As ``Preparation.prepared`` returned them.
        label
            The true class of each, shape (n,).
        """
        replica = self.replica
        with replica.naming(images):
            if not self._steady:
                self._require_steady(prepared)
            wait = replica.start(prepared, label)

        def finish() -> Arrays:
            with replica.naming(images):
                return wait()

        return finish

    def _require_steady(self, prepared: Sequence[torch.Tensor | Jpeg]) -> None:
        """Look at the first images that are run, which are of no known row."""
        import torch

        two, decoded = (prepared[0], prepared[-1]), self._preparation.decoded
        pictures = [decoded(each) if isinstance(each, Jpeg) else each for each in two]
        images = torch.stack(pictures).to(self._device)
        kind = getattr(torch, self._job.dtype)
        require_steady(
            self.replica.plain,
            self._candidate.loaded.preprocessing.normalise(images, kind),
            self._candidate.name,
            batches=self._engine.batch_size != 1,
            filled=self.batch_size if self._fills else 0,
            keeps=self._forward.plain,
        )
        self._steady = True

    def about(self) -> dict[str, Any]:
        """Return how it runs, as JSON values; what may change in the middle of a pass, too."""
        import torch

        batch, replica = self.batch_size, self.replica  # models are compiled there
        said: dict[str, Any] = {
            "transform": str(self._decoder or self._candidate.transform),
            "forward": str(replica),
            "device": describe_device(self._device),
        }
        if self._device.type == "cpu":
            said["threads"] = torch.get_num_threads()
        said["batch_size"] = batch
        if replica.most is not None:
            said["batch_size_halved_to"] = replica.most
        if replica.fell_back:
            said["compiled"] = "until memory ran out"
        return said | ({"features": replica.refused or "kept"} if self._job.features else {})
