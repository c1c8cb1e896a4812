"""Properties of images: size, brightness, contrast, sharpness; by them a test set can be sliced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from auditor.data.samples import Samples
from auditor.evidence.signatures import SigningSettings
from auditor.provider import Observer, observe
from auditor.record import PropertyRow
from auditor.store.columns import telling, told, with_lost, without_lost

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Properties", "test_properties", "train_properties"]

NUMBERS = {
    "width": "int32",
    "height": "int32",
    "file_bytes": "int64",
    "brightness": "float32",
    "contrast": "float32",
    "sharpness": "float32",
}
"""Column → type of the properties that are numbers."""
NAMES = ("format", "mode")
_DEEP = ("I", "F")
"""What Pillow's modes begin with that have more than 8 bits a channel."""
_TITLES = {"file_bytes": "file size"}
_UNITS: dict[str, Literal["pixels", "bytes"]] = {
    "width": "pixels",
    "height": "pixels",
    "file_bytes": "bytes",
}


@dataclass(frozen=True, eq=False)
class Properties:
    """A row for each readable image of one split.

    Parameters
    ----------
    images
        Names, n long.
    width, height
        Pixels, shape (n,).
    file_bytes
        Size of the file in bytes, shape (n,).
    brightness, contrast
        Mean and standard deviation of luma, in [0, 1] and [0, 0.5], shape (n,); as sharpness, at
        the scale that :mod:`auditor.evidence.measuring` tells.
    sharpness
        Variance of the Laplacian, in grey levels (0..255) squared, shape (n,). NaN where it is not
        known.
    format, mode
        Of the file, by Pillow's names: ``JPEG``, ``RGB``; n long.
    reasons
        Image → why its sharpness is not known.
    unreadable
        Image → why it could not be read or measured. Such images have no row.
    about
        How they were measured, as JSON values.
    """

    images: tuple[str, ...]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    file_bytes: NDArray[np.int64]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    format: tuple[str, ...]
    mode: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def ranges(self) -> Iterator[PropertyRow]:
        """Yield how far each number ranges, over the images where it is known."""
        for name in NUMBERS:
            values = getattr(self, name)
            if (known := values[~np.isnan(values)]).size:
                yield PropertyRow(
                    name=_TITLES.get(name, name),
                    unit=_UNITS.get(name, "none"),
                    images=known.size,
                    least=float(known.min()),
                    median=float(np.median(known)),
                    most=float(known.max()),
                )

    def formats(self) -> dict[str, int]:
        """Return format → images, the most frequent first."""
        return dict(Counter(self.format).most_common())

    @property
    def deep(self) -> frozenset[str]:
        """The images with one channel of more than 8 bits, which Pillow's conversions cut off.

        Of more channels it reads 8 bits alone.
        """
        pairs = zip(self.images, self.mode, strict=True)
        return frozenset(image for image, mode in pairs if mode.startswith(_DEEP))

    def told_of_deep(self, shown: Sequence[str], title: str) -> Iterator[str]:
        """Say how a model was shown those of some images that loaders make different ones of."""
        deep = self.deep
        if n := sum(image in deep for image in shown):
            yield (
                f"{n:,} of {len(shown):,} {title} images are grey with more than 8 bits. The model "
                'was shown them as Pillow\'s convert("RGB") makes them, and so timm and '
                "torchvision: what is above 255 is cut off, nothing is scaled. A loader that "
                "scales them shows it other images."
            )

    def to_table(self) -> pa.Table:
        """Return a row an image, the unreadable ones last; what is not known is null."""
        import pyarrow as pa

        text = pa.string()
        columns = {"image": pa.array(self.images, text)}
        columns |= {name: pa.array(getattr(self, name), from_pandas=True) for name in NUMBERS}
        columns |= {name: pa.array(getattr(self, name), text) for name in NAMES}
        columns["reason"] = pa.array([self.reasons.get(image) for image in self.images], text)
        return telling(with_lost(columns, self.unreadable), self.about)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` or a pass over the images wrote."""
        import pyarrow.compute as pc

        about = told(table)
        table, unreadable = without_lost(table)
        if not table.num_rows:  # no image could be read, and a pass then knows no such column
            table = _nothing()
        why = table.filter(pc.is_valid(table["reason"]))
        columns: dict[str, Any] = {name: tuple(table[name].to_pylist()) for name in NAMES}
        columns |= {name: table[name].to_numpy().astype(type_) for name, type_ in NUMBERS.items()}
        return cls(
            images=tuple(table["image"].to_pylist()),
            **columns,
            reasons=dict(zip(why["image"].to_pylist(), why["reason"].to_pylist(), strict=True)),
            unreadable=unreadable,
            about=about,
        )


def _nothing() -> pa.Table:
    import pyarrow as pa

    texts = {name: pa.string() for name in ("image", *NAMES, "reason")}
    numbers = {name: pa.from_numpy_dtype(np.dtype(dtype)) for name, dtype in NUMBERS.items()}
    return pa.schema({**texts, **numbers}).empty_table()


@observe(Properties, samples="test_samples", version=3)
def test_properties(signing: SigningSettings, test_samples: Samples) -> Observer:
    """Measure every test image."""
    del test_samples  # asked for, so that what lacks is said before the pass
    return _measuring(signing)


@observe(Properties, samples="train_samples", version=3)
def train_properties(signing: SigningSettings, train_samples: Samples) -> Observer:
    """Measure every training image."""
    del train_samples
    return _measuring(signing)


def _measuring(signing: SigningSettings) -> Observer:
    from auditor.evidence.measuring import Measuring

    return Measuring(reduced=signing.hash_mode == "fast")
