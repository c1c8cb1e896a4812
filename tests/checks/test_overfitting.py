from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from auditor.check import Status
from auditor.checks.overfitting import Overfitting
from auditor.evidence.overlap import Overlap, OverlapPair
from auditor.evidence.predictions import Predictions
from auditor.evidence.training_log import TrainingLog
from auditor.generalisation import TrainTestGap
from tests.references import gap_bounds

Side = Callable[[int, int], Predictions]


@pytest.fixture
def side(predictions: Callable[..., Predictions]) -> Side:
    def make(right: int, wrong: int) -> Predictions:
        return predictions({"a": {"a": right, "b": wrong}}, ["a", "b"])

    return make


def _log(train: Sequence[float], validation: Sequence[float]) -> TrainingLog:
    epoch = np.arange(len(train), dtype=float)
    return TrainingLog(epoch, np.array(train), np.array(validation), np.full(len(train), np.nan))


def test_a_memorising_candidate_fails(side: Side) -> None:
    outcome = Overfitting().run(side(1000, 0), side(800, 200), None, None)
    assert outcome.status is Status.FAIL
    assert "a gap of 20.0 points (at most 5 allowed)" in outcome.summary


def test_a_candidate_that_generalises_passes(side: Side) -> None:
    assert Overfitting().run(side(960, 40), side(950, 50), None, None).status is Status.PASS


Rows = dict[str, dict[str, int]]
BALANCED: Rows = {"a": {"a": 1000}, "b": {"b": 800, "a": 200}}


def test_frequent_easy_classes_hide_no_gap(predictions: Callable[..., Predictions]) -> None:
    """Recall falls by 6 points and by 10; pooled, test accuracy is higher than training's."""
    train = predictions(BALANCED, ["a", "b"])
    test = predictions({"a": {"a": 7990, "b": 510}, "b": {"b": 1050, "a": 450}}, ["a", "b"])
    assert test.correct.mean() > train.correct.mean()
    outcome = Overfitting().run(train, test, None, None)
    assert outcome.status is Status.FAIL
    assert outcome.findings[0].observed == pytest.approx(0.85 * 0.06 + 0.15 * 0.10)
    assert outcome.findings[0].interval == pytest.approx(
        gap_bounds([(0.85, 1000, 1000), (0.15, 800, 1000)], 9040, 10_000), abs=1e-7
    )
    assert "Training accuracy is 97.0% at the test images' class shares, test" in outcome.summary
    assert [f.observed for f in outcome.findings[1:]] == pytest.approx([0.9, 0.904, 0.97])


def test_frequent_hard_classes_are_no_gap(predictions: Callable[..., Predictions]) -> None:
    test = predictions({"a": {"a": 500}, "b": {"b": 1600, "a": 400}}, ["a", "b"])
    train = predictions(BALANCED, ["a", "b"])
    assert Overfitting().run(train, test, None, None).status is Status.PASS


@given(counts=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 9)), min_size=2, max_size=12))
def test_what_is_learnt_by_heart_is_learnt_without_remainder(
    predictions: Callable[..., Predictions], counts: list[tuple[int, int]]
) -> None:
    """Shares of classes rarely sum to 1: none would print as 100.000000000%."""
    tested = {f"c{i}": {f"c{i}": n} for i, (n, _) in enumerate(counts)}
    trained = {f"c{i}": {f"c{i}": n} for i, (_, n) in enumerate(counts)}
    if not any(n for n, _ in counts) or not any(n for _, n in counts):
        return
    train, test = predictions(trained, [*trained]), predictions(tested, [*tested])
    missed = replace(train, predicted=(train.label + 1) % len(counts))
    assert TrainTestGap.of(train, test, 0.95).learnt == 1.0
    assert TrainTestGap.of(missed, test, 0.95).learnt == 0.0


@pytest.mark.parametrize(
    ("classes", "each", "accuracy"),
    [(1000, 10, 0.98), (1000, 2, 0.9), (10, 1000, 0.98), (200, 5, 0.1)],
)
def test_a_gap_on_the_limit_passes_and_fails_no_more_often_than_it_may(
    classes: int, each: int, accuracy: float
) -> None:
    """Where all or none of a class's few training images are right, its bounds leave no room."""
    names = [f"c{i}" for i in range(classes)]
    random, audits = np.random.default_rng(3), 400

    def drawn(n: int, accuracy: float) -> Callable[[], Predictions]:
        label = np.tile(np.arange(classes), n // classes)
        base = Predictions(tuple(names), ("x",) * len(label), label, label)
        return lambda: replace(
            base,
            predicted=np.where(random.random(len(label)) < accuracy, label, (label + 1) % classes),
        )

    train, test = drawn(classes * each, accuracy), drawn(10_000, accuracy - 0.05)
    found = [Overfitting().run(train(), test(), None, None).status for _ in range(audits)]
    for wrong in (Status.PASS, Status.FAIL):
        assert found.count(wrong) <= binom.ppf(0.999, audits, 0.05)


def test_classes_are_known_by_name(predictions: Callable[..., Predictions]) -> None:
    test = predictions({"b": {"b": 800, "a": 200}, "a": {"a": 1000}}, ["b", "a"])
    outcome = Overfitting().run(predictions(BALANCED, ["a", "b"]), test, None, None)
    assert outcome.status is Status.PASS
    assert outcome.findings[0].observed == pytest.approx(0)


@pytest.mark.parametrize(("strange", "status"), [(4, Status.PASS), (400, Status.INCONCLUSIVE)])
def test_a_class_that_was_not_trained_on_may_be_anything(
    predictions: Callable[..., Predictions], strange: int, status: Status
) -> None:
    test = predictions({"a": {"a": 3200, "c": 800}, "c": {"a": strange}}, ["a", "c"])
    train = predictions({"a": {"a": 1600, "c": 400}}, ["a", "c"])
    outcome = Overfitting().run(train, test, None, None)
    assert outcome.status is status
    assert "of the test images are of classes without training images" in outcome.summary


def test_a_class_that_was_not_trained_on_may_have_been_learnt_by_heart(
    predictions: Callable[..., Predictions],
) -> None:
    """Without it the gap is surely 0; on a third of the test images it may be anything."""
    train = predictions({"a": {"a": 1600, "c": 400}}, ["a", "c"])
    test = predictions({"a": {"a": 3200, "c": 800}, "c": {"c": 1600, "a": 400}}, ["a", "c"])
    outcome = Overfitting().run(train, test, None, None)
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.findings[0].observed is None, "which leaves a pull request undecided"
    low, high = gap_bounds([(2 / 3, 1600, 2000)], 4800, 6000)
    interval = TrainTestGap.of(train, test, 0.95).interval
    assert interval == pytest.approx((low, high + 1 / 3), abs=1e-7)


def test_few_images_of_classes_without_training_images_leave_a_figure(
    predictions: Callable[..., Predictions],
) -> None:
    train = predictions({"a": {"a": 400}}, ["a", "c"])
    for strange, measured in ((10, True), (30, False)):
        test = predictions({"a": {"a": 362, "c": 20}, "c": {"a": strange}}, ["a", "c"])
        outcome = Overfitting().run(train, test, None, None)
        assert outcome.status is Status.INCONCLUSIVE
        assert (outcome.findings[0].observed is not None) is measured


def test_a_little_better_on_test_than_on_training_passes(side: Side) -> None:
    outcome = Overfitting().run(side(940, 60), side(990, 10), None, None)
    assert outcome.status is Status.PASS
    assert outcome.findings[0].observed == pytest.approx(-0.05)
    assert "a gap of −5.0 points" in outcome.summary


def test_surely_worse_on_training_than_on_test_is_no_pass(side: Side) -> None:
    """No model is: the files are swapped, or the test images were predicted twice."""
    outcome = Overfitting().run(side(700, 300), side(990, 10), None, None)
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.findings[0].observed is None, "which leaves a pull request undecided"
    assert [f.observed for f in outcome.findings[1:]] == [0.7, 0.99]
    assert "a gap of −29.0 points (at most 5 allowed); training accuracy is" in outcome.summary
    assert "the files are swapped" in outcome.summary


@pytest.mark.parametrize("accuracy", [0.6, 0.95])
@pytest.mark.parametrize(("below", "most"), [(0.05, 0.05), (0.02, 0.001)])
def test_honest_training_predictions_are_hardly_ever_taken_for_swapped(
    side: Side, accuracy: float, below: float, most: float
) -> None:
    """Augmentation costs two points, or as many as it may; however small the gap is to be."""
    random, audits = np.random.default_rng(4), 300
    right = zip(
        random.binomial(2000, accuracy - below, audits).tolist(),
        random.binomial(1000, accuracy, audits).tolist(),
        strict=True,
    )
    said = [
        Overfitting(max_gap=0.0).run(side(k, 2000 - k), side(m, 1000 - m), None, None).summary
        for k, m in right
    ]
    assert sum("swapped" in text for text in said) <= binom.ppf(0.999, audits, most)


@pytest.mark.parametrize(
    ("train", "test"), [((192, 8), (186, 14)), ((500, 0), (93, 7)), ((90, 10), (87, 13))]
)
def test_it_says_how_many_images_would_settle_it(
    side: Side, train: tuple[int, int], test: tuple[int, int]
) -> None:
    outcome = Overfitting().run(side(*train), side(*test), None, None)
    assert outcome.status is Status.INCONCLUSIVE
    found = re.match(r"about ([\d,]+) more test images, with training", outcome.findings[0].note)
    assert found is not None
    more, n = int(found[1].replace(",", "")), sum(test)

    def settled(total: float) -> bool:
        seen, learnt = round(total * test[0] / n), round(total * train[0] / n)
        images = round(total), round(total * sum(train) / n)
        sides = side(learnt, images[1] - learnt), side(seen, images[0] - seen)
        return Overfitting().run(*sides, None, None).status is not Status.INCONCLUSIVE

    assert settled(1.2 * (n + more))
    assert not settled(n + 0.8 * more)


def test_a_gap_on_the_limit_is_settled_by_no_number(side: Side) -> None:
    outcome = Overfitting().run(side(100, 0), side(95, 5), None, None)
    assert outcome.findings[0].note.startswith("no number of test images")


@pytest.mark.parametrize(("train", "test"), [((1, 0), (1, 0)), ((1, 0), (0, 1)), ((50, 0), (1, 0))])
def test_one_image_never_settles_it(
    side: Side, train: tuple[int, int], test: tuple[int, int]
) -> None:
    outcome = Overfitting().run(side(*train), side(*test), None, None)
    assert outcome.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("train", "test", "lacking"),
    [((0, 0), (9, 0), "training"), ((9, 0), (0, 0), "test"), ((0, 0), (0, 0), "test")],
)
def test_no_image_is_inconclusive(
    side: Side, train: tuple[int, int], test: tuple[int, int], lacking: str
) -> None:
    outcome = Overfitting().run(side(*train), side(*test), None, None)
    assert outcome.status is Status.INCONCLUSIVE
    assert f"there are no {lacking} images" in outcome.summary


def test_leaked_images_do_not_hide_the_gap(side: Side) -> None:
    test = side(900, 100)
    pairs = tuple(OverlapPair(i, "t", "same-bytes", 0, 1.0, "a", "a") for i in test.images[:800])
    leak = Overlap(pairs, (), 1000, {}, 1000)
    assert Overfitting(max_gap=0.2).run(side(1000, 0), test, None, None).status is Status.PASS
    outcome = Overfitting(max_gap=0.2).run(side(1000, 0), test, leak, None)
    assert outcome.status is Status.FAIL
    assert "without 800 overlapping images" in outcome.summary
    one = Overfitting().run(side(1000, 0), test, Overlap(pairs[:1], (), 1000, {}, 1000), None)
    assert "without 1 overlapping image:" in one.summary


def test_nothing_but_leaked_images_is_inconclusive(side: Side) -> None:
    test = side(50, 0)
    pairs = tuple(OverlapPair(i, "t", "same-bytes", 0, 1.0, "a", "a") for i in test.images)
    outcome = Overfitting().run(side(50, 0), test, Overlap(pairs, (), 50, {}, 50), None)
    assert outcome.status is Status.INCONCLUSIVE


def test_what_was_added_to_a_sample_counts_for_its_class_alone(
    predictions: Callable[..., Predictions],
) -> None:
    """Of the rare class 10 images are of the sample, and 190 were added."""
    train = predictions({"a": {"a": 1000}, "b": {"b": 150, "a": 50}}, ["a", "b"])
    sample = replace(train, representative=np.arange(1200) < 1010)  # the first of b are right
    test = predictions({"a": {"a": 80, "b": 20}, "b": {"b": 60, "a": 40}}, ["a", "b"])
    outcome, whole = (Overfitting().run(t, test, None, None) for t in (sample, train))
    assert outcome.findings[0].interval == whole.findings[0].interval
    assert outcome.findings[0].observed == pytest.approx((0.20 + 0.15) / 2)
    assert (outcome.findings[1].observed, whole.findings[1].observed) == (1.0, 1150 / 1200)
    assert (outcome.findings[1].n, whole.findings[1].n) == (1010, 1200)


def test_a_class_that_was_not_trained_on_counts_as_the_sample_does(
    predictions: Callable[..., Predictions],
) -> None:
    train = predictions({"a": {"a": 900, "b": 100}, "b": {"b": 100}}, ["a", "b"])
    sample = replace(train, representative=np.arange(1100) < 1000)
    test = predictions({"c": {"c": 100}}, ["a", "b", "c"])
    assert TrainTestGap.of(sample, test, 0.95).learnt == 0.9


def test_the_limit_itself_is_allowed(side: Side) -> None:
    wide, narrow = Overfitting(max_gap=1.0), Overfitting(max_gap=0.0)
    assert wide.run(side(100, 0), side(0, 100), None, None).status is Status.PASS
    assert narrow.run(side(50, 50), side(50, 50), None, None).status is Status.INCONCLUSIVE


def test_a_rising_validation_loss_is_reported_not_judged(side: Side) -> None:
    log = _log([1.0, 0.5, 0.2, 0.1], [1.0, 0.6, 0.7, 0.9])
    outcome = Overfitting().run(side(960, 40), side(950, 50), None, log)
    assert outcome.status is Status.PASS
    assert "rose by 50% since epoch 1" in outcome.summary


@pytest.mark.parametrize(
    "log",
    [
        _log([1.0, 0.5, 0.2], [1.0, 0.6, 0.5]),
        _log([1.0, 0.5, 0.2], [1.0, 0.6, 0.65]),
        _log([0.2, 0.5, 1.0], [0.6, 0.7, 0.9]),
        _log([1.0], [1.0]),
        _log([1.0, 0.5], [float("nan"), float("nan")]),
    ],
)
def test_other_logs_say_nothing(side: Side, log: TrainingLog) -> None:
    outcome = Overfitting().run(side(960, 40), side(950, 50), None, log)
    assert "training log" not in {f.subject for f in outcome.findings}
