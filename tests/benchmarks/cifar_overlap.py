"""How much of the known overlap of CIFAR-10 is found, and how much of what is found is true.

    python tests/benchmarks/cifar_overlap.py IMAGES PAIRS SHEETS

IMAGES holds ``train/CLASS/*.jpg`` and ``test/CLASS/*.jpg``; PAIRS is a table with the columns
``test_image,train_image``, with paths relative to IMAGES; into SHEETS go contact sheets of random
flagged pairs, to be judged by eye, for three target false-discovery rates.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from auditor.data.decode import open_image
from auditor.overlap.overlap import find_overlap
from auditor.overlap.result import OverlapPair, OverlapSearch, OverlapSettings
from auditor.overlap.signature import Signature, impression, signatures
from auditor.overlap.soft import SOFT_BYTES
from auditor.overlap.splits import SplitSignatures

Item = TypeVar("Item")
RATES = (0.02, 0.05, 0.10)
KINDS = ("same-bytes", "same-pixels", "near-duplicate", "transformed")
SIDE, COLUMNS, ROWS, SHOWN = 128, 5, 10, 100


def signed(root: Path, split: str) -> SplitSignatures:
    """Sign the images of one split."""
    paths = sorted((root / split).glob("*/*.jpg"))
    found: list[Signature] = []
    for some in batched(paths, 64):
        files = [path.read_bytes() for path in some]
        found += signatures([impression(open_image(data), data) for data in files])
    return SplitSignatures(
        images=[path.relative_to(root).as_posix() for path in paths],
        labels=[path.parent.name for path in paths],
        bytes_digest=[one.bytes_digest for one in found],
        pixels_digest=[one.pixels_digest for one in found],
        phash=np.array([one.phash for one in found], np.uint64),
        contrast=np.array([one.contrast for one in found], np.float32),
        soft=np.frombuffer(b"".join(one.soft for one in found), np.int8).reshape(-1, SOFT_BYTES),
    )


def tiers(found: OverlapSearch, known: set[str]) -> Iterator[str]:
    """Yield a row of the table for each kind."""
    before: set[str] = set()
    for kind in KINDS:
        pairs = [pair for pair in found.pairs if pair.kind == kind]
        images = {pair.test_image for pair in pairs}
        recall = len((before | images) & known) / len(known)
        new = len(images - before)
        yield f"| {kind} | {len(pairs)} | {len(images)} | {new} | {recall:.3f} |"
        before |= images


def drawn(found: OverlapSearch, kind: str) -> list[OverlapPair]:
    """Draw pairs of a kind, one a test image, the best of it; the same ones every time."""
    best: dict[str, OverlapPair] = {}
    for pair in sorted(found.pairs, key=lambda pair: -pair.score):
        if pair.kind == kind:
            best.setdefault(pair.test_image, pair)
    pairs = sorted(best.values())
    order = np.random.default_rng(0).permutation(len(pairs))[:SHOWN]
    return sorted((pairs[place] for place in order), key=lambda pair: -pair.score)


def sheet(root: Path, pairs: Sequence[OverlapPair]) -> Image.Image:
    """Lay pairs side by side, the surest first."""
    page = Image.new("RGB", (COLUMNS * (2 * SIDE + 16), ROWS * (SIDE + 8)), "white")
    for place, pair in enumerate(pairs):
        row, column = divmod(place, COLUMNS)
        for second, name in enumerate((pair.test_image, pair.train_image)):
            picture = open_image((root / name).read_bytes()).convert("RGB")
            corner = column * (2 * SIDE + 16) + second * SIDE, row * (SIDE + 8)
            page.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), corner)
    return page


def measured(root: Path, listing: Path, sheets: Path) -> None:
    """Print the tables and write the contact sheets."""
    with listing.open(newline="") as file:
        known = {row["test_image"] for row in csv.DictReader(file)}
    start = time.perf_counter()
    test, train = signed(root, "test"), signed(root, "train")
    print(f"signatures: {time.perf_counter() - start:.0f} s\n")
    for rate in RATES:
        began, busy = time.perf_counter(), time.process_time()
        found = find_overlap(test, train, opener(root), opener(root), OverlapSettings(rate))
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
        near = found.near
        print(f"target {rate:.0%}: score {near.score:.3f} ({near.basis}), {near.matches} images,")
        print(f"{near.decoys} decoys, estimate {near.false_discovery_rate}, upper {near.upper};")
        print(f"{seconds:.0f} s, {cpu:.0f} s of CPU\n")
        print("| kind | pairs | test images | new | recall so far |\n|---|---|---|---|---|")
        print("\n".join(tiers(found, known)), flush=True)
        for kind in KINDS[2:]:
            for number, some in enumerate(batched(drawn(found, kind), COLUMNS * ROWS)):
                sheet(root, some).save(sheets / f"{kind}-{rate:.2f}-{number}.png")


def opener(root: Path) -> Callable[[str], Image.Image]:
    """Open images by their path below a folder."""
    return lambda name: open_image((root / name).read_bytes())


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut into lists of some length."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "pairs", "sheets"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    given.sheets.mkdir(parents=True, exist_ok=True)
    measured(given.images, given.pairs, given.sheets)
