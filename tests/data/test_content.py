"""What tells data from other data whose names and labels are the same, wherever they lie."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditor.data.sources import read_samples

Write = Callable[[Path, Sequence[bytes]], Path]
N = 40


def picture(number: int) -> bytes:
    """Return a picture whose file is as large as every other one."""
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


def folder(where: Path, pictures: Sequence[bytes]) -> Path:
    for number, data in enumerate(pictures):
        path = where / "ab"[number % 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return where


def parquet(where: Path, pictures: Sequence[bytes]) -> Path:
    where.mkdir()
    table = pa.table({"image": list(pictures), "label": ["a", "b"] * (len(pictures) // 2)})
    pq.write_table(table, where / "data.parquet", compression="none", row_group_size=7)
    return where


def saved(where: Path, pictures: Sequence[bytes]) -> Path:
    where.mkdir()
    table = pa.table({"image": list(pictures), "label": ["a", "b"] * (len(pictures) // 2)})
    with (
        pa.OSFile(str(where / "data.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as out,
    ):
        out.write_table(table)
    (where / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    (where / "dataset_info.json").write_text("{}")
    return where


def tar(where: Path, pictures: Sequence[bytes]) -> Path:
    where.mkdir()
    with tarfile.open(where / "data.tar", "w") as file:
        for number, data in enumerate(pictures):
            info = tarfile.TarInfo(f"{'ab'[number % 2]}/{number}.bmp")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return where / "data.tar"


def copied(path: Path, where: Path) -> Path:
    """Copy what was written, as to another machine: with other times and another owner's path."""
    if path.is_dir():
        shutil.copytree(path, where, copy_function=shutil.copyfile)
        return where
    where.mkdir()
    return Path(shutil.copyfile(path, where / path.name))


@pytest.mark.parametrize("write", [folder, parquet, saved, tar])
def test_copies_are_the_same_and_other_pictures_are_not(write: Write, tmp_path: Path) -> None:
    pictures = [picture(number) for number in range(N)]
    path = write(tmp_path / "one", pictures)
    one, copy = read_samples(path), read_samples(copied(path, tmp_path / "copy"))
    assert one.content == copy.content
    assert one.identity != copy.identity
    for number in (0, 17, N - 1):
        others = [picture(N) if k == number else data for k, data in enumerate(pictures)]
        other = read_samples(write(tmp_path / f"other {number}", others))
        assert other.images == one.images
        assert other.labels == one.labels
        assert other.content != one.content


def test_much_data_is_told_apart_by_a_share_of_it(tmp_path: Path) -> None:
    """Of 400 files one of each of 64 stretches is read: of a tenth 64 ask for it."""
    pictures = [picture(number % 50) for number in range(400)]
    one = read_samples(folder(tmp_path / "one", pictures))
    others = [picture(50 + k) if k % 10 == 3 else data for k, data in enumerate(pictures)]
    other = read_samples(folder(tmp_path / "other", others))
    assert other.content != one.content
    assert read_samples(folder(tmp_path / "again", pictures)).content == one.content


def test_a_file_that_cannot_be_read_is_other_data(tmp_path: Path) -> None:
    pictures = [picture(number) for number in range(4)]
    one, other = (folder(tmp_path / name, pictures) for name in ("one", "other"))
    whole = read_samples(one).content
    (other / "a" / "2.bmp").unlink()
    os.mkfifo(other / "a" / "2.bmp")
    assert read_samples(other).content != whole


def test_a_tar_whose_headers_differ_is_another(tmp_path: Path) -> None:
    """Where pictures are many, few are read; what has another time may be another one."""
    path = tar(tmp_path / "one", [picture(number) for number in range(4)])
    before = read_samples(path).content
    with tarfile.open(path, "w") as file:
        for number in range(4):
            info = tarfile.TarInfo(f"{'ab'[number % 2]}/{number}.bmp")
            info.size, info.mtime = len(picture(number)), number
            file.addfile(info, io.BytesIO(picture(number)))
    assert read_samples(path).content != before
