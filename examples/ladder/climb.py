"""Trains three sizes of one EfficientNet on handwritten digits, and asks whether size pays.

Each size is a rung: a folder with its weights, its training log and its auditor.toml. What is there
already is not trained again, and evidence that was gathered is not gathered again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from auditor.cli import main as auditor
from auditor.demo.digits import write_digits
from auditor.demo.kept import edition, make_once
from auditor.demo.training import Recipe, train
from auditor.progress import Progress

PHIS = (-14, -12, -10)
"""Compound coefficients of EfficientNet; at 0 it is B0."""

CONFIG = """\
[candidate]
name = "φ = {named}"
model = "phi:{phi}"
checkpoint = "model.safetensors"
training_log = "summary.csv"

[data]
train = "../data/careful/train"
test = "../data/test"

[latency]  # has single images and batches timed
seconds = {seconds}
"""


def climb(directory: Path, phis: Sequence[int], epochs: int, seconds: float) -> int:
    """Train what is not there, then audit and compare; return the exit status of the ladder."""
    data = directory / "data"
    make_once(data, edition(), partial(write_digits, data))
    rungs = [directory / f"phi{phi}" for phi in phis]
    for phi, rung in zip(phis, rungs, strict=True):
        make = partial(_train, phi, data, rung, epochs, seconds)
        make_once(rung, f"{edition()} {epochs} {seconds}", make)
    configs = [str(rung / "auditor.toml") for rung in rungs]
    return auditor(["ladder", *configs, "--output", str(directory / "ladder")])


def _train(phi: int, data: Path, place: Path, epochs: int, seconds: float) -> None:
    recipe = Recipe("careful", careful=True, epochs=epochs, phi=phi)
    train(recipe, data, place, Progress.on_stderr())
    config = CONFIG.format(phi=phi, named=f"{phi}".replace("-", "−"), seconds=seconds)
    (place / "auditor.toml").write_text(config, encoding="utf-8")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--output", type=Path, default=Path("ladder-example"))
    options.add_argument("--epochs", type=int, default=15)
    options.add_argument("--seconds", type=float, default=2.0, help="timing, for each batch size")
    given = options.parse_args()
    raise SystemExit(climb(given.output, PHIS, given.epochs, given.seconds))
