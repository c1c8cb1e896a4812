"""Kills audits at random moments and compares what they end with; prints Markdown.

python tests/benchmarks/kills.py FOLDER [KILLS] [SEED]

FOLDER holds class folders in train/ and test/. An audit of a small EfficientNet with random weights
runs undisturbed, and then again and again into new folders, each time killed (SIGKILL) after a time
drawn at random, and started again until it ends. The digests of all evidence must be the same. From
4,096 test images on, worker processes prepare them.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

CONFIG = """
[candidate]
width = 0.5
depth = 0.5
resolution = 32
checkpoint = "{weights}"

[data]
train = "{folder}/train"
test = "{folder}/test"
train_sample = 2000

[engine]
workers = 4

[checks.split-overlap]
level = "off"
"""


def prepare(folder: Path, place: Path) -> Path:
    """Write random weights and a configuration; return its path."""
    import torch
    from safetensors.torch import save_file

    from auditor.models.scaling import build_efficientnet

    torch.manual_seed(0)
    classes = len([path for path in (folder / "test").iterdir() if path.is_dir()])
    weights = place / "weights.safetensors"
    save_file(build_efficientnet(0.5, 0.5, 32, num_classes=classes).state_dict(), weights)
    config = place / "auditor.toml"
    config.write_text(CONFIG.format(folder=folder, weights=weights))
    return config


def start(config: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start an audit."""
    words = [sys.executable, "-m", "auditor", "run", str(config), "--output", str(output)]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(words, stdout=nothing, stderr=nothing)


def digests(output: Path) -> dict[str, str]:
    """Return the digests of the evidence, by name."""
    found: dict[str, str] = json.loads((output / "audit.json").read_text())["provenance"][
        "evidence"
    ]
    return found


def disturbed(config: Path, output: Path, delays: Sequence[float]) -> list[float]:
    """Start an audit until it ends, killing it after each delay; return when it was killed."""
    killed: list[float] = []
    for delay in delays:
        audit = start(config, output)
        try:
            audit.wait(delay)
            return killed
        except subprocess.TimeoutExpired:
            audit.send_signal(signal.SIGKILL)
            audit.wait()
            killed.append(delay)
    start(config, output).wait()
    return killed


def main(folder: Path, kills: int, seed: int) -> None:
    """Print what came of it."""
    drawn = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        config, began = prepare(folder, place), time.perf_counter()
        start(config, place / "whole").wait()
        whole, seconds = digests(place / "whole"), time.perf_counter() - began
        print(f"Undisturbed: {seconds:.0f} s, {len(whole)} pieces of evidence: {sorted(whole)}.\n")
        moments: list[float] = []
        audits = equal = 0
        while len(moments) < kills:
            output = place / f"killed{audits}"
            delays = [drawn.uniform(0.3, seconds) for _ in range(drawn.randint(1, 4))]
            moments += disturbed(config, output, delays)
            audits, equal = audits + 1, equal + (digests(output) == whole)
    print("| kills | audits | killed after, s (median, range) | digests equal |\n|---|---|---|---|")
    low, high = min(moments), max(moments)
    middle = statistics.median(moments)
    print(
        f"| {len(moments)} | {audits} | {middle:.1f} ({low:.1f}–{high:.1f}) | {equal} of {audits} |"
    )
    if equal != audits:
        sys.exit(1)


if __name__ == "__main__":
    given = sys.argv[2:]
    main(
        Path(sys.argv[1]).resolve(),
        int(given[0]) if given else 30,
        int(given[1]) if len(given) > 1 else 0,
    )
