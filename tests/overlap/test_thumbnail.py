from __future__ import annotations

import io

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from auditor.overlap.thumbnail import thumbnail


def test_a_small_jpeg_without_metadata() -> None:
    picture = Image.fromarray(load_sample_image("china.jpg"))
    picture.info.update(comment=b"secret", icc_profile=b"profile", exif=b"Exif\0\0")
    data = thumbnail(picture)
    small = Image.open(io.BytesIO(data))
    assert (small.format, small.size) == ("JPEG", (96, 64))
    assert len(data) < 8_000
    assert not {"comment", "exif", "icc_profile"} & set(small.info)
    assert picture.info["comment"] == b"secret"
    assert picture.size == (640, 427)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_any_mode_and_no_enlargement(mode: str) -> None:
    assert Image.open(io.BytesIO(thumbnail(Image.new(mode, (32, 20))))).size == (32, 20)


def test_thin_pictures_keep_a_pixel() -> None:
    assert Image.open(io.BytesIO(thumbnail(Image.new("L", (5000, 2))))).size == (96, 1)
