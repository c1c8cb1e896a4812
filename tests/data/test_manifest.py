from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from auditor.data.images import read_images
from auditor.data.samples import Samples
from auditor.data.saved import read_saved
from auditor.data.sources import read_samples
from auditor.errors import InputError
from auditor.record import Audit

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


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (range(12), [str(number) for number in range(12)]),
        (range(1, 13), [str(number) for number in range(1, 13)]),
        (["010", "9", "10", "-1"], ["-1", "9", "010", "10"]),
        (["b10", "b9", "9", "10"], ["10", "9", "b10", "b9"]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_numbers_are_in_the_order_of_numbers(
    tmp_path: Path, labels: Iterable[object], classes: list[str], suffix: str
) -> None:
    names = [str(label) for label in labels]
    table = pa.table({"image": [f"{name}.png" for name in names], "label": names})
    path = tmp_path / f"test{suffix}"
    (csv.write_csv if suffix == ".csv" else pq.write_table)(table, path)
    samples = read_samples(path)
    assert list(samples.classes) == classes
    assert list(samples.labels) == names
    numbers = not any(name.startswith("b") for name in names)
    said = "the order of the numbers" if numbers else "plain order"
    assert samples.class_order == f"assumed: the manifest's labels in {said}"


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


@pytest.mark.parametrize("again", ["./x.png", "a/../x.png", "x.png ", "a//../x.png", "././x.png"])
def test_an_image_may_be_listed_once_however_its_path_is_spelt(
    manifest: Callable[..., Path], again: str
) -> None:
    said = re.escape(f':4: "{again}" stands already in line 2 as "x.png"; an image may be listed')
    path = manifest(image=["x.png", "y.png", again], label=["a", "a", "a"])
    for read in (read_samples, read_images):
        with pytest.raises(InputError, match=said):
            read(path)
    saved = manifest(image=["x.png", "y", again], label=["a", "b", "a"], predicted=["a", "b", "a"])
    with pytest.raises(InputError, match=said):
        read_saved(saved)


RESPELT = ["a\\é.png", "a/e\u0301.png", "\ufeffa/é.png", "a/\u200bé.png", "/a/é.png"]


@pytest.mark.parametrize("again", RESPELT)
def test_an_image_may_be_listed_once_whatever_system_spells_it(
    manifest: Callable[..., Path], run: Callable[..., Audit], again: str
) -> None:
    images, label = ["a/é.png", "y.png", again], ["a", "b", "a"]
    said = re.escape(f'" stands already in line 2 as "{images[0]}"; an image may be listed once')
    path = manifest(image=images, label=label)
    for read in (read_samples, read_images):
        with pytest.raises(InputError, match=said):
            read(path)
    saved = manifest(image=images, label=label, predicted=label)
    with pytest.raises(InputError, match=said):
        run(predictions={"test": saved})


def test_words_are_spelt_with_joiners_that_nobody_sees(manifest: Callable[..., Path]) -> None:
    saved = manifest(image=["می\u200cخو", "میخو"], label=["a", "b"], predicted=["a", "b"])
    assert len(read_saved(saved).images) == 2


def test_names_that_are_too_long_for_a_file_are_told_all_the_same(
    manifest: Callable[..., Path],
) -> None:
    long = "a" * 300
    path = manifest(image=[f"{long}/x.png", f"{long}\\x.png"], label=["a", "b"])
    with pytest.raises(InputError, match="stands already in line 2"):
        read_samples(path)


@pytest.mark.parametrize("again", RESPELT[:-1])
def test_files_that_are_there_may_be_called_alike(
    manifest: Callable[..., Path], run: Callable[..., Audit], again: str
) -> None:
    images, label = ["a/é.png", "y.png", again], ["a", "b", "a"]
    path = manifest(image=images, label=label)
    (path.parent / "a").mkdir()
    for image in images:
        (path.parent / image).parent.mkdir(exist_ok=True)
        (path.parent / image).touch()
    assert read_samples(path).images == tuple(images)
    saved = path.with_name("saved.parquet")
    pq.write_table(pa.table({"image": images, "label": label, "predicted": label}), saved)
    assert run(data={"test": path}, predictions={"test": saved}).data.test.images == 3


def test_absolute_paths_are_none_of_the_relative_ones(manifest: Callable[..., Path]) -> None:
    path = manifest(image=["/x.png", "../x.png", "X.png"], label=["a"] * 3)
    assert read_samples(path).images == ("/x.png", "../x.png", "X.png")
    with pytest.raises(InputError, match=r':3: "//x\.png" stands already in line 2 as "/x\.png"'):
        read_samples(manifest(image=["/x.png", "//x.png"], label=["a"] * 2))


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


def test_quoted_commas_and_remarks_of_several_lines(write: Write) -> None:
    text = 'image,label,remark\n"a,1.png","big, cat","of\r\ntwo"\n"b ""2"".png",dog,\n'
    samples = read_samples(write("test.csv", text))
    assert samples.images == ("a,1.png", 'b "2".png')
    assert samples.labels == ("big, cat", "dog")
    assert samples.metadata == {"remark": ("of\r\ntwo", "")}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('image,label\nv,a\n"w,a\nx,b\ny",b\nz,b\n', ':3: "image"'),
        ('image,label\nv,a\nw,"a\nx,b\ny,b"\nz,b\n', ':3: "label"'),
        ('image,label,"night\nv,a,0\nw,b",1\n', ":1: the name of a column"),
        ('image,label,remark\nv,a,"x\nw,b,y\nx,b,"z\ny,b,\n', ':2: "remark"'),
        ('image,remark,label\nv,"x,a\nw,"y,b\nx,,b\n', ':2: "remark"'),
    ],
)
def test_a_quotation_mark_that_nobody_closed_swallows_no_rows(
    write: Write, text: str, place: str
) -> None:
    with pytest.raises(InputError, match=f"{place} holds a line break: is a quotation mark not"):
        read_samples(write("test.csv", text))


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


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_table_that_is_not_utf8_says_how_to_save_it(
    tmp_path: Path, encoding: str, rows: int
) -> None:
    """Also where what tells is far below the header."""
    lines = ["image,label", *(f"{row}.png,cat" for row in range(rows)), "x.png,Löwe"]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding=encoding)
    with pytest.raises(InputError, match=r'a.csv: is not UTF-8; save it as UTF-8 \("CSV UTF-8"'):
        read_samples(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.jsonl", "a.tsv", "a.txt"])
@pytest.mark.parametrize("read", [read_samples, read_images])
def test_a_list_of_another_kind_says_how_to_save_it(
    write: Write, read: Callable[[Path], Samples], name: str
) -> None:
    with pytest.raises(InputError, match=f"{name}: .*; save a list of images as .csv, with commas"):
        read(write(name, "x.png\tcat\n"))


@pytest.mark.parametrize("classes", [None, ("cat", "dog")])
def test_columns_without_one_plain_value_a_row_are_left_out(
    tmp_path: Path, classes: tuple[str, ...] | None
) -> None:
    plain = {"label": pa.array(["cat", "dog"]).dictionary_encode(), "night": [Decimal(1), None]}
    further = {"box": [[1.0, 2.0], None], "embedding": [b"\xff", b"\x00"], "crop": [{"x": 1}] * 2}
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"image": ["x", "y"], **further, **plain}), path)
    samples = read_samples(path, classes)
    assert samples.labels == ("cat", "dog")
    assert samples.metadata == {"night": ("1", "")}


def test_labels_that_are_lists_are_named(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"image": ["x", "y"], "label": [["a"], ["a", "b"]]}), path)
    with pytest.raises(InputError, match=r'test.parquet: "label" holds lists or bytes; write one'):
        read_samples(path)


def test_numbers_are_places_in_the_users_classes(manifest: Callable[..., Path]) -> None:
    images = ["x", "y", "z"]
    samples = read_samples(manifest(image=images, label=[1, 0, 1]), ["dog", "cat", "ant"])
    assert samples.labels == ("cat", "dog", "cat")
    assert samples.classes == ("dog", "cat", "ant")
    assert samples.class_order == "as given in the configuration"
    with pytest.raises(InputError, match=r":3: the label 3 is beyond the 3 classes \(0 to 2\)"):
        read_samples(manifest(image=images, label=[0, 3, 1]), ["dog", "cat", "ant"])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "0"], ["1", "0"]),  # each is the class of its name, wherever that stands
        (["1", "0"], ["1", "2"]),
        (["1", "cat"], ["cat", "dog"]),
        (["cat", "dog"], ["dog", "cat"]),
        (["1" * 5000, "0"], ["dog", "cat"]),
    ],
)
def test_what_may_be_names_is_no_place(
    manifest: Callable[..., Path], labels: list[str], classes: list[str]
) -> None:
    assert read_samples(manifest(image=["x", "y"], label=labels), classes).labels == (*labels,)


def test_a_missing_label_is_no_class_called_nan(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"image": ["x", "y"], "label": [1.0, float("nan")]}), path)
    with pytest.raises(InputError, match=':3: "label" is empty'):
        read_samples(path)


@pytest.mark.parametrize("type", [pa.float64(), pa.float32(), pa.float16()])
def test_whole_numbers_are_written_as_such_though_a_gap_makes_them_floating(
    tmp_path: Path, type: pa.DataType
) -> None:
    """As pandas stores a column of numbers with an empty cell."""
    short = [17.0, -2.0, 0.0, 0.5, -0.25]
    large = [2.0**40, 15e9, -(2.0**53) + 1] if type == pa.float64() else []
    column = pa.array([*short, *large, None, float("nan"), float("inf")], type, from_pandas=False)
    image = [str(row) for row in range(len(column))]
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"image": image, "label": ["a"] * len(image), "group": column}), path)
    digits = ("1099511627776", "15000000000", "-9007199254740991")[: len(large)]
    assert read_samples(path).metadata == {
        "group": ("17", "-2", "0", "0.5", "-0.25", *digits, "", "", "inf")
    }


def test_numbers_whose_digits_a_float_may_have_lost_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    table = {"image": ["x", "y"], "label": ["a", "b"], "group": [2.0**53, 15_000_000_000.5]}
    pq.write_table(pa.table(table), path)
    assert read_samples(path).metadata == {"group": ("9.007199254740992e+15", "1.50000000005e+10")}


def test_numbers_of_many_digits_are_the_labels_that_they_are_elsewhere(tmp_path: Path) -> None:
    labels = {"whole": [15_000_000_000, 7], "floating": [15e9, 7.0]}
    for name, label in labels.items():
        pq.write_table(pa.table({"image": ["x", "y"], "label": label}), tmp_path / f"{name}.pq")
    whole, floating = (read_samples(tmp_path / f"{name}.pq") for name in labels)
    assert whole.labels == floating.labels == ("15000000000", "7")
    assert whole.classes == floating.classes == ("7", "15000000000")
