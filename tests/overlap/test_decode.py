from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from auditor.overlap.decode import Unreadable, open_image, to_rgb


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises many pixels and holds none."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


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
    assert caught.value.reason == str(caught.value)
    assert "0x" not in caught.value.reason


@pytest.mark.parametrize("side", [11_000, 20_000])  # 1.35 and 4.5 times Pillow's limit
def test_bombs_are_refused_before_decoding(side: int) -> None:
    with pytest.raises(Unreadable, match="too large"):
        open_image(png_header(side, side))


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


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert to_rgb(open_image(data)).getpixel((0, 0)) == (255, 0, 0)


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
