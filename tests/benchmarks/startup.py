"""Measures how long the command line takes to answer; prints a row of a Markdown table a command.

python tests/benchmarks/startup.py [RUNS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {"--help": 0.3, "list": 1.0, "explain rare-class-recall": 1.0}
"""Command → the most seconds that it may take."""


def measure(arguments: str, runs: int) -> list[float]:
    """Return the wall time of each run, after one that warms the file cache."""
    words = [sys.executable, "-m", "auditor", *arguments.split()]
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return times[1:]


def main(runs: int) -> None:
    """Print the table."""
    print("| command | median | range | runs | at most |\n|---|---|---|---|---|")
    for arguments, most in COMMANDS.items():
        times = measure(arguments, runs)
        middle, low, high = statistics.median(times), min(times), max(times)
        print(
            f"| `auditor {arguments}` | {middle:.3f} s | {low:.3f}–{high:.3f} s | {runs} "
            f"| {most} s |",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
