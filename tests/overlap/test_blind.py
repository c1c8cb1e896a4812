"""What is found by signatures alone, where the pictures may not be seen."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from auditor.overlap.overlap import find_duplicates, find_overlap
from auditor.overlap.soft import crowding, unit_rows
from tests.overlap.test_overlap import SHARED, Files, encoded, scenes, signed


def jpeg(image: Image.Image) -> bytes:
    return encoded(image, "JPEG", quality=50)


def resized(image: Image.Image) -> bytes:
    return encoded(image.resize((image.width * 3 // 2, image.height * 3 // 2)))


def found_blind(test: Files, train: Files) -> set[tuple[str, str]]:
    found = find_overlap(signed(test), signed(train), None, None)
    assert not any(pair.verified for pair in found.pairs)
    return {(pair.test_image, pair.train_image) for pair in found.pairs}


@pytest.fixture(scope="module", params=["scenes", "photographs", "CIFAR-10", "digits"])
def pictures(request: pytest.FixtureRequest) -> list[Image.Image]:
    if request.param == "scenes":
        return [scene for scene in scenes(0, 80) if np.asarray(scene.convert("L")).std() > 8]
    if request.param == "digits":
        return [
            Image.fromarray((levels * (255 / 16)).astype(np.uint8)).resize((64, 64))
            for levels in load_digits().images[:800]
        ]
    name = {"photographs": "imagenet_samples.tar", "CIFAR-10": "cifar10.tar"}[request.param]
    return from_tar(name, every={"photographs": 2, "CIFAR-10": 60}[request.param])


def from_tar(name: str, every: int) -> list[Image.Image]:
    if not (SHARED / name).exists():
        pytest.skip(f"the real data is absent: {name} in ../shared/data")
    with tarfile.open(SHARED / name) as tar:
        files = [member for member in tar if member.name.lower().endswith((".jpg", ".jpeg"))]
        bodies = [tar.extractfile(member) for member in files[::every]]
        return [Image.open(io.BytesIO(body.read())).convert("RGB") for body in bodies if body]


@pytest.mark.shared_data
@pytest.mark.parametrize("change", [jpeg, resized])
def test_plain_copies_are_found_and_strangers_are_not(
    pictures: list[Image.Image], change: object
) -> None:
    assert callable(change)
    half = len(pictures) // 2
    train = {f"x/{n}.png": encoded(image) for n, image in enumerate(pictures[:half])}
    copies = {f"x/copy{n}.png": change(pictures[n]) for n in range(0, half, 8)}
    strangers = {f"x/new{n}.png": encoded(image) for n, image in enumerate(pictures[half:])}
    planted = {(f"x/copy{n}.png", f"x/{n}.png") for n in range(0, half, 8)}
    assert found_blind(copies | strangers, train) == planted


def test_within_one_set_too() -> None:
    files = {f"x/{n:02}.png": encoded(image) for n, image in enumerate(scenes(0, 60))}
    copies = {f"x/copy{n}.jpg": jpeg(image) for n, image in enumerate(scenes(0, 10))}
    pairs = find_duplicates(signed(files | copies), None).pairs
    assert {(p.test_image, p.train_image) for p in pairs} == {
        (f"x/{n:02}.png", f"x/copy{n}.jpg") for n in range(10)
    }


@pytest.mark.parametrize(("trained", "tested"), [(199, 1000), (150, 150), (60, 60), (10, 10)])
def test_of_few_pictures_that_look_alike_copies_alone_are_found(trained: int, tested: int) -> None:
    random = np.random.default_rng(5)
    order = random.permutation(1797)[: trained + tested].tolist()
    pictures = [
        Image.fromarray((load_digits().images[place] * 15.9).astype(np.uint8)).resize((64, 64))
        for place in order
    ]
    train = {f"x/{n}.png": encoded(image) for n, image in enumerate(pictures[:trained])}
    test = {f"x/new{n}.png": encoded(image) for n, image in enumerate(pictures[trained:])}
    assert found_blind(test, train) == set()
    assert not find_duplicates(signed(train), None).pairs
    copies = {f"x/copy{n}.png": jpeg(pictures[n]) for n in range(0, trained, 5)}
    found = find_overlap(signed(test | copies), signed(train), None, None)
    assert {(p.test_image, p.train_image) for p in found.pairs} == {
        (f"x/copy{n}.png", f"x/{n}.png") for n in range(0, trained, 5)
    }
    assert (found.near.basis, found.near.false_discovery_rate) == ("fallback", None)


def hashes(count: int, seed: int) -> NDArray[np.int8]:
    random = np.random.default_rng(seed)
    return random.normal(0, 30, (count, 256)).clip(-127, 127).astype(np.int8)


@pytest.mark.parametrize("copies", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [200, 500, 2000, 20_000])
def test_crowding_is_that_of_strangers_whatever_the_size(size: int, copies: int) -> None:
    one, others = hashes(20, seed=0), hashes(size, seed=1)
    strangers = hashes(100_000, seed=2)
    expected = np.sort(unit_rows(one) @ unit_rows(strangers).T)[:, -500:].mean()
    others[: 20 * copies] = np.tile(one, (copies, 1))
    measured = crowding(one, others)
    assert measured.mean() == pytest.approx(expected, abs=0.01 + 0.01 * copies)
    assert measured.std() < 0.035


@pytest.mark.parametrize("size", [200, 400, 2000])
@pytest.mark.parametrize("alone", [False, True])
def test_copies_that_are_a_tenth_of_the_others_are_no_crowd(size: int, alone: bool) -> None:
    one, others = hashes(1, seed=0), hashes(size, seed=1)
    usual = crowding(one, others, alone=alone)
    others[: size // 10] = one
    assert crowding(one, others, alone=alone) == pytest.approx(usual, abs=0.1)


def test_a_crowd_of_strangers_that_are_alike_when_mirrored_too_is_none_of_copies() -> None:
    random = np.random.default_rng(3)
    symmetric = np.arange(256) % 2 == 0  # even frequencies across do not change when mirrored
    one, others = hashes(1, seed=0) * symmetric.astype(np.int8), hashes(400, seed=1)
    others[:20] = one + random.normal(0, 15, (20, 256)).astype(np.int8)
    assert crowding(one, others, alone=True) == pytest.approx(0.6)
    assert crowding(one, others)[0] < 0.3
