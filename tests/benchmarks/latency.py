"""Measures how often the check ``latency`` decides wrongly on a busy machine; prints Markdown.

python tests/benchmarks/latency.py [ALIKE] [SLOWED] [SECONDS] [DEVICE]

Every run loads the models anew, times them as an audit does and asks the check, while a process of
its own keeps a core busy in bursts. Equal models may not fail; one with a fifth more of the same
blocks must.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import nn

from auditor.check import Outcome, Status
from auditor.checks.latency import LatencyCheck
from auditor.config import CandidateTable, EngineTable
from auditor.engine.candidate import Candidate
from auditor.engine.timing import Subject, time_models
from auditor.evidence.latency import TimingPlan, latency

BLOCKS, CHANNELS, SIDE, BATCH = 10, 64, 64, 4
TOLERANCE = 0.10
SIZE = (3, SIDE, SIDE)
DEVICE = sys.argv[4] if len(sys.argv) > 4 else "cpu"


def network(blocks: int) -> nn.Module:
    """Return equal inverted-residual blocks behind a stem that costs next to nothing."""
    from timm.models._efficientnet_blocks import InvertedResidual

    torch.manual_seed(0)
    stem = nn.Conv2d(3, CHANNELS, 8, stride=8)
    body = [InvertedResidual(CHANNELS, CHANNELS, exp_ratio=4.0) for _ in range(blocks)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10)]
    return nn.Sequential(stem, *body, *head)


def usual() -> nn.Module:
    """Return the baseline."""
    return network(BLOCKS)


def slowed() -> nn.Module:
    """Return the same with a fifth more blocks."""
    return network(BLOCKS + BLOCKS // 5)


def handle(function: Callable[[], nn.Module]) -> Candidate:
    """Return a model that is not loaded yet."""
    table = CandidateTable(module=f"__main__:{function.__name__}", input_size=SIDE)
    return Candidate(table, EngineTable(batch_size=BATCH, device=DEVICE), None, None)


def busy() -> None:
    """Load a core in bursts, for ever."""
    draw = random.Random(0)
    matrix = np.ones((256, 256))
    while True:
        until = time.monotonic() + draw.uniform(0.05, 0.6)
        while time.monotonic() < until:
            matrix @ matrix
        time.sleep(draw.uniform(0, 0.3))


@contextmanager
def loaded() -> Iterator[None]:
    """Keep the machine busy meanwhile."""
    process = multiprocessing.get_context("fork").Process(target=busy, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


class Run(NamedTuple):
    """What one audit measured and decided."""

    outcome: Outcome
    processor: float
    """Ratio to the baseline of single images, by each clock; and so the next one."""
    wall: float
    in_turn: float
    """Ratio of two medians of wall time, one model after the other, as scripts do it."""
    waited: float
    """Share of the time that the candidate spent waiting for a processor."""


def audit(candidate: Callable[[], nn.Module], seconds: float) -> Run:
    """Load, time and judge."""
    plan = TimingPlan(seconds, BATCH, DEVICE, "float32")
    models = handle(candidate), handle(usual)
    times = latency(plan, *models)
    single = times.timings[0]
    alone = [
        time_models({"candidate": Subject(model.loaded.model.to(DEVICE), SIZE)}, 1, seconds / 6)
        for model in models
    ]
    medians = [timing.quantile("candidate", 0.5).value for timing in alone]
    return Run(
        LatencyCheck().run(times, None),
        single.ratio("candidate", "baseline", "processor").value,
        single.ratio("candidate", "baseline", "wall").value,
        medians[0] / medians[1],
        float(single.seconds("candidate", "waited").sum() / single.seconds("candidate").sum()),
    )


def series(alike: int, slow: int, seconds: float) -> tuple[list[Run], list[Run]]:
    """Audit equal models and slowed ones, mixed, and say each as it comes."""
    planned = [(i / alike, usual) for i in range(alike)] + [(i / slow, slowed) for i in range(slow)]
    order = sorted(planned, key=lambda item: item[0])
    found: dict[Callable[[], nn.Module], list[Run]] = {usual: [], slowed: []}
    for _, model in order:
        run = audit(model, seconds)
        found[model].append(run)
        shown = f"{run.processor:.3f} {run.wall:.3f} {run.in_turn:.3f} {run.waited:.2f}"
        print(model.__name__, run.outcome.status.value, shown, run.outcome.summary, file=sys.stderr)
    return found[usual], found[slowed]


def decided(name: str, runs: list[Run]) -> None:
    """Print what the check decided."""
    counts = Counter(run.outcome.status for run in runs)
    statuses = (Status.PASS, Status.INCONCLUSIVE, Status.FAIL)
    print(f"| {name} | {len(runs)} | " + " | ".join(str(counts[s]) for s in statuses) + " |")


def spread(name: str, ratios: list[float]) -> None:
    """Print how far the ratio of equal models strays."""
    beyond = sum(r > 1 + TOLERANCE or r < 1 / (1 + TOLERANCE) for r in ratios)
    cells = " | ".join(f"{value:.3f}" for value in (min(ratios), np.median(ratios), max(ratios)))
    print(f"| {name} | {cells} | {beyond} of {len(ratios)} |")


def main(alike: int = 50, slow: int = 20, seconds: float = 6.0) -> None:
    """Run both series."""
    torch.set_num_threads(1)
    parameters = sum(p.numel() for p in usual().parameters())
    print(f"{parameters:,} parameters, {SIDE} px, {DEVICE}, 1 thread, {seconds:g} s a batch size\n")
    with loaded():
        equal, longer = series(alike, slow, seconds)
    print("| candidate | runs | pass | inconclusive | fail |\n|---|---|---|---|---|")
    decided("equal to the baseline", equal)
    decided("a fifth more blocks", longer)
    print("\n| ratio of equal models | lowest | median | highest | beyond 1.10 either way |")
    print("|---|---|---|---|---|")
    spread("processor time, interleaved (decides)", [run.processor for run in equal])
    spread("wall time, interleaved", [run.wall for run in equal])
    spread("wall time, one model after the other", [run.in_turn for run in equal])
    found = [run.processor for run in longer]
    print(f"\nThe slowed one by processor time: {min(found):.2f} to {max(found):.2f}.")
    waited = np.median([run.waited for run in equal])
    print(f"Share of the time spent waiting for a processor: {waited:.0%} in the median run.")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*map(int, given[:2]), *map(float, given[2:3]))
