from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import imagehash
import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from auditor.data.decode import open_image
from auditor.overlap.soft import SCALE, SOFT_BYTES
from tests.overlap.conftest import signature


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def reference(image: Image.Image) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # imagehash converts palettes with transparency loudly
        return int(str(imagehash.phash(image)), 16)


def photographs() -> list[Image.Image]:
    return [Image.fromarray(photograph) for photograph in load_sample_images().images]


def crops(count: int) -> Iterator[Image.Image]:
    random = np.random.default_rng(0)
    pictures = photographs()
    for number in range(count):
        picture = pictures[number % len(pictures)]
        side = int(random.integers(8, 300))
        left = int(random.integers(0, picture.width - side))
        top = int(random.integers(0, picture.height - side))
        yield picture.crop((left, top, left + side, top + int(random.integers(1, side))))


def degenerate() -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    for height, width in random.integers(1, 70, (60, 2)).tolist():
        across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)[:, None]
        checker = np.indices((height, width)).sum(0) // 3 % 2 * 255
        for value in (np.zeros((1, 1)) + width, across, down, checker, across * down / 255):
            yield np.broadcast_to(value, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "1", "RGBA"])
def test_photographs_hash_as_in_imagehash(mode: str) -> None:
    for crop in crops(60):
        image = crop.convert(mode)
        assert signature(image, b"").phash == reference(image)


def test_degenerate_pictures_hash_as_in_imagehash() -> None:
    for values in degenerate():
        image = Image.fromarray(values)
        assert signature(image, b"").phash == reference(image)


def odd_files() -> dict[str, bytes]:
    picture = photographs()[0].resize((120, 80))
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) << 8)
    exif = Image.Exif()
    exif[0x0112] = 6
    veiled = picture.copy()
    veiled.putalpha(picture.convert("L"))
    return {
        "sixteen bits": encoded(deep),
        "turned by EXIF": encoded(picture, "JPEG", exif=exif),
        "transparent": encoded(veiled),
        "transparent palette": encoded(picture.quantize(16), transparency=bytes(range(16))),
        "one transparent colour": encoded(picture, transparency=(0, 0, 0)),
        "CMYK": encoded(picture.convert("CMYK"), "JPEG"),
        "one pixel": encoded(Image.new("L", (1, 1), 77)),
    }


@pytest.mark.parametrize("name", list(odd_files()))
def test_odd_files_hash_as_in_imagehash(name: str) -> None:
    data = odd_files()[name]
    image = open_image(data)
    assert signature(image, data).phash == reference(image)


def test_sixteen_bits_are_not_white() -> None:
    files = odd_files()
    assert signature(open_image(files["sixteen bits"]), b"").phash != 1 << 63


def test_palettes_are_resolved_before_pixels_are_compared() -> None:
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    digests = set()
    for colours in (range(48), range(48, 96)):
        image = Image.fromarray(indices)
        image = image.convert("P")
        image.putpalette(list(colours))
        digests.add(signature(open_image(encoded(image)), b"").pixels_digest)
    assert len(digests) == 2


def test_same_pixels_in_other_files_have_one_digest() -> None:
    picture = photographs()[1].resize((50, 40))
    opaque = picture.convert("RGBA")
    files = [encoded(picture), encoded(picture, "BMP"), encoded(picture, "TIFF"), encoded(opaque)]
    signatures = [signature(open_image(data), data) for data in files]
    assert len({one.pixels_digest for one in signatures}) == 1
    assert len({one.bytes_digest for one in signatures}) == 4


def test_grey_as_grey_and_as_colours_have_one_digest() -> None:
    grey = photographs()[0].convert("L")
    assert signature(grey, b"").pixels_digest == signature(grey.convert("RGB"), b"").pixels_digest


def test_shape_and_transparency_count() -> None:
    flat = Image.new("RGB", (4, 6), "red")
    veiled = flat.copy()
    veiled.putalpha(128)
    images = (flat, flat.transpose(Image.Transpose.ROTATE_90), veiled)
    assert len({signature(image, b"").pixels_digest for image in images}) == 3


def test_contrast() -> None:
    half = Image.new("L", (64, 32))
    half.paste(255, (32, 0, 64, 32))
    one = signature(half, b"file")
    assert one.contrast == pytest.approx(127.5, rel=0.02)
    assert (len(one.bytes_digest), len(one.pixels_digest)) == (16, 16)
    assert signature(Image.new("L", (9, 9), 40), b"").contrast == 0


def test_the_soft_hash_is_the_logarithm_of_the_low_frequencies() -> None:
    for crop in crops(20):
        grey = crop.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
        low = scipy.fft.dctn(np.asarray(grey, np.float64), norm="ortho")[:16, :16].ravel()
        expected = np.sign(low) * np.log1p(np.abs(low) / 8)
        expected[0] = 0
        soft = np.frombuffer(signature(crop, b"").soft, np.int8)
        assert soft.shape == (SOFT_BYTES,)
        np.testing.assert_allclose(soft / SCALE, expected, atol=0.5 / SCALE + 1e-9)


def test_no_picture_overflows_the_soft_hash() -> None:
    checker = np.indices((32, 32)).sum(0) % 2 * 255
    stripes = [np.indices((32, 32))[0] // width % 2 * 255 for width in (1, 2, 4, 8, 16)]
    for values in (checker, *stripes, *(stripe.T for stripe in stripes)):
        soft = signature(Image.fromarray(values.astype(np.uint8)), b"").soft
        assert np.abs(np.frombuffer(soft, np.int8)).max() < 127
