"""Whether a model's answer to an image depends on that image alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from auditor.engine.precision import reproducible
from auditor.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["require_steady"]

Model = Callable[["torch.Tensor"], object]

_TOLERANCE = {"float32": 0.02, "float16": 0.2, "bfloat16": 0.2}
"""Largest change of a logit as a share of the spread of its image's. Other kernels, for batches of
another size, change less; a batch's own statistics and dropout change more, and so does what ONNX
Runtime quantises by the range of all images in a batch (2–40% of the spread)."""
_LAST_BITS = 16
"""Last bits of the largest logit, by which equal ones may differ besides."""


def require_steady(
    model: Model, images: torch.Tensor, name: str, *, batches: bool, filled: int = 0
) -> None:
    """Refuse a model whose outputs are random, or depend on what else is in the batch.

    It is run twice on the same few images and their negatives, and once on each of them alone. A
    split often begins with images of one class, on which all answers are alike; negatives are not.
    Where all batches are filled up to one size, so are these, twice alike and once otherwise:
    another size would be planned for anew, which takes a GPU as long as thousands of images.

    Parameters
    ----------
    model
        Plain, on the device of `images`.
    images
        A few that are to be run, of the model's dtype, shape (n, channels, height, width).
    name
        What messages call the model.
    batches
        Whether it is going to see several images at once; else each is its own batch here, too.
    filled
        The images of every batch; 0 where they vary.

    Raises
    ------
    InputError
        The outputs are random, depend on the batch, or are not one row for each image.
    """
    import torch

    few, images = images, torch.cat([images, -images])
    try:
        with torch.inference_mode(), reproducible():
            if batches and filled >= len(images) + 2:  # one before them, one behind
                first, other, again = _filled(model, images, filled, name)
            else:
                first, other, again = _unfilled(model, images, name, batches)
    except InputError:
        raise
    except Exception:  # it fails again in the pass, which says on which images
        if filled:  # or goes on with less, where memory ran out
            require_steady(model, few, name, batches=batches)
        return
    _require_alike(first, other, again, images.dtype, name)


def _require_alike(
    first: torch.Tensor, other: torch.Tensor, again: torch.Tensor, dtype: torch.dtype, name: str
) -> None:
    if not _alike(first, again, dtype):
        raise InputError(
            f"{name}: two runs on the same images differ, so that no figure could be repeated; "
            "export it in evaluation mode, and draw no random numbers in it"
        )
    if not _alike(first, other, dtype):
        raise InputError(
            f"{name}: the outputs for an image depend on the other images of its batch (BatchNorm "
            "in training mode, or a range that is quantised over the batch?); export it in "
            "evaluation mode, or say [engine] batch_size = 1 if it always sees one image alone"
        )


def _filled(model: Model, images: torch.Tensor, size: int, name: str) -> Iterator[torch.Tensor]:
    """Yield outputs for the images in the middle of a batch: of black, of noise, of black."""
    import torch

    before = (size - len(images)) // 2
    batch = images.new_zeros(size, *images.shape[1:])
    noise = torch.randn(batch.shape, generator=torch.Generator().manual_seed(0)).to(batch)
    for fill in (batch, noise, batch):
        whole = fill.clone()
        whole[before : before + len(images)] = images
        yield _rows(model, whole, name)[before : before + len(images)]


def _unfilled(
    model: Model, images: torch.Tensor, name: str, batches: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return outputs for the images together, each alone, and together again."""
    other, run = _each(model, images, name), _rows if batches else _each
    return run(model, images, name), other, run(model, images, name)


def _each(model: Model, images: torch.Tensor, name: str) -> torch.Tensor:
    import torch

    return torch.cat([_rows(model, image[None], name) for image in images])


def _rows(model: Model, images: torch.Tensor, name: str) -> torch.Tensor:
    import torch

    outputs: object = model(images)
    shape = tuple(getattr(outputs, "shape", ()))
    if not isinstance(outputs, torch.Tensor) or len(shape) != 2 or shape[0] != len(images):
        raise InputError(
            f"{name} returned {shape or type(outputs).__name__} for {len(images)} images; it must "
            "return one row of scores for each"
        )
    return outputs.float()


def _alike(one: torch.Tensor, other: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether outputs are equal, but for what rounding does; NaN is said where it is met."""
    import torch

    one, other = one.nan_to_num(), other.nan_to_num()
    spread = one.amax(1) - one.amin(1)
    rounding = _LAST_BITS * torch.finfo(dtype).eps * one.abs().amax(1)
    allowed = _TOLERANCE[str(dtype).removeprefix("torch.")] * spread + rounding
    return bool(((one - other).abs().amax(1) <= allowed).all())
