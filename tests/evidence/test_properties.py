"""Properties of images against Pillow's statistics, scipy's Laplacian and averages by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageStat
from scipy import ndimage
from sklearn.datasets import load_sample_images

from auditor.data.decode import open_image
from auditor.data.folder import read_folder
from auditor.engine.observation import Observing, observe_samples
from auditor.evidence.measuring import Measured, Measuring, measure
from auditor.evidence.properties import Properties
from auditor.progress import Progress
from auditor.record import Audit
from auditor.store import Store

Folder = Callable[..., Path]
LOOKING = ("split-overlap", "overfitting", "baseline-regression", "efficiency")
"""Checks that may ask for signatures."""
PHOTOGRAPHS = [Image.fromarray(pixels) for pixels in load_sample_images().images]


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def measured(image: Image.Image, form: str = "PNG", **options: Any) -> Measured:
    data = file_of(image, form, **options)
    return measure(open_image(data), data)


def sharpness(image: Image.Image) -> float:
    found = measured(image).sharpness
    assert found is not None
    return found


def laplacian_variance(grey: NDArray[Any]) -> float:
    return float(ndimage.laplace(grey.astype(np.float64))[1:-1, 1:-1].var())


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(levels)


def test_another_label_measures_nothing_again(
    image_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, opened = Measuring.prepare, list[bytes]()

    def counted(self: Measuring, image: Image.Image, data: bytes) -> Measured:
        opened.append(data)
        return prepare(self, image, data)

    monkeypatch.setattr(Measuring, "prepare", counted)
    folder, store = image_folder("images", {"a": 3, "b": 3}), Store(tmp_path / "evidence")

    def look(key: str) -> pa.Table:
        each = Observing(key, Measuring(), "by eye", {}, store.like("it", "by eye"))
        assert observe_samples(read_folder(folder), {"it": each}, store, Progress()) == {}
        found = store.load("it", key)
        assert found is not None
        return found

    first = look("1" * 64)
    (folder / "a").rename(folder / "c")
    second = look("2" * 64)
    assert len(opened) == 6
    assert second["label"].to_pylist() == ["b", "b", "b", "c", "c", "c"]
    for name in ("width", "brightness", "sharpness"):
        assert sorted(second[name].to_pylist()) == sorted(first[name].to_pylist())


class TestLuma:
    @pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
    def test_it_is_what_pillow_counts(self, mode: str) -> None:
        image = PHOTOGRAPHS[0].convert(mode)
        form = "TIFF" if mode == "CMYK" else "PNG"
        whole = image.convert("L")
        grey = ImageStat.Stat(whole.reduce(-(-max(whole.size) // 256)))
        found = measured(image, form)
        assert found.brightness == pytest.approx(ImageStat.Stat(whole).mean[0] / 255, abs=0.005)
        assert found.brightness == pytest.approx(grey.mean[0] / 255)
        assert found.contrast == pytest.approx(grey.stddev[0] / 255)

    @pytest.mark.parametrize(("level", "brightness"), [(0, 0.0), (51, 0.2), (255, 1.0)])
    def test_one_colour_has_no_contrast(self, level: int, brightness: float) -> None:
        found = measured(Image.new("L", (40, 30), level))
        assert found.brightness == pytest.approx(brightness)
        assert found.contrast == 0.0

    def test_black_and_white_have_the_most(self) -> None:
        board = Image.fromarray(np.indices((8, 8)).sum(axis=0).astype(np.uint8) % 2 * 255)
        assert measured(board).contrast == pytest.approx(0.5)

    @given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
    def test_it_stays_within_its_range(self, height: int, width: int, seed: int) -> None:
        found = measured(noise(height, width, seed), "BMP")
        assert 0 <= found.brightness <= 1
        assert 0 <= found.contrast <= 0.5


class TestSharpness:
    @pytest.mark.parametrize("size", [(3, 3), (32, 32), (40, 7), (256, 100)])
    def test_of_a_small_picture_it_is_that_of_its_own_pixels(self, size: tuple[int, int]) -> None:
        image = noise(*size)
        expected = laplacian_variance(np.asarray(image.convert("L")))
        assert measured(image).sharpness == pytest.approx(expected)

    def test_a_large_picture_is_averaged_down_first(self) -> None:
        grey = PHOTOGRAPHS[0].convert("L").crop((0, 0, 512, 384))
        blocks = np.asarray(grey, np.float64).reshape(192, 2, 256, 2).mean(axis=(1, 3))
        expected = laplacian_variance(np.floor(blocks + 0.5))
        # Pillow rounds after each axis.
        assert measured(grey).sharpness == pytest.approx(expected, rel=1e-3)

    @pytest.mark.parametrize("photograph", PHOTOGRAPHS)
    def test_pictures_of_one_scene_in_several_sizes_compare(self, photograph: Image.Image) -> None:
        found = [sharpness(photograph.resize((160 * k, 107 * k))) for k in (2, 3, 8)]
        assert max(found) < 2 * min(found)

    @pytest.mark.parametrize("photograph", PHOTOGRAPHS)
    def test_blur_lowers_it(self, photograph: Image.Image) -> None:
        found = [
            sharpness(photograph.filter(ImageFilter.GaussianBlur(radius)))
            for radius in (0, 1, 2, 4, 8)
        ]
        assert found == sorted(found, reverse=True)
        assert found[2] < found[0] / 2

    def test_one_colour_has_none(self) -> None:
        assert measured(Image.new("RGB", (300, 200), "red")).sharpness == 0.0

    @pytest.mark.parametrize("size", [(1, 1), (2, 50), (50, 2), (2000, 9)])
    def test_where_no_pixel_has_four_neighbours_it_is_not_known(
        self, size: tuple[int, int]
    ) -> None:
        found = measured(Image.new("L", size, 7))
        assert found.sharpness is None
        assert found.reason == "less than 3 pixels wide or high where its longer side is 256"
        assert (found.width, found.height) == size
        assert found.brightness == pytest.approx(7 / 255)


class TestFile:
    @pytest.mark.parametrize(
        ("mode", "form"),
        [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"), ("I;16", "PNG")],
    )
    def test_format_mode_and_size_are_those_in_the_file(self, mode: str, form: str) -> None:
        image = Image.new(mode, (40, 30))
        data = file_of(image, form)
        found = measure(open_image(data), data)
        with Image.open(io.BytesIO(data)) as header:
            assert (found.format, found.mode) == (header.format, header.mode) == (form, mode)
        assert (found.width, found.height, found.file_bytes) == (40, 30, len(data))

    @pytest.mark.parametrize("photograph", PHOTOGRAPHS)
    def test_decoded_at_a_fraction_all_but_the_sharpness_is_known(
        self, photograph: Image.Image
    ) -> None:
        data = file_of(photograph, "JPEG", quality=90)
        whole, part = (measure(open_image(data, reduced=r), data) for r in (False, True))
        assert part._replace(brightness=0, contrast=0, sharpness=None, reason=None) == (
            whole._replace(brightness=0, contrast=0, sharpness=None, reason=None)
        )
        assert part.brightness == pytest.approx(whole.brightness, abs=0.01)
        assert part.contrast == pytest.approx(whole.contrast, abs=0.03)
        assert part.sharpness is None
        assert "fraction of its size" in (part.reason or "")


@pytest.fixture
def by_colour(
    run: Callable[..., Audit], module: Callable[..., str], image_folder: Folder
) -> Callable[..., Audit]:
    """Audit a model that tells the colours of small pictures apart."""
    data = {split: image_folder(split, {"cat": 8, "dog": 8}) for split in ("train", "test")}
    candidate = {"module": f"{module()}:two", "input_size": 16}

    def audit(**tables: Any) -> Audit:
        given = {"data": data, "candidate": candidate, **tables}
        return run(**{name: table for name, table in given.items() if table is not None})

    return audit


def stored(folder: Path, split: str) -> Properties | None:
    table = Store(folder / "out" / "evidence").load(f"{split}_properties")
    return None if table is None else Properties.from_table(table)


class TestInAnAudit:
    def test_they_are_those_of_each_image(
        self, by_colour: Callable[..., Audit], tmp_path: Path
    ) -> None:
        by_colour()
        for split in ("test", "train"):
            found = stored(tmp_path, split)
            assert found is not None
            for row, image in enumerate(found.images):
                data = (tmp_path / split / image).read_bytes()
                one = measure(open_image(data), data)
                assert found.sharpness[row] == np.float32(one.sharpness)
                assert found.brightness[row] == np.float32(one.brightness)
                assert found.file_bytes[row] == len(data)
                assert (found.width[row], found.height[row]) == (16, 16)
            assert len(found.images) == 16

    def test_the_record_tells_how_far_they_range(
        self, by_colour: Callable[..., Audit], tmp_path: Path
    ) -> None:
        data = by_colour().data
        assert data.train is not None
        for split, told in (("test", data.test), ("train", data.train)):
            sizes = [path.stat().st_size for path in (tmp_path / split).rglob("*.png")]
            rows = {row.name: row for row in told.properties}
            size = rows["file size"]
            assert (size.least, size.median, size.most, size.images, size.unit) == (
                min(sizes),
                np.median(sizes),
                max(sizes),
                16,
                "bytes",
            )
            assert rows["width"].median == 16
            assert told.formats == {"PNG": 16}

    def test_an_unreadable_image_has_none_and_says_why(
        self, by_colour: Callable[..., Audit], tmp_path: Path
    ) -> None:
        (tmp_path / "test" / "cat" / "0000.png").write_bytes(b"no picture")
        audit = by_colour()
        found = stored(tmp_path, "test")
        assert found is not None
        assert "cat/0000.png" not in found.images
        assert found.unreadable["cat/0000.png"].startswith("not an image")
        assert audit.data.test.formats == {"PNG": 15}

    def test_a_picture_too_thin_keeps_its_other_properties(
        self, by_colour: Callable[..., Audit], tmp_path: Path
    ) -> None:
        Image.new("RGB", (2, 40), "red").save(tmp_path / "test" / "cat" / "0000.png")
        rows = {row.name: row.images for row in by_colour().data.test.properties}
        assert rows["brightness"] == 16
        assert rows["sharpness"] == 15
        found = stored(tmp_path, "test")
        assert found is not None
        assert found.reasons == {
            "cat/0000.png": "less than 3 pixels wide or high where its longer side is 256"
        }

    def test_no_readable_image_fails_no_audit(
        self, by_colour: Callable[..., Audit], tmp_path: Path
    ) -> None:
        for path in (tmp_path / "train").rglob("*.png"):
            path.write_bytes(b"")
        audit = by_colour()
        assert audit.data.train is None or audit.data.train.properties == ()
        assert audit.data.test.properties

    def test_no_image_is_opened_for_them_alone(
        self, by_colour: Callable[..., Audit], tmp_path: Path
    ) -> None:
        images = sorted((tmp_path / "test").rglob("*.png"))
        lines = [f"{p.relative_to(tmp_path / 'test')},{p.parent.name},cat" for p in images]
        saved = tmp_path / "saved.csv"
        saved.write_text("\n".join(["image,label,predicted", *lines]) + "\n")
        audit = by_colour(
            data={"test": tmp_path / "test"},
            candidate=None,
            predictions={"test": saved},
            checks={check: {"level": "off"} for check in LOOKING},
        )
        assert audit.data.test.properties == ()
        assert stored(tmp_path, "test") is None


@given(st.integers(0, 5), st.sets(st.integers(0, 4)))
def test_a_table_holds_all(n: int, unknown: set[int]) -> None:
    random, names = np.random.default_rng(n), [f"{k}.png" for k in range(n)]
    sharpness = random.random(n).astype(np.float32)
    thin = [k for k in range(n) if k in unknown]
    sharpness[thin] = np.nan
    properties = Properties(
        images=tuple(names),
        width=random.integers(1, 99, n).astype(np.int32),
        height=random.integers(1, 99, n).astype(np.int32),
        file_bytes=random.integers(1, 1 << 40, n),
        brightness=random.random(n).astype(np.float32),
        contrast=random.random(n).astype(np.float32),
        sharpness=sharpness,
        format=("PNG",) * n,
        mode=("RGB",) * n,
        reasons={names[k]: "too thin" for k in thin},
        unreadable={"lost.png": "empty file"},
        about={"sharpness_side": 256},
    )
    again = Properties.from_table(properties.to_table())
    for name, value in vars(properties).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(again, name), value)
        else:
            assert getattr(again, name) == value
    assert properties.to_table()["sharpness"].null_count == len(thin) + 1
