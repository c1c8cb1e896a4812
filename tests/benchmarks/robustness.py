"""Which changed copies of a photograph are found; prints a Markdown table.

python tests/benchmarks/robustness.py IMAGES [EVERY [WORD]]

IMAGES is a folder, a tar or a manifest of pictures that are no copies of each other. They are the
training set; for each change, the test set is all of them changed. A copy is found where its own
original is among its pairs; every other pair is a false alarm. EVERY takes every so many pictures
alone, WORD the changes whose name holds it. Text, logos and noise are drawn anew for each picture,
from a fixed seed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from auditor.data.decode import open_image, to_rgb
from auditor.data.sources import read_samples
from auditor.overlap.overlap import find_overlap
from auditor.overlap.result import OverlapSettings
from auditor.overlap.signature import impression, signatures
from auditor.overlap.soft import SOFT_BYTES
from auditor.overlap.splits import SplitSignatures

Picture = Image.Image
Random = np.random.Generator
Change = Callable[[Picture, Random], Picture]
Turn = Image.Transpose

PHASH = 8
"""Bits of the rule that is shown beside: imagehash within this distance, nothing verified."""


def jpeg(quality: int, picture: Picture, _: Random) -> Picture:
    """Save and open again."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return open_image(file.getvalue())


def scale(factor: float, picture: Picture, _: Random) -> Picture:
    """Resize, keeping the shape."""
    size = (max(1, round(factor * side)) for side in picture.size)
    return picture.resize((next(size), next(size)), Image.Resampling.BICUBIC)


def square(side: int, picture: Picture, _: Random) -> Picture:
    """Resize to a square, whatever the shape."""
    return picture.resize((side, side), Image.Resampling.BILINEAR)


def grey(picture: Picture, _: Random) -> Picture:
    """Drop the colours."""
    return picture.convert("L")


def blur(radius: float, picture: Picture, _: Random) -> Picture:
    """Blur with a Gaussian of so many pixels."""
    return picture.filter(ImageFilter.GaussianBlur(radius))


def noise(deviation: float, picture: Picture, random: Random) -> Picture:
    """Add Gaussian noise of so many grey levels."""
    drawn = random.normal(0, deviation, (*picture.size[::-1], 3))
    return Image.fromarray((np.asarray(picture) + drawn).clip(0, 255).astype(np.uint8))


def brightness(factor: float, picture: Picture, _: Random) -> Picture:
    """Multiply the levels."""
    return ImageEnhance.Brightness(picture).enhance(factor)


def contrast(factor: float, picture: Picture, _: Random) -> Picture:
    """Stretch the levels about their mean."""
    return ImageEnhance.Contrast(picture).enhance(factor)


def gamma(exponent: float, picture: Picture, _: Random) -> Picture:
    """Raise the levels to a power."""
    levels = [round(255 * (level / 255) ** exponent) for level in range(256)]
    return picture.point(levels * 3)


def equalise(picture: Picture, _: Random) -> Picture:
    """Equalise the histogram of each channel."""
    return ImageOps.equalize(picture)


def text(picture: Picture, random: Random) -> Picture:
    """Write a line, a tenth of the height tall, somewhere."""
    changed, height = picture.copy(), max(8, picture.height // 10)
    place = (0.05 * picture.width, float(random.uniform(0, 0.85)) * picture.height)
    font = ImageFont.load_default(height)
    draw = ImageDraw.Draw(changed)
    draw.text(place, "example.org 2026", "white", font, stroke_width=2, stroke_fill="black")
    return changed


def logo(share: float, picture: Picture, random: Random) -> Picture:
    """Lay a round mark over it, so wide a share of the shorter side, somewhere."""
    changed, side = picture.copy(), round(share * min(picture.size))
    left = int(random.uniform(0, picture.width - side))
    top = int(random.uniform(0, picture.height - side))
    draw, colour = ImageDraw.Draw(changed), tuple(random.integers(0, 256, 3).tolist())
    draw.ellipse((left, top, left + side, top + side), colour, "white", max(1, side // 12))
    return changed


def crop(share: float, across: float, down: float, picture: Picture, _: Random) -> Picture:
    """Keep a share of each side; 0 and 1 are the edges, 0.5 is the centre."""
    width, height = (round(share * side) for side in picture.size)
    left, top = round(across * (picture.width - width)), round(down * (picture.height - height))
    return picture.crop((left, top, left + width, top + height))


def evaluation_crop(picture: Picture, _: Random) -> Picture:
    """Resize the shorter side to 256 and cut 224 × 224 from the centre, as timm and others do."""
    factor = 256 / min(picture.size)
    width, height = (round(factor * side) for side in picture.size)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    return resized.crop((left, top, left + 224, top + 224))


def random_resized_crop(picture: Picture, random: Random) -> Picture:
    """Cut 30–100% of the area at a ratio of 3:4 to 4:3 anywhere, to 224 × 224."""
    area = float(random.uniform(0.3, 1)) * picture.width * picture.height
    ratio = float(np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3))))
    width = min(picture.width, round((area * ratio) ** 0.5))
    height = min(picture.height, round((area / ratio) ** 0.5))
    left = int(random.integers(0, picture.width - width + 1))
    top = int(random.integers(0, picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height)).resize((224, 224))


def rotate(degrees: float, picture: Picture, _: Random) -> Picture:
    """Turn about the centre; the corners turn black."""
    return picture.rotate(degrees, Image.Resampling.BICUBIC)


def border(share: float, picture: Picture, _: Random) -> Picture:
    """Put a black border around, so wide a share of the shorter side."""
    return ImageOps.expand(picture, round(share * min(picture.size)), "black")


def turn(how: Turn, picture: Picture, _: Random) -> Picture:
    """Flip or turn by quarters."""
    return picture.transpose(how)


def repost(picture: Picture, random: Random) -> Picture:
    """Crop 95%, halve, brighten by a tenth, write on it, save at quality 60."""
    halved = scale(0.5, crop(0.95, 0.5, 0.5, picture, random), random)
    return jpeg(60, text(brightness(1.1, halved, random), random), random)


CHANGES: dict[str, Change] = {
    **{f"JPEG, quality {q}": partial(jpeg, q) for q in (90, 70, 50, 30, 20, 10)},
    **{f"size × {f}": partial(scale, f) for f in (2.0, 0.5, 0.25)},
    **{f"resized to {s} × {s}": partial(square, s) for s in (224, 64, 32)},
    "grey": grey,
    **{f"blur, {r} px": partial(blur, r) for r in (1, 2, 4, 8)},
    **{f"noise, {d} grey levels": partial(noise, d) for d in (8, 16, 32, 64)},
    **{f"brightness × {f}": partial(brightness, f) for f in (0.4, 0.7, 1.3, 1.8)},
    **{f"contrast × {f}": partial(contrast, f) for f in (0.4, 1.8)},
    **{f"gamma {e}": partial(gamma, e) for e in (0.5, 2.0)},
    "equalised": equalise,
    "text": text,
    **{f"logo, {s:.0%} of the side": partial(logo, s) for s in (0.1, 0.3, 0.5)},
    **{f"centre crop {s:.0%}": partial(crop, s, 0.5, 0.5) for s in (0.98, 0.95, 0.9, 0.8, 0.7)},
    **{f"centre crop {s:.0%}": partial(crop, s, 0.5, 0.5) for s in (0.6, 0.5)},
    **{f"corner crop {s:.0%}": partial(crop, s, 0.0, 0.0) for s in (0.95, 0.9, 0.8)},
    "evaluation crop (256, 224)": evaluation_crop,
    "random resized crop": random_resized_crop,
    **{f"rotated by {d}°": partial(rotate, d) for d in (1, 2, 5, 10)},
    **{f"border, {s:.0%}": partial(border, s) for s in (0.02, 0.05, 0.1)},
    "mirrored": partial(turn, Turn.FLIP_LEFT_RIGHT),
    "upside down": partial(turn, Turn.FLIP_TOP_BOTTOM),
    "quarter turn": partial(turn, Turn.ROTATE_90),
    "half turn": partial(turn, Turn.ROTATE_180),
    "transposed": partial(turn, Turn.TRANSPOSE),
    "crop, size, light, text, JPEG at once": repost,
}


class Side(NamedTuple):
    """Pictures with their signatures; each is named by its place."""

    pictures: Sequence[Picture]
    split: SplitSignatures

    @classmethod
    def of(cls, pictures: Sequence[Picture], prefix: str) -> Side:
        """Sign pictures that were never files: the bytes are made up, so that none are equal."""
        named = ((picture, f"{prefix}{place}".encode()) for place, picture in enumerate(pictures))
        found = signatures([impression(picture, data, views=True) for picture, data in named])
        soft = np.frombuffer(b"".join(one.soft for one in found), np.int8)
        views = np.frombuffer(b"".join(one.views for one in found), np.int8)
        split = SplitSignatures(
            [str(place) for place in range(len(found))],
            ["picture"] * len(found),
            [one.bytes_digest for one in found],
            [one.pixels_digest for one in found],
            np.array([one.phash for one in found], np.uint64),
            np.array([one.contrast for one in found], np.float32),
            soft.reshape(len(found), -1),
            views.reshape(len(found), -1, SOFT_BYTES),
        )
        return cls(pictures, split)

    def open(self, name: str) -> Picture:
        """Return a picture."""
        return self.pictures[int(name)]


Pairs = set[tuple[int, int]]


def by_auditor(settings: OverlapSettings, copies: Side, originals: Side) -> Pairs:
    """Return the pairs that the search finds."""
    found = find_overlap(copies.split, originals.split, copies.open, originals.open, settings)
    return {(int(pair.test_image), int(pair.train_image)) for pair in found.pairs}


def by_phash(copies: Side, originals: Side) -> Pairs:
    """Return the pairs within ``PHASH`` bits."""
    bits = np.bitwise_count(copies.split.phash[:, None] ^ originals.split.phash)
    rows, columns = np.nonzero(bits <= PHASH)
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


WAYS: dict[str, Callable[[Side, Side], Pairs]] = {
    f"phash ≤ {PHASH}": by_phash,
    "auditor": partial(by_auditor, OverlapSettings()),
    "with views": partial(by_auditor, OverlapSettings(views=True)),
}


def rows(originals: Side, word: str) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield each change with the copies found and the false alarms, a way each."""
    for name, change in CHANGES.items():
        if word in name:
            random = np.random.default_rng(0)
            changed = [to_rgb(change(picture, random)) for picture in originals.pictures]
            copies = Side.of(changed, "copy ")
            found = [way(copies, originals) for way in WAYS.values()]
            right = [sum((row, row) in pairs for row in range(len(changed))) for pairs in found]
            yield name, right, [len(p) - r for p, r in zip(found, right, strict=True)]


def main(path: Path, every: int, word: str) -> None:
    """Print the table and the false alarms."""
    samples, started = read_samples(path), time.process_time()
    pictures = [to_rgb(open_image(samples.read(image))) for image in samples.images[::every]]
    originals = Side.of(pictures, "original ")
    n, false, changes = len(pictures), np.zeros(len(WAYS)), 0
    print(f"{n} pictures; share of the copies found\n")
    print(f"| change | {' | '.join(WAYS)} |\n|---{'|---' * len(WAYS)}|")
    for name, right, wrong in rows(originals, word):
        false, changes = false + wrong, changes + 1
        print(f"| {name} | {' | '.join(f'{k / n:.1%}' for k in right)} |", flush=True)
    million = changes * n * (n - 1) / 1e6
    rates = " | ".join(f"{k:.0f} ({k / million:.1f})" for k in false)
    print(f"| **false alarms** (per million of {million:.1f} million unrelated pairs) | {rates} |")
    print(f"\n{time.process_time() - started:,.0f} s of CPU")


if __name__ == "__main__":
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    main(Path(sys.argv[1]), every, sys.argv[3] if len(sys.argv) > 3 else "")
