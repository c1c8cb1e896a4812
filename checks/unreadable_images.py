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
It counts. More unreadable test images than ``max_share`` of the test set fail. It is inconclusive
where, with them, more than that are files in the test data that lack an image's suffix, or a class
folder, and may be images none the less (a README or a ``.csv`` is none). Unreadable training images
are listed and not judged.

How to fix
----------
Repair or replace the files, or remove them from the test set on purpose. Each is listed with the
decoder's reason. Give a file that was left out the suffix or the class folder that it lacks, or
remove it. To accept them, raise ``max_share``. What the system did not give, such as a file on a
mount that was gone, is asked for again by the next ``auditor run``; what it gave and nobody can
decode, or what killed the process, when the file changes.

Limits
------
Of saved predictions it is only asked what was left out of the images they are of, where these are
given, too. A JPEG bears no checksum: one that was overwritten in the middle, or cut and closed with
an end marker, is decoded with a part that is grey or garbled, and counts as read.

References
----------
Pillow's decoders; truncated files are never read half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, Outcome
from auditor.wording import plural

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions


class UnreadableImages(Check):
    """Could every test image be read?"""

    id = "unreadable-images"
    title = "Every test image can be read"
    version = 2
    level = "block"
    judges = "data"

    max_share: Fraction = 0.0
    """Largest share of test images that may be unreadable."""

    def run(self, test: Predictions, train: Predictions | None) -> Outcome:
        """Count the images that could not be read."""
        left = list(self._left_out(test))
        if "candidate" not in test.about:
            summary = f"The predictions were saved elsewhere, so no image was read{_named(test)}."
            return Outcome.of(left, summary)
        total = len(test) + len(test.unreadable)
        share = len(test.unreadable) / total
        judged = Finding.fact(
            "test", "unreadable images", share, self.max_share, n=total, unit="share"
        )
        listed = [_listed(image, why, "test") for image, why in test.unreadable.items()]
        if train is not None:
            listed += [_listed(image, why, "train") for image, why in train.unreadable.items()]
        summary = f"{_summary(test.unreadable, total)}{_named(test)}."
        return Outcome.of([judged, *left, *listed], summary)

    def _left_out(self, test: Predictions) -> Iterator[Finding]:
        """Yield what was not taken for an image, as far as there is no room for so many lost."""
        left, lost = test.left_out, len(test.unreadable)
        total = len(test) + lost + left.files
        if left.files and (lost + left.files) / total > self.max_share:
            note = f"{left.said}; give each the suffix or the class folder it lacks, or remove it"
            yield Finding.unmeasured(
                "test", "files left out", note, self.max_share, higher_is_better=False
            )


def _named(test: Predictions) -> str:
    said = test.left_out.said
    return f"; left out, though they may be images: {said}" if said else ""


def _listed(image: str, reason: str, split: str) -> Finding:
    return Finding(subject=image, metric=f"unreadable {split} image", unit="images", note=reason)


def _summary(lost: Mapping[str, str], total: int) -> str:
    if not lost:
        return f"All {total:,} test images could be read"
    first, reason = next(iter(lost.items()))
    return (
        f"{len(lost):,} of {plural(total, 'test image')} cannot be read; first: {first} ({reason})"
    )
