"""Signatures of images: digests and perceptual hashes, from the decode that inference uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from auditor.evidence.provider import observe
from auditor.overlap.soft import SOFT_BYTES

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from auditor.data.samples import Samples
    from auditor.overlap.overlap import SplitSignatures
    from auditor.overlap.signature import Signature

__all__ = ["Signatures", "test_signatures", "train_signatures"]


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
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    bytes_digest: tuple[bytes, ...]
    pixels_digest: tuple[bytes, ...]
    phash: NDArray[np.uint64]
    contrast: NDArray[np.float32]
    soft: NDArray[np.int8]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def split(self) -> SplitSignatures:
        """Return what the overlap search takes."""
        from auditor.overlap.overlap import SplitSignatures

        return SplitSignatures(
            self.images,
            self.labels,
            list(self.bytes_digest),
            list(self.pixels_digest),
            self.phash,
            self.contrast,
            self.soft,
        )

    def to_table(self) -> pa.Table:
        """Return a row an image, the unreadable ones last."""
        import pyarrow as pa

        table = pa.table(
            {
                "image": list(self.images),
                "label": list(self.labels),
                "bytes_digest": list(self.bytes_digest),
                "pixels_digest": list(self.pixels_digest),
                "phash": self.phash,
                "contrast": self.contrast,
                "soft": pa.array([row.tobytes() for row in self.soft], pa.binary(SOFT_BYTES)),
            }
        )
        schema = pa.schema({"image": pa.string(), "error": pa.string()})
        lost = pa.table([list(self.unreadable), list(self.unreadable.values())], schema=schema)
        return pa.concat_tables([table, lost], promote_options="default")

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` or a pass over the images wrote."""
        import pyarrow.compute as pc

        lost = table.filter(pc.is_valid(table["error"]))
        table = table.filter(pc.is_null(table["error"]))
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
            soft=_soft(table),
            unreadable=dict(zip(lost["image"].to_pylist(), lost["error"].to_pylist(), strict=True)),
        )


def _numbers(table: pa.Table, name: str, dtype: Any) -> Any:
    if name not in table.column_names:
        return np.zeros(0, dtype)
    return table[name].to_numpy().astype(dtype)


def _soft(table: pa.Table) -> NDArray[np.int8]:
    rows = table["soft"].to_pylist() if "soft" in table.column_names else []
    return np.frombuffer(b"".join(rows), np.int8).reshape(-1, SOFT_BYTES)


class Signing:
    """The observer that signs every image."""

    images: frozenset[str] | None = None
    batch_size: int | None = None

    def prepare(self, image: Image.Image, data: bytes) -> Signature:
        """Return the signature of one image."""
        from auditor.overlap.signature import signature

        return signature(image, data)

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        """Return the signature columns of a batch."""
        import pyarrow as pa

        del images
        digest = pa.binary(16)
        return {
            "bytes_digest": pa.array([s.bytes_digest for s in prepared], digest),
            "pixels_digest": pa.array([s.pixels_digest for s in prepared], digest),
            "phash": pa.array([s.phash for s in prepared], pa.uint64()),
            "contrast": pa.array([s.contrast for s in prepared], pa.float32()),
            "soft": pa.array([s.soft for s in prepared], pa.binary(SOFT_BYTES)),
        }

    def about(self) -> dict[str, Any]:
        """Return which hash it is."""
        return {"hash": "phash", "bits": 64}


@observe(Signatures, samples="test_samples", version=2)
def test_signatures(test_samples: Samples) -> Signing:
    """Sign every test image."""
    del test_samples
    return Signing()


@observe(Signatures, samples="train_samples", version=2)
def train_signatures(train_samples: Samples) -> Signing:
    """Sign every training image."""
    del train_samples
    return Signing()
