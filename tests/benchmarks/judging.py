"""How long `auditor check` takes for many images and classes, and how much memory.

python tests/benchmarks/judging.py

Predictions are made up (80% right), stored by `auditor run --predictions`, and judged again by
`auditor check`, which draws the reports too. Each command is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CASES = ((50_000, 1_000, True), (50_000, 21_000, False))
"""Images, classes, whether probabilities are kept."""


def predictions(images: int, classes: int, scored: bool) -> pa.Table:
    """Return saved predictions, of which four in five are right."""
    random = np.random.default_rng(0)
    names = np.array([f"n{number:08}" for number in range(classes)])
    label = np.arange(images) % classes
    right = random.random(images) < 0.8
    predicted = np.where(right, label, random.integers(0, classes, images))
    columns = {
        "image": [f"{number:08}.jpg" for number in range(images)],
        "label": names[label],
        "predicted": names[predicted],
    }
    if scored:
        logits = random.normal(size=(images, classes)).astype(np.float32)
        logits[np.arange(images), predicted] += 9
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        columns |= {f"prob_{name}": scores[:, place] for place, name in enumerate(names)}
    return pa.table(columns)


def measured(*arguments: str) -> tuple[float, float, float]:
    """Run Auditor; return seconds by the clock, seconds of CPU and MB at the peak."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "auditor", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3):
        raise SystemExit(f"auditor {arguments[0]} ended with status {process.returncode}")
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    """Print the table."""
    print("| images | classes | probabilities | `auditor check` | CPU | peak memory |")
    print("|---|---|---|---|---|---|")
    for images, classes, scored in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            saved, audit = Path(scratch, "predictions.parquet"), str(Path(scratch, "audit"))
            pq.write_table(predictions(images, classes, scored), saved)
            measured("run", "--predictions", str(saved), "--output", audit)
            best = min(measured("check", "--output", audit) for _ in range(3))
            kept = "kept" if scored else "not saved"
            print(
                f"| {images:,} | {classes:,} | {kept} | {best[0]:.1f} s | {best[1]:.1f} s "
                f"| {best[2]:,.0f} MB |"
            )


if __name__ == "__main__":
    main()
