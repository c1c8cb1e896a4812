from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from auditor.check import Finding, Outcome, Status
from auditor.checks.baseline_regression import BaselineRegression
from auditor.evidence.baseline import Baseline
from auditor.evidence.counts import TrainCounts
from auditor.evidence.counts import counts as count
from auditor.evidence.predictions import Predictions
from auditor.record import Audit
from auditor.wording import p_value

Counts = Mapping[str, tuple[int, int, int]]
"""Class → images, lost, won."""


def _models(counts: Counts) -> tuple[Predictions, Predictions]:
    """Two models that have every image right but those that one of them has not."""
    label: list[str] = []
    before: list[str] = []
    after: list[str] = []
    for name, (n, lost, won) in counts.items():
        other = next(x for x in counts if x != name)
        label += [name] * n
        before += [name] * (n - won) + [other] * won
        after += [other] * lost + [name] * (n - lost)
    names = sorted(counts)
    return Predictions.of(label, before, classes=names), Predictions.of(label, after, classes=names)


def _judged(after: Predictions, baseline: Baseline, **options: float) -> Outcome:
    return BaselineRegression(**options).run(after, baseline, count(after, None, None))


def _run(old_audit: Audit, counts: Counts, **options: float) -> Outcome:
    before, after = _models(counts)
    return _judged(after, Baseline(old_audit, before), **options)


def _of(outcome: Outcome, subject: str) -> Finding:
    return next(f for f in outcome.findings if f.subject == subject and f.unit == "points")


def test_a_planted_regression_fails(old_audit: Audit) -> None:
    outcome = _run(old_audit, {"a": (1000, 40, 5), "b": (1000, 40, 5)})
    assert outcome.status is Status.FAIL
    assert _of(outcome, "test").status is Status.FAIL
    assert outcome.summary.startswith(
        "Worse than the baseline (old): accuracy 99.50% → 96.00% (−3.50 points, "
    )
    assert "on the same 2,000 images, 80 lost, 10 won" in outcome.summary


def test_its_clean_twin_passes(old_audit: Audit) -> None:
    outcome = _run(old_audit, {"a": (1000, 2, 2), "b": (1000, 2, 2)})
    assert outcome.status is Status.PASS
    assert outcome.summary.startswith(
        "Not worse than the baseline (old) by more than 0.5 points: accuracy "
    )


@pytest.mark.parametrize(
    ("lost", "won", "margin", "head"),
    [
        (40, 5, 0.05, "Worse than the baseline (old), within the 5 points allowed: accuracy "),
        (
            40,
            5,
            0.04,
            "It is not settled whether it is worse than the baseline (old) by more than 4 points: ",
        ),
        (40, 5, 0.01, "Worse than the baseline (old): accuracy "),
        (2, 2, 0.012, "Not worse than the baseline (old) by more than 1.2 points: accuracy "),
        (5, 40, 0.012, "Better than the baseline (old): accuracy "),
    ],
)
def test_the_allowance_is_named_where_it_decides(
    old_audit: Audit, lost: int, won: int, margin: float, head: str
) -> None:
    counts = {"a": (1000, lost, won), "b": (1000, lost, won)}
    assert _run(old_audit, counts, margin=margin).summary.startswith(head)


def _unsure(n: int, wrong: int = 0) -> Predictions:
    """A model with some images wrong, which says how sure it is."""
    label, predicted = ["a", "b"] * n, ["b", "a"] * wrong + ["a", "b"] * (n - wrong)
    sure = np.linspace(0.5, 0.9, 2 * n, dtype=np.float32)
    return replace(Predictions.of(label, predicted), true_probability=sure)


@pytest.mark.parametrize("n", [1, 5, 1000])
def test_an_identical_candidate_passes(old_audit: Audit, n: int) -> None:
    outcome = _judged(_unsure(n), Baseline(old_audit, _unsure(n)))
    assert outcome.status is Status.PASS
    assert (
        outcome.summary == f"Every one of {2 * n:,} images is predicted as by the baseline (old)."
    )


def test_one_image_and_one_point_are_said_as_such(old_audit: Audit) -> None:
    one = replace(Predictions.of(["a"], ["a"]), true_probability=None)
    said = _judged(one, Baseline(old_audit, one)).summary
    assert said.startswith("The one image is predicted as by the baseline (old); that it is no ")
    outcome = _run(old_audit, {"a": (1000, 2, 2), "b": (1000, 2, 2)}, margin=0.01)
    assert outcome.summary.startswith("Not worse than the baseline (old) by more than 1 point: ")


def _told(split: Predictions, digest: str | None, dtype: str = "float32") -> Predictions:
    """What a model of those weights said, and nobody kept how sure it was."""
    about = {"candidate": {"weights_digest": digest, "input_size": [3, 16, 16]}, "dtype": dtype}
    return replace(split, true_probability=None, about=about)


@pytest.mark.parametrize("wrong", [0, 20])
def test_equal_predictions_alone_are_not_one_model(old_audit: Audit, wrong: int) -> None:
    """Any two good models predict a few easy images alike, and one trained from the other most."""
    test = replace(_unsure(50, wrong), true_probability=None)
    outcome = _judged(test, Baseline(old_audit, test))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary == (
        "Every one of 100 images is predicted as by the baseline (old); that it is no worse on "
        "others is not settled: about 498 more images predicted alike would settle it."
    )


@pytest.mark.parametrize(("images", "status"), [(298, "inconclusive"), (299, "pass")])
def test_so_many_equal_predictions_settle_it_by_the_interval(
    old_audit: Audit, images: int, status: str
) -> None:
    test = replace(_unsure(images, 50), true_probability=None)
    assert _judged(test, Baseline(old_audit, test)).status.value == status


@pytest.mark.parametrize("wrong", [0, 10])
@pytest.mark.parametrize(
    ("before", "after", "dtype", "status"),
    [
        ("5f", "5f", "float32", Status.PASS),
        ("5f", "6a", "float32", Status.INCONCLUSIVE),
        ("5f", "5f", "float16", Status.INCONCLUSIVE),
        (None, None, "float32", Status.INCONCLUSIVE),
        (None, "5f", "float32", Status.INCONCLUSIVE),
    ],
)
def test_the_same_weights_are_one_model(
    old_audit: Audit, before: str | None, after: str | None, dtype: str, wrong: int, status: Status
) -> None:
    said = _unsure(25, wrong)
    outcome = _judged(_told(said, after), Baseline(old_audit, _told(said, before, dtype)))
    assert outcome.status is status
    if status is Status.PASS:
        assert outcome.summary == "Every one of 50 images is predicted as by the baseline (old)."


@pytest.mark.parametrize(("n", "accuracy"), [(100, 0.75), (200, 0.85), (300, 0.9)])
def test_a_drop_that_shows_in_no_image_is_no_pass(
    old_audit: Audit, n: int, accuracy: float
) -> None:
    """Of a hundred images a model that is a point worse loses none in 37 of 100 audits."""
    random, passed, audits = np.random.default_rng(2), 0, 200
    label = [f"c{i % 10}" for i in range(n)]
    for draw in random.random((audits, n)):
        before, after = (
            [
                x if d < share else f"c{(int(x[1]) + 1) % 10}"
                for x, d in zip(label, draw, strict=True)
            ]
            for share in (accuracy, accuracy - 0.01)
        )
        old = Baseline(old_audit, Predictions.of(label, before))
        passed += _judged(Predictions.of(label, after), old).status is Status.PASS
    assert passed <= binom.ppf(0.999, audits, 0.05)


@pytest.mark.parametrize("lacking", ["baseline", "candidate"])
def test_probabilities_that_one_model_alone_has_say_nothing(old_audit: Audit, lacking: str) -> None:
    has = _unsure(50, 20)
    lacks = replace(has, true_probability=None)
    before, after = (lacks, has) if lacking == "baseline" else (has, lacks)
    assert _judged(after, Baseline(old_audit, before)).status is Status.INCONCLUSIVE


def test_one_equal_probability_among_many_is_no_sign_of_one_model(old_audit: Audit) -> None:
    test = _unsure(50)
    assert test.true_probability is not None
    other = test.true_probability + np.float32(0.04)
    other[0] -= np.float32(0.04)
    before = Baseline(old_audit, replace(test, true_probability=other))
    assert _judged(test, before).status is Status.INCONCLUSIVE


def test_a_class_of_too_few_images_is_not_settled_behind_a_large_one(old_audit: Audit) -> None:
    outcome = _run(old_audit, {"cat": (2000, 0, 0), "dog": (6, 2, 0)}, margin=0.05)
    assert outcome.status is Status.INCONCLUSIVE
    assert _of(outcome, "test").status is Status.PASS


def test_a_class_that_was_hardly_known_before_is_not_called_dead(old_audit: Audit) -> None:
    """Three of 20 dogs before, none after: as chance has it, and no pass either."""
    label = ["cat"] * 2000 + ["dog"] * 20
    before = Predictions.of(label, ["cat"] * 2000 + ["dog"] * 3 + ["cat"] * 17)
    after = Predictions.of(label, ["cat"] * 2020, classes=["cat", "dog"])
    outcome = _judged(after, Baseline(old_audit, before), margin=0.05)
    assert outcome.status is Status.INCONCLUSIVE


def test_a_class_that_died_on_other_images_fails(old_audit: Audit) -> None:
    label, names = ["cat"] * 2000 + ["dog"] * 40, ["cat", "dog"]
    before = Predictions.of(label, label)
    images = [f"new-{i}" for i in range(len(label))]
    for predicted, status in ((["cat"] * 2040, Status.FAIL), (label, Status.PASS)):
        after = Predictions.of(label, predicted, classes=names, images=images)
        outcome = _judged(after, Baseline(old_audit, before), margin=0.05)
        assert outcome.status is status


def test_a_class_that_could_have_died_on_other_images_is_large_enough_to_tell(
    old_audit: Audit,
) -> None:
    """Six of 100 dogs fewer are nothing significant, and all 90 fewer would be."""
    label = ["cat"] * 2000 + ["dog"] * 100
    before, after = (["cat"] * 2000 + ["dog"] * n + ["cat"] * (100 - n) for n in (90, 84))
    images = [f"new-{i}" for i in range(len(label))]
    outcome = _judged(
        Predictions.of(label, after, images=images),
        Baseline(old_audit, Predictions.of(label, before)),
        margin=0.05,
    )
    assert outcome.status is Status.PASS
    assert _of(outcome, "dog").note.endswith("; not significant among the classes")


def test_a_baseline_that_was_not_accepted_is_called_so(old_audit: Audit) -> None:
    rejected = old_audit.model_copy(update={"verdict": "rejected"})
    outcome = _judged(_unsure(20), Baseline(rejected, _unsure(20)))
    assert (
        outcome.summary
        == "Every one of 40 images is predicted as by the baseline (old, itself rejected)."
    )


def test_one_dead_class_behind_equal_accuracy_fails(old_audit: Audit) -> None:
    counts = {f"c{i}": (50, 0, 0) for i in range(9)} | {"dead": (50, 50, 0), "alive": (50, 0, 50)}
    outcome = _run(old_audit, counts, margin=0.1)
    assert _of(outcome, "test").status is Status.PASS
    assert _of(outcome, "dead").status is Status.FAIL
    assert outcome.status is Status.FAIL
    assert "Worse for some classes than the baseline (old)" in outcome.summary
    assert "dead fell by 100.00 points; better: alive" in outcome.summary


def test_a_small_dead_class_is_inconclusive_never_passed_over(old_audit: Audit) -> None:
    outcome = _run(old_audit, {"a": (5000, 0, 0), "b": (5000, 0, 3), "rare": (3, 3, 0)})
    assert _of(outcome, "test").status is Status.PASS
    assert _of(outcome, "rare").status is Status.INCONCLUSIVE
    assert _of(outcome, "rare").note == "3 lost, 0 won; 3 images are too few to tell"
    assert outcome.status is Status.INCONCLUSIVE


def test_a_drop_within_the_class_margin_is_no_failure(old_audit: Audit) -> None:
    counts = {"a": (1000, 40, 0), "b": (9000, 0, 40)}
    assert _of(_run(old_audit, counts), "a").status is Status.SKIP
    assert _of(_run(old_audit, counts, class_margin=0.03), "a").status is Status.FAIL


def test_several_suspects_are_inconclusive(old_audit: Audit) -> None:
    counts = {f"c{i}": (60, 10, 1) for i in range(3)} | {f"d{i}": (900, 1, 9) for i in range(3)}
    found = [_of(_run(old_audit, counts), f"c{i}") for i in range(3)]
    assert {f.status for f in found} == {Status.INCONCLUSIVE}
    assert "q = 0.012, but not after Holm" in found[0].note


def test_the_only_class_that_could_show_anything_is_tested(old_audit: Audit) -> None:
    """Six lost and none won is p = 1/64: enough for one, and not for two (Tarone)."""
    alone = _run(old_audit, {"a": (50, 6, 0), "b": (1000, 0, 0)})
    assert _of(alone, "a").status is Status.FAIL
    two = _run(old_audit, {"a": (50, 6, 0), "b": (50, 6, 0), "c": (1000, 0, 0)})
    assert _of(two, "a").status is not Status.FAIL


def test_classes_that_could_show_nothing_cost_another_nothing(old_audit: Audit) -> None:
    """Nine lost are p = 1/512, and Holm over all sixty classes would make it 0.12."""
    counts = {f"c{i:02}": (40, 3, 3) for i in range(1, 60)}  # six flips: 1/64 at the least
    fell = _of(_run(old_audit, counts | {"c00": (40, 9, 0)}), "c00")
    assert (fell.status, fell.note) == (Status.FAIL, "9 lost, 0 won; p = 0.002 after Holm")


def test_too_few_images_are_inconclusive_and_say_how_many_would_do(old_audit: Audit) -> None:
    outcome = _run(old_audit, {"a": (200, 2, 2), "b": (200, 2, 2)})
    assert outcome.status is Status.INCONCLUSIVE
    note = _of(outcome, "test").note
    assert note.startswith("4 lost, 4 won; about ")
    assert "more images at this rate would settle it" in note
    assert note.endswith("if the two agree on all")


def test_a_drop_that_mcnemar_does_not_bear_out_is_no_failure(old_audit: Audit) -> None:
    """Four lost of twenty: the interval lies below the margin, mid-p is 1/32, more than 2.5%."""
    whole = _of(_run(old_audit, {"a": (10, 2, 0), "b": (10, 2, 0)}), "test")
    assert whole.interval is not None
    assert whole.interval[1] < -0.005
    assert whole.status is Status.INCONCLUSIVE


def test_the_whole_test_set_is_held_to_mid_p(old_audit: Audit) -> None:
    """Seven lost and one won: the exact p-value is 9/256, more than 2.5%, and mid-p 5/256."""
    whole = _of(_run(old_audit, {"a": (50, 4, 1), "b": (50, 3, 0)}), "test")
    assert whole.status is Status.FAIL


def test_a_better_candidate_is_called_so(old_audit: Audit) -> None:
    outcome = _run(old_audit, {"a": (1000, 5, 60), "b": (1000, 5, 5)})
    assert outcome.status is Status.PASS
    assert outcome.summary.startswith("Better than the baseline (old): ")
    assert "; better: a" in outcome.summary


def test_the_margin_decides(old_audit: Audit) -> None:
    counts = {"a": (10_000, 150, 50), "b": (10_000, 50, 50)}
    statuses = [_run(old_audit, counts, margin=m).status for m in (0.001, 0.005, 0.02)]
    assert statuses == [Status.FAIL, Status.INCONCLUSIVE, Status.PASS]


def test_nothing_flipped_and_yet_another_model(old_audit: Audit) -> None:
    label = ["a", "b"] * 20
    before, after = (
        Predictions(
            ("a", "b"),
            tuple(map(str, range(40))),
            np.arange(40) % 2,
            np.arange(40) % 2,
            true_probability=np.full(40, p, np.float32),
        )
        for p in (0.8, 0.9)
    )
    assert len(label) == len(after)
    outcome = _judged(after, Baseline(old_audit, before))
    assert outcome.status is Status.INCONCLUSIVE


@pytest.mark.parametrize("missing", ["evidence/test.parquet: cannot be read", "digest"])
def test_without_the_baselines_predictions_it_is_inconclusive(
    old_audit: Audit, missing: str
) -> None:
    _, after = _models({"a": (10, 0, 0), "b": (10, 0, 0)})
    outcome = _judged(after, Baseline(old_audit, None, missing))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary == f"not comparable with the baseline (old): {missing}"
    assert outcome.findings[0].note == f"not comparable: {missing}"


def test_another_version_is_not_comparable(old_audit: Audit) -> None:
    result = {
        "id": "baseline-regression",
        "version": 99,
        "title": "",
        "level": "block",
        "status": "pass",
        "summary": "",
    }
    other = Audit.model_validate(old_audit.model_dump() | {"checks": [result]})
    before, after = _models({"a": (10, 0, 0), "b": (10, 0, 0)})
    outcome = _judged(after, Baseline(other, before))
    assert outcome.status is Status.INCONCLUSIVE
    assert "version 99, this is version 6" in outcome.summary


def test_different_images_are_named_as_such(old_audit: Audit) -> None:
    before, _ = _models({"a": (1000, 0, 0), "b": (1000, 0, 0)})
    worse = Predictions.of(
        ["a", "b"] * 500,
        ["a", "b", "b", "b"] * 250,
        classes=["a", "b"],
        images=[f"n{i}" for i in range(1000)],
    )
    outcome = _judged(worse, Baseline(old_audit, before))
    assert outcome.status is Status.FAIL
    assert "the difference may be that of the images" in outcome.summary
    assert "lost" not in outcome.summary


def test_it_blocks_once_a_baseline_is_given() -> None:
    assert BaselineRegression().default_level(frozenset()) == "advise"
    assert BaselineRegression().default_level(frozenset({"baseline"})) == "block"


def _small_classes(fell: int, rose: int, dead: int = 0) -> Counts:
    """Classes of ten images, of which some lost three and some won three; of four, which died."""
    counts = {f"f{i:03}": (10, 3, 0) for i in range(fell)}
    counts |= {f"r{i:03}": (10, 0, 3) for i in range(rose)}
    counts |= {f"d{i:03}": (4, 4, 0) for i in range(dead)}
    return counts | {f"s{i:03}": (10, 0, 0) for i in range(1000 - len(counts))}


@pytest.mark.parametrize(
    ("fell", "rose", "dead", "status"),
    [
        (100, 100, 0, Status.PASS),
        (100, 85, 0, Status.PASS),
        (20, 10, 0, Status.PASS),  # ten of each are enough; p is 0.049
        (100, 60, 0, Status.INCONCLUSIVE),  # more than chance
        (9, 9, 0, Status.INCONCLUSIVE),  # too few classes to say what chance does
        (9, 12, 0, Status.INCONCLUSIVE),
        (100, 101, 1, Status.INCONCLUSIVE),  # one died, whatever the others do
    ],
)
def test_small_classes_that_fall_as_often_as_they_rise_are_chance(
    old_audit: Audit, fell: int, rose: int, dead: int, status: Status
) -> None:
    outcome = _run(old_audit, _small_classes(fell, rose, dead), margin=0.02)
    assert _of(outcome, "test").status is Status.PASS
    assert outcome.status is status
    assert ("not settled whether by chance lower" in outcome.summary) is (status is not Status.PASS)


def _rise_and_fall(old_audit: Audit, counts: Counts) -> Outcome:
    """Judge classes by their images, those right before, and those right after."""
    label = [name for name, (n, *_) in counts.items() for _ in range(n)]
    before, after = (
        Predictions.of(
            label,
            [
                name if i < row[side] else next(x for x in counts if x != name)
                for name, row in counts.items()
                for i in range(row[0])
            ],
        )
        for side in (1, 2)
    )
    return _judged(after, Baseline(old_audit, before))


def _like(row: tuple[int, int, int], name: str, classes: int) -> Counts:
    return {f"{name}{i:03}": row for i in range(classes)}


FELL, ROSE = (10, 9, 6), (10, 6, 9)


def test_a_class_of_which_half_was_right_can_die(old_audit: Audit) -> None:
    others = {**_like(FELL, "f", 100), **_like(ROSE, "r", 101)}
    for row, status in (((10, 5, 0), Status.INCONCLUSIVE), ((10, 4, 0), Status.SKIP)):
        outcome = _rise_and_fall(old_audit, {**others, "dead": row})
        assert _of(outcome, "dead").status is status
        assert _of(outcome, "f000").note.endswith("too few to tell, and as many such classes rose")


@pytest.mark.parametrize(
    ("risen", "said"),
    [
        (_like(ROSE, "r", 12), "10 images are too few to tell, and as many such classes rose"),
        (_like((100, 90, 100), "r", 30), "10 images are too few to tell"),  # and 100 are not
        (_like((100, 3, 4), "r", 12), "10 images are too few to tell"),  # a point is no rise
    ],
)
def test_only_what_is_as_small_and_rose_by_more_than_the_margin_rose(
    old_audit: Audit, risen: Counts, said: str
) -> None:
    outcome = _rise_and_fall(old_audit, {**_like(FELL, "f", 12), **risen})
    assert {_of(outcome, f"f{i:03}").note for i in range(12)} == {f"3 lost, 0 won; {said}"}


@pytest.mark.parametrize(
    ("lower", "said"),
    [
        (0, ""),
        (1, "; perhaps lower: f000 (36.67 points)"),
        (4, "; perhaps lower: 4 of 80 classes, as by chance some are"),
        (
            5,
            "; perhaps lower: f000 (36.67 points), f001 (36.67 points), f002 (36.67 points) and 2 "
            "more classes",
        ),
    ],
)
def test_a_class_that_is_lower_by_itself_alone_is_named_and_not_judged(
    old_audit: Audit, lower: int, said: str
) -> None:
    """Of 30 images 14 lost and 3 won are p = 0.006; 40 classes could show something."""
    counts = {**_like((30, 14, 3), "f", lower), **_like((30, 3, 14), "r", 40 - lower)}
    outcome = _run(old_audit, {**counts, **_like((300, 0, 0), "s", 40)})
    assert outcome.status is Status.PASS
    assert ("; perhaps lower" in outcome.summary) == bool(said)
    assert said in outcome.summary


LARGE: Counts = {f"c{i}": (2000, 0, 12) for i in range(10)}
"""Ten classes that gain, so that the accuracy as a whole holds."""


def _together(outcome: Outcome) -> Finding | None:
    return next((f for f in outcome.findings if f.subject == "all rare classes"), None)


def test_rare_classes_of_few_images_that_are_lost_fail_together(old_audit: Audit) -> None:
    """All of 100 images, and of no single class it is sure."""
    outcome = _run(old_audit, {**LARGE, **_like((4, 4, 0), "r", 25)})
    assert outcome.status is Status.FAIL
    assert _of(outcome, "test").status is Status.PASS
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["all rare classes"]
    assert outcome.summary.startswith("Worse for some classes than the baseline (old): ")
    assert "; all rare classes together fell by 100.00 points; not settled" in outcome.summary


@pytest.mark.parametrize(
    "rare",
    [
        _like((4, 0, 0), "r", 25),
        {**_like((4, 1, 0), "r", 12), **_like((4, 0, 1), "s", 13)},
        {**_like((4, 2, 0), "r", 12), **_like((4, 0, 2), "s", 12)},
    ],
)
def test_their_twins_that_swap_a_few_images_pass(old_audit: Audit, rare: Counts) -> None:
    outcome = _run(old_audit, {**LARGE, **rare})
    assert outcome.status is Status.PASS
    assert _together(outcome) is None


def test_the_figures_of_rare_classes_together_are_those_of_their_images(old_audit: Audit) -> None:
    rare = {**_like((4, 2, 0), "r", 22), **_like((4, 0, 1), "s", 19), **_like((4, 0, 0), "t", 9)}
    found = _together(_run(old_audit, {**LARGE, **rare}))
    assert found is not None
    assert (found.observed, found.limit, found.n) == (-0.125, -0.05, 200)
    p = p_value(binomtest(44, 63, alternative="greater").pvalue)
    assert found.note == f"44 lost, 19 won; 50 classes together that do not fail by name: p {p}"


@pytest.mark.parametrize(("won", "fails"), [(19, True), (22, False)])
def test_rare_classes_together_have_a_tenth_of_what_the_classes_may_err(
    old_audit: Audit, won: int, fails: bool
) -> None:
    rare = {**_like((4, 2, 0), "r", 22), **_like((4, 0, 1), "s", won)}
    assert bool(binomtest(44, 44 + won, alternative="greater").pvalue <= 0.0025) is fails
    assert (_together(_run(old_audit, {**LARGE, **rare})) is not None) is fails


def test_rare_classes_together_may_fall_by_the_class_margin(old_audit: Audit) -> None:
    counts = {**LARGE, **_like((40, 1, 0), "r", 30)}
    assert _together(_run(old_audit, counts)) is None
    found = _together(_run(old_audit, counts, class_margin=0.02))
    assert found is not None
    assert found.observed == -0.025


def test_a_rare_class_that_fails_by_name_makes_no_others_fail(old_audit: Audit) -> None:
    counts = {**LARGE, **_like((4, 0, 0), "r", 25), "dead": (40, 40, 0)}
    outcome = _run(old_audit, counts)
    assert [f.subject for f in outcome.findings if f.status is Status.FAIL] == ["dead"]


def test_classes_that_are_rare_in_training_alone_are_judged_together(old_audit: Audit) -> None:
    """Five of fifty images lost in each of ten classes, as many won in each of ten others."""
    counts = {**_like((50, 5, 0), "r", 10), **_like((50, 0, 5), "c", 10)}
    before, after = _models(counts)
    train = TrainCounts({name: 1000 if name[0] == "c" else 10 for name in counts}, "")
    check, baseline = BaselineRegression(margin=0.1), Baseline(old_audit, before)
    assert _together(check.run(after, baseline, count(after, None, None))) is None
    assert _together(check.run(after, baseline, count(after, train, None))) is not None


def test_other_images_are_not_pooled(old_audit: Audit) -> None:
    before, after = _models({**LARGE, **_like((4, 4, 0), "r", 25)})
    other = replace(after, images=tuple(f"new-{image}" for image in after.images))
    assert _together(_judged(other, Baseline(old_audit, before))) is None


@pytest.mark.parametrize(("flips", "status"), [(8, Status.FAIL), (9, Status.SKIP)])
def test_rare_classes_whose_flips_could_show_nothing_cost_a_class_nothing(
    old_audit: Audit, flips: int, status: Status
) -> None:
    """Thirteen lost and four won are p = 0.0245: above nine tenths of 2.5%."""
    rare = {**_like((4, 0, 1), "r", flips), **_like((4, 0, 0), "s", 20)}
    outcome = _run(old_audit, {"a": (100, 13, 4), "b": (2000, 0, 0), **rare}, margin=0.05)
    assert _of(outcome, "a").status is status


@pytest.mark.parametrize(("classes", "images"), [(2, 40), (10, 12), (100, 4)])
@pytest.mark.parametrize("flipped", [0.1, 0.5])
def test_equal_models_fail_no_more_often_than_they_may(
    old_audit: Audit, classes: int, images: int, flipped: float
) -> None:
    random, audits, failed, together = np.random.default_rng(7), 300, 0, 0
    sizes = {"c": 1000} | {f"r{i:03}": images for i in range(classes)}
    share = [flipped / 2, flipped / 2, 1 - flipped]
    for _ in range(audits):
        counts = {
            name: (n, *random.multinomial(n, share)[:2].tolist()) for name, n in sizes.items()
        }
        outcome = _run(old_audit, counts, margin=0.0, class_margin=0.0)
        failed += outcome.status is Status.FAIL
        together += _together(outcome) is not None
    assert failed <= binom.ppf(0.999, audits, 0.05)
    assert together <= binom.ppf(0.999, audits, 0.0025)
