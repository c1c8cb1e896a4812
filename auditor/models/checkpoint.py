"""Reading a checkpoint file without running anything that is in it."""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import InputError
from auditor.models.fitting import counts_updates, is_dense_fraction, wrapper_prefix
from auditor.models.identity import refuse_pointer
from auditor.models.labels import find_class_names
from auditor.models.single_file import MODEL_FILES
from auditor.wording import plural

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Checkpoint", "read_checkpoint"]

# Averaged weights are what was validated. timm's keys come first, in its order of preference
# (timm.models.load_state_dict); then those of torch's tutorials, BasicSR and others.
_EMA_KEYS = ("state_dict_ema", "model_ema", "params_ema")
_STATE_KEYS = (*_EMA_KEYS, "state_dict", "model", "model_state_dict", "params", "net", "weights")

_SHOWN = 5


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Parameters
    ----------
    state
        Parameter and buffer name → tensor, on the CPU, in the type it was stored in. The names are
        those within any wrapper.
    key
        Entry of the file the weights came from, None where the file is the weights.
    arch
        Architecture that the file names, in timm's words, if any.
    args
        Training arguments by name; empty where the file has none.
    classes
        Class names in output order, if the file has them.
    notes
        What a reviewer must know about how the file was read.
    prefix
        What a wrapper, such as DataParallel, had put before every name.
    """

    state: dict[str, Tensor]
    key: str | None
    arch: str | None
    args: Mapping[str, object]
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]
    prefix: str = ""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a ``.safetensors`` file or one that ``torch.save`` wrote.

    Raises
    ------
    InputError
        The file is missing, empty, truncated, no checkpoint, or would have to run code to load.
    """
    _require_file(path)
    if _is_safetensors(path):
        return _checkpoint(path, *_read_safetensors(path))
    content = _read_torch(path)
    return _checkpoint(path, content, content)


def _require_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"Checkpoint {path} does not exist.")
    if not path.is_file():
        raise InputError(f"Checkpoint {path} is a folder; name the file in it.")
    if path.suffix.lower() in MODEL_FILES:
        raise InputError(f"{path} is a whole model; give it as model, not as checkpoint.")
    if path.stat().st_size == 0:
        raise InputError(f"Checkpoint {path} is empty; was its copy interrupted?")
    refuse_pointer(path)


def _is_safetensors(path: Path) -> bool:
    """Tell whether a file is called so, or begins as one: after eight bytes, with its header."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".safetensors" or file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}.") from error
    facts = {name: _decode(text) for name, text in header.items()}
    return tensors, {"args": facts, **facts}  # a header is flat: arguments stand beside the rest


def _decode(text: str) -> object:
    # A safetensors header holds nothing but text; lists and numbers travel in it as JSON.
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _read_torch(path: Path) -> Mapping[str, object]:
    import torch

    try:
        # Namespace is how timm stores its training arguments; it holds values and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            warnings.filterwarnings("ignore", ".*looks like a TorchScript archive")
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on bytes that are no pickle the unpickler raises anything
        raise InputError(_refusal(path, error)) from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not weights by name.")
    return content


def _refusal(path: Path, error: Exception) -> str:
    if refused := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"{path} was not loaded: it holds {refused[1]}, and loading that could run code. "
            "Save model.state_dict() alone, or a safetensors file."
        )
    if "TorchScript" in str(error):
        return (
            f"{path} is a TorchScript archive, code and weights together. Save model.state_dict() "
            "alone, or name a function as module that returns torch.jit.load(…)."
        )
    cause = "truncated or damaged" if isinstance(error, (RuntimeError, OSError, EOFError)) else ""
    return f"{path} is not a checkpoint that torch can load{cause and f'; it may be {cause}'}."


def _checkpoint(
    path: Path, content: Mapping[str, object], facts: Mapping[str, object]
) -> Checkpoint:
    key = next((key for key in _STATE_KEYS if _holds_tensors(content.get(key))), None)
    chosen = content[key] if key else content
    assert isinstance(chosen, Mapping)
    tensors = _tensors(path, chosen)
    prefix = wrapper_prefix(tensors)
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    args = _training_arguments(facts)
    return Checkpoint(
        state=state,
        key=key,
        arch=_first_text(facts.get("arch"), facts.get("architecture"), args.get("model")),
        args=args,
        classes=find_class_names(facts, args),
        notes=(*_key_note(key, content, state), *_value_notes(state)),
        prefix=prefix,
    )


def _tensors(path: Path, mapping: Mapping[str, object]) -> dict[str, Tensor]:
    from torch import Tensor

    state = {
        name: value
        for name, value in mapping.items()
        if isinstance(value, Tensor) and not counts_updates(_text(path, name))
    }
    if bare := next((name for name, value in state.items() if value.is_meta), None):
        raise InputError(
            f"{path}: {bare} has a shape and no numbers (torch's meta device); save the model "
            "once its weights are loaded."
        )
    if not state:
        raise InputError(_no_weights(path, mapping))
    return state


def _no_weights(path: Path, mapping: Mapping[str, object]) -> str:
    if deeper := [f'"{name}"' for name, names in _states(mapping) if names]:
        return f"{path}: its weights are under {' or '.join(deeper[:_SHOWN])}; save those alone."
    keys = ", ".join(map(str, list(mapping)[:_SHOWN])) or "nothing"
    return f"{path} holds no weights; it holds {keys}."


def _text(path: Path, name: object) -> str:
    if not isinstance(name, str):
        raise InputError(
            f"{path} calls a weight {name!r}, which is no text; save model.state_dict()."
        )
    return name


def _training_arguments(facts: Mapping[str, object]) -> Mapping[str, object]:
    args = facts.get("args")
    if isinstance(args, argparse.Namespace):
        return vars(args)
    return args if isinstance(args, Mapping) else {}


def _first_text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _holds_tensors(value: object) -> bool:
    from torch import Tensor

    return isinstance(value, Mapping) and any(isinstance(each, Tensor) for each in value.values())


def _key_note(
    key: str | None, content: Mapping[str, object], state: Mapping[str, object]
) -> tuple[str, ...]:
    """Say which weights of several are audited; optimizers and such hold none of these names."""
    others = [name for name, names in _states(content) if name != key and names == {*state}]
    empty = [name for name in _STATE_KEYS if content.get(name) == {}]
    if key in _EMA_KEYS and others:
        return (f"The averaged weights ({key}) are audited; the file also holds {others[0]}.",)
    if others:
        where = f"in {key}" if key else "at the file's top"
        also = f"the file also holds {', '.join(others)}, other weights of the same model"
        return (f"The weights {where} are audited; {also}.",)
    return (f"The file's {empty[0]} is empty; {key} is audited.",) if key and empty else ()


def _states(content: Mapping[str, object]) -> Iterator[tuple[str, set[str]]]:
    """Yield where in a file weights may be, and their names within any wrapper."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield key, _weight_names(value)
            within = ((name, each) for name, each in value.items() if isinstance(each, Mapping))
            yield from ((f"{key}.{name}", _weight_names(each)) for name, each in within)


def _weight_names(mapping: Mapping[object, object]) -> set[str]:
    from torch import Tensor

    tensors = [name for name, value in mapping.items() if isinstance(value, Tensor)]
    names = [name for name in tensors if isinstance(name, str) and not counts_updates(name)]
    prefix = wrapper_prefix(names)
    return {name.removeprefix(prefix) for name in names}


def _value_notes(state: dict[str, Tensor]) -> tuple[str, ...]:
    floating = {name: t for name, t in state.items() if is_dense_fraction(t)}
    # as they will be audited; types of eight bits cannot be asked themselves
    broken = [name for name, tensor in floating.items() if not tensor.float().isfinite().all()]
    narrow = sorted({str(t.dtype).removeprefix("torch.") for t in floating.values()} - {"float32"})
    notes = []
    if broken:
        hold = "holds" if len(broken) == 1 else "hold"
        notes.append(
            f"{plural(len(broken), 'weight')} {hold} NaN or infinity, the first {broken[0]}."
        )
    if narrow:
        notes.append(f"Weights are stored as {', '.join(narrow)} and are audited as float32.")
    return tuple(notes)
