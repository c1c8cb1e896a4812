"""The pass over a split: what is decoded how, and what becomes of images that fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from PIL import Image

from auditor.data.decode import full_size
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.observation import Observing, observe_samples
from auditor.errors import InputError
from auditor.progress import Progress
from auditor.store import Store
from tests.engine.conftest import Widths


class Eye(Widths):
    """Keeps whether it saw a fraction, too; may crash on some images."""

    batch_size = 4
    reduced = False

    def __init__(
        self,
        crash: Callable[[Image.Image], BaseException | None] = lambda image: None,
        *,
        reduced: bool = False,
        images: Iterable[str] | None = None,
    ) -> None:
        self.crash, self.reduced = crash, reduced
        self.images = None if images is None else frozenset(images)

    def prepare(self, image: Image.Image, data: bytes) -> tuple[int, bool]:
        if (crash := self.crash(image)) is not None:
            raise crash
        return image.width, full_size(image) is not None

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        columns = super().rows(images, [width for width, _ in prepared])
        return {**columns, "reduced": pa.array([reduced for _, reduced in prepared], pa.bool_())}


def poison(*widths: int) -> Callable[[Image.Image], BaseException | None]:
    return lambda image: ValueError("poison") if image.width in widths else None


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    """Forty pictures whose widths are 1 to 40 pixels."""
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for width in range(1, 41):
        Image.new("L", (width, 5)).save(folder / f"{width:02}.png")
    return read_folder(tmp_path / "data")


class Observed(NamedTuple):
    """What came of a pass."""

    tables: dict[str, pa.Table]
    failed: dict[str, BaseException]


Look = Callable[..., Observed]


@pytest.fixture
def look(samples: Samples, tmp_path: Path) -> Look:
    def look(samples: Samples = samples, **eyes: Eye) -> Observed:
        observers = {name: Observing("key", eye) for name, eye in eyes.items()}
        store = Store(tmp_path / "evidence")
        failed = observe_samples(samples, observers, store, Progress())
        tables = {name: store.load(name, "key") for name in eyes if name not in failed}
        return Observed({name: table for name, table in tables.items() if table}, failed)

    return look


def errors(found: Observed, name: str) -> dict[str, str]:
    return {row["image"]: row["error"] for row in found.tables[name].to_pylist() if row["error"]}


def widths(found: Observed, name: str) -> list[int]:
    return [row["width"] for row in found.tables[name].to_pylist() if row["width"] is not None]


@pytest.mark.parametrize("crash", [ValueError("poison"), MemoryError(), SystemExit(0)])
def test_a_poisonous_image_is_named_and_the_rest_is_seen(look: Look, crash: Exception) -> None:
    bad = Eye(lambda image: crash if image.width == 7 else None)
    found = look(bad=bad, good=Eye())
    expected = f"Eye failed on it: {type(crash).__name__}: {crash}"
    assert (errors(found, "bad"), found.failed) == ({"a/07.png": expected}, {})
    assert sorted(widths(found, "bad")) == [*range(1, 7), *range(8, 41)]
    assert sorted(widths(found, "good")) == list(range(1, 41))


def test_a_crash_that_names_a_file_in_bytes_that_are_no_text_is_of_its_image(look: Look) -> None:
    found = look(bad=Eye(lambda image: OSError("caf\udce9.png") if image.width == 7 else None))
    expected = r"Eye failed on it: OSError: caf\udce9.png"
    assert (errors(found, "bad"), found.failed) == ({"a/07.png": expected}, {})
    assert sorted(widths(found, "bad")) == [*range(1, 7), *range(8, 41)]


@pytest.mark.parametrize(
    ("method", "returned", "said"),
    [
        ("rows", None, "Odd.rows returned NoneType, not columns"),
        ("rows", [1], "Odd.rows returned list, not columns"),
        ("rows", {"image": ["a"] * 40}, "a column 'image', which is Auditor's own; rename it"),
        ("rows", {"error": ["a"] * 40}, "a column 'error', which is Auditor's own; rename it"),
        ("rows", {"label": ["a"] * 40}, "a column 'label', which is Auditor's own; rename it"),
        ("rows", {"file.size": [1] * 40}, "a column 'file.size', which is Auditor's own"),
        ("rows", {3: [1] * 40}, "a column 3, which"),
        ("rows", {"width": [1] * 39}, 'Odd.rows returned 39 of "width" for 40 images'),
        ("rows", {"width": 0.5}, 'Odd.rows returned float for "width", not a column'),
        ("about", None, "Odd.about returned NoneType, not a dictionary"),
        ("about", {"x": object()}, "Odd.about returned what JSON cannot hold: Object of type"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_what_is_no_answer_of_an_observer_is_named(
    look: Look, method: str, returned: object, said: str, waits: bool
) -> None:
    class Odd(Eye):
        batch_size = 64

    later = waits and method == "rows"
    setattr(Odd, method, lambda *_: (lambda: returned) if later else returned)
    found = look(odd=Odd(), good=Eye())
    assert said in str(found.failed["odd"])
    assert len(widths(found, "good")) == 40


class Shrinking(Eye):
    """Works on its picture in place."""

    def prepare(self, image: Image.Image, data: bytes) -> tuple[int, bool]:
        image.thumbnail((8, 8))
        return super().prepare(image, data)


def test_what_one_does_to_its_picture_no_other_sees(look: Look) -> None:
    found = look(first=Shrinking(), then=Eye())
    assert widths(found, "first") == [min(width, 8) for width in range(1, 41)]
    assert widths(found, "then") == [*range(1, 41)]
    assert widths(look(first=Shrinking()), "first") == widths(found, "first")


def test_poison_at_the_beginning_is_borne(look: Look) -> None:
    found = look(bad=Eye(poison(*range(1, 13))))
    assert len(errors(found, "bad")) == 12
    assert len(widths(found, "bad")) == 28


def test_who_fails_on_every_image_fails(look: Look) -> None:
    found = look(bad=Eye(poison(*range(1, 41))), good=Eye())
    assert list(found.tables) == ["good"]
    assert str(found.failed["bad"]) == "poison"


class Lost(Eye):
    """Finds out what it runs on where it is asked how much it takes, and there is no such thing."""

    @property
    def batch_size(self) -> int | None:  # type: ignore[override]
        raise InputError("no such device")


def test_who_cannot_say_how_much_it_takes_fails_alone(look: Look) -> None:
    found = look(lost=Lost(), good=Eye())
    assert list(found.tables) == ["good"]
    assert len(widths(found, "good")) == 40
    assert str(found.failed["lost"]) == "no such device"
    assert str(look(lost=Lost()).failed["lost"]) == "no such device"


@pytest.mark.parametrize("name", ["batch_size", "under_way", "ahead"])
def test_who_says_something_else_than_a_number_fails_alone(look: Look, name: str) -> None:
    odd = type("Odd", (Eye,), {name: "10"})()
    found = look(odd=odd, good=Eye())
    assert list(found.tables) == ["good"]
    assert "'str' object cannot be interpreted as an integer" in str(found.failed["odd"])


def test_few_images_that_all_fail_are_no_evidence(look: Look, samples: Samples) -> None:
    for _ in range(2):  # nor is what the first pass may have kept of them
        found = look(samples.take([0, 1]), bad=Eye(poison(1, 2)))
        assert (found.tables, list(found.failed)) == ({}, ["bad"])
    assert widths(look(samples.take([0, 1]), bad=Eye()), "bad") == [1, 2]


def test_what_is_raised_on_purpose_ends_the_observer(look: Look) -> None:
    wrong = Eye(lambda image: InputError("wrong weights") if image.width == 20 else None)
    found = look(wrong=wrong)
    assert str(found.failed["wrong"]) == "wrong weights"


def test_files_that_vanish_meanwhile_are_named(look: Look, samples: Samples) -> None:
    eye = Eye(lambda image: shutil.rmtree(samples.root) if image.width == 1 else None)
    found = look(eye=eye)
    lost = errors(found, "eye")
    assert set(lost.values()) - {"it changed while the data was read"} == {
        "no such file or directory"
    }
    assert len(lost) + len(widths(found, "eye")) == 40
    assert "a/40.png" in lost


def test_the_content_of_a_file_counts_and_its_name_does_not(look: Look, samples: Samples) -> None:
    Image.new("L", (99, 9)).save(samples.path("a/05.png"), "BMP")
    assert 99 in widths(look(eye=Eye()), "eye")


@pytest.fixture
def photographs(tmp_path: Path) -> Samples:
    folder = tmp_path / "photographs" / "a"
    folder.mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (600, 400), (9, 9, number)).save(folder / f"{number}.jpg")
    return read_folder(tmp_path / "photographs")


def test_a_fraction_is_decoded_where_nobody_needs_more(look: Look, photographs: Samples) -> None:
    found = look(
        photographs,
        hash=Eye(reduced=True),
        model=Eye(images=photographs.images[:2]),
        other=Eye(reduced=True, images=photographs.images[1:4]),
    )
    sizes = {row["image"]: row["width"] for row in found.tables["hash"].to_pylist()}
    assert list(sizes.values()) == [600, 600, 300, 300, 300, 300]
    assert found.tables["hash"]["reduced"].to_pylist() == [False] * 2 + [True] * 4
    assert widths(found, "model") == [600, 600]
    assert widths(found, "other") == [600, 300, 300]


def test_what_is_decoded_does_not_depend_on_how_far_others_are(
    photographs: Samples, tmp_path: Path
) -> None:
    store = Store(tmp_path / "evidence")

    def look(**eyes: Eye) -> None:
        observers = {name: Observing(name, eye) for name, eye in eyes.items()}
        assert observe_samples(photographs, observers, store, Progress()) == {}

    def whole(image: Image.Image) -> None:
        if image.width == 600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(hash=Eye(whole, reduced=True), model=Eye(images=photographs.images[:2]))
    assert store.parts("model", "model").numbers() == set()
    look(hash=Eye(reduced=True), model=Eye(images=photographs.images[:2]))
    table = store.load("hash")
    assert table is not None
    assert table["reduced"].to_pylist() == [False] * 2 + [True] * 4
