"""The observer that runs the candidate on every image of a split."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from auditor.data.classes import require_known
from auditor.data.samples import Samples
from auditor.engine.features import FeatureTap
from auditor.engine.forward import Forward, default_batch
from auditor.errors import InputError
from auditor.evidence.predictions import matrix
from auditor.models.handle import Candidate
from auditor.overlap.decode import to_rgb

if TYPE_CHECKING:
    import torch
    from PIL import Image

__all__ = ["PROBABILITIES_THAT_FIT", "Inference"]

PROBABILITIES_THAT_FIT = 50_000_000
"""Full probabilities are kept up to this many values (images × classes)."""
FEATURES_THAT_FIT = 100_000_000
"""Features are kept up to this many values (images × features): 200 MB."""


class Inference:
    """Runs the candidate on batches of images.

    Parameters
    ----------
    candidate, samples
        What is run on what.
    dtype
        Another dtype than the audit's, on a copy of the candidate; the audit's where None.
    features
        Whether to keep what the last layer is given, too.

    Raises
    ------
    InputError
        Where a label is unknown to the candidate, its outputs have another shape than
        (batch, classes), or an output is NaN or infinite.
    """

    def __init__(
        self,
        candidate: Candidate,
        samples: Samples,
        dtype: str | None = None,
        *,
        features: bool = False,
    ) -> None:
        self.candidate, self.samples = candidate, samples
        self._wants_features, self._without_features = features, ""
        self._copied, self._dtype = dtype is not None, dtype or candidate.engine.dtype
        self.images: frozenset[str] | None = frozenset(samples.images)
        self.reduced = False
        self._rows = {image: row for row, image in enumerate(samples.images)}
        if len(candidate.classes.names) < 2:
            raise InputError(
                f'{candidate.name} has one class, "{candidate.classes.names[0]}"; a classifier '
                "needs at least two"
            )
        require_known(samples.labels, candidate.classes.names, samples.source)
        index = {name: i for i, name in enumerate(candidate.classes.names)}
        self._label = np.array([index[label] for label in samples.labels], np.int64)
        self._keep_all = len(samples) * len(index) <= PROBABILITIES_THAT_FIT
        # Here, before threads prepare images: a model that is traced to be folded changes, for that
        # long, what calling any module does, those of the transform among them.
        self._forward = self._made_ready()

    @property
    def batch_size(self) -> int | None:
        """The user's, else what suits the device."""
        return self.candidate.engine.batch_size or default_batch(self._device)

    @cached_property
    def _device(self) -> torch.device:
        from auditor.models.device import choose_device

        return choose_device(self.candidate.device)

    def _made_ready(self) -> Forward:
        loaded = self.candidate.loaded
        model = copy.deepcopy(loaded.model) if self._copied else loaded.model
        return Forward(model, self._device, self._dtype, loaded.preprocessing.input_size)

    @cached_property
    def _tap(self) -> FeatureTap:
        return FeatureTap(self._forward.model)

    def _features(self, n: int) -> dict[str, pa.Array]:
        """Return the latest batch's features as a column; none where they cannot be kept."""
        if not self._wants_features or self._without_features:
            return {}
        seen = self._tap.take(n)
        if seen is None:
            self._without_features = "the model has no last linear layer that sees each image"
        elif len(self.samples) * seen.shape[1] > FEATURES_THAT_FIT:
            self._without_features = (
                f"{len(self.samples):,} images × {seen.shape[1]:,} features are too many to keep"
            )
        return {} if seen is None or self._without_features else {"features": matrix(seen)}

    @cached_property
    def _transform(self) -> Callable[[Image.Image], torch.Tensor]:
        reference = self.candidate.transform == "reference"
        return self.candidate.loaded.preprocessing.transform(reference=reference)

    def prepare(self, image: Image.Image, data: bytes) -> torch.Tensor:
        """Return one image's tensor, to be normalised, shape (channels, height, width)."""
        del data
        return self._transform(to_rgb(image))

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        """Return the prediction columns of a batch."""
        rows = np.array([self._rows[image] for image in images])
        label = self._label[rows]
        scores = self._probabilities(images, prepared)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        names = pa.array(self.candidate.classes.names, pa.string())
        columns = {
            "predicted": names.take(pa.array(best[:, 0])),
            "top5": matrix(best),
            "true_probability": pa.array(scores[np.arange(len(rows)), label]),
        }
        if self._keep_all:
            columns["probabilities"] = matrix(scores)
        columns |= self._features(len(images))
        if self.samples.representative:
            columns["representative"] = pa.array(
                np.array(self.samples.representative, bool)[rows], pa.bool_()
            )
        return columns

    def _probabilities(
        self, images: Sequence[str], prepared: Sequence[Any]
    ) -> np.ndarray[Any, Any]:
        import torch

        dtype = getattr(torch, self._dtype)
        images_there = torch.stack(list(prepared)).to(self._device)
        batch = self.candidate.loaded.preprocessing.normalise(images_there).to(dtype)
        self._forward.settle(batch)
        if self._wants_features:
            _ = self._tap  # it listens from before the first forward pass
        with torch.inference_mode():
            logits = self._forward.model(batch.contiguous(memory_format=torch.channels_last))
        self._check(images, logits)
        values: np.ndarray[Any, Any] = logits.float().softmax(dim=1).cpu().numpy()
        return values

    def _check(self, images: Sequence[str], logits: Any) -> None:
        name, outputs = self.candidate.name, len(self.candidate.classes.names)
        shape = tuple(getattr(logits, "shape", ()))
        if shape != (len(images), outputs):
            raise InputError(
                f"{name} returned {shape or type(logits).__name__} for a batch of {len(images)}; "
                f"it must return one logit for each of the {outputs} classes"
            )
        finite = logits.isfinite().all(dim=1).cpu()
        if not bool(finite.all()):
            image = images[int((~finite).nonzero()[0])]
            # Without the cheaper one the audit goes on.
            raise (FloatingPointError if self._copied else InputError)(
                f"{name} returned NaN or infinite outputs for {int((~finite).sum())} of "
                f"{len(images)} images, first {image}; look at its weights, or at "
                f"[engine] {'cheaper' if self._copied else 'dtype'} ({self._dtype})"
            )

    def about(self) -> dict[str, Any]:
        """Return the class order, the model and where it ran."""
        import torch

        from auditor.models.device import describe_device

        return {
            "source": self.samples.source,
            "sample": self.samples.sample,
            "classes": list(self.candidate.classes.names),
            "class_order": self.candidate.classes.order,
            "candidate": self.candidate.about(),
            "preprocessing": self.candidate.preprocessing(),
            "transform": self.candidate.transform,
            "forward": str(self._forward),
            "device": describe_device(self._device),
            "dtype": self._dtype,
            "threads": torch.get_num_threads(),
            "probabilities_kept": self._keep_all,
            **({"features": self._without_features or "kept"} if self._wants_features else {}),
        }
