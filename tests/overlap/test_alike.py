"""Pictures that look alike: strangers are no copies, and what cannot be told does not pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import gaussian_filter

from auditor.check import Status
from auditor.data.decode import open_image
from auditor.overlap.look_alikes import look_alikes
from auditor.overlap.overlap import find_duplicates, find_overlap
from auditor.overlap.result import OverlapSearch
from auditor.standalone.searching import compare, look_within
from tests.overlap.test_overlap import Files, encoded, scenes, signed

Draw = Callable[[np.random.Generator], Image.Image]


def clouds(random: np.random.Generator) -> Image.Image:
    """Draw soft blots of any colour anywhere."""
    blots = gaussian_filter(random.normal(0, 1, (64, 64, 3)), (4, 4, 0))
    levels = blots / blots.std() * 40 + random.uniform(90, 160, 3)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def sky(random: np.random.Generator) -> Image.Image:
    """Draw a plain sky with a small bird somewhere."""
    down = np.linspace(0, 1, 96)[:, np.newaxis] + np.zeros((96, 96))
    blue = (90 + random.uniform(0, 60) + 80 * down, 140 + 60 * down, 220 - 20 * down)
    levels = np.dstack(blue) + random.normal(0, 2, (96, 96, 3))
    left, top = random.integers(10, 80, 2)
    levels[top : top + 5, left : left + 9] = 40
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def vase(random: np.random.Generator) -> Image.Image:
    """Draw a vase that is its own mirror image but for the number on it."""
    picture = Image.new("L", (80, 120), 255)
    draw, (half, tall) = ImageDraw.Draw(picture), random.integers((12, 50), (20, 70)).tolist()
    draw.rectangle((40 - half, 110 - tall, 40 + half, 110), 90)
    draw.rectangle((36, 90 - tall, 44, 110 - tall), 90)
    draw.text((43 - half, 100 - tall // 2), str(random.integers(100, 1000)), 255)
    return picture


def cloth(random: np.random.Generator) -> Image.Image:
    """Draw noise on stripes across and down, shifted anyhow."""
    place = np.arange(128)[:, np.newaxis] * np.pi / 8
    down, across = np.sin(place + random.uniform(0, 6.3, 2)).T
    levels = 128 + 40 * (down[:, np.newaxis] + across) + random.normal(0, 8, (128, 128))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def icon(random: np.random.Generator) -> Image.Image:
    """Draw a few shapes on transparent black."""
    picture = Image.new("RGBA", (32, 32))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 4))):
        left, top, right, bottom = np.sort(random.uniform(2, 30, (2, 2)), axis=0).ravel()
        colour = (*random.integers(0, 255, 3).tolist(), 255)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((left, top, right + 2, bottom + 2), colour)
    return picture


def inkblot(random: np.random.Generator) -> Image.Image:
    """Draw soft blots that are their own mirror image but for a few."""
    folded, others = gaussian_filter(random.normal(0, 1, (2, 64, 64)), (0, 4, 4))
    levels = (folded + folded[:, ::-1] + 0.4 * others) / others.std() * 30 + 128
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def form(random: np.random.Generator) -> Image.Image:
    """Fill in one of six forms."""
    return filled(random, int(random.integers(6)))


def rarer(random: np.random.Generator) -> Image.Image:
    """Fill in one of twenty forms."""
    return filled(random, int(random.integers(20)))


def letter(random: np.random.Generator) -> Image.Image:
    """Fill in the first form."""
    return filled(random, 0)


def filled(random: np.random.Generator, number: int) -> Image.Image:
    layout = np.random.default_rng(1000 + number)
    page = Image.new("RGB", (210, 297), "white")
    draw = ImageDraw.Draw(page)
    draw.rectangle((10, 10, 200, int(layout.integers(20, 55))), fill="navy")
    for _ in range(9):
        left, top = int(layout.integers(15, 110)), int(layout.integers(60, 270))
        draw.rectangle((left, top, left + 85, top + 16), outline="black")
        draw.text((left + 4, top + 3), str(random.integers(1_000_000)), "black")
    return page


def drawn(draw: Draw, seed: int, count: int) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    return [draw(random) for _ in range(count)]


def pngs(pictures: list[Image.Image]) -> Files:
    return {f"x/{n:03}.png": encoded(picture) for n, picture in enumerate(pictures)}


def jpegs(pictures: list[Image.Image]) -> Files:
    return {f"x/{n:03}.jpg": encoded(one, "JPEG", quality=75) for n, one in enumerate(pictures)}


def searched(test: Files, train: Files, *, seen: bool = True) -> OverlapSearch:
    return find_overlap(
        signed(test),
        signed(train),
        (lambda name: open_image(test[name])) if seen else None,
        (lambda name: open_image(train[name])) if seen else None,
    )


@pytest.fixture
def judged(tmp_path: Path) -> Callable[[Files, Files], tuple[Status, str]]:
    """Compare two folders."""

    def judge(test: Files, train: Files) -> tuple[Status, str]:
        for split, files in (("test", test), ("train", train)):
            for name, data in files.items():
                path = tmp_path / split / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        report = compare(tmp_path / "train", tmp_path / "test", tmp_path / "out").report
        return report.status, report.summary

    return judge


Judged = Callable[[Files, Files], tuple[Status, str]]


def test_what_hides_even_plain_copies_does_not_pass(judged: Judged) -> None:
    skies = drawn(sky, 7, 60)
    status, summary = judged(jpegs(skies), pngs(skies))
    assert status is not Status.PASS
    assert "too alike or too few to tell copies by their looks (of 20 copies of them" in summary


def test_where_plain_copies_would_be_found_none_found_passes(judged: Judged) -> None:
    status, summary = judged(jpegs(drawn(clouds, 1, 30)), pngs(drawn(clouds, 2, 30)))
    assert (status, summary) == (Status.PASS, "No test image is in the training data.")


@pytest.mark.parametrize(
    ("draw", "seed", "copied", "way"),
    [
        (cloth, 1, lambda one: encoded(one, "WEBP", quality=75), "stored as WebP"),
        (icon, 2, lambda one: encoded(one.resize((16, 16))), "stored as WebP"),
        (letter, 1, lambda one: encoded(one.point(lambda v: v * 0.8)), "a fifth darker"),
    ],
)
def test_one_way_of_copying_that_hides_copies_does_not_pass(
    judged: Judged, draw: Draw, seed: int, copied: Callable[[Image.Image], bytes], way: str
) -> None:
    pictures = drawn(draw, seed, 120)
    copies = {f"x/copy{n}.png": copied(one) for n, one in enumerate(pictures[:5])}
    status, summary = judged(pngs(pictures[80:]) | copies, pngs(pictures[:80]))
    assert status is Status.INCONCLUSIVE
    assert f"(of 20 copies of them {way}, " in summary


def test_the_control_knows_pictures_that_are_longer_than_webp_can_be() -> None:
    files = pngs([one.resize((17_000, 40)) for one in drawn(clouds, 1, 2)])
    assert find_duplicates(signed(files), lambda name: open_image(files[name])).control == (
        2,
        2,
        "stored as JPEG",
    )


def test_the_control_holds_within_one_set_too(tmp_path: Path) -> None:
    for draw, expected in ((sky, Status.INCONCLUSIVE), (clouds, Status.PASS)):
        folder = tmp_path / draw.__name__
        for name, data in pngs(drawn(draw, 7, 60)).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        report = look_within(folder, tmp_path / f"{draw.__name__} found").report
        assert report.status is expected
        assert ("too alike" in report.summary) == (draw is sky)


def test_signatures_alone_allow_no_control() -> None:
    files = signed(pngs(drawn(sky, 7, 60)))
    assert find_duplicates(files, None).control.made == 0


@pytest.mark.parametrize(("draw", "count"), [(form, 80), (rarer, 160)])
def test_forms_of_several_layouts_are_no_copies_of_each_other(draw: Draw, count: int) -> None:
    forms = drawn(draw, 5, 2 * count)
    train = pngs(forms[count:])
    assert searched(pngs(forms[:count]), train).pairs == ()
    leaked = {"x/leaked.png": train["x/017.png"]}
    found = searched(pngs(forms[:count]) | leaked, train)
    assert {pair.test_image for pair in found.pairs} == set(leaked)


def test_letters_among_photographs_hide_no_copy_of_a_photograph() -> None:
    letters = drawn(letter, 6, 80)
    photographs = list(scenes(0, 60))
    train = pngs(photographs + letters[:40])
    copies = {
        f"x/dark{n}.png": encoded(one.point(lambda v: v * 0.8))
        for n, one in enumerate(photographs[:10])
    }
    strangers = {f"x/letter{n}.png": encoded(one) for n, one in enumerate(letters[40:])}
    assert {pair.test_image for pair in searched(copies | strangers, train).pairs} == set(copies)


@pytest.mark.parametrize(("draw", "seen"), [(vase, True), (inkblot, False)])
def test_mirrored_copies_of_nearly_symmetric_pictures_are_found(draw: Draw, seen: bool) -> None:
    pictures = drawn(draw, 3, 90)
    train, strangers = pngs(pictures[:60]), pngs(pictures[60:])
    mirrored = {
        f"x/mirrored{n}.png": encoded(ImageOps.mirror(one)) for n, one in enumerate(pictures[:8])
    }
    found = searched(strangers | mirrored, train, seen=seen).pairs
    assert {pair.test_image: pair.train_image for pair in found} == {
        name: f"x/{n:03}.png" for n, name in enumerate(mirrored)
    }
    assert searched(strangers, train, seen=seen).pairs == ()


def test_look_alikes_are_told_where_near_hashes_are_the_rule() -> None:
    random = np.random.default_rng(0)
    unlike = random.integers(0, 1 << 64, 300, dtype=np.uint64)
    assert look_alikes(unlike[:100], unlike[100:]) is None
    assert look_alikes(unlike[:0], unlike) is None
    noise = np.uint64(1) << random.integers(0, 64, (90, 5), dtype=np.uint64)
    layout = unlike[0] ^ np.bitwise_xor.reduce(noise, axis=1)
    left, right = np.append(unlike[:60], layout[:40]), np.append(unlike[100:200], layout[40:])
    found = look_alikes(left, right)
    assert found is not None
    assert found.left[60:].all()
    assert found.right[100:].all()
    assert max(found.left[1:60].sum(), found.right[:100].sum()) < 5  # near the layout by chance
    assert all(np.bitwise_count(left[row] ^ right[column]) <= 20 for row, column in found.pairs)


def test_of_one_picture_and_another_nothing_is_told_unless_they_differ(judged: Judged) -> None:
    first, second = scenes(0, 2)
    lighter = first.point(lambda level: round(255 * (level / 255) ** 2))
    status, summary = judged({"x/a.png": encoded(lighter)}, {"x/b.png": encoded(first)})
    assert status is Status.INCONCLUSIVE
    assert "1 test image looked like another, and so few pictures cannot tell" in summary
    found = searched({"x/a.png": encoded(second)}, {"x/b.png": encoded(first)})
    assert (found.pairs, found.doubtful) == ((), ())
