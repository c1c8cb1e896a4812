"""Pictures of more than eight bits: a model is shown what the loaders of its training show."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform

from auditor.evidence.predictions import Predictions
from auditor.record import Audit

SIDE = 16
BY_LIGHT = """
import torch
from torch import nn

class ByLight(nn.Module):
    def forward(self, x):
        light = x.mean(dim=(1, 2, 3))
        return torch.stack([light, -light], 1)

def by_light():
    return ByLight()
"""
NOTE = (
    "{n} of 24 test images are grey with more than 8 bits. The model was shown them as Pillow's "
    'convert("RGB") makes them, and so timm and torchvision: what is above 255 is cut off, nothing '
    "is scaled. A loader that scales them shows it other images."
)
Write = Callable[[Path, np.ndarray[Any, Any]], None]


def _sixteen_bits(path: Path, levels: np.ndarray[Any, Any]) -> None:
    Image.fromarray((levels * 65_535).astype(np.uint16)).save(path.with_suffix(".png"))


def _floats(path: Path, levels: np.ndarray[Any, Any]) -> None:
    Image.fromarray((levels * 300).astype(np.float32)).save(path.with_suffix(".tif"))


def _eight_bits(path: Path, levels: np.ndarray[Any, Any]) -> None:
    Image.fromarray((levels * 255).astype(np.uint8)).save(path.with_suffix(".png"))


def _folder(root: Path, write: Write) -> Path:
    """Write 12 light and 12 dark pictures, each of 24 × 24 pixels."""
    random = np.random.default_rng(0)
    for name, low in (("light", 0.7), ("dark", 0.1)):
        (root / name).mkdir(parents=True)
        for number in range(12):
            write(root / name / f"{number:02}", low + 0.2 * random.random((24, 24)))
    return root


def _tar(folder: Path) -> Path:
    path = folder.with_suffix(".tar")
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*.*")):
            tar.add(file, file.relative_to(folder).as_posix())
    return path


def _as_timm_shows(folder: Path, images: tuple[str, ...]) -> torch.Tensor:
    steps = create_transform(SIDE, mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
    shown = [steps(Image.open(folder / image).convert("RGB")) for image in images]
    light = torch.stack(shown).mean(dim=(1, 2, 3))
    return torch.stack([light, -light], 1).softmax(1)


@pytest.mark.parametrize("preprocessing", ["reference", "fast"])
@pytest.mark.parametrize("held", ["folder", "tar"])
@pytest.mark.parametrize(
    ("write", "n"),
    [(_sixteen_bits, 24), (_floats, 24), (_eight_bits, 0)],
    ids=["16 bits", "floats", "8 bits"],
)
def test_a_model_is_shown_what_timms_loader_shows(
    run: Callable[..., Audit],
    module: Callable[..., str],
    tmp_path: Path,
    preprocessing: str,
    held: str,
    write: Write,
    n: int,
) -> None:
    folder = _folder(tmp_path / "test", write)
    audit = run(
        candidate={
            "module": f"{module(BY_LIGHT)}:by_light",
            "input_size": SIDE,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "classes": ["light", "dark"],
        },
        data={"test": folder if held == "folder" else _tar(folder)},
        engine={"preprocessing": preprocessing, "device": "cpu"},
    )
    found = Predictions.from_table(pq.read_table(tmp_path / "out/evidence/test.parquet"))
    assert found.probabilities is not None
    expected = _as_timm_shows(folder, found.images).numpy()
    np.testing.assert_allclose(found.probabilities, expected, atol=0.01)
    told = [note for note in audit.candidate.notes if "more than 8 bits" in note]
    assert told == ([NOTE.format(n=n)] if n else [])
