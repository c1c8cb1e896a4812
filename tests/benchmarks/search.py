"""How fast hashes are joined within a radius, and whether every pair is found.

python tests/benchmarks/search.py [IMAGES]

1,280,000 × 50,000 hashes, in one thread, each search in a process of its own. Random hashes; and,
where IMAGES is given (a folder, a tar or a manifest), realistic ones: the pictures' own, each many
times with some bits flipped, so that bits hang together and hashes lie in clusters. The first 100
of the 50,000 are compared with brute force, which is also timed, as is faiss where it is installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.data.decode import open_image
from auditor.data.sources import read_samples
from auditor.overlap.search import near_pairs
from auditor.overlap.signature import impression, signatures

TRAIN, TEST, SLICE = 1_280_000, 50_000, 100
RADII = (4, 6, 8, 10)

Hashes = NDArray[np.uint64]
Found = set[tuple[int, int, int]]


def random_hashes() -> tuple[Hashes, Hashes]:
    """Return test and training hashes without any structure, but for near ones of the first."""
    random = np.random.default_rng(0)
    test, train = np.split(random.integers(0, 1 << 64, TRAIN + TEST, dtype=np.uint64), [TEST])
    test[:SLICE] = flipped(train[:SLICE], np.arange(SLICE) % 14, random)
    return test, train


def flipped(hashes: Hashes, bits: NDArray[np.int64], random: np.random.Generator) -> Hashes:
    """Flip so many bits of each, some perhaps twice."""
    for step in range(int(bits.max())):
        bit = np.uint64(1) << random.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes = np.where(step < bits, hashes ^ bit, hashes)
    return hashes


def realistic_hashes(images: Path) -> tuple[Hashes, Hashes]:
    """Return test and training hashes of real pictures, with up to 24 random bits flipped."""
    samples, random = read_samples(images), np.random.default_rng(0)
    files = (samples.read(image) for image in samples.images)
    own = signatures([impression(open_image(file), file) for file in files])
    hashes = random.choice(np.array([one.phash for one in own], np.uint64), TRAIN + TEST)
    hashes = flipped(hashes, random.integers(0, 25, len(hashes)), random)
    return hashes[:TEST], hashes[TEST:]


def brute_force(left: Hashes, right: Hashes, radius: int) -> Found:
    """Compare every pair with numpy."""
    found: Found = set()
    for row, value in enumerate(left):
        distance = np.bitwise_count(right ^ value)
        near = np.flatnonzero(distance <= radius)
        found |= {(row, int(column), int(distance[column])) for column in near}
    return found


def auditor(left: Hashes, right: Hashes, radius: int) -> Found:
    """Search with multi-index hashing."""
    pairs = near_pairs(left, right, radius, len(right))
    first = slice(0, int(np.searchsorted(pairs.left, SLICE)))
    columns = (array[first].tolist() for array in pairs[:3])
    return set(zip(*columns, strict=True))


def faiss(left: Hashes, right: Hashes, radius: int) -> Found:
    """Search exhaustively with faiss."""
    import faiss as library  # type: ignore[import-not-found, unused-ignore]

    library.omp_set_num_threads(1)
    index = library.IndexBinaryFlat(64)
    index.add(right.view(np.uint8).reshape(-1, 8))
    queries = left.view(np.uint8).reshape(-1, 8)
    bounds, distance, column = index.range_search(queries, radius + 1)
    row = np.repeat(np.arange(len(left)), np.diff(bounds.astype(np.int64)))
    columns = (array.astype(np.int64).tolist() for array in (row, column, distance))
    return set(zip(*columns, strict=True))


WAYS: dict[str, tuple[Callable[[Hashes, Hashes, int], Found], int]] = {
    "auditor": (auditor, TEST),
    "numpy": (brute_force, SLICE),
    "faiss": (faiss, 1000),
}
"""Way → the search and how many test hashes it is given."""


def peak() -> float:
    """Return this process's largest memory so far in MB; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    said = next((line for line in lines if line.startswith("VmHWM")), "VmHWM: nan kB")
    return float(said.split()[1]) / 1024


def one(file: str, way: str, radius: int) -> None:
    """Run one search; print what it took and what it found for the first test hashes."""
    stored = np.load(file)
    search, rows = WAYS[way]
    left, right = stored["left"][:rows], stored["right"]
    before = peak()
    started, own = time.perf_counter(), time.process_time()
    found = search(left, right, radius)
    said = {
        "cpu": time.process_time() - own,
        "wall": time.perf_counter() - started,
        "before": before,
        "peak": peak(),
        "found": sorted(pair for pair in found if pair[0] < SLICE),
    }
    print(json.dumps(said))


def child(file: Path, way: str, radius: int) -> dict[str, Any]:
    """Run one search in a process of its own."""
    words = [sys.executable, __file__, "--one", str(file), way, str(radius)]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env={**os.environ, **single})
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def show(kind: str, file: Path, radius: int) -> None:
    """Print a row a way."""
    expected = child(file, "numpy", radius)
    for way, (_, rows) in WAYS.items():
        if way == "faiss" and importlib.util.find_spec("faiss") is None:
            continue
        said = expected if way == "numpy" else child(file, way, radius)
        scale, note = TEST / rows, "" if rows == TEST else f" (from {rows:,})"
        same = "equal" if said["found"] == expected["found"] else "DIFFERENT"
        print(
            f"| {kind} | {radius} | {way} | {said['cpu'] * scale:,.1f} s{note} "
            f"| {said['wall'] * scale:,.1f} s | {said['peak']:,.0f} MB ({said['before']:,.0f}) "
            f"| {len(said['found']):,} {same} |",
            flush=True,
        )


def main(images: Path | None) -> None:
    """Print the table."""
    print(
        f"| hashes | radius | search | CPU time | wall time | peak memory (before the search) "
        f"| pairs of the first {SLICE} |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        made = {"random": random_hashes} | (
            {} if images is None else {"realistic": lambda: realistic_hashes(images)}
        )
        for kind, make in made.items():
            file = Path(folder) / f"{kind}.npz"
            left, right = make()
            np.savez(file, left=left, right=right)
            for radius in RADII:
                show(kind, file, radius)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
