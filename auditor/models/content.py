"""What a model is made of once it is loaded, where no one file says so: tensors, layers, source."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from auditor.errors import InputError
from auditor.models.identity import digest_facts
from auditor.models.imports import imported_names, is_own, require_as_found, with_packages

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["digest_buffers", "digest_content", "digest_tensors"]

_READ: WeakKeyDictionary[ModuleType, tuple[ModuleSpec | None, bytes]] = WeakKeyDictionary()
"""Module → the source that it was loaded from, and what it had loaded it, which a reload replaces.

It stays what it is where its file is edited afterwards.
"""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def digest_content(
    model: nn.Module,
    factory: str | None,
    imported: Iterable[str],
    for_others: Collection[str] = frozenset(),
) -> str:
    """Return the SHA-256, in hex, of what decides a loaded model's outputs; no path is in it.

    That is its tensors, how its layers describe themselves, the code of compiled ones, the files
    that define its classes, and every file of the user's own that the factory imports, directly or
    not. What a layer keeps in plain attributes and does not say of itself stays unseen.

    Parameters
    ----------
    model
        As it was loaded, before it is moved or cast.
    factory
        Name of the module whose function made it; None where timm did.
    imported
        Names of the modules that were imported while it was made.
    for_others
        Those that were imported for a model of another folder, and may not be meant here.

    Raises
    ------
    InputError
        The file of such a module is another than the one that this process runs, or one that was
        imported for others lies elsewhere.
    """
    return digest_facts(
        {
            "tensors": digest_tensors(model),
            "layers": _ADDRESS.sub("", repr(model)),
            "code": list(_code(model)),
            "sources": _sources(model, factory, imported, for_others),
        }
    )


def digest_tensors(model: nn.Module) -> str:
    """Return the SHA-256, in hex, of a model's tensors: names, types, shapes and bytes."""
    buffers = model.named_buffers(remove_duplicate=False)  # those that are not in state dicts, too
    state = model.state_dict() | dict(buffers)
    digest = hashlib.sha256()
    for name in sorted(state):
        for part in _parts(state[name]):
            digest.update(f"{name} ".encode())
            digest.update(part)
    return digest.hexdigest()


def digest_buffers(model: nn.Module) -> dict[str, str]:
    """Return the SHA-256, in hex, of each buffer that the model's answers may depend on.

    Statistics that a normalisation gathers while it trains are none of these: it reads them only
    in evaluation.
    """
    from torch.nn.modules.batchnorm import _NormBase

    gathering = {
        f"{name}.{own}".removeprefix(".")
        for name, module in model.named_modules()
        if isinstance(module, _NormBase) and module.training
        for own, _ in module.named_buffers(recurse=False)
    }
    return {
        name: hashlib.sha256(b"".join(_parts(value))).hexdigest()
        for name, value in model.named_buffers()
        if name not in gathering
    }


def _parts(value: object) -> Iterator[bytes]:
    """Yield what a state dict holds as bytes; packed weights are tensors in tuples."""
    from torch import Tensor

    if isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)} ".encode()
        yield _bytes_of(value)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _parts(each)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name).encode()
            yield from _parts(each)
    else:
        yield _ADDRESS.sub("", repr(value)).encode()


def _bytes_of(tensor: Tensor) -> bytes:
    import torch

    if tensor.is_meta:
        return b""
    dense = tensor.dequantize() if tensor.is_quantized else tensor.to_dense()
    flat = dense.detach().cpu().contiguous().reshape(-1)
    return flat.resolve_conj().resolve_neg().view(torch.uint8).numpy().tobytes()


def _code(model: nn.Module) -> Iterator[str]:
    """Yield the code of layers whose classes have no source file of their own."""
    from torch.fx import GraphModule
    from torch.jit import ScriptModule

    for name, module in model.named_modules():
        if isinstance(module, GraphModule | ScriptModule):
            yield f"{name} {getattr(module, 'code', '')}"


def _sources(
    model: nn.Module, factory: str | None, imported: Iterable[str], for_others: Collection[str]
) -> dict[str, str]:
    """Return module name → SHA-256 of the file that it was loaded from."""
    classes = {kind.__module__ for each in model.modules() for kind in type(each).__mro__}
    found = {name: _digest(sys.modules[name]) for name in classes if _has_file(name)}
    waiting = [*classes, *imported, *([factory] if factory else [])]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if _has_file(name) and is_own(name, factory, _file(name)):
            if name in for_others:
                require_as_found(name)
            found[name] = _digest(sys.modules[name])
            waiting += _imports(sys.modules[name])
    return found


def _has_file(name: str) -> bool:
    """Tell whether a module was loaded from a file; some only say a name that looks like one."""
    known = name.partition(".")[0] in sys.stdlib_module_names
    file = getattr(sys.modules.get(name), "__file__", None)
    return not known and bool(file) and Path(str(file)).is_absolute()


def _file(name: str) -> Path:
    return Path(str(sys.modules[name].__file__))


def _source(module: ModuleType) -> bytes:
    spec = module.__spec__
    known, source = _READ.get(module, (None, b""))
    if module not in _READ or known is not spec:
        source = _read(module)
        _READ[module] = spec, source
    return source


def _read(module: ModuleType) -> bytes:
    file = str(module.__file__)
    get_data = getattr(module.__loader__, "get_data", None)  # a module may lie in an archive
    try:
        return bytes(get_data(file)) if get_data else Path(file).read_bytes()
    except OSError:  # it is gone: next time it is another model
        return b""


def _digest(module: ModuleType) -> str:
    source = _source(module)
    if (now := _read(module)) and now != source:
        raise InputError(
            f"{module.__file__} was changed since this process imported it; restart the process"
        )
    return hashlib.sha256(source).hexdigest()


def _imports(module: ModuleType) -> Iterator[str]:
    yield from with_packages(module.__name__)
    yield from imported_names(_source(module), module.__package__ or "")
