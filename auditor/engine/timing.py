"""Times forward passes so that they can be trusted: warmed up, synchronised, interleaved.

A round is one timed pass of every model, in an order drawn at random: what the machine does beside
it (other processes, heat, clocks) then meets all of them alike, and a model timed against its own
twin shows how much of a difference is noise.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from auditor.engine.precision import reproducible
from auditor.engine.timings import Timings

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FEWEST_ROUNDS", "MOST_ROUNDS", "PATIENCE", "Subject", "time_models"]

FEWEST_ROUNDS = 12
"""Rounds of a model so slow that they take longer than was granted."""
MOST_ROUNDS = 10_000
"""Rounds of a model however quick."""
PATIENCE = 5
"""How many times longer than asked for a busy machine may take."""

_SEED = 0
_WINDOW = 5
"""Passes whose median is compared with that of as many before."""
_STEADY = 0.05
"""Share by which the two may differ."""
_REFILLED = 0.05
"""Seconds from which on a pass fills the caches by itself, and needs no untimed one before it."""

Size = tuple[int, int, int]


class Subject(NamedTuple):
    """A model that is timed, ready on its device, and its input."""

    model: nn.Module
    input_size: Size
    """Channels, height, width."""
    device: torch.device | None = None
    """Where its input is put; where its first weight is, where None. A graph has no weights."""


class _Pass(NamedTuple):
    """Seconds of one forward pass."""

    wall: float
    processor: float
    waited: float


class _Warm(NamedTuple):
    """Seconds of a pass after the warm-up."""

    own: float
    """Without what others took of the processor."""
    wall: float
    settled: bool


def time_models(subjects: Mapping[str, Subject], batch: int, seconds: float) -> Timings:
    """Time models against each other.

    Parameters
    ----------
    subjects
        Role → model, all on one device and of one dtype.
    batch
        Images a pass.
    seconds
        About how long to measure on an idle machine, warm-up not counted; up to ``PATIENCE`` times
        as long on a busy one. It decides the number of rounds, between ``FEWEST_ROUNDS`` and
        ``MOST_ROUNDS``, before the first of them is timed: a number that followed from the results
        would bias them.
    """
    with _undisturbed(), reproducible():
        runs = {role: _passes(subject, batch) for role, subject in subjects.items()}
        warm = {role: _warm_up(run, seconds / 10) for role, run in runs.items()}
        refill = [found.own < _REFILLED for found in warm.values()]
        rounds = _rounds(list(warm.values()), refill, seconds)
        random = np.random.default_rng(_SEED)
        orders = [random.permutation(len(runs)).tolist() for _ in range(rounds)]
        seen = [_round(list(runs.values()), refill, order) for order in orders]
    wall, processor, waited = np.moveaxis(np.array(seen, float), -1, 0)
    return Timings(
        batch,
        tuple(runs),
        wall,
        processor,
        waited,
        place=np.argsort(np.array(orders), axis=1),
        settled={role: found.settled for role, found in warm.items()},
    )


def _passes(subject: Subject, batch: int) -> Callable[[], _Pass]:
    """Return a function that runs and times one pass over fixed random images."""
    import torch

    weights = (each for each in subject.model.parameters() if each.is_floating_point())
    # Of the smallest, for a BatchNorm may stay in float32.
    weight = min(weights, key=torch.Tensor.element_size, default=torch.empty(0))
    images = torch.randn(batch, *subject.input_size, generator=torch.Generator().manual_seed(_SEED))
    device = subject.device or weight.device
    images = images.to(device, weight.dtype).contiguous(memory_format=torch.channels_last)
    synchronise = _synchroniser(device)

    def run() -> _Pass:
        with torch.inference_mode():
            synchronise()
            waited, processor, wall = _waited(), time.process_time(), time.perf_counter()
            subject.model(images)
            synchronise()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
        return _Pass(wall, processor, max(_waited() - waited, 0.0))

    return run


def _synchroniser(device: torch.device) -> Callable[[], None]:
    """Return what waits until a device has done all it was given; a CPU's passes are done."""
    import torch

    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return torch.mps.synchronize if device.type == "mps" else lambda: None


def _waited() -> float:
    """Return the seconds that this process's threads were runnable and not run; 0 if unknown.

    Linux counts them, thread by thread: Documentation/scheduler/sched-stats.rst.
    """
    total = 0
    for task in Path("/proc/self/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[1])
        except (OSError, IndexError, ValueError):  # the thread ended, or the kernel does not count
            continue
    return total / 1e9


def _warm_up(run: Callable[[], _Pass], seconds: float) -> _Warm:
    """Run until the time stands still, or for so long."""
    passes: list[_Pass] = []
    own: list[float] = []
    while True:
        passes.append(run())
        own.append(_own(passes[-1]))
        late, early = np.median(own[-_WINDOW:]), np.median(own[-2 * _WINDOW : -_WINDOW] or [0])
        steady = len(own) >= 2 * _WINDOW and abs(late - early) <= _STEADY * early
        if steady or (len(own) > 1 and sum(own) > seconds):
            wall = np.median([each.wall for each in passes[-_WINDOW:]])
            return _Warm(float(late), float(wall), bool(steady))


def _own(found: _Pass) -> float:
    """Return the seconds of a pass without those in which others had the processor."""
    return max(found.wall - found.waited, min(found.wall, found.processor))


def _rounds(warm: Sequence[_Warm], refill: Sequence[bool], seconds: float) -> int:
    own, wall = (
        sum(getattr(each, clock) * (1 + again) for each, again in zip(warm, refill, strict=True))
        for clock in ("own", "wall")
    )
    longest = PATIENCE * seconds / wall
    return int(np.clip(min(seconds / own, longest), FEWEST_ROUNDS, MOST_ROUNDS))


def _round(
    runs: Sequence[Callable[[], _Pass]], refill: Sequence[bool], order: Sequence[int]
) -> list[_Pass]:
    """Time each model once, in the order given; return the passes in the models' own order."""
    passes: dict[int, _Pass] = {}
    for number in order:
        if refill[number]:
            runs[number]()  # the model before it left its own weights in the caches
        passes[number] = runs[number]()
    return [passes[number] for number in range(len(runs))]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector of garbage from running within a pass."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
