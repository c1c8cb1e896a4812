from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from auditor.data.decode import open_image
from auditor.overlap.overlap import find_overlap
from auditor.overlap.result import OverlapPair, OverlapSettings
from auditor.overlap.splits import SplitSignatures
from auditor.overlap.views import VIEWS, View, cropped
from tests.overlap.conftest import signature
from tests.overlap.test_overlap import Files, encoded, scenes

Turn = Image.Transpose


def signed(files: Files) -> SplitSignatures:
    found = [signature(open_image(data), data, views=True) for data in files.values()]
    soft = b"".join(one.soft for one in found)
    views = b"".join(one.views for one in found)
    return SplitSignatures(
        list(files),
        ["scene"] * len(files),
        [one.bytes_digest for one in found],
        [one.pixels_digest for one in found],
        np.array([one.phash for one in found], np.uint64),
        np.array([one.contrast for one in found], np.float32),
        np.frombuffer(soft, np.int8).reshape(-1, 256),
        np.frombuffer(views, np.int8).reshape(-1, len(VIEWS), 256),
    )


def overlap(
    test: Files, train: Files, settings: OverlapSettings | None = None, seen: bool = True
) -> list[OverlapPair]:
    found = find_overlap(
        signed(test),
        signed(train),
        (lambda name: open_image(test[name])) if seen else None,
        (lambda name: open_image(train[name])) if seen else None,
        settings,
    )
    return list(found.pairs)


@pytest.fixture(scope="module")
def train() -> Files:
    return {f"{n:03}.png": encoded(image) for n, image in enumerate(scenes(0, 40))}


@pytest.fixture(scope="module")
def clean() -> Files:
    return {f"new{n:03}.png": encoded(image) for n, image in enumerate(scenes(40, 15))}


@pytest.mark.parametrize(
    ("turn", "name"),
    [
        (Turn.FLIP_LEFT_RIGHT, "mirrored"),
        (Turn.ROTATE_180, "upside down"),
        (Turn.FLIP_TOP_BOTTOM, "mirrored and upside down"),
        (Turn.ROTATE_270, "turned 270°"),
        (Turn.ROTATE_90, "turned 90°"),
    ],
)
def test_turned_copies_are_found_and_named(
    train: Files, clean: Files, turn: Turn, name: str
) -> None:
    turned = open_image(train["005.png"]).transpose(turn)
    pairs = overlap(clean | {"turned.jpg": encoded(turned, "JPEG")}, train)
    assert [(p.test_image, p.train_image, p.kind, p.transform) for p in pairs] == [
        ("turned.jpg", "005.png", "transformed", name)
    ]
    assert pairs[0].similarity > 0.9
    assert overlap({"t": encoded(turned)}, train, OverlapSettings(transforms=False)) == []


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_crops_are_found_in_both_directions_where_views_are_asked_for(
    train: Files, clean: Files, view: View
) -> None:
    whole = open_image(train["025.png"])  # 102 × 100 pixels
    crop = encoded(cropped(whole.resize((2 * whole.width, 2 * whole.height)), view), "JPEG")
    wanted = OverlapSettings(views=True)
    pairs = overlap(clean | {"small.jpg": crop}, train, wanted)
    assert {(p.test_image, p.train_image) for p in pairs} == {("small.jpg", "025.png")}
    others = {name: data for name, data in train.items() if name != "025.png"}
    back = overlap(clean | {"whole.png": encoded(whole)}, others | {"small.jpg": crop}, wanted)
    assert {(p.test_image, p.train_image) for p in back} == {("whole.png", "small.jpg")}
    for found in (pairs, back):
        assert found[0].kind == "near-duplicate" or "crop" in found[0].transform
    if view.share <= 0.7:
        assert overlap({"small.jpg": crop}, train) == []
        assert {p.transform for p in pairs} == {view.name}
        assert {p.transform for p in back} == {f"{view.name} of the other"}


def test_the_clean_twin_is_silent(train: Files, clean: Files) -> None:
    assert overlap(clean, train, OverlapSettings(views=True)) == []


def test_pictures_that_may_not_be_seen_are_judged_by_their_signatures(
    train: Files, clean: Files
) -> None:
    picture = open_image(train["005.png"])
    planted = {
        "bytes.png": train["001.png"],
        "jpeg.jpg": encoded(picture, "JPEG", quality=60),
        "mirrored.png": encoded(picture.transpose(Turn.FLIP_LEFT_RIGHT)),
    }
    pairs = overlap(clean | planted, train, seen=False)
    assert {(p.test_image, p.train_image, p.kind, p.verified) for p in pairs} == {
        ("bytes.png", "001.png", "same-bytes", True),
        ("jpeg.jpg", "005.png", "near-duplicate", False),
        ("mirrored.png", "005.png", "transformed", False),
    }
