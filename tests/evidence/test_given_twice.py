"""Test predictions are not taken for those of another split, in whatever order or names."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor.check import Status
from auditor.evidence.given_twice import given_twice
from auditor.evidence.predictions import Predictions
from auditor.record import Audit


def _split(
    seed: int,
    *,
    images: int = 600,
    classes: int = 2,
    right: float = 0.97,
    sure: bool = True,
    digits: int = 6,
) -> Predictions:
    """A model of some accuracy on images that every split numbers from 0, class by class."""
    random = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), images // classes)
    miss = random.random(len(label)) >= right
    predicted = np.where(miss, (label + random.integers(1, classes, len(label))) % classes, label)
    top = np.clip(random.beta(12, 1, len(label)), 0.5, 1).round(digits)
    scores = np.repeat(((1 - top) / (classes - 1))[:, None], classes, axis=1).astype(np.float32)
    scores[np.arange(len(label)), predicted] = top
    return Predictions(
        tuple(f"c{i:03}" for i in range(classes)),
        tuple(f"{name:03}/{n:05}.png" for n, name in enumerate(label)),
        label,
        predicted,
        probabilities=scores if sure else None,
    )


def _rows(split: Predictions, rows: NDArray[np.int64]) -> Predictions:
    return Predictions(
        split.classes,
        tuple(split.images[row] for row in rows),
        split.label[rows],
        split.predicted[rows],
        probabilities=None if split.probabilities is None else split.probabilities[rows],
    )


@pytest.mark.parametrize("sure", [True, False], ids=["probabilities", "none"])
@pytest.mark.parametrize("classes", [2, 10])
def test_another_order_of_the_same_rows_is_found_out(sure: bool, classes: int) -> None:
    split = _split(0, sure=sure, classes=classes)
    shuffled = _rows(split, np.random.default_rng(1).permutation(len(split)))
    assert given_twice(shuffled, split)
    assert given_twice(_rows(split, np.arange(0, len(split), 2)), split), "half of the test rows"
    assert not given_twice(split, _split(1, sure=sure, classes=classes)), "the clean twin"


def test_more_digits_and_another_order_of_the_classes_do_not_hide_it() -> None:
    split = _split(0)
    assert split.probabilities is not None
    turned = replace(
        split,
        classes=split.classes[::-1],
        label=1 - split.label,
        predicted=1 - split.predicted,
        probabilities=split.probabilities[:, ::-1].round(4),
    )
    assert given_twice(turned, split)


@pytest.mark.parametrize("spelt", ["test/{}", "./{}", " {} ", "/data/a/b/{}", "x/../{}", "a\\{}"])
def test_other_spellings_of_the_same_paths_do_not_hide_it(spelt: str) -> None:
    split, clean = _split(0, sure=False), _split(1, sure=False)
    renamed, honest = (
        replace(each, images=tuple(spelt.format(image) for image in each.images))
        for each in (split, clean)
    )
    assert given_twice(renamed, split)
    assert given_twice(split, renamed)
    assert not given_twice(honest, split), "the clean twin"
    assert not given_twice(split, honest), "the clean twin"


def test_two_folders_of_one_split_do_not_hide_it() -> None:
    split, clean = _split(0, sure=False), _split(1, sure=False)
    named = tuple(f"{'ab'[n % 2]}/{image}" for n, image in enumerate(split.images))
    assert given_twice(replace(split, images=named), split)
    assert not given_twice(replace(clean, images=named), split)


@pytest.mark.parametrize("right", [1.0, 0.999, 0.99, 0.9, 0.5])
@pytest.mark.parametrize("digits", [6, 2, 0, None], ids=lambda d: f"{d} digits")
def test_honest_splits_with_bare_numbers_as_names_are_never_refused(
    right: float, digits: int | None
) -> None:
    for seed in range(0, 60, 2):
        kind = {"right": right, "sure": digits is not None, "digits": digits or 0}
        for size in (20, 100, 600):
            one, other = (_split(seed + k, images=size, **kind) for k in (0, 1))  # type: ignore[arg-type]
            assert not given_twice(one, other)


def _mixed(split: Predictions, seed: int) -> Predictions:
    """The split under bare numbers, the classes in the order in which they were drawn."""
    mixed = _rows(split, np.random.default_rng(seed).permutation(len(split)))
    return replace(mixed, images=tuple(f"img/{n:05}.png" for n in range(len(split))))


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("right", [1.0, 0.9, 0.6])
def test_other_answers_to_the_same_images_do_not_hide_it(classes: int, right: float) -> None:
    """As under dropout: the labels alone tell, where the names do not tell them by their order."""
    kind = {"sure": False, "classes": classes, "right": right}
    one, other = (_mixed(_split(k, **kind), 7) for k in (0, 1))  # type: ignore[arg-type]
    assert right == 1 or (one.predicted != other.predicted).mean() > 0.05
    assert given_twice(one, other)
    assert given_twice(_rows(one, np.arange(0, 600, 2)), other)
    for seed in range(20):
        assert not given_twice(one, _mixed(other, seed + 8)), "other images of the same names"


@pytest.mark.parametrize("order", ["class by class", "in turn"])
def test_numbered_splits_share_labels_that_follow_from_their_order(order: str) -> None:
    for classes, size in ((2, 100), (10, 100), (10, 600), (100, 600), (100, 5000)):
        kind = {"images": size, "sure": False, "classes": classes, "right": 0.9}
        one, other = (_split(k, **kind) for k in (0, 1))  # type: ignore[arg-type]
        rows = np.arange(size)
        if order == "in turn":
            rows = rows.reshape(classes, -1).T.ravel()
        names = tuple(f"{n:05}.png" for n in range(size))
        one, other = (replace(_rows(each, rows), images=names) for each in (one, other))
        assert not given_twice(one, other)


@pytest.mark.parametrize("right", [0.99, 0.97, 0.9, 0.5])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("digits", [6, 2, 0, None], ids=lambda d: f"{d} digits")
def test_honest_splits_in_which_few_names_come_again_are_never_refused(
    right: float, classes: int, digits: int | None
) -> None:
    """Also where each split lies in a folder of its own, and the names below it are the same."""
    kind = {"right": right, "classes": classes, "sure": digits is not None, "digits": digits or 0}
    for seed in range(0, 40, 2):
        one, other = (_split(seed + k, images=1000, **kind) for k in (0, 1))  # type: ignore[arg-type]
        for few in (20, 40, 200):
            rows = np.random.default_rng(seed).permutation(len(one))
            unlike = {row: f"only/{row}.png" for row in rows[few:].tolist()}
            images = tuple(unlike.get(n, image) for n, image in enumerate(one.images))
            assert not given_twice(replace(one, images=images), other)
            below = tuple(f"test/{image}" for image in images)
            assert not given_twice(replace(one, images=below), other)


@pytest.mark.parametrize(("sure", "few"), [(True, 25), (False, 400)])
def test_some_test_images_among_others_are_found_out_and_counted(sure: bool, few: int) -> None:
    split, more = _split(0, images=1000, sure=sure), _split(1, images=2000, sure=sure)
    assert given_twice(
        _both(_rows(split, np.arange(0, 1000, 1000 // few)[:few]), more, "x/"), split
    )
    clean = _rows(_split(2, images=1000, sure=sure), np.arange(0, 1000, 1000 // few)[:few])
    assert not given_twice(_both(clean, more, "x/"), split), "the clean twin"


def test_rows_whose_labels_differ_are_of_other_images() -> None:
    split = _split(0)
    assert not given_twice(replace(split, label=1 - split.label), split)


def test_other_names_and_no_rows_tell_nothing() -> None:
    split = _split(0)
    renamed = replace(split, images=tuple(f"{image}-t" for image in split.images))
    assert not given_twice(renamed, split)
    assert not given_twice(_rows(split, np.arange(0)), split)


def _written(path: Path, split: Predictions) -> Path:
    scores = split.probabilities
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "image",
                "label",
                "predicted",
                *(f"prob_{n}" for n in split.classes if scores is not None),
            ]
        )
        for row, image in enumerate(split.images):
            said = (split.classes[split.label[row]], split.classes[split.predicted[row]])
            table.writerow([image, *said, *([] if scores is None else scores[row].tolist())])
    return path


@pytest.mark.parametrize("given", ["train", "validation"])
@pytest.mark.parametrize("sure", [True, False], ids=["probabilities", "none"])
def test_no_check_passes_on_the_test_rows_in_another_order(
    run: Callable[..., Audit], tmp_path: Path, given: str, sure: bool
) -> None:
    split = _split(0, sure=sure)
    shuffled = _rows(split, np.random.default_rng(1).permutation(len(split)))
    more = _both(shuffled, _split(1, sure=sure), "x/")
    test = _written(tmp_path / "test.csv", split)
    asks = {"train": "overfitting", "validation": "operating-point"}[given]
    checks = {"operating-point": {"critical": "c001", "level": "block"}}
    for other in (shuffled, more):  # the same images, or the test images among others
        saved = _written(tmp_path / f"{given}.csv", other)
        audit = run(predictions={"test": test, given: saved}, checks=checks)
        assert audit.check(asks).status is Status.ERROR
        assert f"{given}.csv: the predictions of the test images are in it" in (
            audit.check(asks).summary
        )
        assert audit.verdict != "accepted"
    saved = _written(tmp_path / "other.csv", _split(1, sure=sure))
    audit = run(predictions={"test": test, given: saved}, checks=checks)
    assert audit.check(asks).status is not Status.ERROR or not sure


def test_a_leak_under_the_same_names_is_still_reported(
    run: Callable[..., Audit], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """Such a test set was drawn from the training data: that is what the audit is to say."""
    split = _split(0, images=120)
    data = {name: image_folder(name, {"c000": 60, "c001": 60}) for name in ("train", "test")}
    shutil.rmtree(data["test"])
    shutil.copytree(data["train"], data["test"])
    images = [f"{name}/{n:04}.png" for name in split.classes for n in range(60)]
    named = replace(split, images=tuple(images))
    test, train = (_written(tmp_path / f"{name}.csv", named) for name in ("test", "train"))
    train.write_text("\n".join([*train.read_text().split("\n")[:1], *_shuffled_lines(train)]))
    audit = run(data=data, predictions={"test": test, "train": train})
    assert audit.check("split-overlap").status is Status.FAIL
    assert audit.check("overfitting").status is Status.ERROR
    assert audit.verdict == "rejected"


def test_how_many_test_images_are_among_those_of_training_is_said(
    run: Callable[..., Audit], tmp_path: Path
) -> None:
    """47 of 100, as drawing the test set anew from all images makes them."""
    split, more = _split(0, images=900), _split(1, images=3000)
    test = _written(tmp_path / "test.csv", split)
    for first, found in ((_rows(split, np.arange(420)), True), (_split(2, images=420), False)):
        saved = _written(tmp_path / "train.csv", _both(first, more, "x/"))
        audit = run(predictions={"test": test, "train": saved})
        outcome = audit.check("overfitting")
        assert (outcome.status is Status.ERROR) is found
        said = "the predictions of 420 of the 900 test images are in it: they are train images, too"
        assert (said in outcome.summary) is found


def _shuffled_lines(path: Path) -> list[str]:
    return sorted(path.read_text().split("\n")[1:], reverse=True)


def _both(one: Predictions, other: Predictions, prefix: str) -> Predictions:
    """The images of two splits, those of the other under names of their own."""
    mine, theirs = one.probabilities, other.probabilities
    return Predictions(
        one.classes,
        (*one.images, *(prefix + image for image in other.images)),
        np.concatenate([one.label, other.label]),
        np.concatenate([one.predicted, other.predicted]),
        probabilities=None if mine is None or theirs is None else np.concatenate([mine, theirs]),
    )
