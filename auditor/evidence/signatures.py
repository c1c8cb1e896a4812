"""Signatures of images: digests and perceptual hashes, from the decode that inference uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from auditor.config import Config
from auditor.data.samples import NONE_LEFT_OUT, LeftOut, Samples
from auditor.errors import Unavailable
from auditor.overlap.soft import SOFT_BYTES
from auditor.provider import derive, observe
from auditor.store.columns import matrix, matrix_of, telling, told, with_lost, without_lost

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.evidence.signature_file import SignatureFile
    from auditor.evidence.signing import Signing
    from auditor.overlap.splits import SplitSignatures

__all__ = ["VERSION", "Signatures", "SigningSettings", "test_signatures", "train_signatures"]


class SigningSettings(NamedTuple):
    """How pictures are signed; signatures of different settings do not compare."""

    views: bool = False
    """Whether crops are hashed too."""
    hash_mode: str = "exact"
    """``exact``, or ``fast``, which decodes JPEGs at a fraction of their size."""

    @property
    def identity(self) -> str:
        """What evidence is keyed by."""
        return repr(tuple(self))


_EXACT = SigningSettings()
_META = "meta."


@dataclass(frozen=True, eq=False)
class Signatures:
    """A row for each readable image of one split.

    Parameters
    ----------
    images, labels
        Parallel, n long.
    bytes_digest, pixels_digest
        16 bytes each: of the file, and of the decoded pixels with their shape.
    phash
        ``imagehash.phash`` as uint64, shape (n,).
    contrast
        Standard deviation of the 32×32 grey thumbnail, shape (n,).
    soft
        Soft hashes, int8, shape (n, 256).
    unreadable
        Image → why it could not be read.
    views
        Soft hashes of the stored views, int8, shape (n, views, 256); None where not asked for.
    settings
        How they were made.
    listing
        ``image``, ``label`` and further columns of all images, the unreadable ones too; None where
        there is no more than what is above.
    left_out
        Which files of the source were not taken for images, where the signatures stand for it.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    bytes_digest: tuple[bytes, ...]
    pixels_digest: tuple[bytes, ...]
    phash: NDArray[np.uint64]
    contrast: NDArray[np.float32]
    soft: NDArray[np.int8]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    views: NDArray[np.int8] | None = None
    settings: SigningSettings = _EXACT
    listing: pa.Table | None = None
    left_out: LeftOut = NONE_LEFT_OUT

    def manifest(self) -> pa.Table:
        """Return every image of the split with its label and further columns, as a manifest."""
        import pyarrow as pa

        if self.listing is not None:
            return self.listing
        return pa.table({"image": list(self.images), "label": list(self.labels)})

    def split(self) -> SplitSignatures:
        """Return what the overlap search takes."""
        from auditor.overlap.splits import SplitSignatures

        return SplitSignatures(
            self.images,
            self.labels,
            list(self.bytes_digest),
            list(self.pixels_digest),
            self.phash,
            self.contrast,
            self.soft,
            self.views,
        )

    def about(self) -> dict[str, Any]:
        """Return what fits no column, as JSON values."""
        left = {"left_out": self.left_out} if self.left_out.files else {}
        return {**self.settings._asdict(), **left}

    def to_table(self) -> pa.Table:
        """Return a row an image, the unreadable ones last."""
        import pyarrow as pa

        columns: dict[str, Any] = {
            "image": pa.array(self.images, pa.string()),
            "label": pa.array(self.labels, pa.string()),
            "bytes_digest": pa.array(self.bytes_digest, pa.binary(16)),
            "pixels_digest": pa.array(self.pixels_digest, pa.binary(16)),
            "phash": pa.array(self.phash, pa.uint64()),
            "contrast": pa.array(self.contrast, pa.float32()),
            "soft": matrix(self.soft),
        }
        if self.views is not None:
            columns["views"] = matrix(self.views)
        return telling(with_lost(columns, self.unreadable), self.about())

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` or a pass over the images wrote."""
        about, listing = told(table), _listing(table)
        table, unreadable = without_lost(table)
        names = ("image", "label", "bytes_digest", "pixels_digest")
        absent = not set(names) <= set(table.column_names)  # no image could be read
        columns = {n: () if absent else tuple(table[n].to_pylist()) for n in names}
        return cls(
            images=columns["image"],
            labels=columns["label"],
            bytes_digest=columns["bytes_digest"],
            pixels_digest=columns["pixels_digest"],
            phash=_numbers(table, "phash", np.uint64),
            contrast=_numbers(table, "contrast", np.float32),
            soft=_hashes(table, "soft").reshape(-1, SOFT_BYTES),
            unreadable=unreadable,
            views=_hashes(table, "views") if about.get("views") else None,
            settings=SigningSettings(about.get("views", False), about.get("hash_mode", "exact")),
            listing=listing,
            left_out=LeftOut(*about.get("left_out", ())),
        )


def _listing(table: pa.Table) -> pa.Table | None:
    """Return a manifest of the images whose label is known, if it says more than the readable ones.

    Of an unreadable image signatures that were saved know no label.
    """
    import pyarrow.compute as pc

    if "label" not in table.column_names:
        return None
    kept = ["image", "label", *(n for n in table.column_names if n.startswith(_META))]
    listing = table.select(kept).filter(pc.is_valid(table["label"]))
    if len(kept) == 2 and len(listing) == table["error"].null_count:
        return None
    return listing.rename_columns([name.removeprefix(_META) for name in kept])


def _numbers(table: pa.Table, name: str, dtype: Any) -> Any:
    if name not in table.column_names:
        return np.zeros(0, dtype)
    return table[name].to_numpy().astype(dtype)


def _hashes(table: pa.Table, name: str) -> NDArray[np.int8]:
    """Return soft hashes, shape (n, hashes an image, 256)."""
    found = matrix_of(table, name, np.int8)
    if found is None:  # no image could be read
        found = np.zeros((0, 0), np.int8)
    return found.reshape(len(found), found.shape[1] // SOFT_BYTES, SOFT_BYTES)


VERSION = 5
"""Of the stored form, in the store and in files; raised when what is stored changes its meaning."""
_PASSES = 1
"""Added to it in the store; raised when rows of a pass alone change their meaning."""


@derive
def signing(config: Config) -> SigningSettings:
    """Return how pictures are signed."""
    return SigningSettings(config.overlap.views, config.overlap.hash_mode)


@observe(Signatures, samples="test_samples", version=VERSION + _PASSES)
def test_signatures(
    signing: SigningSettings,
    test_signature_file: SignatureFile | None,
    test_samples: Samples | None,
) -> Signing | Signatures:
    """Sign every test image."""
    return _signed("test", signing, test_signature_file, test_samples)


@observe(Signatures, samples="train_samples", version=VERSION + _PASSES)
def train_signatures(
    signing: SigningSettings,
    train_signature_file: SignatureFile | None,
    train_samples: Samples | None,
) -> Signing | Signatures:
    """Sign every training image."""
    return _signed("train", signing, train_signature_file, train_samples)


def _signed(
    split: str,
    settings: SigningSettings,
    file: SignatureFile | None,
    samples: Samples | None,
) -> Signing | Signatures:
    from auditor.evidence.signing import Signing

    if file is not None:
        return file.read(settings)
    if samples is None:
        raise Unavailable(f"no {split} images were given ([data] {split})")
    return Signing(settings)
