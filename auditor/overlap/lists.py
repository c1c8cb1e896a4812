"""Lists that repair a split: the pairs, the test images without a copy, one of each picture."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.naming import one_line
from auditor.overlap.clusters import clusters
from auditor.overlap.contamination import strongest
from auditor.overlap.result import OverlapPair
from auditor.wording import plural
from auditor.writing import appearing

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.evidence.overlap import Overlap
    from auditor.evidence.signatures import Signatures

__all__ = [
    "LISTS",
    "PAIR_COLUMNS",
    "said_of_clean",
    "said_of_keep",
    "write_across",
    "write_conflicts",
    "write_keep",
    "write_pairs",
    "write_within",
    "write_without",
]

PAIR_COLUMNS = ("test_image", "train_image", "kind", "distance", "similarity")
"""Of ``overlap.csv``; paths are relative to each split's root."""

LISTS = ("overlap.csv", "clean_test.csv", "conflicts.csv")
"""What an audit may write beside its reports."""

_NAMED = 8
"""Classes without an image that are named."""

_CONFLICT = ("splits", "image", "label", "other_image", "other_label", "kind")


def write_across(directory: Path, overlap: Overlap, test: Signatures) -> list[Path]:
    """Write the pairs between the splits, the clean test images, and the conflicts, if any."""
    pairs, clean, conflicts = (directory / name for name in LISTS)
    return [
        write_pairs(pairs, overlap.pairs or ()),
        write_without(clean, test.manifest(), overlap.test_images),
        *_conflicts(conflicts, overlap),
    ]


def write_within(directory: Path, overlap: Overlap, signed: Signatures) -> list[Path]:
    """Write the pairs within one set of images, one of each picture, and the conflicts, if any."""
    pairs = overlap.within_test
    return [
        write_pairs(directory / "duplicates.csv", pairs),
        write_keep(directory / "keep.csv", signed.manifest(), pairs),
        *_conflicts(directory / LISTS[-1], overlap),
    ]


def _conflicts(path: Path, overlap: Overlap) -> list[Path]:
    sides: dict[str, Sequence[OverlapPair]] = {
        "test-train": overlap.pairs or (),
        "test-test": overlap.within_test,
        "train-train": overlap.within_train,
    }
    found = [(side, pair) for side, pairs in sides.items() for pair in pairs if pair.conflicting]
    if not found:
        path.unlink(missing_ok=True)  # of an earlier run
        return []
    return [write_conflicts(path, found)]


def write_pairs(path: Path, pairs: Iterable[OverlapPair]) -> Path:
    """Write a row a pair.

    Parameters
    ----------
    path
        A CSV file; written in one step.
    pairs
        What the search found.
    """
    rows = ((*pair[:4], f"{pair.similarity:.4f}") for pair in pairs)
    return _write(path, PAIR_COLUMNS, rows)


def write_without(path: Path, split: pa.Table, left_out: Collection[str]) -> Path:
    """Write a manifest of a split's images without some of them.

    Those that could not be read are listed: leaving them out is not for us to decide. Where no
    label is known there is no column of labels: empty cells would be labels that somebody forgot.

    Parameters
    ----------
    path
        A CSV file; it is a manifest where it is put into the split's root.
    split
        ``image``, ``label`` and further columns.
    left_out
        Images that are not listed.
    """
    known = any(split["label"].to_pylist())
    names = [name for name in split.column_names if known or name != "label"]
    rows = zip(*(split[name].to_pylist() for name in names), strict=True)
    return _write(path, names, (row for row in rows if row[0] not in left_out))


def write_keep(path: Path, split: pa.Table, pairs: Sequence[OverlapPair]) -> Path:
    """Write a manifest with one image of each picture, the first by name.

    Of copies with different labels none is listed: which label is right, nobody has said.

    Parameters
    ----------
    path
        A CSV file.
    split
        ``image``, ``label`` and further columns.
    pairs
        Its copies.
    """
    return write_without(path, split, _repeating(_labels(split), pairs))


def _labels(split: pa.Table) -> dict[str, str]:
    return dict(zip(split["image"].to_pylist(), split["label"].to_pylist(), strict=True))


def _repeating(label: Mapping[str, str], pairs: Sequence[OverlapPair]) -> set[str]:
    left_out: set[str] = set()
    for copies in clusters(pairs):
        agree = len({label[image] for image in copies} - {""}) <= 1
        left_out.update(copies[1:] if agree else copies)
    return left_out


def said_of_clean(overlap: Overlap, split: pa.Table | None) -> Iterator[str]:
    """Say which classes ``clean_test.csv`` lacks, as all their images overlap; and if it is broken.

    Parameters
    ----------
    overlap
        What was found.
    split
        As for ``write_without``; None where it is not known, so that nothing is written.
    """
    held = Counter(pair.test_label for pair in strongest(overlap.pairs or ()).values())
    yield from _emptied(LISTS[1], overlap.classes, held, "overlap")
    if split is not None and overlap.pairs is not None:
        yield from _broken(LISTS[1], _labels(split), overlap.test_images)


def said_of_keep(split: pa.Table, pairs: Sequence[OverlapPair]) -> Iterator[str]:
    """Say which classes ``keep.csv`` lacks, as all images have two labels; and if it is broken."""
    label = _labels(split)
    left_out = _repeating(label, pairs)
    held = Counter(label[image] for image in left_out)
    why = "are copies under two labels"
    yield from _emptied("keep.csv", Counter(label.values()), held, why)
    yield from _broken("keep.csv", label, left_out)


def _broken(file: str, label: Mapping[str, str], left_out: Collection[str]) -> Iterator[str]:
    """Say that a list is no manifest, if so: in one a line break is a quotation mark left open."""
    cells = {cell for row in label.items() if row[0] not in left_out for cell in row}
    if names := sorted(cell for cell in cells if "\n" in cell or "\r" in cell):
        yield (
            f"{file} cannot be read as a manifest: {plural(len(names), 'name')} in it with a line "
            f"break, first {one_line(names[0])}; rename those files and folders."
        )


def _emptied(
    file: str, images: Mapping[str, int], held: Mapping[str, int], why: str
) -> Iterator[str]:
    gone = sorted(name for name, n in images.items() if name and held.get(name) == n)
    if gone:
        said = [f"{name} ({images[name]:,} of {images[name]:,} {why})" for name in gone[:_NAMED]]
        more = [f"{len(gone) - _NAMED:,} more"] if len(gone) > _NAMED else []
        yield f"{file} holds no image of: {', '.join([*said, *more])}."


def write_conflicts(path: Path, pairs: Iterable[tuple[str, OverlapPair]]) -> Path:
    """Write the copies whose labels differ.

    Parameters
    ----------
    path
        A CSV file.
    pairs
        Which splits the two are of (``test-train``, ``test-test``), and the pair.
    """
    rows = (
        (splits, p.test_image, p.test_label, p.train_image, p.train_label, p.kind)
        for splits, p in pairs
    )
    return _write(path, _CONFLICT, rows)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with appearing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path
