"""The images of one split and their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

__all__ = ["Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Images of one split, in a fixed order, opened only when asked for.

    Parameters
    ----------
    root
        Folder that the image paths are relative to.
    images, labels
        Parallel; paths with forward slashes, labels as class names.
    classes
        Every class that the source knows, in ``class_order``'s order.
    class_order
        Where that order came from, as a sentence.
    source
        What the user pointed at, for the report.
    metadata
        Further columns of a manifest, parallel to ``images``.
    sample
        How these were chosen from a larger split; empty where they are all of it.
    """

    root: Path
    images: tuple[str, ...]
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    class_order: str
    source: str
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sample: str = ""
    representative: tuple[bool, ...] = ()
    """Whether each image belongs to the self-weighting part of a sample; empty means all."""

    def __len__(self) -> int:
        return len(self.images)

    def path(self, image: str) -> Path:
        """Return where an image lies."""
        return self.root / image

    def take(self, rows: Sequence[int]) -> Samples:
        """Return the given rows, in the given order."""
        return replace(
            self,
            images=tuple(self.images[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
            metadata={k: tuple(v[row] for row in rows) for k, v in self.metadata.items()},
            representative=tuple(self.representative[row] for row in rows)
            if self.representative
            else (),
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256 over names, labels, sizes and times of change: a ``stat`` a file."""
        digest = hashlib.sha256(repr((self.sample, self.representative)).encode())
        for row, (image, label) in enumerate(zip(self.images, self.labels, strict=True)):
            extra = [column[row] for column in self.metadata.values()]
            digest.update(repr((image, label, extra, self._stat(image))).encode())
        return digest.hexdigest()

    def _stat(self, image: str) -> tuple[int, int, int] | None:
        try:
            status = self.path(image).stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns
