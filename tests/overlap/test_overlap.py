from __future__ import annotations

import csv
import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from auditor.data.decode import open_image
from auditor.overlap.clusters import clusters
from auditor.overlap.control import CONTROLLED
from auditor.overlap.overlap import PARTNERS, find_duplicates, find_overlap
from auditor.overlap.result import OverlapPair
from auditor.overlap.splits import SplitSignatures
from tests.overlap.conftest import signature

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

Files = dict[str, bytes]


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def signed(files: Files) -> SplitSignatures:
    """Sign files named LABEL/NAME."""
    signatures = [signature(open_image(data), data) for data in files.values()]
    return SplitSignatures(
        images=list(files),
        labels=[name.split("/")[0] for name in files],
        bytes_digest=[one.bytes_digest for one in signatures],
        pixels_digest=[one.pixels_digest for one in signatures],
        phash=np.array([one.phash for one in signatures], np.uint64),
        contrast=np.array([one.contrast for one in signatures], np.float32),
        soft=np.frombuffer(b"".join(one.soft for one in signatures), np.int8).reshape(-1, 256),
    )


def overlap(test: Files, train: Files) -> list[OverlapPair]:
    found = find_overlap(
        signed(test),
        signed(train),
        lambda name: open_image(test[name]),
        lambda name: open_image(train[name]),
    )
    return list(found.pairs)


def duplicates(files: Files) -> list[OverlapPair]:
    return list(find_duplicates(signed(files), lambda name: open_image(files[name])).pairs)


def kinds(pairs: list[OverlapPair]) -> set[tuple[str, str, str]]:
    return {(pair.test_image, pair.train_image, pair.kind) for pair in pairs}


def scenes(first: int, count: int) -> Iterator[Image.Image]:
    """Cut different scenes out of two photographs, their corners 50 pixels apart or more."""
    pictures = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    grid = [(left, top) for left in range(0, 540, 50) for top in range(0, 300, 50)]
    corners = np.random.default_rng(7).permutation(grid).tolist()
    for number in range(first, first + count):
        left, top = corners[number // 2]
        picture = pictures[number % 2].crop((left, top, left + 90 + number // 2, top + 100))
        yield picture.rotate(90 * (number // 2 % 4), expand=True)


@pytest.fixture(scope="module")
def train() -> Files:
    return {f"scene/{n:03}.png": encoded(image) for n, image in enumerate(scenes(0, 40))}


@pytest.fixture(scope="module")
def clean() -> Files:
    return {f"scene/new{n:03}.png": encoded(image) for n, image in enumerate(scenes(40, 15))}


def test_planted_copies_are_found_with_their_kind(train: Files, clean: Files) -> None:
    original = open_image(train["scene/003.png"])
    wide = original.resize((150, 140))
    planted = {
        "other/bytes.jpg": train["scene/001.png"],
        "other/pixels.bmp": encoded(open_image(train["scene/002.png"]), "BMP"),
        "scene/jpeg.jpg": encoded(original, "JPEG", quality=50),
        "scene/wide.png": encoded(wide),
        "scene/dark.png": encoded(original.point(lambda level: level * 0.9)),
    }
    pairs = overlap(clean | planted, train)
    assert {pair for pair in kinds(pairs) if pair[0] in planted} == {
        ("other/bytes.jpg", "scene/001.png", "same-bytes"),
        ("other/pixels.bmp", "scene/002.png", "same-pixels"),
        ("scene/jpeg.jpg", "scene/003.png", "near-duplicate"),
        ("scene/wide.png", "scene/003.png", "near-duplicate"),
        ("scene/dark.png", "scene/003.png", "near-duplicate"),
    }
    assert {pair.test_image for pair in pairs} == set(planted)
    exact = next(pair for pair in pairs if pair.kind == "same-bytes")
    assert (exact.distance, exact.similarity) == (0, 1.0)
    assert (exact.test_label, exact.train_label) == ("other", "scene")
    assert pairs == sorted(pairs, key=lambda pair: pair.test_image)


def test_the_clean_twin_is_silent(train: Files, clean: Files) -> None:
    assert overlap(clean, train) == []
    assert duplicates(train) == []


def test_each_image_is_opened_once_but_for_those_that_copies_are_made_of(train: Files) -> None:
    jpeg = {f"{name}.jpg": encoded(open_image(data), "JPEG") for name, data in train.items()}
    opened: list[str] = []

    def opener(name: str) -> Image.Image:
        opened.append(name)
        return open_image((train | jpeg)[name])

    assert find_overlap(signed(jpeg), signed(train), opener, opener).pairs
    again = Counter(opened) - Counter(set(opened))
    assert len(again) == CONTROLLED
    assert set(again.values()) == {1}
    assert all(name.endswith(".jpg") for name in again)


def test_where_strangers_are_few_only_close_copies_count(train: Files) -> None:
    picture = open_image(train["scene/003.png"])
    close, far = encoded(picture, "JPEG", quality=90), encoded(picture.crop((3, 3, 97, 97)))
    alone = {"scene/003.png": train["scene/003.png"]}
    pairs = overlap({"scene/close.jpg": close, "scene/far.png": far}, alone)
    assert [pair.test_image for pair in pairs] == ["scene/close.jpg"]


def test_order_of_the_files_does_not_matter(train: Files) -> None:
    test = {"scene/a.png": train["scene/004.png"], "scene/b.png": train["scene/001.png"]}
    backwards = dict(reversed(train.items()))
    assert overlap(test, train) == overlap(dict(reversed(test.items())), backwards)


def test_empty_splits_overlap_with_nothing(train: Files) -> None:
    assert overlap({}, train) == overlap(train, {}) == overlap({}, {}) == duplicates({}) == []


def test_flat_pictures_match_by_bytes_or_pixels_alone() -> None:
    flat = [Image.new("L", (30, 30), level) for level in (90, 91, 92)]
    train = {"sky/1.png": encoded(flat[0]), "sky/2.png": encoded(flat[1])}
    test = {"sky/a.bmp": encoded(flat[0], "BMP"), "sky/b.png": encoded(flat[2])}
    assert kinds(overlap(test, train)) == {("sky/a.bmp", "sky/1.png", "same-pixels")}


def test_what_is_too_faint_to_be_compared_is_named_unless_it_equals_another() -> None:
    """Dark pictures, one level of one pixel changed: their hashes would be made of noise."""
    faint = [picture.point(lambda level: level // 32) for picture in scenes(0, 6)]
    changed = [np.array(picture) for picture in faint]
    for pixels in changed:
        pixels[0, 0] += 1
    train = {f"x/{n}.png": encoded(picture) for n, picture in enumerate(faint)}
    test = {f"x/{n}.bmp": encoded(Image.fromarray(one), "BMP") for n, one in enumerate(changed)}
    test["x/equal.bmp"] = encoded(faint[0], "BMP")
    found = find_overlap(signed(test), signed(train), None, None)
    assert {pair.test_image for pair in found.pairs} == {"x/equal.bmp"}
    assert found.set_apart == tuple(f"x/{n}.bmp" for n in range(6))
    assert found.train_set_apart == tuple(sorted(train))
    within = find_duplicates(signed(test | train), None)
    assert within.set_apart == tuple(sorted({*test, *train} - {"x/equal.bmp", "x/0.png"}))


def test_many_copies_list_a_few_partners(train: Files) -> None:
    picture = open_image(train["scene/005.png"])
    copies = {f"scene/copy{n:04}.png": encoded(picture) for n in range(100)}
    bitmaps = {f"scene/bitmap{n}.bmp": encoded(picture, "BMP") + bytes(n) for n in range(9)}
    test = copies | {"scene/jpeg.jpg": encoded(picture, "JPEG", quality=60)}
    pairs = overlap(test, train | copies | bitmaps)
    of_one = [pair.kind for pair in pairs if pair.test_image == "scene/copy0000.png"]
    assert of_one.count("same-bytes") == of_one.count("same-pixels") == PARTNERS
    near = [pair for pair in pairs if pair.test_image == "scene/jpeg.jpg"]
    assert [pair.kind for pair in near] == ["near-duplicate"]


def other_labels(pairs: list[OverlapPair], test_image: str) -> set[str]:
    return {p.train_label for p in pairs if p.test_image == test_image and p.conflicting}


@pytest.mark.parametrize("form", ["PNG", "BMP", "JPEG"])
def test_other_labels_of_a_picture_come_up_however_often_it_is_stored(
    train: Files, form: str
) -> None:
    """As the same file, in another format, and compressed."""
    picture = open_image(train["scene/003.png"])
    cats = {f"cat/{n:02}.png": train["scene/003.png"] for n in range(9)}
    others = {f"{label}/z.png": train["scene/003.png"] for label in ("dog", "cow")}
    rest = {name: data for name, data in train.items() if name != "scene/003.png"}
    stored = rest | cats | others
    test = {"cat/same": train["scene/003.png"] if form == "PNG" else encoded(picture, form)}
    pairs = overlap(test, stored)
    assert other_labels(pairs, "cat/same") == {"cow", "dog"}
    assert len(pairs) <= PARTNERS
    within = [pair for pair in duplicates(stored | test) if pair.conflicting]
    assert {("cat", "cow"), ("cat", "dog")} <= {(p.test_label, p.train_label) for p in within}
    assert all(p.test_image < p.train_image for p in within)


def test_a_picture_under_more_labels_than_are_listed_is_tied_together_all_the_same(
    train: Files,
) -> None:
    files = {f"{label}/{n}.png": train["scene/003.png"] for label in "abcdefgh" for n in range(3)}
    pairs = duplicates(files)
    assert [sorted(files)] == clusters(pairs)
    assert max(Counter(pair.train_image for pair in pairs).values()) == PARTNERS
    assert other_labels(overlap({"a/x.png": files["a/0.png"]}, files), "a/x.png") == set("bcdef")


def test_duplicates_tie_all_copies_together(train: Files) -> None:
    picture = open_image(train["scene/003.png"])
    jpeg = {f"scene/x{n}.jpg": encoded(picture, "JPEG", quality=90) for n in range(3)}
    bitmap = {"scene/y.bmp": encoded(picture, "BMP")}
    copies = {f"scene/z{n:02}.png": train["scene/003.png"] for n in range(20)}
    files = train | jpeg | bitmap | copies
    pairs = duplicates(files)
    assert all(pair.test_image < pair.train_image for pair in pairs)
    assert len({(pair.test_image, pair.train_image) for pair in pairs}) == len(pairs)
    joined, size = {"scene/003.png"}, 0
    while size < len(joined):
        size = len(joined)
        joined.update(*({a, b} for a, b, *_ in pairs if joined & {a, b}))
    assert joined == {"scene/003.png", *jpeg, *bitmap, *copies}


def test_order_of_the_files_does_not_change_what_lies_on_the_threshold(train: Files) -> None:
    test = {}
    for n, data in enumerate(train.values()):
        picture = open_image(data)
        cut = 2 + n % 12
        test[f"scene/{n}.png"] = encoded(picture.crop((cut, cut, *picture.size)))
    backwards = dict(reversed(test.items())), dict(reversed(train.items()))
    found = overlap(test, train)
    assert 0 < len(found) < len(test)
    assert found == overlap(*backwards)


@pytest.mark.parametrize("exact", [0, 40])
def test_copies_that_are_stored_with_their_mirror_images_are_counted(exact: int) -> None:
    """Training data that were augmented in the folder; the mirrored one is a little nearer."""
    pictures = list(scenes(0, 110))
    test = {f"x/{n}.png": encoded(picture) for n, picture in enumerate(pictures[:90])}
    train: Files = {}
    for n, picture in enumerate(pictures[:60] + pictures[90:]):
        mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        train[f"x/{n}.jpg"] = encoded(picture, "JPEG", quality=60)
        train[f"x/{n}-mirrored.jpg"] = encoded(mirrored, "JPEG", quality=95)
        if n < exact:
            train[f"x/{n}.jpg"] = test[f"x/{n}.png"]
    found = find_overlap(
        signed(test),
        signed(train),
        lambda name: open_image(test[name]),
        lambda name: open_image(train[name]),
    )
    images = {pair.test_image for pair in found.pairs}
    assert len(images & {f"x/{n}.png" for n in range(60)}) >= 50
    assert found.near.decoys <= 1
    assert (found.near.false_discovery_rate or 0) < 0.05


def digits(kind: Image.Resampling) -> list[tuple[str, Image.Image]]:
    data = load_digits()
    levels = (data.images * (255 / 16)).astype(np.uint8)
    return [
        (f"{label}/{number:04}.png", Image.fromarray(values).resize((64, 64), kind))
        for number, (label, values) in enumerate(zip(data.target, levels, strict=True))
    ]


@pytest.mark.parametrize("kind", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_different_digits_of_one_class_are_no_copies(kind: Image.Resampling) -> None:
    order = np.random.default_rng(3).permutation(1797).tolist()
    files = digits(kind)
    shuffled = [(files[place][0], encoded(files[place][1])) for place in order]
    assert overlap(dict(shuffled[1200:]), dict(shuffled[:1200])) == []


@pytest.mark.parametrize("kind", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
def test_copies_of_digits_are_found(kind: Image.Resampling) -> None:
    files = digits(kind)[:600]
    random = np.random.default_rng(0)
    test: Files = {}
    for name, image in files[::10]:
        grain = random.normal(0, 6, (64, 64))
        noisy = (np.asarray(image) + grain).clip(0, 255).astype(np.uint8)
        test |= {
            f"{name}-jpeg": encoded(image, "JPEG", quality=50),
            f"{name}-dark": encoded(image.point(lambda level: level * 0.9)),
            f"{name}-small": encoded(image.resize((48, 48))),
            f"{name}-large": encoded(image.resize((96, 96))),
            f"{name}-noisy": encoded(Image.fromarray(noisy)),
        }
    pairs = overlap(test, {name: encoded(image) for name, image in files})
    assert {(pair.test_image.rsplit("-")[0], pair.train_image) for pair in pairs} == {
        (name, name) for name, _ in files[::10]
    }
    assert len(pairs) >= 0.99 * len(test)


@pytest.mark.shared_data
def test_known_overlap_of_cifar10_is_found() -> None:
    archive, listing = SHARED / "cifar10.tar", SHARED / "cifar10_known_overlap.csv"
    if not (archive.exists() and listing.exists()):
        pytest.skip(f"the real data is absent: {archive.name} in ../shared/data")
    with listing.open(newline="") as file:
        known = {(row["test_image"], row["train_image"]) for row in csv.DictReader(file)}
    test, train = sampled(archive, {name for pair in known for name in pair})
    pairs = overlap(test, train)
    found = {(pair.test_image, pair.train_image) for pair in pairs}
    assert len(known & found) >= 0.75 * len(known)
    # One car was photographed many times, so partners are not counted.
    others = {image for image, _ in found} - {image for image, _ in known}
    assert len(others) <= 0.02 * len(test)


def sampled(archive: Path, wanted: set[str]) -> tuple[Files, Files]:
    """Read the wanted images and every thirtieth of the others."""
    files: Files = {}
    with tarfile.open(archive) as tar:
        for number, member in enumerate(tar):
            name = member.name.removeprefix("./")
            if member.isfile() and (name in wanted or number % 30 == 0):
                body = tar.extractfile(member)
                assert body is not None
                files[name] = body.read()
    split = {name: data for name, data in files.items() if name.endswith(".jpg")}
    test = {name: data for name, data in split.items() if name.startswith("test/")}
    return test, {name: data for name, data in split.items() if name.startswith("train/")}
