"""How fast pictures are hashed beside imagehash, and whether the hashes are the same.

python tests/benchmarks/hashing.py IMAGES [ROUNDS]

IMAGES is a folder, a tar or a manifest. Everything runs in one thread, batch by batch in turn, from
files in memory. The ratios compare the thread's CPU time within each batch, so that work beside
it on the machine weighs on both alike; wall times stand next to them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from auditor.data.decode import open_image
from auditor.data.sources import read_samples
from auditor.overlap.signature import Signature, impression, signatures

BATCH = 64

Files = Sequence[bytes]


def decode(files: Files) -> None:
    """Decode each whole: the floor of the exact mode."""
    for file in files:
        Image.open(BytesIO(file)).load()


def decode_reduced(files: Files) -> None:
    """Decode each at a fraction of its size: the floor of the fast mode."""
    for file in files:
        open_image(file, reduced=True)


def peer(files: Files) -> list[int]:
    """Hash with imagehash."""
    return [int(str(imagehash.phash(Image.open(BytesIO(file)))), 16) for file in files]


def exact(files: Files) -> list[Signature]:
    """Sign as ``hash_mode = "exact"`` does: digests, both hashes, contrast."""
    return signatures([impression(open_image(file), file) for file in files])


def fast(files: Files) -> list[Signature]:
    """Sign as ``hash_mode = "fast"`` does."""
    return signatures([impression(open_image(file, reduced=True), file) for file in files])


WAYS: dict[str, Callable[[Files], object]] = {
    "imagehash.phash": peer,
    "decode whole": decode,
    "sign, exact": exact,
    "decode reduced": decode_reduced,
    "sign, fast": fast,
}


class Times(NamedTuple):
    """Seconds of each batch (rows) and way (columns)."""

    cpu: NDArray[np.float64]
    wall: NDArray[np.float64]


def measure(batches: Sequence[Files]) -> Times:
    """Run every way on every batch; each batch begins with another way."""
    cpu, wall = np.zeros((2, len(batches), len(WAYS)))
    ways = list(WAYS.values())
    for row, files in enumerate(batches):
        for step in range(len(ways)):
            column = (row + step) % len(ways)
            started, own = time.perf_counter(), time.thread_time()
            ways[column](files)
            cpu[row, column] = time.thread_time() - own
            wall[row, column] = time.perf_counter() - started
    return Times(cpu, wall)


def show_speed(times: Times, images: int) -> None:
    """Print images a second of CPU and of wall time, and the ratio to imagehash."""
    print("| what | images/CPU s | images/s | × imagehash, CPU: median (5–95% of batches) |")
    print("|---|---|---|---|")
    for column, name in enumerate(WAYS):
        ratio = times.cpu[:, 0] / times.cpu[:, column]
        low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
        cpu, wall = times.cpu[:, column].sum(), times.wall[:, column].sum()
        print(
            f"| {name} | {images / cpu:,.0f} | {images / wall:,.0f} "
            f"| {middle:.2f} ({low:.2f}–{high:.2f}) |"
        )


def show_agreement(batches: Sequence[Files]) -> None:
    """Print how many hashes are those of imagehash, and how near the others are."""
    print("\n| signed | same phash | within 2 bits | furthest | lowest cosine of the soft hash |")
    print("|---|---|---|---|---|")
    expected = np.array([h for files in batches for h in peer(files)], np.uint64)
    whole = [one for files in batches for one in exact(files)]
    for name, way in (("exact", exact), ("fast", fast)):
        found = whole if way is exact else [one for files in batches for one in way(files)]
        bits = np.bitwise_count(np.array([one.phash for one in found], np.uint64) ^ expected)
        nearest = min(cosine(a.soft, b.soft) for a, b in zip(found, whole, strict=True))
        print(
            f"| {name} | {(bits == 0).mean():.2%} ({(bits > 0).sum():,} of {len(bits):,} differ) "
            f"| {(bits <= 2).mean():.2%} | {bits.max()} | {nearest:.4f} |"
        )


def cosine(a: bytes, b: bytes) -> float:
    """Compare two soft hashes; 1 for two flat pictures."""
    x, y = (np.frombuffer(soft, np.int8).astype(np.float64) for soft in (a, b))
    return 1.0 if a == b else float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


def main(path: Path, rounds: int) -> None:
    """Print both tables."""
    samples = read_samples(path)
    files = [samples.read(image) for image in samples.images]
    batches = [files[first : first + BATCH] for first in range(0, len(files), BATCH)]
    measure(batches[:1])
    print(f"{len(files):,} images, {sum(map(len, files)) / len(files) / 1e3:.0f} kB each\n")
    show_speed(measure(batches * rounds), len(files) * rounds)
    show_agreement(batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
