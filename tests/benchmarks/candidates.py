"""How long the candidates of 1,280,000 × 50,000 pictures take, and what a million copies do.

python tests/benchmarks/candidates.py IMAGES

IMAGES is a folder, a tar or a manifest of photographs: their soft hashes are blended in pairs to
make as many as are wanted, crowded as photographs are. The first 1,000 of the left have a copy on
the right with a little noise.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auditor.data.decode import open_image
from auditor.data.sources import read_samples
from auditor.overlap.candidates import Crowd, nearest
from auditor.overlap.signature import impression, signatures
from auditor.overlap.soft import crowding

TRAIN, TEST, PLANTED, BLOCK = 1_280_000, 50_000, 1_000, 100_000


def soft_hashes(images: Path) -> NDArray[np.int8]:
    """Return the soft hashes of real pictures."""
    samples = read_samples(images)
    files = (samples.read(image) for image in samples.images)
    own = signatures([impression(open_image(file), file) for file in files])
    return np.array([np.frombuffer(one.soft, np.int8) for one in own])


def blended(soft: NDArray[np.int8], count: int, random: np.random.Generator) -> NDArray[np.int8]:
    """Return many hashes, each of two pictures."""
    found = np.empty((count, soft.shape[1]), np.int8)
    for start in range(0, count, BLOCK):
        pairs = random.integers(0, len(soft), (2, min(BLOCK, count - start)))
        both = (soft[pairs[0]].astype(np.float32) + soft[pairs[1]]) * 0.6
        found[start : start + BLOCK] = both.clip(-127, 127)
    return found


def sought(name: str, left: NDArray[np.int8], right: NDArray[np.int8]) -> None:
    """Search, and print what it took."""
    started = time.process_time()
    sides = Crowd(left, crowding(left, right)), Crowd(right, crowding(right, left))
    crowded = time.process_time()
    found = nearest(*sides)
    ended = time.process_time()
    planted = int(((found.left < PLANTED) & (found.left == found.right)).sum())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(
        f"| {name} | {crowded - started:.1f} s | {ended - crowded:.1f} s | {planted:,} | "
        f"{len(found.left):,} | {found.capped:,} | {memory:,.0f} MB |",
        flush=True,
    )


def main(images: Path) -> None:
    """Print the table."""
    random = np.random.default_rng(0)
    soft = soft_hashes(images)
    left, right = blended(soft, TEST, random), blended(soft, TRAIN, random)
    noise = random.integers(-4, 5, (PLANTED, left.shape[1]))
    left[:PLANTED] = (right[:PLANTED] + noise).clip(-127, 127)
    print("| hashes | crowding | candidates | planted found | listed | capped | peak memory |")
    print("|---|---|---|---|---|---|---|")
    sought("all different", left, right)
    right[PLANTED:1_000_000] = right[PLANTED]
    sought("a million of one picture", left, right)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
