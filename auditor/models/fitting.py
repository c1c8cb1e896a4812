"""Putting a checkpoint's weights into a model, or saying exactly why they do not belong there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from auditor.errors import InputError, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["count_outputs", "counts_updates", "fit_weights", "is_dense_fraction", "wrapper_prefix"]

_SHOWN = 3
_UPDATES = "n_averaged"
_COUNTERS = ("num_batches_tracked", _UPDATES)  # absent from some files, unused in evaluation
_RESHAPED = "of another shape"
_POSITIONS = ("pos_embed", "relative_position")  # made for one size of image
_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel, torch.compile


def fit_weights(
    model: nn.Module, state: Mapping[str, Tensor], file: str, architecture: str, prefix: str = ""
) -> tuple[str, ...]:
    """Load every weight of a state dict into a model, whatever either of them is wrapped in.

    Parameters
    ----------
    model
        Changed in place.
    state
        Name → tensor, as `auditor.models.checkpoint.read_checkpoint` returns it.
    file, architecture
        What the message calls the two.
    prefix
        What was taken off the names in the file.

    Returns
    -------
    tuple of str
        What a reviewer must know of it.

    Raises
    ------
    InputError
        A weight is missing, left over, or of another shape or type: nothing is loaded in part. Or
        the model keeps a state that is no tensor.
    """
    _refuse_other_states(model, file, architecture)
    own = wrapper_prefix(model.state_dict())
    state = {own + name: value for name, value in state.items()}
    misfits = _misfits(model, state)
    if misfits:
        raise InputError(
            f"{file} does not fit {architecture}: {', '.join(misfits)}. {_advice(model, state)}"
        )
    if unlike := _unlike(model, state):
        raise InputError(
            f"{file} does not fit {architecture}: {_count('of another type', unlike)}. "
            "Save the weights as dense tensors of numbers with a fraction."
        )
    model.load_state_dict(state, strict=False)  # all that may be missing now is a counter
    note = f'The wrapper prefix "{prefix}" was taken off the names of the weights.'
    return (note,) if prefix and not own else ()


def _refuse_other_states(model: nn.Module, file: str, architecture: str) -> None:
    """Refuse what ``get_extra_state`` and packed weights keep: of a file the tensors are read."""
    from torch import Tensor

    if kept := [n for n, value in model.state_dict().items() if not isinstance(value, Tensor)]:
        raise InputError(
            f"{architecture} keeps a state that is no tensor ({', '.join(kept[:_SHOWN])}), which "
            f"is not read from {file}. Load the file in a function of yours, name that as module, "
            "and leave checkpoint out."
        )


def wrapper_prefix(names: Iterable[str]) -> str:
    """Return what wrappers put before every name, such as ``module._orig_mod.``; often nothing."""
    named, prefix = [name for name in names if not counts_updates(name)], ""
    # Only what every name has comes from a wrapper; they may be nested either way.
    while named and (outer := next((w for w in _WRAPPERS if _all_begin(named, prefix + w)), "")):
        prefix += outer
    return prefix


def counts_updates(name: str) -> bool:
    """Return whether torch's AveragedModel counts its updates there; that is no weight."""
    return name.rpartition(".")[2] == _UPDATES


def _all_begin(names: Sequence[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)


def count_outputs(model: nn.Module, input_size: tuple[int, int, int]) -> int:
    """Return how many numbers the model gives for an image, by showing it a black one.

    Parameters
    ----------
    model
        In evaluation mode, on the CPU.
    input_size
        Channels, height, width.

    Raises
    ------
    InputError
        The model fails, or its output is not one row of class scores an image.
    """
    import torch

    shape = "×".join(map(str, input_size))
    try:
        with torch.inference_mode():
            output: object = model(torch.zeros(1, *input_size))
    except InputError:
        raise
    except Exception as error:  # the model may be the user's own code
        raise InputError(f"The model fails on an image of {shape}: {first_line(error)}") from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 1:
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(
            f"The model's output is {found} for one image, not (1, classes). Wrap it in a model "
            "that returns the logits alone, and name a function that returns that as module."
        )
    return output.shape[1]


def _misfits(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    wanted, unfitting = model.state_dict(), _unfitting(model, state)
    if not any(unfitting.values()):
        return []
    unfitting[_RESHAPED] = [
        f"{name} {_shape(state[name])} in the file and {_shape(wanted[name])} in the model"
        for name in unfitting[_RESHAPED]
    ]
    return [_count(kind, names) for kind, names in unfitting.items()]


def _unfitting(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return the names of what does not fit, by kind."""
    wanted = model.state_dict()
    both = [name for name in wanted if name in state]
    return {
        "missing": [n for n in wanted if n not in state and not n.endswith(_COUNTERS)],
        "unexpected": [name for name in state if name not in wanted],
        _RESHAPED: [name for name in both if state[name].shape != wanted[name].shape],
    }


def _advice(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Return the next step: another architecture or size, or no more of what a trainer put around.

    Where few weights do not fit it may be the right one, saved in part or with more. Positions are
    all that depends on the size of the images.
    """
    wanted = [name for name in model.state_dict() if not name.endswith(_COUNTERS)]
    first = f".{next(iter(wanted), '')}"
    for outer in [name.removesuffix(first) + "." for name in state if name.endswith(first)]:
        if all(outer + name in state for name in wanted):
            return f'All of its weights are there, as "{outer}…": save them without that.'
    unfitting = _unfitting(model, state)
    positions = [name for name in unfitting[_RESHAPED] if _is_position(name)]
    if len(positions) == sum(map(len, unfitting.values())):
        return "Give input_size, the side in pixels that it was trained on."
    trained = "Name the architecture that it was trained with"
    if unfitting[_RESHAPED] or sum(map(len, unfitting.values())) > _SHOWN:
        return f"{trained}."
    steps = {"missing": "with what is missing", "unexpected": "without what is unexpected"}
    how = " and ".join(step for kind, step in steps.items() if unfitting[kind])
    return f"{trained}; if that is this one, save its weights {how}."


def _is_position(name: str) -> bool:
    return name.rpartition(".")[2].startswith(_POSITIONS)


def _unlike(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Return the weights that are no dense numbers with a fraction, where the model has such.

    Quantised ones would be taken without their scales, complex ones without their imaginary parts.
    """
    return [
        f"{name} {_type(state[name])} in the file and {_type(value)} in the model"
        for name, value in model.state_dict().items()
        if name in state and value.is_floating_point() and not is_dense_fraction(state[name])
    ]


def is_dense_fraction(tensor: Tensor) -> bool:
    """Return whether a tensor holds numbers with a fraction, one after the other."""
    import torch

    return tensor.is_floating_point() and tensor.layout is torch.strided


def _type(tensor: Tensor) -> str:
    dtype, layout = (str(each).removeprefix("torch.") for each in (tensor.dtype, tensor.layout))
    return dtype if layout == "strided" else f"{dtype} ({layout})"


def _count(kind: str, names: Sequence[str]) -> str:
    shown = "; ".join(names[:_SHOWN]) + ("; …" if len(names) > _SHOWN else "")
    noun = "key" if len(names) == 1 else "keys"
    return f"{len(names)} {noun} {kind}" + (f" ({shown})" if names else "")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"
