"""Looks into a ``.pt2`` file before torch does: loading one that was made to harm runs its code.

``torch.export.load`` unpickles what the archive says is pickled, evaluates the text of symbolic
sizes, writes the names of nodes into Python source, and resolves the names of operators anywhere
below ``torch``. What an image classifier exports needs none of that freedom, so only names,
arithmetic and operators of ``aten`` are let through. The archive must be one of torch ≥ 2.9.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import IO, Any

from auditor.errors import InputError

__all__ = ["vetted"]

_MODEL = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_FILES = re.compile(
    r"(models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)|"
    r"data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt|"
    r"extra/.*|archive_format|archive_version|byteorder|\.data/\w+|\.format_version|"
    r"\.storage_alignment|version)"
)
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.(?!from_file)\w+\.\w+|torch\.ops\.higher_order\.wrap_with_\w+|"
    r"_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_)|"
    r"torch\.sym_\w+|math\.(ceil|floor|trunc|sqrt)"
)
_TEXT = re.compile(r"[\w.+\-:, /]*")
_SYMBOLS = re.compile(r"'[a-z]+\d+'")
_WORDS = re.compile(
    r"(Symbol|Integer|Rational|Float|Add|Mul|Pow|Mod|PythonMod|ModularIndexing|FloorDiv|CleanDiv|"
    r"CeilDiv|IntTrueDiv|FloatTrueDiv|PowByNatural|CeilToInt|FloorToInt|TruncToInt|ToFloat|Max|Min|"
    r"Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|"
    r"And|Or|Not|Where|positive|nonnegative|integer|real|precision|True|False|[su]\d+)?"
)
_ARITHMETIC = re.compile(r"[\w\s+\-*/%(),.=<>&|~]*")
_TREES = re.compile(r'"type": (?!null|"builtins\.|"collections\.OrderedDict")')


def vetted(path: Path) -> IO[bytes]:
    """Return an archive, in memory, of what was looked at in a file and nothing else.

    It is written anew because two readers of one ZIP file may see different contents in it.

    Raises
    ------
    InputError
        It is no such archive, or holds what could run code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = {short: archive.read(name) for short, name in _names(path, archive).items()}
        for config in _CONFIGS:
            _vet_payload(path, json.loads(files[config]))
        _vet_samples(path, files[_SAMPLES])
        _vet_values(path, json.loads(files[_MODEL]), "")
    except FileNotFoundError:
        raise InputError(f"{path}: no such model file") from None
    except (zipfile.BadZipFile, ValueError, OSError, KeyError) as error:
        raise InputError(
            f"{path} is not a whole .pt2 file of torch.export.save, or one of torch before 2.9: "
            f"{error}; export it again"
        ) from error
    return _written(files)


def _written(files: dict[str, bytes]) -> IO[bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"model/{name}", content)
    stream.seek(0)
    return stream


def _names(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the archive's files by their names below its one folder."""
    listed = archive.namelist()
    tops = {name.partition("/")[0] for name in listed}
    files = {name.partition("/")[2]: name for name in listed}
    if len(tops) != 1 or len(files) != len(listed):
        raise ValueError("it does not hold one folder with each file once")
    for name in files:
        if not _FILES.fullmatch(name):
            raise _refused(path, f"the file {name}")
    return files


def _vet_payload(path: Path, config: dict[str, Any]) -> None:
    for name, payload in config["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise _refused(path, f"{name} as a pickled object")


def _vet_samples(path: Path, data: bytes) -> None:
    import torch

    try:
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception:  # torch.export.load would go on to unpickle it
        raise _refused(path, "example inputs that are not plain tensors") from None


def _vet_values(path: Path, value: Any, key: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not _TEXT.fullmatch(name):
                raise _refused(path, f'the name "{name}"')
            if name not in ("metadata", "guards_code"):  # kept as text, and not looked at by us
                _vet_values(path, inner, name)
    elif isinstance(value, list):
        for inner in value:
            _vet_values(path, inner, key)
    elif isinstance(value, str):
        _vet_text(path, value, key)


def _vet_text(path: Path, text: str, key: str) -> None:
    if key == "target":
        if not _OPERATOR.fullmatch(text):
            raise _refused(path, f"the operator {text}")
    elif key == "expr_str":
        if not _is_arithmetic(text):
            raise _refused(path, f"the size {text}")
    elif key in ("in_spec", "out_spec"):
        if _TREES.search(text) or "__enum__" in text:
            raise _refused(path, "inputs or outputs of types of its own")
    elif not _TEXT.fullmatch(text):
        raise _refused(path, f'the text "{text}"')


def _is_arithmetic(text: str) -> bool:
    bare = _SYMBOLS.sub("s0", text)
    words = re.findall(r"[^\W\d]\w*", bare)
    return bool(_ARITHMETIC.fullmatch(bare)) and all(_WORDS.fullmatch(word) for word in words)


def _refused(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} was not loaded: it holds {what}, and loading that could run code. Export the "
        "model in evaluation mode with torch.export.save, or give its weights as a checkpoint."
    )
