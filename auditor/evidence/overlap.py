"""Test images that are in the training data, and pictures that the test set holds twice."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from auditor.evidence.provider import gather
from auditor.overlap.decode import open_image
from auditor.overlap.overlap import OverlapPair, find_duplicates, find_overlap
from auditor.overlap.thumbnail import thumbnail
from auditor.record import OverlapExhibit, OverlapRow

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    from auditor.data.samples import Samples
    from auditor.evidence.signatures import Signatures

__all__ = ["Overlap", "OverlapPair", "overlap"]

_SHOWN = 24
"""Pairs that are kept with thumbnails."""


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
    train_unread
        Training images that could not be read, so that nothing is known of them.
    """

    pairs: tuple[OverlapPair, ...] | None
    within_test: tuple[OverlapPair, ...]
    test_signed: int
    thumbnails: Mapping[str, bytes]
    train_signed: int | None = None
    train_unread: int = 0

    @cached_property
    def test_images(self) -> frozenset[str]:
        """Test images with a copy in the training data."""
        return frozenset(pair.test_image for pair in self.pairs or ())

    def exhibit(self) -> OverlapExhibit | None:
        """Return what the report shows."""
        if self.pairs is None:
            return None
        conflicts = [p for p in self.within_test if p.test_label != p.train_label]
        return OverlapExhibit(
            pairs=tuple(self._row(p, "train") for p in _most_telling(self.pairs)),
            total_pairs=len(self.pairs),
            test_images=len(self.test_images),
            within_test=tuple(self._row(p, "test") for p in _most_telling(conflicts)),
        )

    def _row(self, pair: OverlapPair, other: str) -> OverlapRow:
        return OverlapRow(
            **pair._asdict(),
            test_thumbnail=self._uri(f"test/{pair.test_image}"),
            train_thumbnail=self._uri(f"{other}/{pair.train_image}"),
        )

    def _uri(self, image: str) -> str | None:
        data = self.thumbnails.get(image)
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else None

    def to_table(self) -> pa.Table:
        """Return a row a pair and a row a thumbnail."""
        import pyarrow as pa

        rows = [("train", pair) for pair in self.pairs or ()]
        rows += [("test", pair) for pair in self.within_test]
        columns: dict[str, list[object]] = {"other": [other for other, _ in rows]}
        columns |= {n: [pair[i] for _, pair in rows] for i, n in enumerate(OverlapPair._fields)}
        pairs = pa.table(columns, schema=_schema())
        small = pa.table(
            {"thumbnail_of": list(self.thumbnails), "jpeg": list(self.thumbnails.values())},
            schema=pa.schema({"thumbnail_of": pa.string(), "jpeg": pa.binary()}),
        )
        about = {
            "test_signed": self.test_signed,
            "train_signed": self.train_signed,
            "train_unread": self.train_unread,
            "trained": self.pairs is not None,
        }
        table = pa.concat_tables([pairs, small], promote_options="default")
        return table.replace_schema_metadata({"about": json.dumps(about)})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        import pyarrow.compute as pc

        about = json.loads(table.schema.metadata[b"about"])
        small = table.filter(pc.is_valid(table["thumbnail_of"]))
        found: dict[str, list[OverlapPair]] = {"train": [], "test": []}
        for row in table.filter(pc.is_valid(table["other"])).to_pylist():
            found[row["other"]].append(OverlapPair(*(row[name] for name in OverlapPair._fields)))
        return cls(
            tuple(found["train"]) if about["trained"] else None,
            tuple(found["test"]),
            about["test_signed"],
            dict(zip(small["thumbnail_of"].to_pylist(), small["jpeg"].to_pylist(), strict=True)),
            about.get("train_signed"),
            about.get("train_unread", 0),
        )


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = ("other", "test_image", "train_image", "kind", "test_label", "train_label")
    types = dict.fromkeys(text, pa.string())
    types |= {"distance": pa.int64(), "similarity": pa.float64(), "transform": pa.string()}
    types |= {"score": pa.float64(), "verified": pa.bool_()}
    return pa.schema({name: types[name] for name in ("other", *OverlapPair._fields)})


def _most_telling(pairs: Iterable[OverlapPair]) -> list[OverlapPair]:
    """Return the pairs to look at: one a test image, near-duplicates and conflicts first.

    That a file is the same needs no looking at; that two pictures are, does.
    """
    first: dict[str, OverlapPair] = {}
    for pair in pairs:
        first.setdefault(pair.test_image, pair)
    order = sorted(
        first.values(),
        key=lambda p: (p.test_label == p.train_label, p.kind != "near-duplicate", p.test_image),
    )
    return order[:_SHOWN]


@gather(Overlap, version=3)
def overlap(
    test_signatures: Signatures,
    test_samples: Samples,
    train_signatures: Signatures | None,
    train_samples: Samples | None,
) -> Overlap:
    """Search the training images for every test image, and the test images for copies."""
    test, open_test = test_signatures.split(), _opener(test_samples)
    within = find_duplicates(test, open_test).pairs
    pairs, open_train, signed = None, open_test, None
    if train_signatures is not None and train_samples is not None:
        open_train, signed = _opener(train_samples), len(train_signatures.images)
        pairs = find_overlap(test, train_signatures.split(), open_test, open_train).pairs
    shown = _most_telling(pairs or ())
    conflicts = _most_telling(p for p in within if p.test_label != p.train_label)
    wanted = {f"test/{p.test_image}": (open_test, p.test_image) for p in (*shown, *conflicts)}
    wanted |= {f"train/{p.train_image}": (open_train, p.train_image) for p in shown}
    wanted |= {f"test/{p.train_image}": (open_test, p.train_image) for p in conflicts}
    small = {name: thumbnail(opener(image)) for name, (opener, image) in sorted(wanted.items())}
    unread = 0 if train_signatures is None else len(train_signatures.unreadable)
    return Overlap(pairs, within, len(test.images), small, signed, unread)


def _opener(samples: Samples) -> Callable[[str], Image.Image]:
    return lambda image: open_image(samples.read(image))
