"""Trains the demo's candidates: EfficientNets scaled down until two cores need only seconds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auditor.demo.digits import CLASSES

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from auditor.models.preprocessing import Preprocessing
    from auditor.progress import Progress

__all__ = ["CAREFUL", "CARELESS", "PHI", "Recipe", "train"]

PHI = -14
"""Compound coefficient: 224 · 1.15⁻¹⁴ is 32 pixels, the smallest input the network takes."""

_TRANSFORM_ARGS = {"crop_pct": 1.0}
"""As timm's training keeps them with the weights: digits fill their image to the edge."""
_TURN, _SHIFT, _ZOOM = pi / 18, 0.16, 0.1
"""Augmentation: at most 10°, 8% of the side (which is 2 long), 10%."""
_SMOOTHING = 0.1
"""Of the labels, where an author takes care."""


_BATCH = 32
_RATE = 1e-2
"""Peak of the learning rate, which rises for a fifth of the training and then falls to nothing."""


@dataclass(frozen=True)
class Recipe:
    """How an author trains; with care, classes are sampled alike, images and labels softened."""

    name: str
    careful: bool
    epochs: int
    seed: int = 0
    phi: float = PHI


CARELESS = Recipe("careless", careful=False, epochs=10)
CAREFUL = Recipe("careful", careful=True, epochs=15)


class _Split(NamedTuple):
    images: Tensor
    """Shape (n, 3, side, side)."""
    labels: Tensor
    """Shape (n,)."""


class _Epoch(NamedTuple):
    """A row of the training log, by timm's names; top-1 in percent."""

    epoch: int
    train_loss: float
    eval_loss: float
    eval_top1: float


def train(recipe: Recipe, data: Path, directory: Path, progress: Progress) -> None:
    """Train a candidate; write ``model.safetensors`` and ``summary.csv``.

    Parameters
    ----------
    recipe
        How to.
    data
        Where `auditor.demo.digits.write_digits` wrote.
    directory
        Where to write; it exists.
    progress
        Is told of every epoch.
    """
    import torch

    from auditor.models import preprocessing

    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(recipe.seed)
        model = _model(recipe.phi)
        steps = preprocessing.resolve(model, _TRANSFORM_ARGS, {})
        learnt = _read(data / recipe.name / "train", steps)
        held_out = _read(data / "validation", steps)
        with progress.stage(f"training {recipe.name}", recipe.epochs, unit="epochs") as advance:
            log = []
            for row in _epochs(recipe, model, learnt, held_out):
                log.append(row)
                advance(1)
    _save(model, directory / "model.safetensors")
    _write_log(log, directory / "summary.csv")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: on a network this small, several mostly wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _model(phi: float) -> nn.Module:
    import torch

    from auditor.models.device import choose_device
    from auditor.models.scaling import build_efficientnet, compound

    model = build_efficientnet(*compound(phi), len(CLASSES), dropout=0.0, drop_path=0.0)
    return model.to(choose_device("auto")).to(memory_format=torch.channels_last)


def _read(folder: Path, steps: Preprocessing) -> _Split:
    import torch
    from PIL import Image

    from auditor.data.folder import read_folder

    samples, transform = read_folder(folder), steps.transform()
    images = torch.stack([transform(Image.open(samples.path(image))) for image in samples.images])
    return _Split(images, torch.tensor([CLASSES.index(label) for label in samples.labels]))


def _epochs(recipe: Recipe, model: nn.Module, learnt: _Split, held_out: _Split) -> Iterator[_Epoch]:
    import torch

    steps = len(learnt.labels) // _BATCH
    optimizer = torch.optim.AdamW(model.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=steps * recipe.epochs, pct_start=0.2
    )
    for epoch in range(recipe.epochs):
        order = _order(recipe, learnt.labels)[: steps * _BATCH]
        total = 0.0
        for rows in order.view(steps, _BATCH):
            images = _augmented(learnt.images[rows]) if recipe.careful else learnt.images[rows]
            batch = _Split(images, learnt.labels[rows])
            total += _step(model, optimizer, batch, _SMOOTHING if recipe.careful else 0.0)
            schedule.step()
        yield _Epoch(epoch, total / steps, *_evaluate(model, held_out))


def _order(recipe: Recipe, labels: Tensor) -> Tensor:
    import torch

    if not recipe.careful:
        return torch.randperm(len(labels))
    weights = 1 / torch.bincount(labels).float()
    return torch.multinomial(weights[labels], len(labels), replacement=True)


def _augmented(images: Tensor) -> Tensor:
    """Turn, shift and zoom each image a little; on the CPU, where every kind of padding works."""
    import torch
    from torch.nn import functional

    turn, right, down, zoom = torch.empty(4, len(images)).uniform_(-1, 1)
    cosine, sine = (1 + _ZOOM * zoom) * torch.stack([(_TURN * turn).cos(), (_TURN * turn).sin()])
    rows = [cosine, -sine, _SHIFT * right, sine, cosine, _SHIFT * down]
    grid = functional.affine_grid(
        torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: _Split, smoothing: float
) -> float:
    model.train()
    loss, _ = _loss(model, batch, smoothing)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _evaluate(model: nn.Module, split: _Split) -> tuple[float, float]:
    import torch

    model.eval()
    with torch.inference_mode():
        loss, right = _loss(model, split)
    return float(loss), 100 * float(right)


def _loss(model: nn.Module, batch: _Split, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy and the share that is right."""
    import torch
    from torch.nn import functional

    device = next(model.parameters()).device
    images = batch.images.to(device, memory_format=torch.channels_last)
    labels = batch.labels.to(device)
    logits = model(images)
    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    return loss, (logits.argmax(1) == labels).float().mean()


def _save(model: nn.Module, path: Path) -> None:
    """Write the weights, and in the file's header what timm would keep beside them."""
    from safetensors.torch import save_file

    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    facts = {"classes": list(CLASSES), **_TRANSFORM_ARGS}
    save_file(state, path, {name: json.dumps(value) for name, value in facts.items()})


def _write_log(log: list[_Epoch], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_Epoch._fields)
        writer.writerows(log)
