"""What a report shows of copies, groups and similar scenes."""

from __future__ import annotations

from auditor.check import Status
from auditor.record.base import Record

__all__ = [
    "GroupRow",
    "OverlapClassRow",
    "OverlapExhibit",
    "OverlapReport",
    "OverlapRow",
    "SceneRow",
    "SourceInfo",
    "TierRow",
    "WithinRow",
]


class OverlapRow(Record):
    """A test image and the training image it overlaps; thumbnails are ``data:`` URIs."""

    test_image: str
    train_image: str
    kind: str
    distance: int
    """Hamming distance of the perceptual hashes, in bits of 64."""
    similarity: float
    test_label: str
    train_label: str
    transform: str = ""
    """What was done to one of them; empty where nothing was."""
    score: float = 1.0
    verified: bool = True
    """Whether the pixels were looked at."""
    test_thumbnail: str | None = None
    train_thumbnail: str | None = None

    @property
    def conflicting(self) -> bool:
        """Whether the two carry different labels; a label that is not known is none."""
        return "" not in (self.test_label, self.train_label) and self.test_label != self.train_label


class TierRow(Record):
    """One way in which pictures are copies of one another."""

    kind: str
    test_images: int
    """Test images whose strongest kind it is."""
    pairs: int
    strangers: float | None = None
    """Estimated share of strangers among the pairs; None where it is not known."""
    upper: float | None = None
    """Its upper bound at 95% confidence."""
    method: str = ""
    """How the tier tells copies from strangers, as a sentence."""


class OverlapClassRow(Record):
    """A class of the test set, or all of it, with and without the overlapping images."""

    name: str
    images: int
    """Test images that were looked at."""
    overlapping: int
    rare: bool = False
    accuracy: float | None = None
    """Accuracy over all, recall of a class; None where nothing was predicted."""
    clean: float | None = None
    """The same without the overlapping images."""
    inflation: float | None = None
    """The first minus the second."""
    interval: tuple[float, float] | None = None
    """Of the inflation."""


class WithinRow(Record):
    """Copies inside one split."""

    split: str
    images: int
    repeated: int
    """Images that repeat another one; without them every picture is there once."""
    largest: int
    """Copies of the picture that is there most often."""
    conflicts: int
    """Pairs of copies with different labels, of those that are listed."""
    cut: bool = False
    """Whether there may be more than are listed."""
    verified: bool = True
    """Whether the pixels were looked at."""


class GroupRow(Record):
    """A group, such as a patient, that has images in both splits."""

    column: str
    group: str
    test_images: int
    train_images: int


class SceneRow(Record):
    """A test image and the training image that the candidate finds most alike; not a copy."""

    test_image: str
    train_image: str
    similarity: float
    """Cosine of the candidate's own features, within −1..1."""
    test_label: str
    train_label: str
    test_thumbnail: str | None = None
    train_thumbnail: str | None = None


class OverlapExhibit(Record):
    """The overlapping pairs, worst first, cut to what a reader can look at."""

    pairs: tuple[OverlapRow, ...]
    total_pairs: int
    test_images: int
    """Test images with at least one partner in the training data."""
    within_test: tuple[OverlapRow, ...] = ()
    """Pairs inside the test set whose labels disagree (test_* and train_* are the two members)."""
    within_train: tuple[OverlapRow, ...] = ()
    """Pairs inside the training data whose labels disagree."""
    compared: bool = True
    """Whether there was training data to compare with."""
    share: float | None = None
    """Contaminated share of the test images, less the estimated strangers."""
    interval: tuple[float, float] | None = None
    conflicts: int = 0
    """Test images labelled otherwise in the training data."""
    tiers: tuple[TierRow, ...] = ()
    classes: tuple[OverlapClassRow, ...] = ()
    """All together first, then the classes with an overlap, by their overlapping share."""
    within: tuple[WithinRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    total_groups: int = 0
    scenes: tuple[SceneRow, ...] = ()
    unsought: str = ""
    """What copies were not looked for, to follow a sentence; empty where all usual ones."""
    notes: tuple[str, ...] = ()
    """What was left aside, a sentence each."""


class SourceInfo(Record):
    """One side of a search that stands alone."""

    source: str
    images: int
    """Images that could be read."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """The first that could not, and why."""
    total_unreadable: int = 0


class OverlapReport(Record):
    """What ``auditor overlap`` and ``auditor duplicates`` found, without any model."""

    schema_version: int = 1
    status: Status
    summary: str
    test: SourceInfo
    """Of duplicates, the only source."""
    train: SourceInfo | None = None
    exhibit: OverlapExhibit
    settings: dict[str, str | float | bool]
    """What the search was told."""
    auditor: str
    created: str
    """UTC, ISO 8601."""
    seconds: float

    @property
    def exit_status(self) -> int:
        """0 nothing above the limit, 1 something, 3 undecided."""
        return {Status.PASS: 0, Status.FAIL: 1}.get(self.status, 3)
