"""How images become what the candidate is given: here, or where it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

from auditor.data.decode import as_loaders_show, full_size, open_image
from auditor.engine.jpegs import Jpeg, jpeg

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from auditor.engine.candidate import Candidate
    from auditor.models.tensor_transform import OnTensors

__all__ = ["Preparation"]


class Preparation(NamedTuple):
    """Makes of a picture what the candidate is given."""

    transform: Callable[[Image.Image], Tensor]
    steps: OnTensors | None
    """What is left to the device where files are decoded there; None where they are decoded here.
    """

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        """Return that of a candidate, which is loaded for it."""
        preprocessing, way = candidate.loaded.preprocessing, candidate.transform
        steps = preprocessing.on_tensors() if way == "device" else None
        return cls(preprocessing.transform(reference=way == "reference"), steps)

    def prepared(self, image: Image.Image, data: bytes) -> Tensor | Jpeg:
        """Return one image's tensor, to be normalised, shape (channels, height, width).

        Where files are decoded on the device, it is the file.
        """
        if self.steps is not None and (file := jpeg(image, data, self.steps)) is not None:
            return file
        return self.picture(image if full_size(image) is None else open_image(data))

    def picture(self, image: Image.Image) -> Tensor:
        """Return the tensor of a picture that was decoded at its full size."""
        return self.transform(as_loaders_show(image))

    def decoded(self, file: Jpeg) -> Tensor:
        """Return the tensor of a file, decoded here."""
        return self.picture(open_image(file.file.tobytes()))
