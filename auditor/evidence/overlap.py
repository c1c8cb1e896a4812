"""Test images that are in the training data, and pictures that a split holds twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from auditor.config import Config
from auditor.data.decode import open_image
from auditor.overlap.clusters import clusters, joining, repeated
from auditor.overlap.contamination import most_telling
from auditor.overlap.control import Control
from auditor.overlap.overlap import PARTNERS, find_duplicates, find_overlap
from auditor.overlap.result import OverlapPair, OverlapSettings, Threshold
from auditor.overlap.thumbnail import thumbnail
from auditor.provider import derive, gather
from auditor.store.columns import telling, told
from auditor.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from auditor.data.samples import Samples
    from auditor.evidence.signatures import Signatures

__all__ = ["Overlap", "OverlapPair", "Repeats", "Uncompared", "overlap"]

COMPARED_WITHIN = 100_000
"""Training images up to which each is compared with each; of more, equal ones alone are paired."""

Opener = Callable[[str], "Image.Image"]


class Repeats(NamedTuple):
    """How often one split holds its pictures."""

    images: int
    """Images that repeat another one; without them every picture is there once."""
    largest: int
    """Copies of the picture that is there most often; 0 where none is there twice."""
    verified: bool = True
    """Whether the pixels were looked at wherever they had to be."""

    @property
    def how(self) -> str:
        """By what it is known, to follow a sentence; empty where the pixels were looked at."""
        return "" if self.verified else ", by signatures alone, not compared on pixels"


class Uncompared(NamedTuple):
    """Images of a split of which it is not known whether they are copies."""

    images: int = 0
    first: str = ""
    """The first of them; empty where there is none."""
    why: str = "could not be read"
    """To follow how many they are."""
    noun: str = "image"
    """What one of them is."""

    @classmethod
    def of(cls, images: Collection[str], *why: str) -> Self:
        """Count them, and name the first."""
        return cls(len(images), min(images, default=""), *why)

    def said(self, split: str = "") -> str:
        """Return how many there are, of a split where it is named, and which comes first."""
        first = "first " * (self.images > 1)
        what = plural(self.images, f"{split} {self.noun}".strip())
        return f"{what} {self.why}, {first}{self.first}"


_NONE = Uncompared()
_FAINT = "could be compared by bytes and pixels alone (too little contrast at 32 × 32)"
_DOUBTFUL = "looked like another, and so few pictures cannot tell how alike strangers are"
_LEFT_OUT = (
    "could not be compared, lacking an image's suffix or a class folder (give each what it lacks, "
    "or remove it)"
)


@dataclass(frozen=True, eq=False)
class Overlap:
    """Pairs of images that are copies of one another.

    Parameters
    ----------
    pairs
        Test image and training image; None where there was no training data.
    within_test
        Two images of the test set.
    test_signed
        Test images that were looked at.
    thumbnails
        ``test/IMAGE`` or ``train/IMAGE`` → a small JPEG, of the first pairs.
    train_signed
        Training images that were looked at; None where there was no training data.
    test_unread, train_unread
        Images that could not be read.
    within_train
        Two images of the training data.
    near, transformed
        From where on the pairs between the splits count; None where that was not asked.
    test_set_apart, train_set_apart
        Images of too little contrast to be compared by their looks; of the test set those alone
        that equal no training image, or no other test image where there was no training data.
    test_doubtful
        Test images that may be copies, which too few pictures cannot tell.
    test_left_out, train_left_out
        Files that may be images and were not taken for one.
    control, test_control
        How many plain copies of test images would be found in the training data, and in the test
        set itself, made in the way that loses most; none where the pictures may not be seen.
    capped
        Pictures with more candidates than were looked at.
    exact_within_train
        Whether near-duplicates within the training data were left out, for there are too many.
    transforms
        Whether mirrored, turned and upside-down copies were looked for.
    classes
        Test images looked at, by label.
    """

    pairs: tuple[OverlapPair, ...] | None
    within_test: tuple[OverlapPair, ...]
    test_signed: int
    thumbnails: Mapping[str, bytes]
    train_signed: int | None = None
    train_unread: Uncompared = _NONE
    test_unread: Uncompared = _NONE
    within_train: tuple[OverlapPair, ...] = ()
    near: Threshold | None = None
    transformed: Threshold | None = None
    test_set_apart: Uncompared = _NONE
    train_set_apart: Uncompared = _NONE
    test_doubtful: Uncompared = _NONE
    test_left_out: Uncompared = _NONE
    train_left_out: Uncompared = _NONE
    control: Control = field(default_factory=Control)
    test_control: Control = field(default_factory=Control)
    capped: int = 0
    exact_within_train: bool = False
    transforms: bool = True
    classes: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def test_images(self) -> frozenset[str]:
        """Test images with a copy in the training data."""
        return frozenset(pair.test_image for pair in self.pairs or ())

    @property
    def unsought(self) -> str:
        """What copies were not looked for, to follow a sentence; empty where all usual ones."""
        return "" if self.transforms else "; mirrored and turned copies were not looked for"

    @cached_property
    def is_cut(self) -> bool:
        """Whether a picture has as many others of a kind as are listed of it, and perhaps more."""
        across = ((pair.test_image, pair.kind) for pair in self.pairs or ())
        within = (
            (split, pair.train_image, pair.kind)  # which is listed with those before it
            for split, pairs in (("test", self.within_test), ("train", self.within_train))
            for pair in pairs
        )
        listed = Counter[tuple[str, ...]](chain(across, within))
        return max(listed.values(), default=0) >= PARTNERS

    @cached_property
    def repeats_test(self) -> Repeats:
        """How often the test set holds its pictures."""
        return _repeats(self.within_test)

    @cached_property
    def repeats_by_class(self) -> Mapping[str, int]:
        """Images of each class of the test set that repeat another one of it, where any does."""
        pairs = self.within_test
        label = {p.test_image: p.test_label for p in pairs}
        label |= {p.train_image: p.train_label for p in pairs}
        found = Counter[str]()
        for images in clusters(pairs):
            there = Counter(label[image] for image in images)
            found.update({name: n - 1 for name, n in there.items() if name and n > 1})
        return found

    @cached_property
    def repeats_train(self) -> Repeats:
        """How often the training data holds its pictures."""
        return _repeats(self.within_train)

    def to_table(self) -> pa.Table:
        """Return a row a pair and a row a thumbnail."""
        import pyarrow as pa

        rows = [("across", pair) for pair in self.pairs or ()]
        rows += [("test", pair) for pair in self.within_test]
        rows += [("train", pair) for pair in self.within_train]
        columns: dict[str, list[object]] = {"within": [within for within, _ in rows]}
        columns |= {n: [pair[i] for _, pair in rows] for i, n in enumerate(OverlapPair._fields)}
        pairs = pa.table(columns, schema=_schema())
        small = pa.table(
            {"thumbnail_of": list(self.thumbnails), "jpeg": list(self.thumbnails.values())},
            schema=pa.schema({"thumbnail_of": pa.string(), "jpeg": pa.binary()}),
        )
        table = pa.concat_tables([pairs, small], promote_options="default")
        return telling(table, self._about(), sort_keys=False)

    def _about(self) -> dict[str, Any]:
        limits = {name: getattr(self, name) for name in _LIMITS}
        return {
            "trained": self.pairs is not None,
            "uncompared": {name: getattr(self, name) for name in _UNCOMPARED},
            "controls": {name: getattr(self, name) for name in _CONTROLS},
            "counts": {name: getattr(self, name) for name in _COUNTS},
            "classes": dict(self.classes),
            "limits": {name: limit and asdict(limit) for name, limit in limits.items()},
        }

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        import pyarrow.compute as pc

        about = told(table)
        small = table.filter(pc.is_valid(table["thumbnail_of"]))
        found = {within: _pairs(table, within) for within in ("across", "test", "train")}
        near, transformed = (v and Threshold(**v) for v in map(about["limits"].get, _LIMITS))
        # Earlier versions kept no more of it than whether there was a threshold.
        turned = transformed is not None or not about["trained"]
        known: dict[str, Any] = {k: Uncompared(*v) for k, v in about["uncompared"].items()}
        known |= {k: Control(*v) for k, v in about["controls"].items()}
        jpegs = zip(small["thumbnail_of"].to_pylist(), small["jpeg"].to_pylist(), strict=True)
        return cls(
            pairs=found["across"] if about["trained"] else None,
            within_test=found["test"],
            within_train=found["train"],
            thumbnails=dict(jpegs),
            near=near,
            transformed=transformed,
            classes=about["classes"],
            **({"transforms": turned} | about["counts"]),
            **known,
        )


_LIMITS = ("near", "transformed")
_COUNTS = ("test_signed", "train_signed", "capped", "exact_within_train", "transforms")
_UNCOMPARED = (
    "test_doubtful",
    *(
        f"{split}_{why}"
        for split in ("test", "train")
        for why in ("unread", "set_apart", "left_out")
    ),
)
_CONTROLS = ("control", "test_control")


def _repeats(pairs: Sequence[OverlapPair]) -> Repeats:
    sizes = [len(images) for images in clusters(pairs)]
    verified = all(pair.verified for pair in joining(pairs))
    return Repeats(sum(sizes) - len(sizes), max(sizes, default=0), verified)


def _pairs(table: pa.Table, within: str) -> tuple[OverlapPair, ...]:
    import pyarrow.compute as pc

    rows = table.filter(pc.equal(table["within"], within))
    columns = [rows[name].to_pylist() for name in OverlapPair._fields]
    return tuple(map(OverlapPair._make, zip(*columns, strict=True)))


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = dict.fromkeys(("within", *OverlapPair._fields), pa.string())
    types |= dict.fromkeys(("similarity", "score"), pa.float64())
    types |= {"distance": pa.int64(), "verified": pa.bool_()}
    return pa.schema(types)


@derive
def overlap_settings(config: Config) -> OverlapSettings:
    """Return what the search is told."""
    table = config.overlap
    return OverlapSettings(table.false_discovery_rate, table.transforms, table.views)


@gather(Overlap, version=13)
def overlap(
    overlap_settings: OverlapSettings,
    test_signatures: Signatures,
    test_samples: Samples | None,
    train_signatures: Signatures | None,
    train_samples: Samples | None,
) -> Overlap:
    """Search the training images for every test image, and both splits for copies."""
    openers = {"test": _opener(test_samples), "train": _opener(train_samples)}
    test = test_signatures.split()
    copies = find_duplicates(test, openers["test"], overlap_settings)
    alone = Overlap(
        pairs=None,
        within_test=copies.pairs,
        test_signed=len(test.images),
        thumbnails={},
        test_unread=Uncompared.of(test_signatures.unreadable),
        test_set_apart=Uncompared.of(copies.set_apart, _FAINT),
        test_doubtful=Uncompared.of(copies.doubtful, _DOUBTFUL),
        test_left_out=_left_out(test_signatures, test_samples),
        test_control=copies.control,
        capped=copies.capped,
        transforms=overlap_settings.transforms,
        classes=Counter(test_signatures.labels),
    )
    if train_signatures is None:
        return replace(alone, thumbnails=_thumbnails(openers, (), copies.pairs, ()))
    train = train_signatures.split()
    found = find_overlap(test, train, openers["test"], openers["train"], overlap_settings)
    many = len(train.images) > COMPARED_WITHIN
    alike = repeated(train) if many else train
    within_train = find_duplicates(alike, openers["train"], overlap_settings).pairs
    return replace(
        alone,
        pairs=found.pairs,
        near=found.near,
        transformed=found.transformed,
        test_set_apart=Uncompared.of(found.set_apart, _FAINT),
        test_doubtful=Uncompared.of(found.doubtful, _DOUBTFUL),
        control=found.control,
        train_set_apart=Uncompared.of(found.train_set_apart, _FAINT),
        train_left_out=_left_out(train_signatures, train_samples),
        capped=found.capped,
        within_train=within_train,
        train_signed=len(train.images),
        train_unread=Uncompared.of(train_signatures.unreadable),
        thumbnails=_thumbnails(openers, found.pairs, copies.pairs, within_train),
        exact_within_train=many,
    )


def _left_out(signatures: Signatures, samples: Samples | None) -> Uncompared:
    """Return what is not among the images, by the list of them or by what stands for it."""
    left = (signatures if samples is None else samples).left_out
    return Uncompared(left.files, left.first, _LEFT_OUT, "file") if left.files else _NONE


def _opener(samples: Samples | None) -> Opener | None:
    return None if samples is None else lambda image: open_image(samples.read(image))


def _thumbnails(
    openers: Mapping[str, Opener | None],
    across: Iterable[OverlapPair],
    within_test: Iterable[OverlapPair],
    within_train: Iterable[OverlapPair],
) -> dict[str, bytes]:
    """Return the small pictures of what is shown, as far as the images may be seen."""
    wanted: set[tuple[str, str]] = set()
    for pair in most_telling(across):
        wanted |= {("test", pair.test_image), ("train", pair.train_image)}
    for split, pairs in (("test", within_test), ("train", within_train)):
        for pair in most_telling(pair for pair in pairs if pair.conflicting):
            wanted |= {(split, pair.test_image), (split, pair.train_image)}
    return {
        f"{split}/{image}": thumbnail(opener(image))
        for split, image in sorted(wanted)
        if (opener := openers.get(split)) is not None
    }
