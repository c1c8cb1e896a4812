"""Every image can be read.

What it asks
------------
Could the candidate be run on every image that the test set names?

Why it matters
--------------
What cannot be read is not in any figure of the audit. A test set that loses its hardest images to
broken files looks easier than it is.

How it decides
--------------
It counts. More unreadable test images than ``max_share`` of the test set fail. Unreadable training
images are listed and not judged.

How to fix
----------
Repair or replace the files, or remove them from the test set on purpose. Each is listed with the
decoder's reason. To accept them, raise ``max_share``. What the system did not give, such as a
file on a mount that was gone, is asked for again by the next ``auditor run``; what it gave and
nobody can decode, or what killed the process, when the file changes.

Limits
------
Nothing is asked of saved predictions, which name no files. A JPEG bears no checksum: one that was
overwritten in the middle, or cut and closed with an end marker, is decoded with a part that is grey
or garbled, and counts as read.

References
----------
Pillow's decoders; truncated files are never read half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.wording import plural

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions


class UnreadableImages(Check):
    """Could every test image be read?"""

    id = "unreadable-images"
    title = "Every test image can be read"
    level = "block"
    judges = "data"

    max_share: Fraction = 0.0
    """Largest share of test images that may be unreadable."""

    def run(self, test: Predictions, train: Predictions | None) -> Outcome:
        """Count the images that could not be read."""
        if "candidate" not in test.about:
            summary = "The predictions were saved elsewhere, so no image was read."
            return Outcome(status=Status.SKIP, summary=summary)
        total = len(test) + len(test.unreadable)
        share = len(test.unreadable) / total
        judged = Finding.fact(
            "test", "unreadable images", share, self.max_share, n=total, unit="share"
        )
        listed = [_listed(image, why, "test") for image, why in test.unreadable.items()]
        if train is not None:
            listed += [_listed(image, why, "train") for image, why in train.unreadable.items()]
        return Outcome.of([judged, *listed], _summary(test.unreadable, total))


def _listed(image: str, reason: str, split: str) -> Finding:
    return Finding(subject=image, metric=f"unreadable {split} image", unit="images", note=reason)


def _summary(lost: Mapping[str, str], total: int) -> str:
    if not lost:
        return f"All {total:,} test images could be read."
    first, reason = next(iter(lost.items()))
    return (
        f"{len(lost):,} of {plural(total, 'test image')} cannot be read; first: {first} ({reason})."
    )
