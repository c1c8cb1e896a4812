"""Parquet files with the images in them."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.data.sources import read_samples
from auditor.errors import InputError

Png = Callable[[int], bytes]
ROWS = 100
CLASSES = ["cat", "dog", "ant"]


@pytest.fixture
def write_rows(tmp_path: Path, png: Png) -> Callable[..., Path]:
    """Write rows of images, in groups of 40."""

    def make(
        name: str = "test.parquet", *, first: int = 0, metadata: Any = None, **columns: Any
    ) -> Path:
        given: dict[str, Any] = {
            "image": [png(i) for i in range(first, first + ROWS)],
            "label": [i % 3 for i in range(first, first + ROWS)],
        }
        table = pa.table(given | columns).replace_schema_metadata(metadata)
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table, path, row_group_size=40)
        return path

    return make


def hugging_face(**features: Any) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": features}})}


Write = Callable[..., Path]


def test_bytes_and_numbers(write_rows: Write, png: Png) -> None:
    samples = read_samples(write_rows())
    assert samples.images[:2] == ("test.parquet/0", "test.parquet/1")
    assert samples.labels[:4] == ("0", "1", "2", "0")
    assert [samples.read(image) for image in samples.images] == [png(i) for i in range(ROWS)]
    assert read_samples(write_rows(), CLASSES).labels[:4] == ("cat", "dog", "ant", "cat")


def test_hugging_faces_struct_and_features(write_rows: Write, png: Png) -> None:
    cells = [{"bytes": png(i), "path": f"{i}.png"} for i in range(ROWS)]
    names = {"names": CLASSES, "_type": "ClassLabel"}
    features = hugging_face(img={"_type": "Image"}, fine=names)
    path = write_rows(
        image=[0] * ROWS, img=cells, fine=[i % 3 for i in range(ROWS)], metadata=features
    )
    table = pq.read_table(path).drop_columns(["image", "label"])
    pq.write_table(table, path)
    samples = read_samples(path)
    assert samples.classes == tuple(CLASSES)
    assert samples.labels[:3] == ("cat", "dog", "ant")
    assert samples.class_order == "as named by the data"
    assert samples.read("test.parquet/99") == png(99)


@pytest.mark.parametrize("place", ["parts", "parts/*.parquet", "parts/{0..1}.parquet"])
def test_several_files(write_rows: Write, png: Png, tmp_path: Path, place: str) -> None:
    for part in range(2):
        write_rows(f"parts/{part}.parquet", first=part * ROWS, camera=["n", None] * (ROWS // 2))
    samples = read_samples(tmp_path / place)
    assert len(samples) == 2 * ROWS
    assert samples.metadata == {"camera": ("n", "") * ROWS}
    assert samples.read("1.parquet/3") == png(ROWS + 3)


def test_any_order_any_thread_any_process(write_rows: Write, png: Png) -> None:
    samples = pickle.loads(pickle.dumps(read_samples(write_rows())))
    rows = [row for row in range(ROWS) for _ in range(2)]
    random.Random(0).shuffle(rows)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: samples.read(f"test.parquet/{row}"), rows))
    assert found == [png(row) for row in rows]


def test_a_manifest_stays_a_manifest(write_rows: Write, tmp_path: Path) -> None:
    path = write_rows(image=[f"{i}.png" for i in range(ROWS)], label=["a", "b"] * (ROWS // 2))
    samples = read_samples(path)
    assert samples.reader is None
    assert samples.path("1.png") == tmp_path / "1.png"


def test_an_image_that_is_missing_is_one_image(write_rows: Write, png: Png) -> None:
    cells = [png(i) for i in range(ROWS - 1)]
    samples = read_samples(write_rows(image=[None, *cells]))
    with pytest.raises(OSError, match="no image in its row"):
        samples.read("test.parquet/0")
    assert samples.read("test.parquet/1") == png(0)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"label": [3] + [0] * (ROWS - 1)}, r"test.parquet/0: the label 3 is beyond the 3 classes"),
        ({"label": [None] + [0] * (ROWS - 1)}, "row 0 has no label"),
        ({"label": [float("nan")] + [0.0] * (ROWS - 1)}, "row 0 has no label"),
        ({"label": [0.5] * ROWS}, "row 0 has the label 0.5; use a whole number or a name"),
        ({"label": [0, -1] * (ROWS // 2)}, r"test.parquet/1: the label is -1"),
    ],
)
def test_labels_that_are_none(write_rows: Write, columns: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_samples(write_rows(**columns), CLASSES)


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_labels_and_columns_are_those_of_a_manifest_of_the_same_rows(
    write_rows: Write, classes: list[str] | None
) -> None:
    """As pandas stores whole numbers in a column that has, or had, a gap."""
    columns: dict[str, list[Any]] = {
        "patient": [17.0, float("nan")] * (ROWS // 2),
        "night": [True, None] * (ROWS // 2),
        "age": [15e9, 0.5] * (ROWS // 2),
        "label": [float(i % 3) for i in range(ROWS)],
    }
    images = read_samples(write_rows(**columns), classes)
    names = [f"{row}.png" for row in range(ROWS)]
    manifest = read_samples(write_rows("list.parquet", image=names, **columns), classes)
    assert (images.labels, images.classes) == (manifest.labels, manifest.classes)
    assert images.metadata == manifest.metadata
    assert images.metadata["patient"][:2] == ("17", "")


def test_a_column_that_is_missing(write_rows: Write) -> None:
    path = write_rows()
    pq.write_table(pq.read_table(path).rename_columns(["image", "labels"]), path)
    with pytest.raises(InputError, match='no column "label"; did you mean "labels"'):
        read_samples(path)


def test_files_that_do_not_belong_together(write_rows: Write, tmp_path: Path) -> None:
    names = {"names": CLASSES, "_type": "ClassLabel"}
    write_rows("parts/0.parquet", metadata=hugging_face(label=names))
    write_rows("parts/1.parquet")
    with pytest.raises(InputError, match=r"1.parquet: other columns or classes"):
        read_samples(tmp_path / "parts")


@pytest.mark.parametrize("place", ["data", "data/*.parquet", "data/t*.parquet"])
@pytest.mark.parametrize("names", ["{}-00000-of-00001", "{}", "cifar10_{}_0", "{}.v2"])
def test_training_files_beside_test_files_are_no_test_set(
    write_rows: Write, tmp_path: Path, place: str, names: str
) -> None:
    if not names.startswith("{"):
        place = place.replace("t*", "*")
    for split in ("train", "test"):
        write_rows(f"data/{names.format(split)}.parquet")
    with pytest.raises(
        InputError, match=r"holds test, train; name one: .*test.*\.parquet$"
    ) as said:
        read_samples(tmp_path / place)
    samples = read_samples(Path(str(said.value).rpartition(": ")[2]))
    assert {image.partition("/")[0] for image in samples.images} == {
        f"{names.format('test')}.parquet"
    }


def test_files_of_one_split_are_one_set(write_rows: Write, tmp_path: Path) -> None:
    for name in ("test-0", "test-1", "contest_2", "more"):
        write_rows(f"data/{name}.parquet")
    (tmp_path / "data/.cache").mkdir()  # as a download leaves behind
    assert len(read_samples(tmp_path / "data")) == 4 * ROWS


@pytest.mark.parametrize("name", ["image", "label", "camera"])
def test_a_column_that_stands_twice(write_rows: Write, name: str) -> None:
    path = write_rows(camera=["n"] * ROWS)
    table = pq.read_table(path)
    pq.write_table(table.append_column(name, table[name]), path)
    with pytest.raises(InputError, match=rf'test.parquet: the column "{name}" stands twice'):
        read_samples(path)


@pytest.mark.parametrize(
    ("feature", "complaint"),
    [
        ([{"names": CLASSES, "_type": "ClassLabel"}], "is a list: several labels an image"),
        ({"names": ["cat", "dog", "cat"]}, 'the class "cat" stands twice; give the column a Class'),
        ({"names": [0, 1, 2]}, '"names" that are no list of texts; give the column a ClassLabel'),
        ({"names": {"0": "cat", "1": "dog", "2": "ant"}}, "no list of texts"),
        ({"names": 3}, "no list of texts"),
    ],
)
def test_features_that_do_not_name_each_class_once(
    write_rows: Write, feature: Any, complaint: str
) -> None:
    path = write_rows(metadata=hugging_face(label=feature))
    with pytest.raises(InputError, match=rf'test.parquet: the feature "label".* {complaint}'):
        read_samples(path)


def test_names_that_differ_in_case_are_two_classes(write_rows: Write) -> None:
    feature = {"names": ["cell", "Cell", "cells"], "_type": "ClassLabel"}
    samples = read_samples(write_rows(metadata=hugging_face(label=feature)))
    assert samples.labels[:3] == ("cell", "Cell", "cells")


def test_a_file_that_was_cut_short(write_rows: Write, tmp_path: Path) -> None:
    write_rows("parts/0.parquet")
    path = write_rows("parts/1.parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"1.parquet: cannot be read as Parquet"):
        read_samples(tmp_path / "parts")


def test_one_that_changes_while_it_is_read(write_rows: Write) -> None:
    samples = read_samples(write_rows())
    identity = samples.identity
    write_rows(first=7)
    with pytest.raises(InputError, match="changed while it was read"):
        samples.read("test.parquet/1")
    assert read_samples(write_rows(first=7)).identity != identity


def test_files_that_are_only_named_are_known_again_by_their_own_times(
    write_rows: Write, png: Png, tmp_path: Path
) -> None:
    for i in range(0, ROWS, 2):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    cells = [{"bytes": png(i) if i % 2 else None, "path": f"{i}.png"} for i in range(ROWS)]
    path = write_rows(image=cells)
    before = read_samples(path)
    assert [before.read(f"test.parquet/{i}") for i in range(ROWS)] == [png(i) for i in range(ROWS)]
    assert read_samples(path).identity == before.identity
    (tmp_path / "98.png").write_bytes(png(7))
    (tmp_path / "1.png").write_bytes(png(7))  # what nobody reads
    now = pickle.loads(pickle.dumps(read_samples(path)))
    changed = (now.looks != before.looks).any(axis=1)
    assert [now.images[row] for row in changed.nonzero()[0]] == ["test.parquet/98"]
    assert before.look("test.parquet/98") == now.look("test.parquet/98")  # as a pass asks
    (tmp_path / "0.png").unlink()
    assert before.look("test.parquet/0") != tuple(before.looks[0])
