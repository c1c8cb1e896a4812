from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import poisson

from auditor.check import Status
from auditor.checks.split_overlap import SplitOverlap
from auditor.evidence.overlap import Overlap, OverlapPair, Uncompared
from auditor.evidence.predictions import Predictions
from auditor.evidence.scenes import ScenePair, Scenes
from auditor.overlap.control import Control
from auditor.overlap.exhibit import show_overlap
from auditor.overlap.result import Threshold
from auditor.overlap.splits import Kind
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.store.columns import telling, told
from tests.references import difference_bounds


def _pair(
    test: str,
    train: str = "t.png",
    *,
    kind: Kind = "same-bytes",
    labels: tuple[str, str] = ("a", "a"),
    transform: str = "",
    verified: bool = True,
) -> OverlapPair:
    distance = 0 if kind.startswith("same") else 12
    return OverlapPair(test, train, kind, distance, 0.9, *labels, transform, 0.8, verified)


def _lost(images: int) -> Uncompared:
    return Uncompared(images, "lost.png" if images else "")


def _overlap(
    *pairs: OverlapPair,
    within: tuple[OverlapPair, ...] = (),
    signed: int = 100,
    trained: int | None = 100,
    unread: int = 0,
    unread_test: int = 0,
    faint: int = 0,
    faint_train: int = 0,
    within_train: tuple[OverlapPair, ...] = (),
    rate: float | None = None,
) -> Overlap:
    near = Threshold(0.5, "fallback" if rate is None else "decoys", 100, 2, rate)
    known = None if trained is None else pairs
    return Overlap(
        known,
        within,
        signed,
        {},
        trained,
        _lost(unread),
        _lost(unread_test),
        within_train=within_train,
        near=near,
        test_set_apart=Uncompared(faint, "faint.png", "are too faint"),
        train_set_apart=Uncompared(faint_train, "faint.png", "are too faint"),
    )


def test_one_leaked_image_fails_and_is_named() -> None:
    outcome = SplitOverlap().run(_overlap(_pair("x.png")), None)
    assert outcome.status is Status.FAIL
    assert "1 of 100 test images (1.0%) is in the training data: 1 exact" in outcome.summary
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["x.png"]


@pytest.mark.parametrize("share", [0.0, 0.05])
@pytest.mark.parametrize(
    "unsettled",
    [
        {"train_left_out": _lost(30)},
        {"test_left_out": _lost(30)},
        {"test_doubtful": _lost(30)},
        {"control": Control(20, 3, "stored as JPEG")},
    ],
)
def test_what_was_not_compared_leaves_it_undecided_whatever_share_is_allowed(
    unsettled: dict[str, Any], share: float
) -> None:
    check = SplitOverlap(max_share=share)
    assert check.run(replace(_overlap(), **unsettled), None).status is Status.INCONCLUSIVE
    assert check.run(_overlap(), None).status is Status.PASS


def test_clean_splits_pass() -> None:
    outcome = SplitOverlap().run(_overlap(), None)
    assert outcome.status is Status.PASS
    assert outcome.summary == "No test image is in the training data."


UNSOUGHT = "; mirrored and turned copies were not looked for."


@pytest.mark.parametrize("older", [False, True])
def test_what_was_not_looked_for_is_said(older: bool) -> None:
    for found, said in (
        (_overlap(), "No test image is in the training data as it stands"),
        (_overlap(_pair("x.png")), "1 of 100 test images (1.0%) is in the training data: 1 exact"),
    ):
        table = replace(found, transforms=False).to_table()
        if older:  # it is told by there being no threshold
            about = told(table)
            del about["counts"]["transforms"]
            table = telling(table, about, sort_keys=False)
        read = Overlap.from_table(table)
        assert SplitOverlap().run(read, None).summary == said + UNSOUGHT
        assert show_overlap(read).unsought == UNSOUGHT[:-1]


def test_an_audit_that_looks_for_crops_alone_says_so(
    run: Callable[..., Audit], image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    data = {name: image_folder(name, {"cat": 6, "dog": 6}, seed=n) for n, name in enumerate("ab")}
    audit = run(
        data={"train": data["a"], "test": data["b"]},
        candidate={"module": f"{module()}:two", "input_size": 16},
        overlap={"transforms": False, "views": True},
    )
    assert UNSOUGHT in audit.check("split-overlap").summary
    assert UNSOUGHT in html_report(audit).partition('id="overlap')[2]


@pytest.mark.parametrize(("share", "status"), [(0.02, Status.PASS), (0.0199, Status.FAIL)])
def test_a_share_may_be_allowed(share: float, status: Status) -> None:
    overlap = _overlap(_pair("x.png"), _pair("y.png"))
    assert SplitOverlap(max_share=share).run(overlap, None).status is status


def test_an_image_with_many_copies_counts_once() -> None:
    outcome = SplitOverlap().run(_overlap(_pair("x.png", "1"), _pair("x.png", "2")), None)
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["x.png"]
    assert "1 of 100" in outcome.summary


def test_one_picture_under_two_labels_fails() -> None:
    within = (_pair("x.png", "y.png", labels=("a", "b")),)
    outcome = SplitOverlap().run(_overlap(within=within), None)
    assert outcome.status is Status.FAIL
    assert any("a here, b as y.png" in finding.note for finding in outcome.findings)


def test_one_picture_twice_under_one_label_passes() -> None:
    within = (_pair("x.png", "y.png"),)
    outcome = SplitOverlap().run(_overlap(within=within), None)
    assert outcome.status is Status.PASS
    assert any(f.note == "1 of 100 images repeats another one" for f in outcome.findings)


def test_without_training_data_leakage_is_not_looked_at() -> None:
    outcome = SplitOverlap().run(_overlap(trained=None), None)
    assert outcome.status is Status.SKIP
    within = (_pair("x.png", "y.png", labels=("a", "b")),)
    assert SplitOverlap().run(_overlap(within=within, trained=None), None).status is Status.FAIL


def test_without_a_readable_test_image_nothing_is_shown() -> None:
    outcome = SplitOverlap().run(_overlap(signed=0), None)
    assert outcome.status is Status.INCONCLUSIVE


def test_without_a_readable_training_image_nothing_is_shown() -> None:
    outcome = SplitOverlap().run(_overlap(trained=0, unread=9), None)
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary == "Leakage is not settled: no training image could be read."
    assert [f.observed for f in outcome.findings] == [None], "0% would be a share of nothing"


@pytest.mark.parametrize(
    ("unread", "share", "status"),
    [
        (0, 0.0, Status.PASS),
        (1, 0.0, Status.INCONCLUSIVE),
        (1, 0.02, Status.PASS),
        (2, 0.02, Status.INCONCLUSIVE),
    ],
)
def test_an_unread_training_image_may_be_a_copy(unread: int, share: float, status: Status) -> None:
    pairs = [_pair("x.png")] if share else []
    outcome = SplitOverlap(max_share=share).run(_overlap(*pairs, unread=unread), None)
    assert outcome.status is status
    if status is Status.INCONCLUSIVE:
        assert f"{unread} training image" in outcome.findings[-1].note
        assert outcome.findings[-1].note.endswith(" lost.png")


@pytest.mark.parametrize(
    ("unread", "share", "status"),
    [
        (0, 0.0, Status.PASS),
        (1, 0.0, Status.INCONCLUSIVE),
        (2, 0.03, Status.PASS),  # 3 of 102
        (3, 0.03, Status.INCONCLUSIVE),  # 4 of 103
        (60, 0.5, Status.PASS),  # 61 of 160
        (3, 0.0, Status.FAIL),
    ],
)
def test_an_unread_test_image_may_be_a_copy(unread: int, share: float, status: Status) -> None:
    pairs = [_pair("x.png")] if share or status is Status.FAIL else []
    outcome = SplitOverlap(max_share=share).run(_overlap(*pairs, unread_test=unread), None)
    assert outcome.status is status
    if status is Status.INCONCLUSIVE:
        named = "could not be read, " + "first " * (unread > 1) + "lost.png"
        assert f"{unread} test image" in outcome.summary
        assert named in outcome.summary


@pytest.mark.parametrize(
    ("faint", "unread", "share", "status"),
    [
        (1, 0, 0.0, Status.INCONCLUSIVE),
        (1, 0, 0.02, Status.PASS),
        (2, 0, 0.02, Status.INCONCLUSIVE),
        (1, 1, 0.02, Status.INCONCLUSIVE),  # 3 of 101
    ],
)
def test_a_test_image_that_was_not_compared_by_its_looks_may_be_a_copy(
    predictions: Callable[..., Predictions], faint: int, unread: int, share: float, status: Status
) -> None:
    pairs = [_pair("x.png")] if share else []
    overlap = _overlap(*pairs, faint=faint, unread_test=unread)
    outcome = SplitOverlap(max_share=share).run(overlap, None)
    assert outcome.status is status
    if status is Status.INCONCLUSIVE:
        assert f"{faint} test image" in outcome.summary
        assert "faint.png" in outcome.summary
    if not unread:
        test = predictions({"a": {"a": 100}})
        judged = SplitOverlap(max_share=share, max_inflation=1.0).run(overlap, test)
        assert judged.status is status


@pytest.mark.parametrize(
    ("faint", "unread", "share", "status"),
    [
        (0, 0, 0.0, Status.PASS),
        (1, 0, 0.0, Status.INCONCLUSIVE),
        (100, 0, 0.0, Status.INCONCLUSIVE),
        (1, 0, 0.02, Status.PASS),
        (2, 0, 0.02, Status.INCONCLUSIVE),
        (1, 1, 0.02, Status.INCONCLUSIVE),
        (1, 1, 0.03, Status.PASS),
    ],
)
def test_a_training_image_that_was_not_compared_by_its_looks_may_be_a_copy(
    faint: int, unread: int, share: float, status: Status
) -> None:
    pairs = [_pair("x.png")] if share else []
    overlap = _overlap(*pairs, faint_train=faint, unread=unread)
    outcome = SplitOverlap(max_share=share).run(overlap, None)
    assert outcome.status is status
    if status is Status.INCONCLUSIVE:
        assert f"{faint} training image" in outcome.summary
        assert "faint.png" in outcome.summary
    assert ("lost.png" in outcome.summary) == (unread > 0 and status is Status.INCONCLUSIVE)


def test_of_predicted_images_the_unread_are_counted_by_the_predictions(
    predictions: Callable[..., Predictions],
) -> None:
    test = predictions({"a": {"a": 100}}, ["a", "b"])
    overlap = _overlap(signed=100, unread_test=5)
    assert SplitOverlap().run(overlap, test).status is Status.PASS


def test_a_predicted_image_that_was_not_compared_is_not_clean(
    predictions: Callable[..., Predictions],
) -> None:
    test = predictions({"a": {"a": 100}}, ["a", "b"])
    assert SplitOverlap().run(_overlap(signed=100), test).status is Status.PASS
    assert SplitOverlap().run(_overlap(signed=99), test).status is Status.INCONCLUSIVE


def test_inflation_is_judged_on_its_interval(predictions: Callable[..., Predictions]) -> None:
    test = predictions({"a": {"a": 60, "b": 40}})
    leaked = [_pair(image) for image in test.images[:20]]
    outcome = SplitOverlap(max_share=1.0).run(_overlap(*leaked), test)
    (finding,) = [f for f in outcome.findings if f.unit == "points"]
    assert finding.observed == pytest.approx(60 / 100 - 40 / 80)
    low, high = difference_bounds(20, 20, 40, 80)
    assert finding.interval == pytest.approx((low * 0.2, high * 0.2), abs=1e-7)
    assert finding.status is outcome.status is Status.FAIL
    allowed = SplitOverlap(max_share=1.0, max_inflation=0.2).run(_overlap(*leaked), test)
    assert allowed.status is Status.PASS
    unsure = SplitOverlap(max_share=1.0, max_inflation=0.09).run(_overlap(*leaked), test)
    assert unsure.status is Status.INCONCLUSIVE
    assert unsure.summary.endswith("50.0% without, too few images to settle the difference.")


def test_copies_that_were_not_found_are_told_from_what_those_found_change(
    predictions: Callable[..., Predictions],
) -> None:
    test = predictions({"a": {"a": 60, "b": 40}})
    leaked = [_pair(image, labels=("a", "b")) for image in test.images[:2]]
    outcome = SplitOverlap(max_inflation=0.008).run(_overlap(*leaked, unread=1), test)
    assert outcome.summary == (
        "2 of 100 test images (2.0%) are in the training data: 2 exact; 2 under another label; "
        "accuracy is 60.0% with them, 59.2% without, too few images to settle the difference; "
        "further copies are not ruled out: 1 training image could not be read, lost.png."
    )


def test_copies_that_change_nothing_do_not_inflate(
    predictions: Callable[..., Predictions],
) -> None:
    test = predictions({"a": {"a": 900, "b": 100}})
    leaked = [_pair(image) for image in (*test.images[:9], test.images[-1])]
    outcome = SplitOverlap(max_share=0.02).run(_overlap(*leaked, signed=1000), test)
    assert outcome.status is Status.PASS


def test_strangers_among_the_near_duplicates_are_taken_off() -> None:
    near = [_pair(f"{n}.png", kind="near-duplicate") for n in range(50)]
    exact = [_pair(f"x{n}.png") for n in range(10)]
    outcome = SplitOverlap().run(_overlap(*near, *exact, signed=1000, rate=0.02), None)
    assert outcome.status is Status.FAIL
    finding = outcome.findings[0]
    assert finding.observed == pytest.approx((10 + 50 * 0.98) / 1000)
    assert finding.interval == pytest.approx(
        ((60 - poisson.ppf(0.95, 1)) / 1000, (60 - poisson.ppf(0.05, 1)) / 1000)
    )
    assert "of the other 50, 1.0 are estimated to be strangers" in finding.note


@pytest.mark.parametrize(
    ("flagged", "rate", "status"),
    [(1, 0.02, Status.FAIL), (2, 0.6, Status.INCONCLUSIVE), (1, None, Status.FAIL)],
)
def test_a_few_near_duplicates_may_all_be_strangers(
    flagged: int, rate: float | None, status: Status
) -> None:
    near = [_pair(f"{n}.png", kind="near-duplicate") for n in range(flagged)]
    outcome = SplitOverlap().run(_overlap(*near, rate=rate), None)
    assert outcome.status is status
    open_ = "not settled: 2 have a partner, 0 of them exact; of the other 2, 1.2 are"
    assert (open_ in outcome.summary) == (status is Status.INCONCLUSIVE)


def test_each_tier_is_named() -> None:
    pairs = (
        _pair("a.png"),
        _pair("b.png", kind="same-pixels"),
        _pair("c.png", kind="near-duplicate"),
        _pair("d.png", kind="transformed", transform="mirrored"),
        _pair("e.png", kind="near-duplicate", verified=False),
    )
    outcome = SplitOverlap().run(_overlap(*pairs, rate=0.02), None)
    notes = {f.subject: f.note for f in outcome.findings if f.metric == "copies in training"}
    assert notes == {
        "a.png": "same-bytes of t.png",
        "b.png": "same-pixels of t.png",
        "c.png": "near-duplicate of t.png",
        "d.png": "transformed (mirrored) of t.png",
        "e.png": "near-duplicate (by its signature alone) of t.png",
    }
    assert "2 exact, 2 near-duplicates, 1 transformed" in outcome.summary


def test_another_label_in_training_is_shown_with_the_copy() -> None:
    outcome = SplitOverlap(max_share=1.0).run(_overlap(_pair("x.png", labels=("a", "b"))), None)
    (finding,) = [f for f in outcome.findings if f.unit == "labels"]
    assert (finding.status, outcome.status) == (Status.SKIP, Status.PASS)
    assert "a here, b in training as t.png" in finding.note


def test_another_label_is_shown_beside_a_stronger_copy_of_the_same_label() -> None:
    pairs = _pair("x.png"), _pair("x.png", "u.png", kind="near-duplicate", labels=("a", "b"))
    outcome = SplitOverlap(max_share=1.0).run(_overlap(*pairs), None)
    (finding,) = [f for f in outcome.findings if f.unit == "labels"]
    assert "a here, b in training as u.png" in finding.note


def test_labels_that_are_not_known_do_not_conflict() -> None:
    within = (_pair("x.png", "y.png", labels=("", "b")),)
    assert SplitOverlap().run(_overlap(within=within), None).status is Status.PASS


@pytest.mark.parametrize(("copies", "status"), [(5, Status.PASS), (6, Status.FAIL)])
def test_many_copies_within_the_test_set_fail(copies: int, status: Status) -> None:
    """Each copy is listed with several that come before it, and still counts once."""
    chain = [f"{n}.png" for n in range(copies + 1)]
    within = tuple(_pair(a, b, kind="near-duplicate") for a in chain for b in chain if a < b)
    outcome = SplitOverlap().run(_overlap(within=within), None)
    assert outcome.status is status
    assert any(f"{copies} of 100 images repeat another" in f.note for f in outcome.findings)


@pytest.mark.parametrize(
    ("copies", "of", "status"),
    [(96, 99, Status.FAIL), (8, 9, Status.FAIL), (2, 20, Status.PASS), (8, 99, Status.PASS)],
)
def test_a_class_of_few_pictures_that_are_repeated_fails(
    copies: int, of: int, status: Status
) -> None:
    """Among 2,000 images of other classes they are few; some look alike by nature."""
    chain = [f"{n}.png" for n in range(copies + 1)]
    within = tuple(_pair(a, b, labels=("rare", "rare")) for a, b in itertools.pairwise(chain))
    classes = {"a": 1000, "b": 1000, "rare": of}
    found = replace(_overlap(within=within), test_signed=2000 + of, classes=classes)
    outcome = SplitOverlap().run(found, None)
    assert outcome.status is status
    said = f"within the test set, {copies} of {of} images of rare repeat another one"
    assert (said in outcome.summary) is (status is Status.FAIL)


def test_copies_within_training_are_shown() -> None:
    within = (_pair("x.png", "y.png"), _pair("x.png", "z.png", labels=("a", "b")))
    outcome = SplitOverlap().run(_overlap(within_train=within), None)
    assert outcome.status is Status.PASS
    finding = outcome.findings[-1]
    assert (finding.subject, finding.status, finding.observed) == ("train", Status.SKIP, 0.02)
    assert finding.note == "2 images repeat another one; two labels on 1 pair"


@pytest.mark.parametrize("labels", [("a", "a"), ("a", "b")])
def test_copies_by_signatures_alone_count_and_say_so(labels: tuple[str, str]) -> None:
    chain = [f"{n}.png" for n in range(7)]
    within = tuple(
        _pair(a, b, kind="near-duplicate", labels=labels)._replace(verified=False)
        for a, b in itertools.pairwise(chain)
    )
    outcome = SplitOverlap().run(_overlap(within=within, within_train=within), None)
    assert outcome.status is Status.FAIL
    alone = "repeat another one, by signatures alone, not compared on pixels"
    assert f"within the test set, 6 of 100 images {alone}" in outcome.summary
    assert f"6 images {alone}; two labels on" in outcome.findings[-1].note
    assert ("two labels on 6 pairs within the test set" in outcome.summary) == (labels[1] == "b")


def test_one_of_a_kind_is_singular() -> None:
    pairs = (_pair("x.png", kind="near-duplicate"), _pair("y.png", kind="transformed"))
    within = (_pair("x.png", "y.png", labels=("a", "b")),)
    summary = SplitOverlap().run(_overlap(*pairs, within=within), None).summary
    assert "1 near-duplicate, 1 transformed;" in summary
    assert "two labels on 1 pair within the test set" in summary


def test_a_similar_scene_is_never_a_copy() -> None:
    scenes = Scenes((ScenePair("x.png", "y.png", 0.999, "a", "a"),), 100, 100, {})
    outcome = SplitOverlap().run(_overlap(), None, scenes)
    assert outcome.status is Status.PASS
    (finding,) = [f for f in outcome.findings if "similar scene" in f.metric]
    assert (finding.status, finding.observed) == (Status.SKIP, 0.999)
