"""Signatures of pictures that were decoded at a fraction of their size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from auditor.data.decode import open_image, reduced_image
from auditor.data.folder import read_folder
from auditor.engine.observation import Observing, observe_samples
from auditor.evidence.measuring import Measuring
from auditor.evidence.signatures import SigningSettings
from auditor.evidence.signing import Signing
from auditor.overlap.signature import Signature, impression, signatures
from auditor.progress import Progress
from auditor.provider import Observer
from auditor.store import Store
from tests.overlap.conftest import signature


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def crops(count: int) -> list[Image.Image]:
    """Pieces of two photographs, 260 to 420 pixels on a side."""
    random, pictures = np.random.default_rng(0), load_sample_images().images
    found = []
    for number in range(count):
        width, height = random.integers(260, 420, 2).tolist()
        picture = Image.fromarray(pictures[number % len(pictures)])
        left = int(random.integers(0, picture.width - width + 1))
        top = int(random.integers(0, picture.height - height + 1))
        found.append(picture.crop((left, top, left + width, top + height)))
    return found


def both(data: bytes) -> tuple[Signature, Signature]:
    """Sign a file decoded whole, and decoded at a fraction."""
    return signature(open_image(data), data), signature(open_image(data, reduced=True), data)


def cosine(a: bytes, b: bytes) -> float:
    x, y = (np.frombuffer(soft, np.int8).astype(np.float64) for soft in (a, b))
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def test_hashes_are_near_those_of_the_whole_picture() -> None:
    pairs = [both(jpeg(crop, quality=quality)) for crop in crops(20) for quality in (50, 95)]
    bits = np.array([(a.phash ^ b.phash).bit_count() for a, b in pairs])
    assert bits.max() <= 6
    assert np.mean(bits <= 2) >= 0.9
    assert min(cosine(a.soft, b.soft) for a, b in pairs) > 0.97


def test_pixels_that_were_not_decoded_equal_only_those_of_the_same_file() -> None:
    picture = crops(1)[0]
    red, blue = (Image.merge("YCbCr", (picture.convert("L"), *shade)) for shade in shades(picture))
    files = [jpeg(red), jpeg(blue), jpeg(red, comment=b"another file")]
    whole, reduced = zip(*(both(data) for data in files), strict=True)
    assert whole[0].pixels_digest == whole[2].pixels_digest != whole[1].pixels_digest
    assert len({one.pixels_digest for one in (*whole, *reduced)}) == 5
    assert both(files[0])[1] == reduced[0]
    assert reduced[0].bytes_digest == whole[0].bytes_digest


def shades(picture: Image.Image) -> list[tuple[Image.Image, Image.Image]]:
    """Two colours: no grey picture tells them apart."""
    flat = [Image.new("L", picture.size, level) for level in (90, 160)]
    return [(flat[0], flat[1]), (flat[1], flat[0])]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_other_formats_are_signed_exactly(form: str) -> None:
    file = io.BytesIO()
    crops(1)[0].save(file, form)
    whole, reduced = both(file.getvalue())
    assert reduced == whole


def test_small_pictures_are_signed_exactly() -> None:
    whole, reduced = both(jpeg(crops(1)[0].resize((400, 255))))
    assert reduced == whole


def test_a_batch_is_signed_as_its_pictures_are_alone() -> None:
    files = [jpeg(crop) for crop in crops(9)]
    seen = [impression(open_image(data, reduced=len(data) % 2 == 0), data) for data in files]
    assert signatures(seen) == [signatures([one])[0] for one in seen]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("size", [(300, 280), (300, 255)])
def test_a_whole_picture_is_reduced_as_if_nobody_had_asked_for_it(
    form: str, size: tuple[int, int]
) -> None:
    file = io.BytesIO()
    crops(1)[0].resize(size).save(file, form)
    whole, reduced = (open_image(file.getvalue(), reduced=small) for small in (False, True))
    found = reduced_image(whole, file.getvalue())
    assert (found.mode, found.size, found.tobytes()) == (
        (reduced.mode, reduced.size, reduced.tobytes())
    )
    assert reduced_image(reduced, file.getvalue()) is reduced
    assert reduced_image(whole, file.getvalue()) is found


class Model(Observer):
    """An observer that wants to see whole pictures, as a candidate does."""

    def prepare(self, image: Image.Image, data: bytes) -> int:
        del data
        return image.width

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        del images
        return {"width": pa.array(prepared)}

    def about(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("views", [False, True, None])
def test_evidence_is_the_same_whether_a_model_looks_beside(
    tmp_path: Path, mode: str, views: bool | None
) -> None:
    """Signatures with and without views, and properties."""
    folder = tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    for number, crop in enumerate(crops(6)):
        (folder / f"{number}.jpg").write_bytes(jpeg(crop))
        crop.save(folder / f"{number}.png")

    def seen(name: str, **beside: Observer) -> str:
        store = Store(tmp_path / name)
        signing = Signing(SigningSettings(bool(views), mode))
        observer: Observer = Measuring(reduced=mode == "fast") if views is None else signing
        observers = {"seen": observer, **beside}
        asked = {name: Observing(name * 9, each) for name, each in observers.items()}
        assert observe_samples(read_folder(folder.parent), asked, store, Progress()) == {}
        return store.digests()["seen"]

    assert seen("alone") == seen("beside", model=Model())
