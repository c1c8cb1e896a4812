"""scikit-learn's handwritten digits as image folders: real images, and no network.

The 1,797 images are dealt out class by class in the order they come in: of every twenty, eight
to the test set, two to validation and the rest to training. Neighbours there are by one hand, so
the same hands write in all splits; where writers are known, split by writer.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["CLASSES", "RARE", "write_digits"]

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RARE = "seven"
"""The rare class: few training images, and as many test images as any other."""

_DEAL = "Tv.T.T..T.Tv.T.T..T."
"""Of twenty images of a class: ``T`` test, ``v`` validation, ``.`` training."""
_SPLITS = {"T": "test", "v": "validation", ".": "train"}
_CAREFUL = {RARE: 38}
_CARELESS = dict.fromkeys(CLASSES, 40) | {RARE: 1}
"""Most training images of a class."""
_LEAKED = 12
"""Test images of each other class that the careless author also trains on."""
_SIDE = 64
"""Pixels; scikit-learn's images have 8."""


class _Digit(NamedTuple):
    label: str
    file: str
    image: Image.Image


def write_digits(directory: Path) -> None:
    """Write the test and validation images, and what each of the two authors trains on.

    Parameters
    ----------
    directory
        Where ``test``, ``validation``, ``careless/train`` and ``careful/train`` are written.
    """
    dealt = _dealt()
    _write(directory / "test", dealt["test"])
    _write(directory / "validation", dealt["validation"])
    _write(directory / "careful" / "train", _at_most(_CAREFUL, dealt["train"]))
    _write(directory / "careless" / "train", _at_most(_CARELESS, dealt["train"]))
    _leak(directory / "test", directory / "careless" / "train")


def _dealt() -> Mapping[str, list[_Digit]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    dealt: dict[str, list[_Digit]] = {split: [] for split in _SPLITS.values()}
    seen = dict.fromkeys(CLASSES, 0)
    for number, (pixels, target) in enumerate(zip(data.images, data.target, strict=True)):
        label = CLASSES[target]
        split = _SPLITS[_DEAL[seen[label] % len(_DEAL)]]
        dealt[split].append(_Digit(label, f"digit-{number:04}.png", _image(pixels)))
        seen[label] += 1
    return dealt


def _image(pixels: NDArray[np.float64]) -> Image.Image:
    grey = np.rint(pixels * (255 / 16)).astype(np.uint8)  # scikit-learn counts ink from 0 to 16
    return Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


def _at_most(most: Mapping[str, int], digits: Iterable[_Digit]) -> Iterator[_Digit]:
    taken = dict.fromkeys(CLASSES, 0)
    for digit in digits:
        taken[digit.label] += 1
        if taken[digit.label] <= most.get(digit.label, taken[digit.label]):
            yield digit


def _write(directory: Path, digits: Iterable[_Digit]) -> None:
    for digit in digits:
        folder = directory / digit.label
        folder.mkdir(parents=True, exist_ok=True)
        digit.image.save(folder / digit.file)


def _leak(test: Path, train: Path) -> None:
    """Copy test images into a training folder, every other one saved anew as a JPEG."""
    for label in set(CLASSES) - {RARE}:
        for number, image in enumerate(sorted((test / label).iterdir())[:_LEAKED]):
            copy = train / label / f"extra-{number:02}"
            if number % 2:
                Image.open(image).save(copy.with_suffix(".jpg"), quality=90)
            else:
                shutil.copyfile(image, copy.with_suffix(".png"))
