"""Whether a model's answer to an image depends on that image alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from auditor.engine.memory import out_of_memory, release, too_small
from auditor.engine.precision import reproducible
from auditor.errors import InputError, first_line
from auditor.models.content import digest_buffers

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["require_steady"]

Model = Callable[["torch.Tensor"], object]

_TOLERANCE = {"float32": 0.02, "float16": 0.2, "bfloat16": 0.2}
"""Largest change of a logit as a share of the spread of its image's. Other kernels, for batches of
another size, change less; a batch's own statistics and dropout change more, and so does what ONNX
Runtime quantises by the range of all images in a batch (2–40% of the spread)."""
_DRAWN = 8
"""Images of noise, again and again: to draw as many as a batch has took longer than to run it."""
_REPEATS = 3
"""How often what seems to depend on its batch is run anew: what is random may be alike for once."""
_LAST_BITS = 16
"""Last bits of the largest logit, by which equal ones may differ besides."""


class _Seen(NamedTuple):
    """Two runs of the same images in one company, and between them one in another."""

    first: torch.Tensor
    other: torch.Tensor
    again: torch.Tensor
    changed: tuple[str, ...]
    """Buffers that the last run left otherwise than the first. One that is filled once, or made
    anew for each size of batch, is not among them."""


def require_steady(
    model: Model,
    images: torch.Tensor,
    name: str,
    *,
    batches: bool,
    filled: int = 0,
    keeps: nn.Module | None = None,
) -> None:
    """Refuse a model whose outputs are random, or depend on what it is shown besides the image.

    It is run twice on the same few images and their negatives, and once on each of them alone. A
    split often begins with images of one class, on which all answers are alike; negatives are not.
    Where all batches are filled up to one size, so are these, twice alike and once otherwise:
    another size would be planned for anew, which takes a GPU as long as thousands of images.
    Where memory runs out they are not filled up, and at last one image and one negative do.

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
    keeps
        What the model's buffers are in, where it has any.

    Raises
    ------
    InputError
        The outputs are random, depend on the batch, or are not one row for each image; the model
        changes its buffers; or memory runs out so early that it cannot be seen.
    """
    import torch

    both = torch.cat([images, -images])
    few = both[[0, -1]]
    tries = [(both, filled), (both, 0), (few, 0)] if filled else [(both, 0), (few, 0)]
    for some, size in tries:
        try:
            with torch.inference_mode(), reproducible():
                look = partial(_seen, model, some, name, batches, size, keeps)
                found = _looks(look, images.dtype)
        except InputError:
            raise
        except Exception as error:  # foreign code
            ran_out, said = out_of_memory(error), first_line(error)
        else:
            _require_alike(found, images.dtype, name)
            return
        release(images.device)  # here, for the error's traceback held what the pass had allocated
    if ran_out:  # anything else fails again in the pass, which says on which images
        raise _unseen(few, name, said, batches)


def _looks(look: Callable[[], _Seen], dtype: torch.dtype) -> list[_Seen]:
    """Look once, and again where the company mattered: what is random may look so, too."""
    seen = look()
    alike = _alike(seen.first, seen.other, dtype)
    return [seen, *(look() for _ in range(0 if alike else _REPEATS))]


def _unseen(images: torch.Tensor, name: str, said: str, batches: bool) -> InputError:
    many = f"{len(images)} images at once" if batches else "one image"
    alone = "; or say [engine] batch_size = 1, if it may see each image alone" if batches else ""
    error = too_small(images.device, many, images.shape[1:], said, alone)
    return InputError(f"{name}: nothing shows that its outputs can be repeated: {error}")


def _require_alike(found: Sequence[_Seen], dtype: torch.dtype, name: str) -> None:
    first, other, _, changed = found[0]
    if changed:
        raise InputError(
            f"{name}: the model changes its buffer {changed[0]} while it answers, so that an "
            "answer depends on the images before; export it in evaluation mode, and change no "
            "buffer in it"
        )
    if not _repeated(found, dtype):
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


def _repeated(found: Sequence[_Seen], dtype: torch.dtype) -> bool:
    """Tell whether the same images in the same company always got the same."""
    first, other, *_ = found[0]
    same = (_alike(first, each, dtype) for seen in found for each in (seen.first, seen.again))
    return all(same) and all(_alike(other, seen.other, dtype) for seen in found)


def _seen(
    model: Model,
    images: torch.Tensor,
    name: str,
    batches: bool,
    filled: int,
    keeps: nn.Module | None,
) -> _Seen:
    fits = batches and filled >= len(images) + 2  # one before them, one behind
    runs = _filled(model, images, filled, name) if fits else _unfilled(model, images, name, batches)
    first, before = next(runs), _buffers(keeps)
    other, again = runs
    after = _buffers(keeps)
    return _Seen(first, other, again, tuple(n for n in after if after[n] != before.get(n)))


def _buffers(keeps: nn.Module | None) -> dict[str, str]:
    return {} if keeps is None else digest_buffers(keeps)


def _filled(model: Model, images: torch.Tensor, size: int, name: str) -> Iterator[torch.Tensor]:
    """Yield outputs for the images in the middle of a batch: of black, of noise, of black.

    There is one batch, for a device may have no room for a second.
    """
    import torch

    noise = torch.randn(_DRAWN, *images.shape[1:], generator=torch.Generator().manual_seed(0))
    batch, noise = images.new_empty(size, *images.shape[1:]), noise.to(images)
    before = (size - len(images)) // 2
    middle = slice(before, before + len(images))
    for noisy in (False, True, False):
        for i in range(_DRAWN):
            batch[i::_DRAWN] = noise[i] if noisy else 0
        batch[middle] = images
        yield _rows(model, batch, name)[middle].clone()  # it may be a part of what it was given


def _unfilled(
    model: Model, images: torch.Tensor, name: str, batches: bool
) -> Iterator[torch.Tensor]:
    """Yield outputs for the images together, each alone, and together again."""
    run = _rows if batches else _each
    yield run(model, images, name)
    yield _each(model, images, name)
    yield run(model, images, name)


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
