"""Measures how fast the same images are read from a folder, a tar and Parquet; prints a table.

python tests/benchmarks/sources.py FOLDER [ROUNDS]

FOLDER holds class folders. The copies are made in a temporary folder; rounds are interleaved.
"""

from __future__ import annotations

import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.data.samples import Samples
from auditor.data.sources import read_samples


def copies(folder: Path, into: Path) -> dict[str, Path]:
    """Write the folder as a tar and as Parquet in groups of 100 rows; return all three."""
    samples = read_samples(folder)
    with tarfile.open(into / "data.tar", "w") as tar:
        for image in samples.images:
            tar.add(samples.path(image), image)
    data = [samples.read(image) for image in samples.images]
    table = pa.table({"image": data, "label": list(samples.labels)})
    pq.write_table(table, into / "data.parquet", row_group_size=100)
    return {"folder": folder, "tar": into / "data.tar", "Parquet": into / "data.parquet"}


def measure(samples: Samples) -> float:
    """Return the CPU time of reading an image, in microseconds."""
    started = time.process_time()
    for image in samples.images:
        samples.read(image)
    return (time.process_time() - started) / len(samples) * 1e6


def main(folder: Path, rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as into:
        places = copies(folder, Path(into))
        listed: dict[str, Samples] = {}
        print("| source | listing, µs an image | reading, µs an image | range |\n|---|---|---|---|")
        listing = {}
        for name, place in places.items():
            started = time.process_time()
            listed[name] = read_samples(place)
            listing[name] = (time.process_time() - started) / len(listed[name]) * 1e6
        times = [
            {name: measure(samples) for name, samples in listed.items()} for _ in range(rounds)
        ]
        for name in places:
            found = [each[name] for each in times]
            print(
                f"| {name} | {listing[name]:.0f} | {statistics.median(found):.0f} | "
                f"{min(found):.0f}–{max(found):.0f} |"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
