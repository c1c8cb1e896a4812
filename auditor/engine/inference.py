"""The observer that runs the candidate on every image of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditor.data.classes import require_known
from auditor.data.samples import Samples
from auditor.engine.ahead import dismiss_model, foresee, start_ahead
from auditor.engine.apart import Apart, apart_on
from auditor.engine.candidate import Candidate
from auditor.engine.first_images import FirstImages
from auditor.engine.forward import default_batch
from auditor.engine.hardware import workers_of
from auditor.engine.jpegs import Jpeg
from auditor.engine.lookup import Rows
from auditor.engine.memory import most_tried
from auditor.engine.preparing import Preparation
from auditor.engine.running import Job, Running
from auditor.engine.sample_outputs import Sample
from auditor.errors import InputError
from auditor.provider import Observer
from auditor.store.columns import matrix

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from auditor.engine.link import Arrays
    from auditor.provider import Look

__all__ = ["Inference"]

_TOLD_APART = ("classes", "dtype", "features", "forward", "probabilities_kept", "transform")
"""What rows of one table have in common, as the parts of one pass do, wherever they were made."""

_OF_THIS_PROCESS = ("_devices", "_started", "_runs", "batch_size")

Columns = dict[str, pa.Array]


class Inference(Observer):
    """Runs the candidate on batches of images, on every device that it is given in turn.

    Parameters
    ----------
    candidate, samples
        What is run on what.
    dtype
        Another dtype than the audit's, on a copy of the candidate; the audit's where None.
    features
        Whether to keep what the last layer is given, too.
    devices
        Where; one may stand there twice. Those that the audit's settings name where None.

    Raises
    ------
    InputError
        Where a label is unknown to the candidate, there is no such device, not one image fits into
        its memory, the outputs have another shape than (batch, classes), are random, or depend on
        the other images of the batch, one is NaN or infinite, or the dtype cannot hold the model.
    Unavailable
        Another dtype than the audit's cannot hold the model.
    """

    on_device = True
    _apart: Apart | None = None

    def __init__(
        self,
        candidate: Candidate,
        samples: Samples,
        dtype: str | None = None,
        *,
        features: bool = False,
        devices: Sequence[torch.device] | None = None,
    ) -> None:
        self.samples, self._given = samples, devices
        self._job = Job(
            candidate,
            dtype or candidate.engine.dtype,
            len(samples),
            copied=dtype is not None,
            features=features,
        )
        if candidate.engine.kind == "local":
            self._apart = self._begun_apart()
        try:
            self._make_ready()
        except BaseException:  # the candidate keeps its error, which keeps all that stood around
            self.end()
            raise

    def _make_ready(self) -> None:
        candidate, samples = self.candidate, self.samples
        self._preparation = Preparation.of(candidate)
        self._rows, self._first_images = Rows(samples.images), FirstImages(samples)
        names = candidate.classes.names
        if len(names) < 2:
            raise InputError(
                f'{candidate.name} has one class, "{names[0]}"; a classifier needs at least two'
            )
        require_known(samples.labels, names, samples.source)
        index = {name: i for i, name in enumerate(names)}
        self._label = np.fromiter((index[label] for label in samples.labels), np.int32)
        self._representative = np.array(samples.representative or (), bool)
        self._names = pa.array(names, pa.string())
        # Here, before threads prepare images: a model that is traced to be folded changes, for that
        # long, what calling any module does, those of the transform among them.
        if not self._elsewhere:
            _ = self._started

    @property
    def candidate(self) -> Candidate:
        """The model."""
        return self._job.candidate

    def _begun_apart(self) -> Apart | None:
        """Start other processes beside what this one does next, where they pay."""
        engine, images = self.candidate.engine, len(self.samples)
        workers, decodes = workers_of(engine), engine.preprocessing == "device"
        prepared = foresee(images, workers)
        if devices := apart_on(self._devices, images, workers, decodes=decodes):
            with suppress(OSError):  # else this process runs it
                return Apart(self._job, devices, prepared)
        dismiss_model()
        if self._given is None:
            start_ahead(self.candidate.device, decodes=decodes)
        return None

    @cached_property
    def _devices(self) -> Sequence[torch.device]:
        from auditor.models.device import choose_devices

        return self._given or choose_devices(self.candidate.device)

    @cached_property
    def _elsewhere(self) -> bool:
        """Whether only the nodes of a cluster can run it: this machine has no such device."""
        from auditor.models.device import is_there

        return self.candidate.engine.kind == "ray" and not is_there(self.candidate.device)

    @cached_property
    def images(self) -> frozenset[str] | None:
        """The images of the sample; None for all, where it is none."""
        return frozenset(self.samples.images) if self.samples.sample else None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to prepare images; it loads the model if it runs it."""
        state = {name: of for name, of in vars(self).items() if name not in _OF_THIS_PROCESS}
        return state | {"_job": self._job.unloaded(), "_apart": None, "_elsewhere": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load what prepares images now: the processes that are forked from this one share it."""
        import torch.nn.functional  # noqa: F401 - what it is for, that it is there

        vars(self).update(state)

    @cached_property
    def _started(self) -> Running | Apart:
        """What runs the model: this process, where others load another than it did, or none."""
        if (apart := self._apart) is not None:
            with suppress(Exception, SystemExit):  # a fault of the model is one here, too
                if apart.holds(Sample.of(self.candidate.loaded)):
                    return apart
            self._apart = None
            apart.end()
        return Running(self._job, self._devices[0])

    @cached_property
    def _runs(self) -> Running | Apart:
        return self._settled(None)

    def _settled(self, look: Look | None) -> Running | Apart:
        """Choose between ways of running the model on the first images of the whole split."""
        import torch

        runs, picture = self._started, self._preparation.picture
        if not runs.is_plain and (first := self._first_images.prepared(picture, look)):
            runs.settle(torch.stack(first))
        return runs

    def try_out(self, look: Look) -> None:
        """Settle how the model is run."""
        if not self._elsewhere and "_runs" not in vars(self):
            vars(self)["_runs"] = self._settled(look)

    @cached_property
    def batch_size(self) -> int | None:
        """How many images are run at once; found out here, and models are compiled."""
        return self._runs.batch_size

    @property
    def under_way(self) -> int:
        """How many batches may be begun before the first is waited for."""
        return self._runs.under_way

    @property
    def ahead(self) -> int:
        """Four batches; sixteen on CUDA, where it takes seconds until the first is taken.

        They are prepared while cuDNN plans (2.1 s on an H200's host, for B0).
        """
        size, first = self.candidate.loaded.preprocessing.input_size, self._devices[0]
        cuda = first.type == "cuda"
        batch = most_tried(size) if cuda else default_batch(first, size)
        return (16 if cuda else 4) * (self.candidate.engine.batch_size or batch)

    @property
    def reduced(self) -> bool:
        """Whether files are decoded on the device, and here to see that they are whole."""
        return self._preparation.steps is not None

    def prepare(self, image: Image.Image, data: bytes) -> torch.Tensor | Jpeg:
        """Return what the model is given of one image; see ``Preparation.prepared``."""
        return self._preparation.prepared(image, data)

    def rows(
        self, images: Sequence[str], prepared: Sequence[Any]
    ) -> Columns | Callable[[], Columns]:
        """Return the prediction columns of a batch, or what waits for a device and returns them."""
        wait = self._runs.start(images, prepared, self._label[self._rows.find(images)])

        def finish() -> Columns:
            found = wait()
            self._require_finite(images, found["finite"])
            return self._columns(found)

        return finish if self.under_way > 1 else finish()

    def _columns(self, found: Arrays) -> Columns:
        columns = {
            "predicted": self._names.take(pa.array(found["top5"][:, 0])),
            "top5": matrix(found["top5"]),
            "true_probability": pa.array(found["true_probability"]),
        }
        columns |= {n: matrix(found[n]) for n in ("probabilities", "features") if n in found}
        return columns

    def describe(self, images: Sequence[str]) -> Columns:
        """Return what follows from the split as it is now, for rows of now and of earlier."""
        if not len(self._representative):
            return {}
        return {"representative": pa.array(self._representative[self._rows.find(images)])}

    def _require_finite(self, images: Sequence[str], finite: np.ndarray[Any, Any]) -> None:
        if finite.all():
            return
        image, bad = images[int((~finite).argmax())], int((~finite).sum())
        # Without the cheaper one the audit goes on.
        raise (FloatingPointError if self._job.copied else InputError)(
            f"{self.candidate.name} returned NaN or infinite outputs for {bad} of {len(images)} "
            f"images, first {image}; look at its weights, or at "
            f"[engine] {'cheaper' if self._job.copied else 'dtype'} ({self._job.dtype})"
        )

    def about(self) -> dict[str, Any]:
        """Return the class order, the model and where it ran, as far as that is known here."""
        running = {} if self._elsewhere else self._runs.about()
        return {
            "source": self.samples.source,
            "sample": self.samples.sample,
            "left_out": list(self.samples.left_out),
            "classes": list(self.candidate.classes.names),
            "class_order": self.candidate.classes.order,
            "candidate": self.candidate.about(),
            "preprocessing": self.candidate.preprocessing(),
            "dtype": self.candidate.computes_in(self._job.dtype),
            "probabilities_kept": self._job.keeps_all,
            **running,
        }

    def accepts(self, about: Mapping[str, Any]) -> bool:
        """Tell whether rows that were made earlier, as described, are as good as new ones."""
        now = self.about()
        return all(about.get(name) == now.get(name) for name in _TOLD_APART)

    def end(self) -> None:
        """End the processes that ran the model; what it says stays as it was at the last."""
        apart, self._apart = self._apart, None
        if apart is None:
            return
        apart.end()
        if not apart.runs:  # it said nothing: this process will, if that is asked for
            for name in ("_started", "_runs"):
                vars(self).pop(name, None)
