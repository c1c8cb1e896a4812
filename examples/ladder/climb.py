"""Trains three sizes of one EfficientNet on handwritten digits, and asks whether size pays.

Each size is a rung: a folder with its weights, its training log and its auditor.toml. What is there
already is not trained again, and evidence that was gathered is not gathered again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from auditor.cli import main as auditor
from auditor.demo.digits import write_digits
from auditor.demo.training import Recipe, train
from auditor.progress import Progress

PHIS = (-14, -12, -10)
"""Compound coefficients; each two more about quadruple the multiply–adds."""

CONFIG = """\
[candidate]
name = "φ = {phi}"
model = "phi:{phi}"
checkpoint = "model.safetensors"
training_log = "summary.csv"

[data]
train = "../data/careful/train"
test = "../data/test"

[latency]  # has single images and batches timed
seconds = {seconds}
"""


def climb(directory: Path, epochs: int, seconds: float) -> int:
    """Train what is not there, then audit and compare; return the exit status of the ladder."""
    data = directory / "data"
    if not data.exists():
        write_digits(data)
    rungs = [_rung(directory / f"phi{phi}", phi, data, epochs, seconds) for phi in PHIS]
    return auditor(["ladder", *map(str, rungs), "--output", str(directory / "ladder")])


def _rung(place: Path, phi: int, data: Path, epochs: int, seconds: float) -> Path:
    config = place / "auditor.toml"
    if not config.exists():
        place.mkdir(parents=True)
        recipe = Recipe("careful", careful=True, epochs=epochs, phi=phi)
        train(recipe, data, place, Progress.on_stderr())
        config.write_text(CONFIG.format(phi=phi, seconds=seconds), encoding="utf-8")
    return config


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--output", type=Path, default=Path("ladder-example"))
    options.add_argument("--epochs", type=int, default=15)
    options.add_argument("--seconds", type=float, default=2.0, help="of timing, for each batch size")
    given = options.parse_args()
    raise SystemExit(climb(given.output, given.epochs, given.seconds))
