"""The observer that runs the candidate on every image of a split."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditor.data.classes import require_known
from auditor.data.decode import as_loaders_show, full_size, open_image
from auditor.data.samples import Samples
from auditor.engine.ahead import start_ahead
from auditor.engine.candidate import Candidate
from auditor.engine.compiling import pays
from auditor.engine.decoding import Decoder
from auditor.engine.first_images import FirstImages
from auditor.engine.forward import Forward, default_batch
from auditor.engine.hardware import workers_of
from auditor.engine.jpegs import Jpeg, jpeg
from auditor.engine.lookup import Rows
from auditor.engine.memory import most_tried
from auditor.engine.replica import Replica
from auditor.engine.root import foresee
from auditor.engine.shards import PART
from auditor.engine.steadiness import require_steady
from auditor.errors import InputError, Unavailable
from auditor.models.device import usable
from auditor.provider import Observer
from auditor.store.columns import matrix

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from auditor.engine.link import Arrays
    from auditor.provider import Look

__all__ = ["PROBABILITIES_THAT_FIT", "Inference"]

PROBABILITIES_THAT_FIT = 50_000_000
"""Full probabilities are kept up to this many values (images × classes)."""

_TOLD_APART = ("classes", "dtype", "features", "forward", "probabilities_kept", "transform")
"""What rows of one table have in common, as the parts of one pass do, wherever they were made."""

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

    def __init__(
        self,
        candidate: Candidate,
        samples: Samples,
        dtype: str | None = None,
        *,
        features: bool = False,
        devices: Sequence[torch.device] | None = None,
    ) -> None:
        if candidate.engine.kind == "local":
            foresee(len(samples), workers_of(candidate.engine))
            if devices is None:
                decodes = candidate.engine.preprocessing == "device"
                start_ahead(candidate.device, decodes=decodes)
        self.candidate, self.samples, self._wants_features = candidate, samples, features
        self._copied, self._dtype = dtype is not None, dtype or candidate.engine.dtype
        there = candidate.transform == "device"
        self._steps = candidate.loaded.preprocessing.on_tensors() if there else None
        self._rows, self._turn = Rows(samples.images), 0
        self._first_images = FirstImages(samples)
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
        self._keep_all = len(samples) * len(index) <= PROBABILITIES_THAT_FIT
        self._devices = devices
        # Here, before threads prepare images: a model that is traced to be folded changes, for that
        # long, what calling any module does, those of the transform among them.
        if not self._elsewhere:
            _ = self._ready

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
        state = {**vars(self), "_transform": self._transform}
        for made in ("_ready", "_replicas", "batch_size"):
            state.pop(made, None)
        return state | {"candidate": replace(self.candidate), "_elsewhere": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load what prepares images now: the processes that are forked from this one share it."""
        import torch.nn.functional  # noqa: F401 - what it is for, that it is there

        vars(self).update(state)

    @cached_property
    def _ready(self) -> list[tuple[Forward, torch.device, Decoder | None]]:
        """How the model is run on each device, which the first images may change."""
        from auditor.models.device import choose_devices

        devices = self._devices or choose_devices(self.candidate.device)
        model = self.candidate.loaded.model
        others = [copy.deepcopy(model) for _ in devices[1:]]
        models = [copy.deepcopy(model) if self._copied else model, *others]
        return [
            (
                self._forward(model, device),
                device,
                Decoder(device, self._steps, self._decoded) if self._steps else None,
            )
            for model, device in zip(models, devices, strict=True)
        ]

    def _forward(self, model: torch.nn.Module, device: torch.device) -> Forward:
        try:
            with usable(device):
                return Forward(
                    model,
                    device,
                    self._dtype,
                    self.candidate.loaded.preprocessing.input_size,
                    backend="torch" if self._compiles(device) else self.candidate.engine.backend,
                    images=len(self.samples),
                    tapped=self._wants_features,
                )
        except InputError as error:
            if self._copied:  # without the cheaper one the audit goes on
                raise Unavailable(str(error), "error") from error
            raise

    @cached_property
    def _replicas(self) -> tuple[Replica, ...]:
        return self._settled(None)

    def _settled(self, look: Look | None) -> tuple[Replica, ...]:
        """Choose between ways of running the model on the first images of the whole split."""
        import torch

        ways = [(forward, device) for forward, device, _ in self._ready if not forward.is_plain]
        if ways and (first := self._first_images.prepared(self._picture, look)):
            batch = self.candidate.loaded.preprocessing.normalise(torch.stack(first))
            for forward, device in ways:
                forward.settle(batch.to(device))
        return tuple(
            Replica(
                forward,
                device,
                self._dtype,
                self.candidate,
                probabilities=self._keep_all,
                features_of=len(self.samples) if self._wants_features else 0,
                decoder=decoder,
            )
            for forward, device, decoder in self._ready
        )

    def try_out(self, look: Look) -> None:
        """Settle how the model is run."""
        if not self._elsewhere and "_replicas" not in vars(self):
            vars(self)["_replicas"] = self._settled(look)

    @cached_property
    def batch_size(self) -> int | None:
        """The user's, else as many images as fit on CUDA, else what suits the device.

        On CUDA, where another size is planned or compiled for anew, parts are cut into equal
        batches of no more than that, and short ones are filled up. It is asked for before threads
        prepare images; so this is where models are compiled.
        """
        batch, first = self.candidate.engine.batch_size, self._replicas[0].device
        if batch is None and first.type == "cuda":
            with usable(first):
                batch = min(replica.largest_batch() for replica in self._replicas)
        batch = batch or default_batch(first, self.candidate.loaded.preprocessing.input_size)
        if any(self._fills(replica.device) for replica in self._replicas):
            batch = -(-PART // -(-PART // batch))
        for replica in self._replicas:
            if self._compiles(replica.device):
                replica.compile(batch)
            elif self._fills(replica.device):
                replica.fill(batch)
        return batch

    def _fills(self, device: torch.device) -> bool:
        """Tell whether batches are of one size: not for graphs, which have sizes of their own."""
        from auditor.models.graph import GraphModel

        graph = isinstance(self.candidate.loaded.model, GraphModel)
        return device.type == "cuda" and not graph and not self._wants_features

    def _compiles(self, device: torch.device) -> bool:
        """Tell whether to compile: on CUDA, if asked to or if it pays, and no layer is heard."""
        wanted = self.candidate.engine.backend
        if not self._fills(device) or wanted not in ("auto", "inductor"):
            return False
        return wanted == "inductor" or self._pays

    @cached_property
    def _pays(self) -> bool:
        loaded = self.candidate.loaded
        return pays(loaded.model, loaded.preprocessing.input_size, len(self.samples))

    @property
    def under_way(self) -> int:
        """How many batches may be begun before the first is waited for.

        Two a stream of work; one more for CUDA, where a batch is stacked beside it. Seven where
        files are decoded there: four are decoded, one waits for the model, one is run, and one is
        gathered meanwhile. With fewer the model waited for files, and files for it.
        """
        streams = sum(replica.streams for replica in self._replicas)
        if self.reduced:
            return 7 * streams
        if self._replicas[0].device.type == "cuda":
            return 3 * streams
        return 1 if streams == 1 else 2 * streams

    @property
    def ahead(self) -> int:
        """Four batches; sixteen on CUDA, where it takes seconds until the first is taken.

        They are prepared while cuDNN plans (2.1 s on an H200's host, for B0).
        """
        size, first = self.candidate.loaded.preprocessing.input_size, self._replicas[0].device
        cuda = first.type == "cuda"
        batch = most_tried(size) if cuda else default_batch(first, size)
        return (16 if cuda else 4) * (self.candidate.engine.batch_size or batch)

    @property
    def reduced(self) -> bool:
        """Whether files are decoded on the device, and here to see that they are whole."""
        return self._steps is not None

    @cached_property
    def _transform(self) -> Callable[[Image.Image], torch.Tensor]:
        reference = self.candidate.transform == "reference"
        return self.candidate.loaded.preprocessing.transform(reference=reference)

    def prepare(self, image: Image.Image, data: bytes) -> torch.Tensor | Jpeg:
        """Return one image's tensor, to be normalised, shape (channels, height, width).

        Where files are decoded on the device, it is the file.
        """
        if self._steps is not None and (file := jpeg(image, data, self._steps)) is not None:
            return file
        return self._picture(image if full_size(image) is None else open_image(data))

    def _picture(self, image: Image.Image) -> torch.Tensor:
        return self._transform(as_loaders_show(image))

    def _decoded(self, file: Jpeg) -> torch.Tensor:
        return self._picture(open_image(file.file.tobytes()))

    def rows(
        self, images: Sequence[str], prepared: Sequence[Any]
    ) -> Columns | Callable[[], Columns]:
        """Return the prediction columns of a batch, or what waits for a device and returns them."""
        with self._replicas[0].naming(images):
            self._require_steady(prepared)
        rows = self._rows.find(images)
        replica = self._replicas[self._turn % len(self._replicas)]
        self._turn += 1
        with replica.naming(images):
            wait = replica.start(prepared, self._label[rows])

        def finish() -> Columns:
            with replica.naming(images):
                found = wait()
            self._require_finite(images, found["finite"])
            return self._columns(found)

        return finish if self.under_way > 1 else finish()

    def _require_steady(self, prepared: Sequence[torch.Tensor | Jpeg]) -> None:
        """Look at the first images that are to be run, which are of no known row."""
        import torch

        if self._turn or self._copied:  # a copy is as steady as the model
            return
        first, two = self._replicas[0], (prepared[0], prepared[-1])
        pictures = [self._decoded(each) if isinstance(each, Jpeg) else each for each in two]
        images = torch.stack(pictures).to(first.device)
        kind = getattr(torch, self._dtype)
        require_steady(
            first.plain,
            self.candidate.loaded.preprocessing.normalise(images, kind),
            self.candidate.name,
            batches=self.candidate.engine.batch_size != 1,
            filled=(self.batch_size or 0) if self._fills(first.device) else 0,
            keeps=first.forward.plain,
        )

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
        raise (FloatingPointError if self._copied else InputError)(
            f"{self.candidate.name} returned NaN or infinite outputs for {bad} of {len(images)} "
            f"images, first {image}; look at its weights, or at "
            f"[engine] {'cheaper' if self._copied else 'dtype'} ({self._dtype})"
        )

    def about(self) -> dict[str, Any]:
        """Return the class order, the model and where it ran, as far as that is known here."""
        running = {} if self._elsewhere else self._about_running()
        return {
            "source": self.samples.source,
            "sample": self.samples.sample,
            "left_out": self.samples.left_out.said,
            "classes": list(self.candidate.classes.names),
            "class_order": self.candidate.classes.order,
            "candidate": self.candidate.about(),
            "preprocessing": self.candidate.preprocessing(),
            "dtype": self.candidate.computes_in(self._dtype),
            "probabilities_kept": self._keep_all,
            **running,
        }

    def _about_running(self) -> dict[str, Any]:
        import torch

        from auditor.models.device import describe_devices

        batches = self._about_batches()  # first: models are compiled there, as "forward" says
        devices = [replica.device for replica in self._replicas]
        on_cpu = any(device.type == "cpu" for device in devices)
        return {
            "transform": str(self._replicas[0].decoder or self.candidate.transform),
            "forward": str(self._replicas[0]),
            "device": describe_devices(devices),
            **({"threads": torch.get_num_threads()} if on_cpu else {}),
            **batches,
            **({"features": self._refused or "kept"} if self._wants_features else {}),
        }

    def accepts(self, about: Mapping[str, Any]) -> bool:
        """Tell whether rows that were made earlier, as described, are as good as new ones."""
        now = self.about()
        return all(about.get(name) == now.get(name) for name in _TOLD_APART)

    def _about_batches(self) -> dict[str, Any]:
        """Say what may change in the middle of a pass, and from run to run."""
        said: dict[str, Any] = {"batch_size": self.batch_size or 0}
        if halved := [each.most for each in self._replicas if each.most is not None]:
            said["batch_size_halved_to"] = min(halved)
        if any(replica.fell_back for replica in self._replicas):
            said["compiled"] = "until memory ran out"
        return said

    @property
    def _refused(self) -> str:
        return next((replica.refused for replica in self._replicas if replica.refused), "")
