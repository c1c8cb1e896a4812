"""How long comparing all pairs of soft hashes takes on an accelerator, and what it finds.

python tests/benchmarks/soft_search.py [TRAIN] [TEST] [ROUNDS]

Random soft hashes whose components hang together as those of pictures do, the first hundred of the
test set near a training one each. What is found for these and the next 400 is compared with brute
force in float64.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.candidates import NEAREST, Crowd, nearest
from auditor.overlap.device import accelerator
from auditor.overlap.soft import SOFT_BYTES, crowding, unit_rows

PLANTED, COMPARED = 100, 500
CLEAR = 0.13
"""The margin from which a pair is a candidate."""

Soft = NDArray[np.int8]


def hashes(count: int, random: np.random.Generator) -> Soft:
    """Return soft hashes that share a few directions, as pictures of one world do."""
    shared = random.normal(0, 12, (8, SOFT_BYTES)).astype(np.float32)
    made = np.empty((count, SOFT_BYTES), np.int8)
    for first in range(0, count, 1 << 16):
        block = made[first : first + (1 << 16)]
        own = random.standard_normal(block.shape, np.float32) * 25
        own += random.standard_normal((len(block), 8), np.float32) @ shared
        block[:] = own.clip(-123, 123)
    return made


def sides(train: int, test: int) -> tuple[Crowd, Crowd]:
    """Return both sides, with what is planted."""
    random = np.random.default_rng(0)
    right, left = hashes(train, random), hashes(test, random)
    noise = random.normal(0, 12, (PLANTED, SOFT_BYTES))
    left[:PLANTED] = (right[:PLANTED] + noise).clip(-123, 123)
    return Crowd(left, crowding(left, right)), Crowd(right, crowding(right, right))


def brute_force(left: Crowd, right: Crowd) -> set[tuple[int, int]]:
    """Compare the first rows with every column."""
    units, others = unit_rows(left.soft[:COMPARED]).astype(float), unit_rows(right.soft)
    found = set()
    for row, unit in enumerate(units):
        margins = others @ unit - (left.crowding[row] + right.crowding.astype(float)) / 2
        clear = np.flatnonzero(margins >= CLEAR)
        best = clear[np.argsort(-margins[clear], kind="stable")[:NEAREST]]
        found |= {(row, column) for column in best.tolist()}
    return found


def main(train: int = 1_280_000, test: int = 50_000, rounds: int = 3) -> None:
    """Print seconds, the copies to the device and what follows on the CPU among them."""
    device = accelerator()
    if device is None:
        print("There is no accelerator.")
        return
    import torch

    left, right = sides(train, test)
    print(f"{train:,} × {test:,} on {torch.cuda.get_device_name()}, torch {torch.__version__}")
    for number in range(rounds + 1):
        started = time.perf_counter()
        found = nearest(left, right, device=device)
        took = time.perf_counter() - started
        print(f"{'warming up' if not number else 'round'}: {took:.2f} s, {len(found.left):,} pairs")
    listed = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    ours, expected = {pair for pair in listed if pair[0] < COMPARED}, brute_force(left, right)
    print(f"of the first {COMPARED}: {len(ours)} pairs, {len(ours ^ expected)} differ")
    print(f"at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB were allocated")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
