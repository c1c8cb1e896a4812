from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.data.sources import read_samples
from auditor.errors import InputError

Write = Callable[[str, str], Path]
ROWS = [("b/1.png", "dog"), ("a/1.png", "cat"), ("a/2.png", "cat")]


@pytest.fixture(params=["csv", "parquet"])
def manifest(request: pytest.FixtureRequest, tmp_path: Path, write: Write) -> Callable[..., Path]:
    """Write a manifest in both formats."""

    def make(**columns: list[Any]) -> Path:
        if request.param == "parquet":
            pq.write_table(pa.table(columns), tmp_path / "test.parquet")
            return tmp_path / "test.parquet"
        rows = zip(*columns.values(), strict=True)
        lines = [",".join("" if v is None else str(v) for v in row) for row in rows]
        return write("test.csv", "\n".join([",".join(columns), *lines]) + "\n")

    return make


def test_images_are_relative_to_the_manifest(manifest: Callable[..., Path], tmp_path: Path) -> None:
    images, labels = map(list, zip(*ROWS, strict=True))
    samples = read_samples(manifest(image=images, label=labels))
    assert list(zip(samples.images, samples.labels, strict=True)) == ROWS
    assert samples.path("b/1.png") == tmp_path / "b/1.png"
    assert samples.classes == ("cat", "dog")
    assert "plain order" in samples.class_order


def test_further_columns_are_kept(manifest: Callable[..., Path]) -> None:
    samples = read_samples(
        manifest(image=["x", "y"], camera=["north", None], label=["a", "b"], night=["0", "1"])
    )
    assert samples.metadata == {"camera": ("north", ""), "night": ("0", "1")}


def test_the_names_of_columns_are_part_of_what_it_is(manifest: Callable[..., Path]) -> None:
    image, label = ["x", "y"], ["a", "b"]

    def seen(**columns: list[str]) -> tuple[str, str]:
        samples = read_samples(manifest(image=image, label=label, **columns))
        return samples.identity, samples.content

    first = seen(patient=["P1", "P2"], scanner=["S1", "S1"])
    swapped = seen(scanner=["P1", "P2"], patient=["S1", "S1"])
    assert first == seen(patient=["P1", "P2"], scanner=["S1", "S1"])
    assert not {*first} & {*swapped}


def test_numbers_become_text(manifest: Callable[..., Path]) -> None:
    samples = read_samples(manifest(image=[1, 2], label=[7, 8], night=[1, 0]))
    assert samples.images == ("1", "2")
    assert samples.labels == ("7", "8")


@pytest.mark.parametrize("names", [("no", "on"), ("1e3", "1000"), ("NA", "nan"), ("null", "None")])
def test_class_names_stay_text(manifest: Callable[..., Path], names: tuple[str, str]) -> None:
    assert read_samples(manifest(image=["x", "y"], label=list(names))).labels == names


def test_an_image_may_be_listed_once(manifest: Callable[..., Path]) -> None:
    path = manifest(image=["x", "y", "x"], label=["a", "a", "b"])
    with pytest.raises(InputError, match=r':4: "x" stands already in line 2'):
        read_samples(path)


def test_an_empty_manifest(manifest: Callable[..., Path]) -> None:
    path = manifest(image=pa.array([], pa.string()), label=pa.array([], pa.string()))
    with pytest.raises(InputError, match="no rows; an empty split"):
        read_samples(path)


def test_a_missing_column_with_a_suggestion(manifest: Callable[..., Path]) -> None:
    path = manifest(image=["x"], labels=["a"])
    with pytest.raises(InputError, match='no column "label"; did you mean "labels"'):
        read_samples(path)


@pytest.mark.parametrize("column", ["image", "label"])
def test_an_empty_cell_has_its_line(manifest: Callable[..., Path], column: str) -> None:
    values = {"image": ["x", "y"], "label": ["a", "b"], column: ["z", None]}
    with pytest.raises(InputError, match=f':3: "{column}" is empty'):
        read_samples(manifest(**values))


def test_a_column_may_stand_once(write: Write) -> None:
    path = write("test.csv", "image,label,label\nx,a,b\n")
    with pytest.raises(InputError, match='"label" stands twice'):
        read_samples(path)


def test_a_bom_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_bytes(b"\xef\xbb\xbfimage,label\r\nx,a\r\ny,b\r\n")
    assert read_samples(path).labels == ("a", "b")


def test_quoted_commas_and_newlines(write: Write) -> None:
    path = write("test.csv", 'image,label\n"a,1.png","big\ncat"\n"b ""2"".png",dog\n')
    samples = read_samples(path)
    assert samples.images == ("a,1.png", 'b "2".png')
    assert samples.labels == ("big\ncat", "dog")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("b.csv", b"\xff\xfe\x00image,label"),
        ("c.csv", b"image,label\nx\n"),
        ("d.csv", b"image,label\nx,a,b\n"),
        ("e.csv", b"image,label\nx,\xff\xfe\n"),
        ("f.parquet", b"PAR1 but no more"),
        ("g.parquet", b""),
        ("h.txt", b"image,label\nx,a\n"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_samples(path)


def test_a_missing_label_is_no_class_called_nan(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"image": ["x", "y"], "label": [1.0, float("nan")]}), path)
    with pytest.raises(InputError, match=':3: "label" is empty'):
        read_samples(path)
