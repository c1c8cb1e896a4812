from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import binom

from auditor.check import Outcome, Status
from auditor.checks.rare_class_recall import RareClassRecall
from auditor.errors import OptionError
from auditor.evidence.confusion import Confusion
from auditor.evidence.counts import ClassCounts
from auditor.record import Audit

Make = Callable[..., Confusion]


def _judged(
    check: RareClassRecall, found: Confusion, train: Mapping[str, int] | None = None
) -> Outcome:
    test = dict(zip(found.classes, found.support.tolist(), strict=True))
    return check.run(found, ClassCounts(found.classes, test, train))


def _animals(confusion: Make, lynx: int, missed: int) -> Confusion:
    return confusion({"empty": {"empty": 1000}, "lynx": {"lynx": lynx, "empty": missed}})


def test_a_missed_rare_class_fails(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), _animals(confusion, 12, 88))
    assert outcome.status is Status.FAIL
    assert outcome.summary == (
        "lynx is recognised in 12% of 100 test images (at least 85% required)."
    )


def test_its_clean_twin_passes(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), _animals(confusion, 96, 4))
    assert outcome.status is Status.PASS
    assert [f.subject for f in outcome.findings] == ["lynx"]


def test_one_of_one_is_no_proof(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), _animals(confusion, 1, 0))
    assert outcome.status is Status.INCONCLUSIVE
    assert "18 more samples" in outcome.findings[0].note


@pytest.mark.parametrize(
    ("right", "wrong", "status"),
    [
        (19, 0, Status.PASS),
        (18, 0, Status.INCONCLUSIVE),
        (0, 1, Status.INCONCLUSIVE),
        (0, 2, Status.FAIL),
    ],
)
def test_boundaries(confusion: Make, right: int, wrong: int, status: Status) -> None:
    assert _judged(RareClassRecall(), _animals(confusion, right, wrong)).status is status


@pytest.mark.parametrize(
    ("confidence", "status"), [(0.95, Status.PASS), (0.99, Status.INCONCLUSIVE)]
)
def test_the_confidence_is_the_users(confusion: Make, confidence: float, status: Status) -> None:
    check = RareClassRecall(confidence=confidence)
    assert _judged(check, _animals(confusion, 19, 0)).status is status


def test_a_rare_class_without_test_images_is_inconclusive(confusion: Make) -> None:
    found = confusion({"empty": {"empty": 1000}, "deer": {"deer": 900}}, ["empty", "deer", "lynx"])
    outcome = _judged(RareClassRecall(), found)
    assert outcome.status is Status.INCONCLUSIVE
    assert "lynx has no test image" in outcome.summary
    assert outcome.findings[0].observed is None


def test_no_test_image_at_all_is_inconclusive_for_every_class(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), confusion({}, ["a", "b"]))
    assert outcome.status is Status.INCONCLUSIVE
    assert [f.subject for f in outcome.findings] == ["a", "b"]


def test_without_a_rare_class_there_is_nothing_to_judge(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), confusion({"a": {"a": 50}, "b": {"b": 50}}))
    assert outcome.status is Status.SKIP
    assert outcome.findings == ()


def test_where_nothing_is_rare_it_says_by_which_images_and_what_to_do(confusion: Make) -> None:
    found = confusion({"a": {"a": 50}, "b": {"b": 50}})
    by_test, by_train = (
        _judged(RareClassRecall(), found, t).summary for t in (None, {"a": 5, "b": 5})
    )
    assert "rare among the test images (no training images were given)" in by_test
    assert "rare among the training images or the test images;" in by_train
    for summary in (by_test, by_train):
        assert "name those that matter in [checks.rare-class-recall] classes" in summary


def test_what_is_rare_is_what_training_saw_little_of(confusion: Make) -> None:
    found = confusion({"a": {"a": 100}, "b": {"a": 100}})
    assert _judged(RareClassRecall(), found).status is Status.SKIP
    assert _judged(RareClassRecall(), found, {"a": 990, "b": 10}).status is Status.FAIL
    assert _judged(RareClassRecall(), found, {"a": 990}).status is Status.FAIL


def test_balanced_training_data_make_no_class_common(confusion: Make) -> None:
    balanced = {"empty": 5000, "lynx": 5000}
    for lynx, missed, status in ((12, 88, Status.FAIL), (96, 4, Status.PASS)):
        outcome = _judged(RareClassRecall(), _animals(confusion, lynx, missed), balanced)
        assert (outcome.status, len(outcome.findings)) == (status, 1)


@pytest.mark.parametrize(("rate", "status"), [(0.64, Status.FAIL), (0.95, Status.PASS)])
def test_an_audit_with_balanced_training_data_asks_for_the_rare_class(
    run: Callable[..., Audit], saved: Callable[..., Path], rate: float, status: Status
) -> None:
    found = round(280 * rate)
    test = saved({"ok": {"ok": 2000}, "fraud": {"fraud": found, "ok": 280 - found}}, "test.csv")
    train = saved({"ok": {"ok": 500}, "fraud": {"fraud": round(500 * rate), "ok": 1}}, "train.csv")
    options = {"overfitting": {"level": "advise"}}
    for given in ({"test": test}, {"test": test, "train": train}):
        audit = run(predictions=given, checks=options)
        assert audit.check("rare-class-recall").status is status
        assert audit.verdict == ("accepted" if status is Status.PASS else "rejected")
        assert [row.name for row in audit.exhibits.per_class if row.rare] == ["fraud"]


@pytest.mark.parametrize(
    ("part", "status"), [(0.01, Status.FAIL), (0.24, Status.FAIL), (0.25, Status.SKIP)]
)
def test_a_class_is_rare_that_production_holds_little_of(
    run: Callable[..., Audit], saved: Callable[..., Path], part: float, status: Status
) -> None:
    """Test images of fraud are collected on purpose, as many as of the rest."""
    test = saved({"ok": {"ok": 500}, "fraud": {"fraud": 320, "ok": 180}})
    shares = {"ok": 1 - part, "fraud": part}
    result = run(predictions={"test": test}, deployment={"prevalence": shares}).check(
        "rare-class-recall"
    )
    assert result.status is status
    if status is Status.SKIP:
        assert "(no training images were given) or in production; name" in result.summary


def test_what_production_does_not_hold_is_not_rare_there(confusion: Make) -> None:
    found = confusion({"a": {"a": 50}, "b": {"b": 50}, "c": {"c": 50}})
    images = dict.fromkeys("abc", 50)
    counts = ClassCounts(found.classes, images, None, {"a": 0.5, "b": 0.5, "c": 0.0})
    assert RareClassRecall().run(found, counts).status is Status.SKIP


@pytest.mark.parametrize(("rarity", "status"), [(0.5, Status.SKIP), (0.9, Status.FAIL)])
def test_what_is_rare_is_the_users(confusion: Make, rarity: float, status: Status) -> None:
    found = confusion({"a": {"a": 600}, "b": {"a": 400}})
    assert _judged(RareClassRecall(rarity=rarity), found).status is status


@pytest.mark.parametrize(("rare", "status"), [(25, Status.SKIP), (24, Status.PASS)])
def test_rare_is_strictly_below_half_an_equal_share(
    confusion: Make, rare: int, status: Status
) -> None:
    found = confusion({"a": {"a": 100 - rare}, "b": {"b": rare}})
    assert _judged(RareClassRecall(), found).status is status


def test_named_classes_are_judged_instead(confusion: Make) -> None:
    found = confusion({"a": {"a": 100}, "b": {"a": 100}, "c": {"c": 3}})
    outcome = _judged(RareClassRecall(classes=("b",)), found)
    assert outcome.status is Status.FAIL
    assert [(f.subject, f.status) for f in outcome.findings] == [
        ("b", Status.FAIL),
        ("c", Status.SKIP),
    ]


@pytest.mark.parametrize(
    ("missed", "said"),
    [
        ({"lynx": 40}, "; not asked of lynx, which is rare, too."),
        ({"lynx": 40, "wolf": 0}, "; not asked of lynx, wolf, which are rare, too."),
        ({}, "(at least 85% required)."),
    ],
)
def test_rare_classes_that_the_named_ones_leave_out_are_named(
    confusion: Make, missed: Mapping[str, int], said: str
) -> None:
    table = {"empty": {"empty": 5000}, "deer": {"deer": 100}}
    rare = {name: {name: 100 - n, "empty": n} for name, n in missed.items()}
    outcome = _judged(RareClassRecall(classes=("deer",)), confusion(table | rare))
    assert outcome.status is Status.PASS
    head = "Every class named in [checks.rare-class-recall] is recognised; the lowest: deer is "
    assert outcome.summary.startswith(head)
    assert outcome.summary.endswith(said)
    shown = [f for f in outcome.findings if f.status is Status.SKIP]
    assert [(f.subject, f.observed) for f in shown] == [
        (name, 1 - n / 100) for name, n in missed.items()
    ]


@pytest.mark.parametrize(
    ("right", "minimum", "status"),
    [(700, 0.5, Status.PASS), (900, 0.85, Status.PASS), (900, 0.95, Status.FAIL)],
)
def test_a_class_has_its_own_minimum_laxer_or_stricter(
    confusion: Make, right: int, minimum: float, status: Status
) -> None:
    found = confusion({"a": {"a": 1000}, "b": {"b": right, "a": 1000 - right}})
    assert _judged(RareClassRecall(per_class={"b": minimum}), found).status is status


def test_one_bad_class_outweighs_the_good_ones(confusion: Make) -> None:
    table = {"a": {"a": 5000}, "b": {"b": 99}, "c": {"c": 99}, "d": {"a": 20}, "e": {"e": 1}}
    outcome = _judged(RareClassRecall(), confusion(table))
    assert outcome.status is Status.FAIL
    assert outcome.summary.startswith("d is recognised in 0%")


@pytest.mark.parametrize(
    "check",
    [RareClassRecall(classes=("lynks",)), RareClassRecall(per_class={"lynks": 0.5})],
)
def test_an_unknown_class_is_a_complaint_with_a_suggestion(
    confusion: Make, check: RareClassRecall
) -> None:
    with pytest.raises(OptionError, match=r'"lynks" is not a class .*did you mean "lynx"'):
        _judged(check, _animals(confusion, 5, 5))


@pytest.mark.parametrize(
    "options",
    [
        {"rarity": 0},
        {"rarity": float("nan")},
        {"min_recall": 1.5},
        {"per_class": {"a": -1}},
        {"per_class": {"a": float("nan")}},
        {"clases": ["a"]},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RareClassRecall.model_validate(options)


def _low_and_good(confusion: Make, low: tuple[int, int], good: int) -> Confusion:
    """A common class, a rare one with (right, wrong) images, and good rare ones of 20 images."""
    table = {"z": {"z": 9000}, "low": {"low": low[0], "z": low[1]}}
    return confusion(table | {f"good{i}": {f"good{i}": 20} for i in range(good)})


def test_among_many_rare_classes_a_failure_must_survive_holm(confusion: Make) -> None:
    alone = _judged(RareClassRecall(), _low_and_good(confusion, (6, 4), 0))
    assert (alone.status, alone.findings[0].note) == (Status.FAIL, "")
    among = _judged(RareClassRecall(), _low_and_good(confusion, (6, 4), 9))
    assert among.status is Status.INCONCLUSIVE
    assert among.summary.startswith("Too few test images to tell: low is recognised in 60%")
    low = next(f for f in among.findings if f.subject == "low")
    assert "Holm over 10 rare classes" in low.note
    assert "more samples at this rate would settle it" in low.note


def test_a_clear_failure_survives_holm(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), _low_and_good(confusion, (20, 80), 9))
    assert outcome.status is Status.FAIL
    low = next(f for f in outcome.findings if f.status is Status.FAIL)
    assert low.note.startswith("Holm over 10 rare classes: p = ")


@pytest.mark.parametrize(("right", "status"), [(16, Status.PASS), (15, Status.INCONCLUSIVE)])
def test_wilson_may_be_asked_for(confusion: Make, right: int, status: Status) -> None:
    found = _animals(confusion, right, 0)
    assert _judged(RareClassRecall(interval="wilson"), found).status is status
    assert _judged(RareClassRecall(), found).status is Status.INCONCLUSIVE


def test_each_class_is_corrected_at_its_own_minimum(confusion: Make) -> None:
    check = RareClassRecall(per_class={"low": 0.3})
    assert _judged(check, _low_and_good(confusion, (50, 50), 9)).status is Status.PASS


def _of_four(right: list[int]) -> dict[str, dict[str, int]]:
    """Classes of 40 images, all right, and as many of four, of which so many are."""
    table = {f"c{i}": {f"c{i}": 40} for i in range(len(right))}
    return table | {f"r{i}": {f"r{i}": k, "c0": 4 - k} for i, k in enumerate(right)}


def test_classes_of_few_images_fail_together(confusion: Make) -> None:
    """None of 400 images is right, and of no single class it is sure among a hundred."""
    outcome = _judged(RareClassRecall(), confusion(_of_four([0] * 100)))
    assert outcome.status is Status.FAIL
    assert [(f.subject, f.observed, f.n) for f in outcome.findings if f.status is Status.FAIL] == [
        ("all rare classes", 0.0, 400)
    ]
    assert outcome.summary == (
        "all rare classes together are recognised in 0% of 400 test images (at least 85% required)."
    )


def test_their_twin_at_the_minimum_does_not(confusion: Make) -> None:
    outcome = _judged(RareClassRecall(), confusion(_of_four([4, 3, 4, 3, 3] * 20)))
    assert outcome.status is Status.INCONCLUSIVE
    assert "all rare classes" not in {f.subject for f in outcome.findings}


def test_what_fails_by_name_makes_no_others_fail(confusion: Make) -> None:
    table = _of_four([4] * 20) | {"low": {"c0": 10}}
    outcome = _judged(RareClassRecall(), confusion(table))
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["low"]


@pytest.mark.parametrize(("classes", "images"), [(2, 20), (5, 12), (100, 4)])
@pytest.mark.parametrize("minima", [(0.85, 0.85), (0.5, 0.95)])
def test_classes_on_their_minimum_fail_no_more_often_than_they_may(
    confusion: Make, classes: int, images: int, minima: tuple[float, float]
) -> None:
    random, audits, failed = np.random.default_rng(6), 400, 0
    limits = {f"r{i}": minima[i % 2] for i in range(classes)}
    common = {f"c{i}": {f"c{i}": 10 * images} for i in range(classes)}
    check = RareClassRecall(per_class=limits)
    for right in random.binomial(images, [*limits.values()], (audits, classes)).tolist():
        rare = {n: {n: k, "c0": images - k} for n, k in zip(limits, right, strict=True)}
        failed += _judged(check, confusion(common | rare)).status is Status.FAIL
    assert failed <= binom.ppf(0.999, audits, 0.05)
