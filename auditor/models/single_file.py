"""Candidates that are one file, graph and weights together: ``.onnx`` and ``.pt2``."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.models.identity import digest_facts, digest_file, installed_version, refuse_pointer

if TYPE_CHECKING:
    from auditor.models.candidate import CandidateSpec
    from auditor.models.graph import GraphModel
    from auditor.models.preprocessing import Preprocessing

__all__ = [
    "MODEL_FILES",
    "identity_of",
    "open_whole",
    "preprocessing_of",
    "size_of",
    "weights_digest",
]

MODEL_FILES = (".onnx", ".pt2")
"""How the files are called that hold a whole model."""


def open_whole(path: Path) -> GraphModel:
    """Load the file.

    Raises
    ------
    InputError
        It cannot be run; the message names the file and the next step.
    """
    refuse_pointer(path)
    if path.suffix.lower() == ".onnx":
        from auditor.models.onnx import load_onnx

        return load_onnx(path)
    from auditor.models.exported import load_exported

    return load_exported(path)


def preprocessing_of(
    model: GraphModel, spec: CandidateSpec, overrides: dict[str, Any]
) -> Preprocessing:
    """Settle how images are prepared.

    A graph fixes the size at most; the rest is what the user says, else ImageNet's defaults.
    """
    from auditor.models import preprocessing

    size = model.taken.size(spec.input_size, model.file)
    steps = preprocessing.resolve(model, {}, overrides | {"input_size": size})
    if size is None or spec.input_size is not None:
        return steps
    names = ("mean", "std", "interpolation", "crop_pct", "crop_mode")
    given = [name for name in names if overrides.get(name)]
    said = f"{', '.join(given)} as given; " if given else ""
    source = f"size from {model.file}; {said}the rest assumed: ImageNet's defaults"
    return replace(steps, source=source)


def identity_of(path: Path) -> str:
    """Return the SHA-256, in hex, of all bytes of the model and what runs them."""
    facts: dict[str, object] = {"files": [digest_file(file) for file in _files(path)]}
    if path.suffix.lower() == ".onnx":
        facts["onnxruntime"] = installed_version("onnxruntime")
    return digest_facts(facts)


def weights_digest(path: Path) -> str:
    """Return the file's SHA-256, in hex; where weights lie beside it, that of all of their digests.

    Those are in hex, one a line, the file's first and the others in the order of their names.
    """
    first, *beside = map(digest_file, _files(path))
    lines = "".join(f"{digest}\n" for digest in (first, *beside))
    return hashlib.sha256(lines.encode()).hexdigest() if beside else first


def size_of(path: Path) -> int:
    """Return the bytes of the model on disk."""
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    """Return the file, and those beside it that hold its weights."""
    refuse_pointer(path)
    if path.suffix.lower() != ".onnx":
        return [path]
    from auditor.models.onnx import external_files

    return [path, *external_files(path)]
