"""Data sets on disk, as ``datasets`` 5.2 writes them with ``save_to_disk``."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from auditor.data.sources import read_samples
from auditor.errors import InputError

Png = Callable[[int], bytes]
Save = Callable[..., Path]
CLASSES = ["cat", "dog", "ant"]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": CLASSES, "_type": "ClassLabel"},
    "camera": {"dtype": "string", "_type": "Value"},
}


@pytest.fixture
def save(tmp_path: Path, png: Png) -> Save:
    """Write a data set of three files with four images each."""

    def make(
        name: str = "test", labels: Any = (0, 1, 2, 0), outside: int = -1, **state: Any
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        files = [f"data-{n:05}-of-00003.arrow" for n in range(3)]
        for n, file in enumerate(files):
            cells: list[Any] = [{"bytes": png(4 * n + i), "path": "in.png"} for i in range(4)]
            if 4 * n <= outside < 4 * n + 4:
                cells[outside - 4 * n] = {"bytes": None, "path": "outside.png"}
                (folder / "outside.png").write_bytes(png(outside))
            table = pa.table({"image": cells, "label": list(labels), "camera": ["n", None] * 2})
            with (
                pa.OSFile(str(folder / file), "wb") as sink,
                pa.ipc.new_stream(sink, table.schema) as stream,
            ):
                stream.write_table(table, max_chunksize=3)
        state = {"_data_files": [{"filename": f} for f in files], "_split": None} | state
        (folder / "state.json").write_text(json.dumps(state))
        (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
        return folder

    return make


def test_rows_are_images(save: Save, png: Png) -> None:
    samples = read_samples(save())
    assert samples.images == tuple(str(row) for row in range(12))
    assert samples.labels == ("cat", "dog", "ant", "cat") * 3
    assert samples.classes == tuple(CLASSES)
    assert samples.metadata == {"camera": ("n", "") * 6}
    assert [samples.read(image) for image in samples.images] == [png(i) for i in range(12)]
    assert pickle.loads(pickle.dumps(samples)).read("7") == png(7)


def test_the_datas_names_win_over_the_users(save: Save) -> None:
    assert read_samples(save(), ["x", "y", "z"]).labels[:2] == ("cat", "dog")


def test_a_folder_of_splits(save: Save, tmp_path: Path) -> None:
    save("both/train")
    save("both/test")
    (tmp_path / "both/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match=r"holds train, test; name one: .*both/train"):
        read_samples(tmp_path / "both")
    assert len(read_samples(tmp_path / "both" / "test")) == 12


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("state.json", {"_data_files": ["data.arrow"]}, r'state.json: no "filename" for each'),
        ("state.json", {"_data_files": [{}]}, r'state.json: no "filename" for each'),
        ("state.json", {"_data_files": 3}, r'state.json: no "filename" for each'),
        ("state.json", {}, r'state.json: no "filename" for each'),
        ("dataset_info.json", {"features": ["x"]}, r'dataset_info.json: "features" are no columns'),
        ("dataset_info.json", {"features": {"label": {"names": 5}}}, '"names" that are no list'),
        ("dataset_info.json", {"features": {"label": {"names": ["a", "a"]}}}, '"a" stands twice'),
    ],
)
def test_descriptions_of_another_shape(
    save: Save, file: str, content: object, complaint: str
) -> None:
    folder = save()
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=complaint):
        read_samples(folder)


@pytest.mark.parametrize("splits", [5, [5], {}, []])
def test_splits_that_are_not_listed(tmp_path: Path, splits: object) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
    with pytest.raises(InputError, match="holds …; name one"):
        read_samples(tmp_path)


def test_a_description_that_nests_without_end(save: Save) -> None:
    folder = save()
    (folder / "state.json").write_text("[" * 200_000)
    with pytest.raises(InputError, match=r"state.json: cannot be read"):
        read_samples(folder)


def test_a_label_beyond_the_classes(save: Save) -> None:
    message = r"row 3: the label 3 is beyond the 3 classes \(0 to 2\) of the data's own list"
    with pytest.raises(InputError, match=message):
        read_samples(save(labels=(0, 1, 2, 3)))


def test_an_index_beside_the_rows(save: Save) -> None:
    with pytest.raises(InputError, match="flatten_indices"):
        read_samples(save(_indices_data_files=[{"filename": "indices.arrow"}]))


def test_files_that_are_missing_or_damaged(save: Save) -> None:
    folder = save()
    file = folder / "data-00001-of-00003.arrow"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"data-00001-of-00003.arrow: cannot be read as an Arrow"):
        read_samples(folder)
    file.unlink()
    with pytest.raises(InputError, match=r"data-00001-of-00003.arrow: cannot be read: No such"):
        read_samples(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(InputError, match=r"state.json: cannot be read"):
        read_samples(folder)


def test_files_of_other_columns(save: Save) -> None:
    folder, other = save(), pa.table({"image": [b""], "label": ["cat"]})
    with pa.ipc.new_stream(folder / "data-00001-of-00003.arrow", other.schema) as stream:
        stream.write_table(other)
    with pytest.raises(InputError, match="test: its files have different columns; save it again"):
        read_samples(folder)


def test_one_that_changes_while_it_is_read(save: Save) -> None:
    folder = save()
    samples = read_samples(folder)
    file = folder / "data-00000-of-00003.arrow"
    file.write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="changed while it was read"):
        samples.read("0")
    assert samples.read("11") == read_samples(folder).read("11")
    assert read_samples(folder).identity != samples.identity


@pytest.mark.parametrize("row", [0, 3, 10])
def test_a_file_that_is_only_named_is_known_again_by_its_own_times(
    save: Save, png: Png, row: int
) -> None:
    folder = save(outside=row)
    before = read_samples(folder)
    assert [before.read(image) for image in before.images] == [png(i) for i in range(12)]
    assert before.identity == read_samples(folder).identity
    (folder / "outside.png").write_bytes(png(77))
    now = pickle.loads(pickle.dumps(read_samples(folder)))
    changed = (now.looks != before.looks).any(axis=1)
    assert changed.nonzero()[0].tolist() == [row]
    assert before.look(str(row)) == now.look(str(row))
