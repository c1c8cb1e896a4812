"""What other tools find of the pictures that two splits are known to share.

python tests/benchmarks/peers.py ROOT KNOWN.csv [SHEETS]

ROOT holds ``train/`` and ``test/`` with class folders; KNOWN.csv names pairs in columns
``test_image`` and ``train_image``, from ROOT. Each tool runs at its defaults, with one worker, in a
process of its own; those that are not installed are named and left out. Given a folder SHEETS, a
hundred pairs of each are drawn into a PNG there, to be judged by eye.

imagehash has no search but comparing its objects, and imagededup's own takes hours here. Theirs
are timed on a slice and scaled by the number of pairs; what they would find is told from their own
hashes, compared exactly.
"""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from auditor.data.decode import open_image
from auditor.data.sources import read_samples
from auditor.overlap.overlap import find_overlap
from auditor.overlap.search import near_pairs
from auditor.overlap.signature import impression, signatures
from auditor.overlap.splits import SplitSignatures

SHOWN, TILE = 100, 64

Pairs = list[tuple[str, str]]


class Done(NamedTuple):
    """What a tool did."""

    pairs: Pairs
    """Test image and training image, from ROOT."""
    hashing: float
    """Seconds of CPU until every picture is hashed."""
    searching: float
    """Seconds of CPU for the search alone; scaled where it was not run on all pairs."""


def cpu() -> float:
    """Return the seconds of CPU that this process and its finished children used."""
    return sum(os.times()[:4])


def auditor(root: Path) -> Done:
    """Sign and search as ``auditor overlap`` does."""
    started = cpu()
    test, train = signed(root / "test"), signed(root / "train")
    hashed = cpu()
    found = find_overlap(test, train, opener(root / "test"), opener(root / "train"))
    pairs = [(f"test/{p.test_image}", f"train/{p.train_image}") for p in found.pairs]
    return Done(pairs, hashed - started, cpu() - hashed)


def signed(folder: Path) -> SplitSignatures:
    """Sign every image of a folder."""
    samples = read_samples(folder)
    files = (samples.read(image) for image in samples.images)
    found = signatures([impression(open_image(file), file) for file in files])
    return SplitSignatures(
        samples.images,
        samples.labels,
        [one.bytes_digest for one in found],
        [one.pixels_digest for one in found],
        np.array([one.phash for one in found], np.uint64),
        np.array([one.contrast for one in found], np.float32),
        np.frombuffer(b"".join(one.soft for one in found), np.int8).reshape(len(found), -1),
    )


def opener(folder: Path) -> Callable[[str], Image.Image]:
    """Return what opens an image of a folder."""
    return lambda image: open_image((folder / image).read_bytes())


def hashed_by_imagehash(root: Path, bits: int) -> Done:
    """Hash with imagehash; the search is a loop over its objects, timed on 20 test images."""
    import imagehash

    started = cpu()
    hashes = {
        split: {
            f"{split}/{image}": imagehash.phash(Image.open(root / split / image))
            for image in read_samples(root / split).images
        }
        for split in ("test", "train")
    }
    hashed = cpu()
    for one in list(hashes["test"].values())[:20]:
        for other in hashes["train"].values():
            _ = one - other <= bits
    searched = (cpu() - hashed) * len(hashes["test"]) / 20
    codes = {s: {k: int(str(v), 16) for k, v in found.items()} for s, found in hashes.items()}
    return Done(within(codes["test"], codes["train"], bits), hashed - started, searched)


def imagehash8(root: Path) -> Done:
    """Search within 8 bits."""
    return hashed_by_imagehash(root, 8)


def imagehash4(root: Path) -> Done:
    """Search within 4 bits."""
    return hashed_by_imagehash(root, 4)


def imagededup(root: Path) -> Done:
    """Encode with imagededup; its search within one set of files is timed on 3,000 of them."""
    from imagededup.methods import PHash  # type: ignore[import-not-found, unused-ignore]

    hasher, started = PHash(verbose=False), cpu()
    codes = {
        f"{split}/{Path(name).as_posix()}": code
        for split in ("test", "train")
        for name, code in hasher.encode_images(
            root / split, recursive=True, num_enc_workers=0
        ).items()
    }
    hashed = cpu()
    few = dict(list(codes.items())[:3000])
    hasher.find_duplicates(encoding_map=few, num_dist_workers=0)
    searched = (cpu() - hashed) * (len(codes) / len(few)) ** 2
    numbers = {name: int(code, 16) for name, code in codes.items()}
    test = {name: code for name, code in numbers.items() if name.startswith("test/")}
    train = {name: code for name, code in numbers.items() if name.startswith("train/")}
    return Done(within(test, train, 10), hashed - started, searched)


def cleanvision(root: Path) -> Done:
    """Look for exact and near duplicates in one list of files, and take those across."""
    from cleanvision import Imagelab  # type: ignore[import-not-found, unused-ignore]

    started = cpu()
    files = [str(path) for path in sorted(root.glob("t*/*/*"))]
    lab = Imagelab(filepaths=files, verbose=False)
    wanted: dict[str, Any] = {"exact_duplicates": {}, "near_duplicates": {}}
    lab.find_issues(wanted, n_jobs=1, verbose=False)
    sets = [one for kind in wanted for one in lab.info[kind]["sets"]]
    names = [[Path(path).relative_to(root).as_posix() for path in one] for one in sets]
    pairs = {
        (a, b)
        for one in names
        for a in one
        for b in one
        if a.startswith("test/") and b.startswith("train/")
    }
    return Done(sorted(pairs), cpu() - started, 0.0)


TOOLS: dict[str, tuple[str, Callable[[Path], Done]]] = {
    "auditor": ("auditor", auditor),
    "imagehash, ≤ 4": ("imagehash", imagehash4),
    "imagehash, ≤ 8": ("imagehash", imagehash8),
    "imagededup": ("imagededup", imagededup),
    "cleanvision": ("cleanvision", cleanvision),
}
"""Name → the package that it needs, and what runs it."""


def within(test: dict[str, int], train: dict[str, int], bits: int) -> Pairs:
    """Return the pairs within a distance, found exactly."""
    left, right = (np.array(list(codes.values()), np.uint64) for codes in (test, train))
    names, others, found = list(test), list(train), near_pairs(left, right, bits, len(right))
    rows = zip(found.left.tolist(), found.right.tolist(), strict=True)
    return [(names[i], others[j]) for i, j in rows]


def peak() -> float:
    """Return this process's largest memory so far in MB; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    said = next((line for line in lines if line.startswith("VmHWM")), "VmHWM: nan kB")
    return float(said.split()[1]) / 1024


def child(tool: str, root: Path) -> tuple[Done, float]:
    """Run one tool in a process of its own; return what it did and its largest memory in MB."""
    words = [sys.executable, __file__, "--one", tool, str(root)]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env={**os.environ, **single})
    said = json.loads(done.stdout.splitlines()[-1])
    pairs = [(str(a), str(b)) for a, b in said["pairs"]]
    return Done(pairs, said["hashing"], said["searching"]), said["peak"]


def one(tool: str, root: Path) -> None:
    """Run one tool and print what it did as JSON."""
    done = TOOLS[tool][1](root)
    print("\n" + json.dumps({**done._asdict(), "peak": peak()}))


def sheet(pairs: Pairs, root: Path, path: Path) -> None:
    """Draw pairs side by side, numbered from the left, 10 in a row."""
    random = np.random.default_rng(0)
    chosen = sorted(random.choice(len(pairs), min(SHOWN, len(pairs)), replace=False).tolist())
    rows = -(-len(chosen) // 10)
    drawn = Image.new("RGB", (10 * (2 * TILE + 12), rows * (TILE + 16)), "white")
    pen = ImageDraw.Draw(drawn)
    for number, place in enumerate(chosen):
        left, top = number % 10 * (2 * TILE + 12), number // 10 * (TILE + 16)
        pen.text((left, top), str(number), "black")
        for side, name in enumerate(pairs[place]):
            tile = Image.open(root / name).convert("RGB").resize((TILE, TILE))
            drawn.paste(tile, (left + side * TILE, top + 12))
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(path)


def recall(pairs: Iterable[tuple[str, str]], known: Path) -> tuple[int, int, int]:
    """Return known pairs found, known pairs whose test image is found, known pairs."""
    with known.open(newline="") as file:
        expected = [(row["test_image"], row["train_image"]) for row in csv.DictReader(file)]
    found = set(pairs)
    images = {test for test, _ in found}
    return len(found & set(expected)), sum(t in images for t, _ in expected), len(expected)


def main(root: Path, known: Path, sheets: Path | None) -> None:
    """Print the table."""
    print(
        "| tool | pairs | test images | known pairs found | known test images found "
        "| hashing, CPU | search, CPU | memory |\n|---|---|---|---|---|---|---|---|"
    )
    for tool, (package, _) in TOOLS.items():
        if importlib.util.find_spec(package) is None:
            print(f"| {tool} | not installed | | | | | | |")
            continue
        done, memory = child(tool, root)
        exactly, images, total = recall(done.pairs, known)
        version = importlib.metadata.version(package)
        print(
            f"| {tool} ({version}) | {len(done.pairs):,} | {len({t for t, _ in done.pairs}):,} "
            f"| {exactly / total:.1%} | {images / total:.1%} | {done.hashing:,.0f} s "
            f"| {done.searching:,.0f} s | {memory:,.0f} MB |",
            flush=True,
        )
        if sheets is not None and done.pairs:
            sheet(done.pairs, root, sheets / f"{package}-{len(done.pairs)}.png")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
