from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFile, ImageStat
from PIL.PngImagePlugin import PngInfo
from sklearn.datasets import load_sample_image

from auditor.data.decode import (
    REDUCED_SIDE,
    Unreadable,
    as_loaders_show,
    copied,
    file_kind,
    full_size,
    open_image,
    to_rgb,
)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(width: int, height: int, bits: int = 8, colour: int = 0, body: bytes = b"") -> bytes:
    """A PNG by hand; without a body it promises pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def photograph(width: int = 640, height: int = 427) -> Image.Image:
    return Image.fromarray(load_sample_image("china.jpg")).resize((width, height))


def noise(side: int = 64, channels: tuple[int, ...] = (3,)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (side, side, *channels), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "MPO"])
def test_reads_the_formats(form: str) -> None:
    assert open_image(encoded(noise(), form)).size == (64, 64)


@pytest.mark.parametrize("form", ["ICO", "TGA", "JPEG2000"])
def test_refuses_other_formats(form: str) -> None:
    with pytest.raises(Unreadable, match="format that is read"):
        open_image(encoded(noise(), form))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello", "not an image in a format that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image in a format that is read"),
        (encoded(noise(), "JPEG")[:-12], r"truncated: image file is truncated \(\d+ bytes not"),
        (encoded(noise())[:3000], "truncated"),
        (encoded(noise(), "BMP")[:3000], "truncated"),
        (encoded(noise(), "TIFF")[:3000], "truncated|damaged|not an image"),
        (encoded(noise(), "WEBP")[:300], "truncated|damaged|not an image"),
    ],
)
def test_says_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        open_image(data)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("side", [11_000, 20_000])  # 1.35 and 4.5 times Pillow's limit
def test_bombs_are_refused_before_decoding(side: int) -> None:
    with pytest.raises(Unreadable, match="too large"):
        open_image(png(side, side))


def test_truncated_files_are_refused_where_pillow_was_told_to_fill_them_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(Unreadable, match="truncated"):
        open_image(encoded(noise(), "JPEG")[:-100])
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_every_truncation_is_unreadable_or_whole() -> None:
    for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF"):
        data = encoded(noise(16), form)
        whole = open_image(data).tobytes()
        for length in range(0, len(data), 7):
            try:
                image = open_image(data[:length])
            except Unreadable:
                continue
            assert image.tobytes() == whole, (form, length)


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for form in ("PNG", "TIFF", "PPM"):
        image = open_image(encoded(Image.fromarray(deep), form))
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), deep >> 8)


def test_sixteen_bit_colours_keep_their_high_byte() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in deep)
    image = open_image(png(7, 5, bits=16, colour=2, body=zlib.compress(lines)))
    np.testing.assert_array_equal(np.asarray(image), deep >> 8)


def test_thirty_two_bit_integers_are_scaled_where_they_are_no_bytes() -> None:
    values = np.array([[0, 100, 200], [50, 25, 255]], np.int32)
    for stretched in (values, values * 1000 - 500):
        data = encoded(Image.fromarray(stretched), "TIFF")
        np.testing.assert_array_equal(np.asarray(open_image(data)), values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0, np.nan], [0, 128, 255, 0]),
        ([0.0, 7.0, 200.0, np.inf], [0, 7, 200, 0]),
        ([-100.0, 0.0, 400.0, 150.0], [0, 51, 255, 128]),
    ],
)
def test_floats_are_scaled(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert np.asarray(open_image(encoded(image, "TIFF"))).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(-5, 0), (1000, 0), (0, 0), (255, 255), (np.iinfo(np.int32).max, 0)]
)
@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_pixels_that_are_all_alike_need_no_range(
    kind: type[np.generic], value: int, expected: int
) -> None:
    image = Image.fromarray(np.full((4, 4), value, dtype=kind))
    assert np.unique(np.asarray(open_image(encoded(image, "TIFF")))).tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (np.array([[0, 100, 255, 256, 40_000, 65_535]], np.uint16), "PNG"),
        (np.array([[0, 100, 255, 256, 40_000, 65_535]], np.uint16), "TIFF"),
        (np.array([[0, 100, 255, 256, 40_000, 65_535]], np.uint16), "PPM"),
        (np.array([[-5, 0, 100, 255, 256, 70_000]], np.int32), "TIFF"),
        (np.array([[-5, 0, 0.5, 1, 254.7, 300]], np.float32), "TIFF"),
        (np.array([[0, 7, 100, 200, 254, 255]], np.uint8), "PNG"),
    ],
)
def test_a_model_is_shown_what_pillow_makes_of_a_file(values: NDArray[Any], form: str) -> None:
    data = encoded(Image.fromarray(values), form)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    picture = open_image(data)
    for each in (picture, copied(picture)):
        shown = as_loaders_show(each)
        assert (shown.mode, file_kind(each), each.format) == (
            "RGB",
            file_kind(picture),
            picture.format,
        )
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_animation_gives_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), grey) for grey in ("black", "white")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert to_rgb(open_image(data)).getextrema() == ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_one_pixel_is_a_picture(form: str) -> None:
    assert open_image(encoded(Image.new("L", (1, 1), 255), form)).size == (1, 1)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "MPO"])
def test_orientation_in_exif_is_not_applied(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    data, plain = (encoded(noise().crop((0, 0, 64, 40)), form, **o) for o in ({"exif": exif}, {}))
    assert data != plain
    assert open_image(data).tobytes() == open_image(plain).tobytes()


def transparent_palette() -> bytes:
    image = noise(16).quantize(8)
    return encoded(image, transparency=bytes(range(0, 256, 32)))


def test_palette_with_transparency_converts_without_a_warning() -> None:
    image = to_rgb(open_image(transparent_palette()))
    assert image.mode == "RGB"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "CMYK", "YCbCr", "P", "LAB"])
def test_to_rgb_is_what_pillow_converts(mode: str) -> None:
    image = Image.new("LAB", (4, 4), 90) if mode == "LAB" else noise().convert(mode)
    assert to_rgb(image).tobytes() == image.convert("RGB").tobytes()


def test_lab_becomes_rgb() -> None:
    assert open_image(encoded(Image.new("LAB", (4, 4), 90), "TIFF")).mode == "RGB"


def test_warning_filters_are_restored_after_threads_cross() -> None:
    data = encoded(noise(), "JPEG")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [open_image(data) for _ in range(50)]) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_pillow_warnings_do_not_escape() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\xff\xff\0\0\0\0"
    for data in (encoded(noise(8), "TIFF"), encoded(noise(8), "JPEG", exif=exif)):
        assert open_image(data).size == (8, 8)


class TestReduced:
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_jpeg_keeps_its_content_at_a_fraction(self, mode: str, progressive: bool) -> None:
        data = encoded(photograph().convert(mode), "JPEG", progressive=progressive)
        small, whole = open_image(data, reduced=True), open_image(data)
        assert (small.size, full_size(small), full_size(whole)) == ((320, 214), (640, 427), None)
        a, b = (
            image.convert("L").resize((32, 32), Image.Resampling.BOX) for image in (small, whole)
        )
        assert ImageStat.Stat(ImageChops.difference(a, b)).mean[0] < 1

    @pytest.mark.parametrize(
        ("shorter", "expected"),
        [(1, 1), (32, 32), (255, 255), (256, 128), (511, 256), (512, 128), (1025, 129)],
    )
    def test_the_shorter_side_is_kept(self, shorter: int, expected: int) -> None:
        for size in ((shorter, 1100), (1100, shorter)):
            small = open_image(encoded(photograph(*size), "JPEG"), reduced=True)
            assert min(small.size) == expected
            assert full_size(small) == (size if expected < shorter else None)
            assert expected >= min(REDUCED_SIDE, shorter)

    @pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
    def test_other_formats_are_decoded_whole(self, form: str) -> None:
        data = encoded(photograph(), form)
        image = open_image(data, reduced=True)
        assert full_size(image) is None
        assert image.tobytes() == open_image(data).tobytes()

    def test_what_is_truncated_is_truncated_in_either_way(self) -> None:
        data = encoded(photograph(), "JPEG")
        for length in (0, 2, 300, 700, *range(5000, len(data) - 64, 9001), len(data) - 12):
            for reduced in (False, True):
                with pytest.raises(Unreadable):
                    open_image(data[:length], reduced=reduced)

    def test_a_text_in_a_file_does_not_pass_for_a_size_or_a_kind(self) -> None:
        texts = PngInfo()
        names = open_image(encoded(photograph(), "JPEG"), reduced=True).info.keys() - {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
        }
        assert len(names) == 2
        for name in names:
            texts.add_text(str(name), "9")
        image = open_image(encoded(noise(), pnginfo=texts))
        assert full_size(image) is None
        assert file_kind(image) == ("PNG", image.mode)
