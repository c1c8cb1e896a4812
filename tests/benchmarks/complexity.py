"""Compares our counts with fvcore's rule as timm publishes it, and times the count of B7.

python tests/benchmarks/complexity.py [TIMM_RESULTS.csv]

The file is ``results/benchmark-infer-*.csv`` of huggingface/pytorch-image-models; without one, the
rows that the package carries are compared. Published figures are rounded to 10⁷ multiply–adds and
10⁴ activations.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from auditor.models.complexity import ComplexityFigures
from auditor.models.profile import profile

MODELS = (
    *(f"tf_efficientnet_b{n}" for n in range(8)),
    *(
        "resnet50",
        "resnext50_32x4d",
        "convnext_tiny",
        "vit_base_patch16_224",
        "deit3_small_patch16",
    ),
    *("swin_tiny_patch4_window7_224", "regnety_032", "mobilenetv3_large_100", "mobilenetv2_100"),
    *("densenet121", "inception_v3", "nfnet_f0", "coatnet_0_rw_224", "maxvit_tiny_tf_224"),
    *("mixer_b16_224", "edgenext_small", "efficientvit_b1", "tf_efficientnetv2_s", "vgg16"),
    *("volo_d1_224", "poolformer_s12", "hrnet_w18", "res2net50_26w_4s", "tf_efficientnet_lite0"),
)
ROUNDED = 0.005
"""Half a unit of the last digit that is published, in 10⁹."""


def published(path: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """Return (model, side) → 10⁹ multiply–adds and 10⁶ activations."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["model"], int(row["infer_img_size"])): (
                float(row["infer_gmacs"]),
                float(row["infer_macts"]),
            )
            for row in csv.DictReader(file)
        }


def compared(path: Path) -> Iterator[tuple[str, int, ComplexityFigures, float, float]]:
    """Measure every model at its smallest published size."""
    rows = published(path)
    for model in MODELS:
        sides = [side for name, side in rows if name == model]
        if not sides:
            print(f"{model} is not in {path.name}", file=sys.stderr)
            continue
        side = min(sides)
        yield model, side, profile(model, side=side).figures, *rows[model, side]


def agreement(path: Path) -> None:
    """Print a row a model, and the largest deviation."""
    print(
        "| model | side | MACs | by fvcore's rule | published | deviation |\n"
        "|---|---|---|---|---|---|"
    )
    worst, beyond = 0.0, 0
    for model, side, figures, gmacs, _ in compared(path):
        ours = figures.macs_fvcore / 1e9
        deviation = ours / gmacs - 1
        worst = max(worst, abs(deviation))
        beyond += abs(ours - gmacs) > ROUNDED + 1e-9
        row = f"| {model} | {side} | {figures.macs:,} | {figures.macs_fvcore:,} | {gmacs} G "
        print(f"{row}| {deviation:+.2%} |", flush=True)
    print(f"\nLargest deviation {worst:.2%}; {beyond} beyond the rounding of what is published.")


_TIMED = """
import time
from time import perf_counter as wall, process_time as cpu
a = wall(), cpu()
import timm, torch, auditor.models.counting
from auditor.cli.complexity_card import cards
from auditor.models.profile import profile
b = wall(), cpu()
cards([profile("tf_efficientnet_b7")])
c = wall(), cpu()
print(b[0] - a[0], b[1] - a[1], c[0] - b[0], c[1] - b[1])
"""


def timing(runs: int = 7) -> None:
    """Print the time of ``auditor profile tf_efficientnet_b7``: the imports, and all after them.

    Processor time beside the clock's, because the machine may be shared.
    """
    rows = []
    for _ in range(runs):
        command = [sys.executable, "-c", _TIMED]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append([float(value) for value in done.stdout.split()])
        time.sleep(0.5)
    names = ("imports, clock", "imports, processor", "B7, clock", "B7, processor")
    print("| what | median | range | runs |\n|---|---|---|---|")
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        low, high = min(values), max(values)
        print(f"| {name} | {statistics.median(values):.2f} s | {low:.2f}–{high:.2f} s | {runs} |")


def carried() -> None:
    """Compare the rows that the package carries."""
    file = resources.files("auditor.models").joinpath("imagenet_reference.csv")
    rows = [*csv.DictReader(file.read_text(encoding="utf-8").splitlines())]
    gaps = [abs(int(row["macs_fvcore"]) / 1e9 - float(row["timm_gmacs"])) for row in rows]
    print(f"{len(rows)} rows; largest gap {max(gaps):.4f} G, published to ±{ROUNDED} G.")


if __name__ == "__main__":
    agreement(Path(sys.argv[1])) if len(sys.argv) > 1 else carried()
    timing()
