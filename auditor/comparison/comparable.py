"""What may be compared with what; everything else is refused, with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditor.errors import AuditorError
from auditor.wording import listed

if TYPE_CHECKING:
    from auditor.comparison.side import Side
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.signatures import Signatures
    from auditor.record import Audit

__all__ = [
    "NotComparable",
    "Pictures",
    "pictures_of",
    "replaced",
    "require_images_of_same_classes",
    "require_same_classes",
    "require_same_images",
    "require_same_labels",
    "require_same_pictures",
    "require_version",
    "under_other_names",
]


Pictures = Mapping[str, tuple[bytes, bytes]]
"""Image → digests of its file and of its pixels."""


def pictures_of(signatures: Signatures | None) -> Pictures | None:
    """Return the digests by which a picture is known again; None where nobody looked at them."""
    if signatures is None:
        return None
    digests = zip(signatures.bytes_digest, signatures.pixels_digest, strict=True)
    return dict(zip(signatures.images, digests, strict=True))


def replaced(before: Pictures, after: Pictures) -> list[str]:
    """Return the images of both that are other pictures under the same names.

    A picture is the same if its file is, or if its pixels are: one that was saved again without
    loss is.
    """
    return [
        image
        for image in sorted(before.keys() & after.keys())
        if not any(a == b for a, b in zip(before[image], after[image], strict=True))
    ]


def under_other_names(before: Pictures, after: Pictures) -> dict[str, str]:
    """Return image before → image after that is the same picture, whatever the two are called.

    Equal files go before equal pixels; of several equal pictures, each is another's once, as they
    stand.
    """
    found: dict[str, str] = {}
    for of in (0, 1):
        left, taken = defaultdict[bytes, list[str]](list), set(found.values())
        for image, digests in reversed([*after.items()]):
            if image not in taken:
                left[digests[of]].append(image)
        for image, digests in before.items():
            if image not in found and left.get(digests[of]):
                found[image] = left[digests[of]].pop()
    return found


class NotComparable(AuditorError):
    """Two audits say nothing about each other; the message is the reason."""


def require_version(audit: Audit, id: str, version: int) -> None:
    """Raise ``NotComparable`` where an audit was made by another version of a check."""
    for result in audit.checks:
        if result.id == id and result.version not in (0, version):
            raise NotComparable(
                f"the baseline was audited with {id} version {result.version}, this is version "
                f"{version}; audit the baseline again"
            )


def require_same_classes(before: Sequence[str], after: Sequence[str]) -> None:
    """Raise ``NotComparable`` where the names of the classes differ; their order may."""
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    if gone or new:
        said = [f"without {_quoted(gone)}"] * bool(gone) + [f"with {_quoted(new)}"] * bool(new)
        raise NotComparable(f"other classes than the baseline: {', '.join(said)}")


def require_same_images(before: set[str], after: set[str], shared: int) -> None:
    """Raise ``NotComparable`` where only some images are the same."""
    gone, new = sorted(before - after), sorted(after - before)
    if gone or new:
        said = [f"{len(gone):,} missing ({_quoted(gone)})"] * bool(gone)
        said += [f"{len(new):,} new ({_quoted(new)})"] * bool(new)
        raise NotComparable(
            f"the test sets share only {shared:,} of {len(before | after):,} images: "
            f"{', '.join(said)}; audit the baseline again on this test set"
        )


def require_same_pictures(before: Pictures, after: Pictures) -> None:
    """Raise ``NotComparable`` where an image was replaced under its name."""
    if other := replaced(before, after):
        raise NotComparable(
            f"other pictures under the same names for {len(other):,} of {len(after):,} images, "
            f"such as {_quoted(other[:1])}; audit the baseline again on these"
        )


def require_same_labels(before: Side, after: Side, test: Predictions) -> None:
    """Raise ``NotComparable`` where an image carries another label than it did."""
    other = np.flatnonzero(before.label != after.label)
    if other.size:
        row = int(other[0])
        names = test.classes
        raise NotComparable(
            f"other labels than in the baseline for {other.size:,} of {len(test):,} images, such "
            f'as {test.images[row]}: "{names[before.label[row]]}" there, '
            f'"{names[after.label[row]]}" here'
        )


def require_images_of_same_classes(
    before: NDArray[np.bool_], after: NDArray[np.bool_], classes: Sequence[str]
) -> None:
    """Raise ``NotComparable`` where only one test set has images of some class, (k,) each."""
    one_sided = np.flatnonzero(before[1:] != after[1:]).tolist()
    if one_sided:
        names = _quoted([classes[i] for i in one_sided])
        raise NotComparable(f"only one of the two test sets has images of {names}")


def _quoted(names: Sequence[str]) -> str:
    return listed([f'"{name}"' for name in names])
