"""What many tests share: tables, image folders, tiny models, plug-ins and audits of them."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

import auditor
from auditor.evidence.confusion import Confusion
from auditor.evidence.predictions import Predictions
from auditor.record import Audit

settings.register_profile("auditor", deadline=None, max_examples=60)
settings.load_profile("auditor")

Matrix = Mapping[str, Mapping[str, int]]

COLOURS = ((200, 40, 40), (40, 40, 200), (40, 200, 40))
BY_COLOUR = """
import torch
from torch import nn


class ByColour(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.mix = nn.Linear(3, classes)
        order = torch.tensor([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
        self.mix.weight.data = 9 * order[:classes]
        self.mix.bias.data.zero_()

    def forward(self, x):
        return self.mix(x.mean(dim=(2, 3)))


def two():
    return ByColour(2)


def three():
    return ByColour(3)
"""
COUNTED = """
from pathlib import Path


class Counted(ByColour):
    def forward(self, x):
        one, other = x[: len(x) // 2], x[len(x) // 2 :]
        # a batch, neither the probe that counts the outputs nor the one with negatives
        if len(x) > 1 and not torch.equal(one, -other):
            with Path(__file__).with_name("looked").open("a") as stream:
                stream.write(len(x) * "x")
        return super().forward(x)


def counted():
    return Counted(2)
"""
EXAMPLE_TOML = """
[candidate]
model = "tf_efficientnet_b0"
checkpoint = "runs/best.safetensors"
classes = "classes.txt"

[data]
train = "data/train"
test = "data/test"

[predictions]
test = "predictions.csv"

[policy]
preset = "sign-off"

[checks.rare-class-recall]
level = "block"
min_recall = 0.90
classes = ["fraud"]

[[waivers]]
check = "split-overlap"
subject = "test/0412.jpg"
reason = "stock background, agreed with data team"
owner = "vision-team"
expires = 2027-01-31

[output]
directory = "audit"
formats = ["html", "junit", "markdown"]
"""
_SERIAL = itertools.count()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the project."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def predictions() -> Callable[..., Predictions]:
    """Predictions from a table of label → predicted → images."""

    def make(matrix: Matrix, classes: Sequence[str] | None = None) -> Predictions:
        pairs = [(a, b) for a, row in matrix.items() for b, n in row.items() for _ in range(n)]
        label, predicted = [a for a, _ in pairs], [b for _, b in pairs]
        return Predictions.of(label, predicted, classes=classes)

    return make


@pytest.fixture(scope="session")
def confusion(predictions: Callable[..., Predictions]) -> Callable[..., Confusion]:
    """A confusion matrix from a table of label → predicted → images."""

    def make(matrix: Matrix, classes: Sequence[str] | None = None) -> Confusion:
        return Confusion.of(predictions(matrix, classes))

    return make


@pytest.fixture(scope="session")
def old_audit() -> Audit:
    """The record of a baseline called ``old``, without checks and exhibits."""
    fields = ("auditor", "created", "repeat", "config", "config_digest", "python", "platform")
    return Audit.model_validate(
        {
            "verdict": "accepted",
            "summary": "",
            "candidate": {"name": "old"},
            "data": {
                "classes": ["a", "b"],
                "class_order": "",
                "test": {"source": "", "images": 1, "predicted": 1},
            },
            "policy": {"preset": "sign-off", "inconclusive": ""},
            "checks": [],
            "provenance": dict.fromkeys(fields, ""),
        }
    )


@pytest.fixture(scope="session")
def example_toml() -> str:
    """An ``auditor.toml`` with a key of every kind."""
    return EXAMPLE_TOML


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a text file below the test's folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def saved(write: Callable[[str, str], Path]) -> Callable[..., Path]:
    """Write saved predictions from a table of label → predicted → images."""

    def make(matrix: Matrix, name: str = "predictions.csv") -> Path:
        cells = [(a, b, k) for a, row in matrix.items() for b, n in row.items() for k in range(n)]
        lines = [f"{a}-{b}-{k:05},{a},{b}" for a, b, k in cells]
        return write(name, "\n".join(["image,label,predicted", *lines]) + "\n")

    return make


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of small pictures; the class's place decides their colour."""

    def make(name: str, classes: Mapping[str, int], *, seed: int = 0, suffix: str = ".png") -> Path:
        random = np.random.default_rng([seed, *name.encode()])
        for place, (label, n) in enumerate(classes.items()):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for k in range(n):
                noise = random.integers(-40, 40, (16, 16, 3)) + COLOURS[place % 3]
                picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
                picture.save(folder / f"{k:04}{suffix}")
        return tmp_path / name

    return make


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a module with models by colour and what a test adds; return its name."""

    def make(source: str = "", *, by_colour: bool = True) -> str:
        name = f"written_by_a_test_{next(_SERIAL)}"
        folder = tmp_path / "modules"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(BY_COLOUR * by_colour + source, encoding="utf-8")
        monkeypatch.syspath_prepend(folder)
        return name

    return make


@pytest.fixture
def counted(module: Callable[..., str]) -> str:
    """A model by colour that counts the images it sees, as ``module:function``."""
    return f"{module(COUNTED)}:counted"


@pytest.fixture
def looked(tmp_path: Path) -> Callable[[], int]:
    """Tell how many images the model of ``counted`` saw since this was last asked."""
    log = tmp_path / "modules" / "looked"

    def looked() -> int:
        seen = log.stat().st_size if log.exists() else 0
        log.unlink(missing_ok=True)
        return seen

    return looked


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let a package have another version, as after an upgrade."""
    installed, version = dict[str, str](), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: installed.get(name) or version(name)
    )
    return installed.__setitem__


@pytest.fixture
def plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Callable[..., str]
) -> Callable[..., str]:
    """Install a module with entry points, as pip would; ``{}`` stands for the module's name."""

    def make(source: str, **groups: Mapping[str, str]) -> str:
        name = module(source, by_colour=False)
        info = tmp_path / "modules" / f"{name}-1.0.dist-info"
        info.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"]
        (info / "METADATA").write_text("".join(lines), encoding="utf-8")
        sections = [
            f"[auditor.{group}]\n"
            + "".join(f"{k} = {v.format(name)}\n" for k, v in entries.items())
            for group, entries in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(sections), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path / "modules")
        return name

    return make


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Audit]:
    """Audit, with its output in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def run(config: Path | None = None, **tables: Any) -> Audit:
        if config is None:
            tables.setdefault("output", {"directory": tmp_path / "out"})
        return auditor.audit(config, **tables)

    return run
