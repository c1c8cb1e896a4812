from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, binomtest, fisher_exact
from statsmodels.stats.multitest import multipletests

from auditor.comparison import Comparison, NotComparable, compare
from auditor.evidence.baseline import Baseline
from auditor.evidence.predictions import Predictions
from auditor.record import Audit
from tests.references import difference_bounds

Said = Callable[..., Predictions]
Compared = Callable[[Predictions, Predictions], Comparison]
CLASSES = ("cat", "dog", "owl")


def test_it_counts_as_a_loop_would(said: Said, compared: Compared) -> None:
    random = np.random.default_rng(3)
    label, a, b = (random.choice(CLASSES, 300).tolist() for _ in range(3))
    found = compared(said(label, a), said(label, b))
    rows = list(zip(label, a, b, strict=True))
    for name, change in zip(("test", *CLASSES), (found.overall, *found.classes), strict=True):
        mine = [row for row in rows if name in ("test", row[0])]
        assert change.name == name
        assert change.lost == sum(y == x != z for x, y, z in mine)
        assert change.won == sum(z == x != y for x, y, z in mine)
        assert change.before == pytest.approx(np.mean([x == y for x, y, _ in mine]))
        assert change.after == pytest.approx(np.mean([x == z for x, _, z in mine]))
        assert change.n_after == len(mine)
    assert found.changed == sum(y != z for _, y, z in rows)
    assert [flip[1:] for flip in found.lost] == [r for r in rows if r[1] == r[0] != r[2]]
    assert [flip[1:] for flip in found.won] == [r for r in rows if r[2] == r[0] != r[1]]


def test_neither_the_order_of_images_nor_that_of_classes_matters(
    said: Said, compared: Compared
) -> None:
    random = np.random.default_rng(4)
    label, a, b = (random.choice(CLASSES, 50).tolist() for _ in range(3))
    images = [f"{i}.jpg" for i in range(50)]
    plain = compared(said(label, a, images=images), said(label, b, images=images))
    turned = said(label[::-1], a[::-1], images=images[::-1], classes=("owl", "cat", "dog"))
    assert compared(turned, said(label, b, images=images)) == plain


def test_holm_is_over_the_classes_that_could_show_anything(said: Said, compared: Compared) -> None:
    lost = {"cat": 9, "dog": 2, "owl": 0}
    label = [name for name in CLASSES for _ in range(20)]
    after = [
        "cat" if i < lost[name] and name != "cat" else "dog" if i < lost[name] else name
        for name in CLASSES
        for i in range(20)
    ]
    found = compared(said(label, label), said(label, after))
    assert found.family == 1
    assert [change.name for change in found.worse] == ["cat"]
    assert found.classes[0].p_worse == pytest.approx(binom.pmf(9, 9, 0.5))
    assert found.classes[1].p_worse == 1


def test_holm_is_that_of_statsmodels(said: Said, compared: Compared) -> None:
    random = np.random.default_rng(5)
    label = random.choice(CLASSES, 900).tolist()
    a, b = (
        [x if random.random() < 0.6 else "cat" for x in label],
        [x if random.random() < 0.5 else "dog" for x in label],
    )
    found = compared(said(label, a), said(label, b))
    raw = []
    for change in found.classes:
        assert change.lost is not None
        assert change.won is not None
        flipped = change.lost + change.won
        raw.append(binomtest(change.lost, flipped, alternative="greater").pvalue)
    assert found.family == 3
    holm = multipletests(raw, method="holm")[1]
    assert [c.p_worse for c in found.classes] == pytest.approx(holm.tolist())


def test_different_images_are_two_samples(said: Said, compared: Compared) -> None:
    before = said(["cat"] * 100, ["cat"] * 90 + ["dog"] * 10)
    images = [f"new-{i}" for i in range(80)]
    after = said(["cat"] * 80, ["cat"] * 60 + ["dog"] * 20, images=images)
    found = compared(before, after)
    assert not found.paired
    assert found.mcnemar is None
    assert found.overall.difference == pytest.approx(0.75 - 0.9)
    assert found.overall.interval == pytest.approx(difference_bounds(60, 80, 90, 100), abs=1e-7)
    table = np.array([[60, 20], [90, 10]])
    assert found.overall.p_worse == pytest.approx(fisher_exact(table, "less").pvalue)
    assert found.overall.p_better == pytest.approx(fisher_exact(table, "greater").pvalue)


def test_two_samples_may_have_their_classes_in_another_order(
    said: Said, compared: Compared
) -> None:
    random = np.random.default_rng(6)
    label, a, b = (random.choice(CLASSES, 90).tolist() for _ in range(3))
    after = said(label, b, images=[f"new-{i}" for i in range(90)])
    turned = said(label, a, classes=("dog", "owl", "cat"))
    assert compared(turned, after) == compared(said(label, a), after)


def _elsewhere(split: Predictions, where: str, rows: slice = slice(None)) -> Predictions:
    """The same images in another place; those of some rows alone."""
    kept = split.where(np.isin(np.arange(len(split)), np.arange(len(split))[rows]))
    return replace(kept, images=tuple(where.format(image) for image in kept.images))


@pytest.fixture
def two(said: Said) -> tuple[Predictions, Predictions]:
    """Two models on the same 300 images, in a folder a class."""
    random = np.random.default_rng(7)
    label = random.choice(CLASSES, 300).tolist()
    a, b = ([x if random.random() < 0.8 else "cat" for x in label] for _ in range(2))
    images = [f"{name}/{n:04}.jpg" for n, name in enumerate(label)]
    return said(label, a, images=images), said(label, b, images=images)


@pytest.mark.parametrize("where", ["data/test/{}", "/ci/7/{}", "./{}", "test\\{}"])
def test_another_place_of_the_data_makes_no_other_test_set(
    two: tuple[Predictions, Predictions], compared: Compared, where: str
) -> None:
    before, after = two
    found = compared(before, after)
    assert found.paired
    moved = compared(before, _elsewhere(after, where))
    assert replace(moved, lost=found.lost, won=found.won) == found
    assert [flip.image for flip in moved.lost] == [where.format(f.image) for f in found.lost]
    assert compared(_elsewhere(before, where), after) == found
    for kept in (slice(1, None), slice(0, 200), slice(0, 30)):
        with pytest.raises(NotComparable, match=r"share only \d+ of 300 images"):
            compared(before, _elsewhere(after, where, kept))


def test_other_images_under_the_same_numbers_are_two_samples(
    two: tuple[Predictions, Predictions], said: Said, compared: Compared, old_audit: Audit
) -> None:
    before, after = two
    numbered = [f"{n:04}.jpg" for n in range(300)]
    random = np.random.default_rng(8)
    flat = [
        replace(each, images=tuple(f"{where}/{name}" for name in numbered))
        for each, where in ((before, "old"), (after.where(random.permutation(300) >= 0), "new"))
    ]
    shuffled = said(
        random.permutation([CLASSES[n] for n in after.label]).tolist(),
        [CLASSES[n] for n in after.predicted],
        images=flat[1].images,
    )
    assert not compared(flat[0], shuffled).paired, "their labels are those of other images"
    assert compared(*flat).paired
    few = [f"new/{image}" if n < 90 else f"new/{n}" for n, image in enumerate(before.images)]
    assert not compared(before, replace(after, images=tuple(few))).paired
    renamed = _elsewhere(after, "new/{}")
    pictures = [
        {image: (b"%d" % n, b"%d" % n) for n, image in enumerate(images, start)}
        for images, start in ((before.images, 0), (renamed.images, 0), (renamed.images, 999))
    ]
    baseline = Baseline(old_audit, before, pictures=pictures[0])
    assert compare(renamed, baseline, pictures=pictures[1]).paired
    assert not compare(renamed, baseline, pictures=pictures[2]).paired, "other pictures"


@pytest.fixture
def renamed(two: tuple[Predictions, Predictions]) -> Predictions:
    """The candidate's predictions, its images in another order and under other names."""
    after = two[1]
    mixed = np.random.default_rng(9).permutation(len(after))
    return replace(
        after,
        images=tuple(f"renamed/{n}.png" for n in range(len(after))),
        label=after.label[mixed],
        predicted=after.predicted[mixed],
        about={"rows": mixed.tolist()},
    )


def _pictures(before: Predictions, renamed: Predictions) -> list[dict[str, tuple[bytes, bytes]]]:
    """Digests of files and pixels, the same on both sides; every third file was saved again."""
    rows = renamed.about["rows"]
    return [
        {image: (b"f%d" % n, b"p%d" % n) for n, image in enumerate(before.images)},
        {
            image: (b"f%d" % n if n % 3 else b"again %d" % n, b"p%d" % n)
            for image, n in zip(renamed.images, rows, strict=True)
        },
    ]


def test_the_same_pictures_under_other_names_are_the_same_images(
    two: tuple[Predictions, Predictions],
    renamed: Predictions,
    compared: Compared,
    old_audit: Audit,
) -> None:
    before, after = two
    there, here = _pictures(before, renamed)
    baseline = Baseline(old_audit, before, pictures=there)
    found, expected = compare(renamed, baseline, pictures=here), compared(before, after)
    assert {flip[1:] for flip in found.lost} == {flip[1:] for flip in expected.lost}
    assert replace(found, lost=expected.lost, won=expected.won) == expected
    few = {image: here[image] for image in renamed.images[:15]}
    assert not compare(renamed, baseline, pictures=few).paired, "such as black frames"
    some = {image: here[image] for image in renamed.images[:200]}
    with pytest.raises(NotComparable, match=r"the test sets share only 200 of 400 images: 100 mis"):
        compare(renamed, baseline, pictures=some)


@pytest.mark.parametrize("shared", [299, 300])
def test_names_that_went_to_other_pictures_of_the_test_set_are_seen_through(
    two: tuple[Predictions, Predictions], renamed: Predictions, old_audit: Audit, shared: int
) -> None:
    before, _ = two
    there, here = _pictures(before, renamed)
    others = [*before.images[-shared:], "new.jpg"]
    names = dict(zip(renamed.images, others[:300], strict=True))
    moved = replace(renamed, images=tuple(names.values()))
    seen = {names[image]: digests for image, digests in here.items()}
    assert compare(moved, Baseline(old_audit, before, pictures=there), pictures=seen).paired


def test_namesakes_that_are_other_pictures_are_seen_through(
    two: tuple[Predictions, Predictions], renamed: Predictions, old_audit: Audit
) -> None:
    """In another folder of equal names, even where one picture kept its own."""
    before, _ = two
    numbered = replace(before, images=tuple(f"old/{n:03}.png" for n in range(300)))
    kept = renamed.about["rows"].index(0)
    places = [*range(1, kept + 1), 0, *range(kept + 1, 300)]
    again = replace(renamed, images=tuple(f"new/{place:03}.png" for place in places))
    there, here = _pictures(numbered, again)
    assert here["new/000.png"][1] == there["old/000.png"][1]
    assert compare(again, Baseline(old_audit, numbered, pictures=there), pictures=here).paired


def test_copies_of_one_picture_make_no_two_test_sets_one(
    two: tuple[Predictions, Predictions], renamed: Predictions, old_audit: Audit
) -> None:
    before, _ = two
    there, here = (
        {image: (black if n < 60 else b"%s" % image.encode(),) * 2 for n, image in enumerate(names)}
        for black, names in ((b"black", before.images), (b"black", renamed.images))
    )
    baseline = Baseline(old_audit, before, pictures=there)
    assert not compare(renamed, baseline, pictures=here).paired


def test_of_equal_pictures_those_of_one_label_are_one(said: Said, old_audit: Audit) -> None:
    before = said(["cat", "dog"], ["cat", "cat"], images=["a", "b"])
    after = said(["dog", "cat"], ["dog", "cat"], images=["c", "d"])
    same = (b"file", b"pixels")
    baseline = Baseline(old_audit, before, pictures={"a": same, "b": same})
    found = compare(after, baseline, pictures={"c": same, "d": same})
    assert [flip.image for flip in found.won] == ["c"]
