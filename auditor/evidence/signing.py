"""The observer that signs images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from auditor.evidence.signatures import SigningSettings
from auditor.overlap.soft import SOFT_BYTES
from auditor.provider import Observer

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from auditor.overlap.signature import Impression

__all__ = ["Signing"]


class Signing(Observer):
    """Signs images.

    Parameters
    ----------
    settings
        How pictures are signed.
    """

    by_label = False

    def __init__(self, settings: SigningSettings) -> None:
        self.settings = settings

    @property
    def reduced(self) -> bool:
        """Whether a picture decoded at a fraction of its size will do."""
        return self.settings.hash_mode == "fast"

    def prepare(self, image: Image.Image, data: bytes) -> Impression:
        """Return what one image's signature is made of."""
        from auditor.data.decode import reduced_image
        from auditor.overlap.signature import impression

        # Whoever looks beside: hashes and digests of whole and of reduced pictures do not compare.
        seen = reduced_image(image, data) if self.reduced else image
        return impression(seen, data, self.settings.views)

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        """Return the signature columns of a batch."""
        import pyarrow as pa

        from auditor.overlap.signature import signatures

        del images
        signed = signatures(prepared)
        columns = {
            "bytes_digest": pa.array([s.bytes_digest for s in signed], pa.binary(16)),
            "pixels_digest": pa.array([s.pixels_digest for s in signed], pa.binary(16)),
            "phash": pa.array([s.phash for s in signed], pa.uint64()),
            "contrast": pa.array([s.contrast for s in signed], pa.float32()),
            "soft": pa.array([s.soft for s in signed], pa.binary(SOFT_BYTES)),
        }
        if self.settings.views:
            views = pa.binary(len(signed[0].views))
            columns["views"] = pa.array([s.views for s in signed], views)
        return columns

    def about(self) -> dict[str, Any]:
        """Return which hash it is and how it was made."""
        return {"hash": "phash", "bits": 64, **self.settings._asdict()}

    def accepts(self, about: Mapping[str, Any]) -> bool:
        """Tell whether earlier signatures compare with these."""
        settings = self.settings._asdict()
        return all(about.get(name) == value for name, value in settings.items())
