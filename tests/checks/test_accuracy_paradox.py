from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import proportion_confint

from auditor.check import Finding, Outcome, Status
from auditor.checks.accuracy_paradox import AccuracyParadox
from auditor.evidence.confusion import Confusion

Make = Callable[..., Confusion]
Table = dict[str, dict[str, int]]


def _ten(dead: int, right: int = 100) -> Table:
    """Ten classes of 100 images, all right but the last, of which there are ``dead``, all wrong."""
    table = {f"c{i}": {f"c{i}": right} for i in range(9)}
    return table | {"c9": {"c0": dead}}


def _finding(outcome: Outcome, subject: str, metric: str) -> Finding:
    return next(f for f in outcome.findings if (f.subject, f.metric) == (subject, metric))


def test_always_naming_the_common_class_fails(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({"ok": {"ok": 970}, "rare": {"ok": 30}}))
    assert outcome.status is Status.FAIL
    assert "only 0% of rare is recognised" in outcome.summary
    shown = {f.metric: f.observed for f in outcome.findings if f.status is Status.SKIP}
    assert shown["balanced accuracy"] == pytest.approx(0.5)
    assert shown["Cohen's kappa"] == 0.0
    assert shown["macro-F1"] == pytest.approx(0.49, abs=0.003)
    assert shown["Matthews correlation"] is None


def test_chance_is_never_above_chance(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({"ok": {"ok": 970}, "rare": {"ok": 30}}))
    finding = _finding(outcome, "test", "accuracy above the no-information rate")
    assert finding.status is Status.INCONCLUSIVE
    assert finding.limit == pytest.approx(0.97)


def test_below_chance_fails(confusion: Make) -> None:
    found = confusion({"a": {"a": 700, "b": 200}, "b": {"b": 80, "a": 20}})
    finding = AccuracyParadox().run(found).findings[0]
    assert finding.status is Status.FAIL


def test_a_little_below_chance_is_not_surely_below(confusion: Make) -> None:
    found = confusion({"a": {"a": 80, "b": 10}, "b": {"b": 8, "a": 2}})
    assert (found.accuracy, found.no_information_rate) == (0.88, 0.9)
    assert AccuracyParadox().run(found).findings[0].status is Status.INCONCLUSIVE


def test_what_fails_below_chance_says_so_though_a_class_is_unsettled_too(confusion: Make) -> None:
    found = confusion({"ok": {"ok": 1850, "fraud": 150}, "fraud": {"fraud": 2, "ok": 3}})
    outcome = AccuracyParadox().run(found)
    assert [f.metric for f in outcome.findings if f.status is Status.FAIL] == [
        "accuracy above the no-information rate"
    ]
    assert outcome.summary == (
        "Accuracy is 92.4%; always naming the commonest class gives 99.8%; perhaps missed, on too "
        "few images: fraud."
    )


def test_its_twin_above_chance_says_what_is_unsettled(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({"ok": {"ok": 2000}, "fraud": {"fraud": 2, "ok": 3}}))
    assert outcome.status is Status.INCONCLUSIVE
    assert "always naming" not in outcome.summary
    assert outcome.summary.endswith("%, balanced 70.0%; perhaps missed, on too few images: fraud.")


def test_a_figure_that_is_none_has_no_bounds(confusion: Make) -> None:
    """Kappa where all images are of one class and all are right: rounding made its bound a NaN."""
    for n in range(1, 120):
        outcome = AccuracyParadox().run(confusion({"x": {"x": n}}, ["x", "y", "z"]))
        kappa = next(f for f in outcome.findings if f.metric == "Cohen's kappa")
        assert (kappa.observed, kappa.interval) == (None, None)


MANY, FEW = (st.lists(st.integers(0, most), min_size=3, max_size=3) for most in (300, 6))


@given(common=MANY, rare=FEW, other=st.one_of(MANY, FEW))
def test_a_failure_is_told_by_its_own_reason(
    confusion: Make, common: list[int], rare: list[int], other: list[int]
) -> None:
    """Whichever failed: accuracy by scipy's exact bounds, or classes that are named."""
    counts = [*common, *rare, *other]
    assume(any(counts))
    rows = dict(zip("xyz", (common, rare, other), strict=True))
    table = {name: dict(zip("xyz", row, strict=True)) for name, row in rows.items()}
    outcome = AccuracyParadox().run(confusion(table, ["x", "y", "z"]))
    n, right = sum(counts), sum(table[a][a] for a in "xyz")
    rate = max(sum(row.values()) for row in table.values()) / n
    high = binomtest(right, n).proportion_ci(0.90, method="exact").high
    missed = [f for f in outcome.findings if f.metric == "recall" and f.status is Status.FAIL]
    if high < rate < 1 and not missed:
        assert outcome.status is Status.FAIL
        assert "always naming the commonest class gives" in outcome.summary
    elif outcome.status is Status.FAIL:
        assert "is recognised" in outcome.summary


def test_a_class_that_may_be_missed_is_told_without_a_gap(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({"a": {"b": 2}, "b": {"a": 2}}))
    assert outcome.summary == (
        "Accuracy is 0.0%, balanced 0.0%; perhaps missed, on too few images: a, b."
    )


def test_fraud_of_which_an_eighth_is_found_fails(confusion: Make) -> None:
    found = confusion(
        {"honest": {"honest": 4888, "fraud": 12}, "fraud": {"fraud": 12, "honest": 88}}
    )
    assert found.accuracy == pytest.approx(0.98)
    outcome = AccuracyParadox().run(found)
    assert outcome.status is Status.FAIL
    assert "only 12% of fraud is recognised" in outcome.summary


def test_its_clean_twin_passes(confusion: Make) -> None:
    found = confusion(
        {"honest": {"honest": 4888, "fraud": 12}, "fraud": {"fraud": 95, "honest": 5}}
    )
    assert AccuracyParadox().run(found).status is Status.PASS


def test_one_dead_class_among_ten_fails(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion(_ten(dead=100)))
    assert outcome.status is Status.FAIL
    assert outcome.summary == "Accuracy is 90.0%, but only 0% of c9 is recognised."


def _beside_nine_good_ones(right: int, n: int = 100) -> Table:
    """Ten classes, as many images of each: nine at 98%, and one that is confused with another."""
    table = {f"c{i}": {f"c{i}": 98, f"c{(i + 1) % 9}": 2} for i in range(9)}
    return table | {"c9": {"c9": right, "c0": n - right}}


@pytest.mark.parametrize(
    ("right", "status"), [(25, Status.FAIL), (45, Status.INCONCLUSIVE), (50, Status.PASS)]
)
def test_a_missed_class_fails_though_no_gap_tells_of_it(
    confusion: Make, right: int, status: Status
) -> None:
    """As many images of each class: accuracy and balanced accuracy are one."""
    outcome = AccuracyParadox().run(confusion(_beside_nine_good_ones(right)))
    assert outcome.status is status
    if status is Status.FAIL:
        failed = [f for f in outcome.findings if f.status is Status.FAIL]
        assert [(f.subject, f.observed, f.limit) for f in failed] == [("c9", 0.25, 0.5)]
        assert outcome.summary == "Accuracy is 90.7%, but only 25% of c9 is recognised."


def test_its_twin_whose_worst_class_is_good_enough_passes(confusion: Make) -> None:
    assert AccuracyParadox().run(confusion(_beside_nine_good_ones(70))).status is Status.PASS


def test_missed_classes_are_counted(confusion: Make) -> None:
    table = {name: {"a": 80, name: n} for name, n in (("x", 20), ("y", 10), ("z", 15))}
    outcome = AccuracyParadox().run(confusion({"a": {"a": 100}, "b": {"b": 100}} | table))
    assert "only 11% of y is recognised, and 2 more classes are missed" in outcome.summary


def test_the_share_that_makes_a_class_missed_is_the_users(confusion: Make) -> None:
    lower = AccuracyParadox(missed_below=0.2)
    assert lower.run(confusion(_beside_nine_good_ones(25))).status is Status.PASS
    assert lower.run(confusion(_beside_nine_good_ones(5))).status is Status.FAIL


def test_what_is_dead_is_missed_whatever_is_called_missed(confusion: Make) -> None:
    found = confusion({"a": {"a": 1000}, "b": {"b": 300, "a": 700}})
    check = AccuracyParadox(missed_below=0.1, dead_below=0.5)
    recall = _finding(check.run(found), "b", "recall")
    assert (recall.limit, recall.status) == (0.5, Status.FAIL)


def _of_a_thousand(confusion: Make, missed: int, right: int = 10, **options: float) -> Outcome:
    """A thousand classes of 50 images, of which some are hardly recognised."""
    table: Table = {
        f"c{i:04}": (
            {f"c{i:04}": right, f"c{i + 1:04}": 50 - right} if i < missed else {f"c{i:04}": 50}
        )
        for i in range(1000)
    }
    return AccuracyParadox(**options).run(confusion(table))


@pytest.mark.parametrize(("missed", "status"), [(10, Status.PASS), (11, Status.FAIL)])
def test_of_a_thousand_classes_a_few_may_be_hard_and_are_named(
    confusion: Make, missed: int, status: Status
) -> None:
    outcome = _of_a_thousand(confusion, missed)
    assert outcome.status is status
    assert {f.subject for f in outcome.findings if f.metric == "recall"} == {
        f"c{i:04}" for i in range(missed)
    }
    if status is Status.PASS:
        assert outcome.summary.endswith(
            "; missed, as 10 of 1,000 classes may be: c0000, c0001, c0002 and 7 more."
        )


def test_none_of_them_may_be_dead_and_the_share_is_the_users(confusion: Make) -> None:
    assert _of_a_thousand(confusion, 1, right=4).status is Status.FAIL
    assert _of_a_thousand(confusion, 1, right=5).status is Status.PASS, "10% is not below 10%"
    assert _of_a_thousand(confusion, 1, max_missed=0.0).status is Status.FAIL
    assert _of_a_thousand(confusion, 0, max_missed=0.0).status is Status.PASS


def _twenties(right: int, low: int, classes: int) -> Table:
    """Classes of 20 images, of which some are recognised in so many and the others in all."""
    table: Table = {f"c{i:02}": {f"c{i:02}": right, f"c{i + 1:02}": 20 - right} for i in range(low)}
    return table | {f"c{i:02}": {f"c{i:02}": 20} for i in range(low, classes)}


@pytest.mark.parametrize("classes", [10, 99])
@pytest.mark.parametrize(
    ("right", "status"), [(4, Status.INCONCLUSIVE), (9, Status.INCONCLUSIVE), (10, Status.PASS)]
)
def test_a_class_that_looks_missed_is_not_passed_over_where_none_may_be(
    confusion: Make, classes: int, right: int, status: Status
) -> None:
    """Of 20 images 4 are p = 0.006 at the bar, which Holm upholds neither among 10 nor among 99."""
    assert 10 * binom.cdf(4, 20, 0.5) > 0.05 > binom.cdf(4, 20, 0.5)
    outcome = AccuracyParadox().run(confusion(_twenties(right, 1, classes)))
    assert outcome.status is status
    if status is Status.INCONCLUSIVE:
        assert _finding(outcome, "c00", "recall").status is status
        assert outcome.summary.endswith("; perhaps missed, on too few images: c00.")


@pytest.mark.parametrize(
    ("low", "max_missed", "status"),
    [
        (6, 0.01, Status.PASS),  # the one that may be missed, and five by chance
        (7, 0.01, Status.INCONCLUSIVE),
        (1, 0.0, Status.INCONCLUSIVE),
        (15, 0.1, Status.PASS),
        (16, 0.1, Status.INCONCLUSIVE),
    ],
)
def test_some_may_look_missed_where_some_may_be_and_are_named(
    confusion: Make, low: int, max_missed: float, status: Status
) -> None:
    check = AccuracyParadox(max_missed=max_missed)
    outcome = check.run(confusion(_twenties(4, low, 100)))
    assert outcome.status is status
    assert "perhaps missed, on too few images" in outcome.summary
    if status is Status.PASS:
        assert f"as {low} of 100 classes may be: c00, c01, c02 and " in outcome.summary


def test_those_that_surely_are_missed_are_counted_first(confusion: Make) -> None:
    """Of 70 that may look it twenty surely are missed, and 50 are not upheld."""

    def judged(look: int) -> Outcome:
        table: Table = {
            f"c{i:04}": {f"c{i:04}": right, f"c{i + 1:04}": 50 - right}
            for i, right in enumerate([10] * 20 + [16] * look + [50] * (980 - look))
        }
        return AccuracyParadox(max_missed=0.02).run(confusion(table))

    assert judged(51).status is Status.INCONCLUSIVE
    outcome = judged(50)
    assert outcome.status is Status.PASS
    assert outcome.summary.endswith(
        "; missed, as 20 of 1,000 classes may be: c0000, c0001, c0002 and 17 more; perhaps missed, "
        "on too few images, as 70 of 1,000 classes may be: c0020, c0021, c0022 and 47 more."
    )


@pytest.mark.parametrize(("confidence", "may"), [(0.95, 6), (0.9, 11), (0.8, 21)])
def test_so_many_may_look_missed_as_decimals_say(
    confusion: Make, confidence: float, may: int
) -> None:
    """In binary 1 - 0.9 is below 0.1."""
    check = AccuracyParadox(confidence=confidence)
    said = [check.run(confusion(_twenties(5, low, 100))).status for low in (may, may + 1)]
    assert said == [Status.PASS, Status.INCONCLUSIVE]


def test_both_those_behind_a_gap_and_those_that_look_dead_are_named(confusion: Make) -> None:
    """One of a hundred may be missed and surely is, the gap is not settled, another looks dead."""
    frequent: Table = {f"c{i:02}": {f"c{i:02}": 60} for i in range(1, 81)}
    few: Table = {f"c{i:02}": {f"c{i:02}": 2, f"c{i - 80:02}": 2} for i in range(81, 99)}
    missed: Table = {"c00": {"c00": 12, "c05": 48}, "c99": {"c19": 4}}
    outcome = AccuracyParadox().run(confusion(missed | frequent | few))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary.endswith(
        "; missed: c00, behind a gap that may be small enough; perhaps missed, on too few images: "
        "c99."
    )


@pytest.mark.parametrize(
    ("share", "classes", "missed"), [(0.29, 100, 29), (0.07, 100, 7), (0.28, 50, 14), (0.01, 99, 0)]
)
def test_a_share_of_the_classes_is_as_many_as_in_decimals(
    confusion: Make, share: float, classes: int, missed: int
) -> None:
    """In binary 0.29 * 100 is below 29."""

    def status(missed: int) -> Status:
        low: Table = {f"c{i}": {f"c{i}": 10, f"c{i + 1}": 40} for i in range(missed)}
        good: Table = {f"c{i}": {f"c{i}": 50} for i in range(missed, classes)}
        check = AccuracyParadox(max_missed=share, max_gap=1.0)
        return check.run(confusion(low | good)).status

    assert (status(missed), status(missed + 1)) == (Status.PASS, Status.FAIL)


@pytest.mark.parametrize("interval", ["exact", "wilson"])
def test_what_is_missed_is_upheld_by_an_exact_test(confusion: Make, interval: str) -> None:
    """Of twenty, four by chance are 0.6%; the score test would say 0.4%, and fail among ten."""
    table: Table = {f"c{i}": {f"c{i}": 100} for i in range(9)}
    found = confusion(table | {"low": {"low": 4, "c0": 16}})
    check = AccuracyParadox.model_validate({"interval": interval, "dead_below": 0.5})
    recall = _finding(check.run(found), "low", "recall")
    assert 10 * binom.cdf(4, 20, 0.5) > 0.05
    assert recall.status is Status.INCONCLUSIVE
    assert "Holm over 10 classes: p = 0.059" in recall.note


def test_candidates_on_the_bar_fail_no_more_often_than_they_may(confusion: Make) -> None:
    """Twenty classes at 50%: Holm leaves one wrong failure in twenty audits at most."""
    random, failed = np.random.default_rng(0), 0
    for right in random.binomial(60, 0.5, (300, 20)):
        table = {f"c{i:02}": {f"c{i:02}": int(k), "z": 60 - int(k)} for i, k in enumerate(right)}
        outcome = AccuracyParadox().run(confusion(table, [*table, "z"]))
        failed += any(f.status is Status.FAIL and f.metric == "recall" for f in outcome.findings)
    assert failed <= binom.ppf(0.999, 300, 0.05)


def test_its_living_twin_passes(confusion: Make) -> None:
    table = {f"c{i}": {f"c{i}": 100} for i in range(10)}
    assert AccuracyParadox().run(confusion(table)).status is Status.PASS


@pytest.mark.parametrize("n", [1, 3, 7])
def test_a_dead_class_of_few_images_is_never_a_pass(confusion: Make, n: int) -> None:
    outcome = AccuracyParadox().run(confusion(_ten(dead=n)))
    assert outcome.status is Status.INCONCLUSIVE
    finding = _finding(outcome, "c9", "recall")
    assert (finding.observed, finding.n, finding.status) == (0, n, Status.INCONCLUSIVE)
    assert "c9" in outcome.summary


def test_a_class_perhaps_missed_behind_a_gap_is_inconclusive(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({"a": {"a": 100}, "b": {"b": 1, "a": 2}}))
    gap = _finding(outcome, "test", "accuracy minus balanced accuracy")
    assert gap.status is Status.INCONCLUSIVE
    assert "b" in gap.note
    assert gap.note in outcome.summary


def test_a_gap_without_a_missed_class_is_no_paradox(confusion: Make) -> None:
    found = confusion({"a": {"a": 990, "b": 10}, "b": {"b": 65, "a": 35}})
    gap = _finding(AccuracyParadox().run(found), "test", "accuracy minus balanced accuracy")
    assert gap.observed is not None
    assert gap.observed > 0.10
    assert gap.status is Status.PASS
    assert (gap.limit, gap.note) == (None, "not limited: it hides no missed class")


@pytest.mark.parametrize("interval", ["exact", "wilson"])
@pytest.mark.parametrize("confidence", [0.95, 0.999])
def test_accuracy_is_above_chance_where_the_exact_test_says_so(
    confusion: Make, interval: str, confidence: float
) -> None:
    options = {"interval": interval, "confidence": confidence}
    check = AccuracyParadox.model_validate(options)
    for n in range(960, 1001):
        found = confusion({"a": {"a": 960}, "b": {"b": n - 960, "a": 1000 - n}})
        chance = check.run(found).findings[0]
        shown = binom.sf(n - 1, 1000, 0.96) < 1 - confidence
        assert (chance.status is Status.PASS) is bool(shown)


def test_an_absent_class_is_inconclusive_though_the_mean_leaves_it_out(confusion: Make) -> None:
    found = confusion({"a": {"a": 100}, "b": {"b": 100}}, ["a", "b", "ghost"])
    assert found.balanced_accuracy == 1.0
    outcome = AccuracyParadox().run(found)
    assert outcome.status is Status.INCONCLUSIVE
    assert "no test image of: ghost" in outcome.summary


@pytest.mark.parametrize("wrong", [0, 1, 50])
def test_a_test_set_of_one_class_is_inconclusive(confusion: Make, wrong: int) -> None:
    outcome = AccuracyParadox().run(confusion({"a": {"a": 500, "b": wrong}}, ["a", "b"]))
    assert outcome.status is Status.INCONCLUSIVE
    assert "no test image of: b" in outcome.summary


@pytest.mark.parametrize("table", [{"a": {"a": 1}}, {"a": {"b": 1}}])
def test_one_image_never_passes(confusion: Make, table: Table) -> None:
    assert AccuracyParadox().run(confusion(table, ["a", "b"])).status is Status.INCONCLUSIVE


def test_no_image_is_inconclusive(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({}, ["a", "b"]))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary == "There is no test image, so there is no accuracy."


@pytest.mark.parametrize(("right", "status"), [(975, Status.INCONCLUSIVE), (980, Status.PASS)])
def test_above_chance_as_caret_decides(confusion: Make, right: int, status: Status) -> None:
    table = {"ok": {"ok": 970}, "rare": {"rare": right - 970, "ok": 1000 - right}}
    assert AccuracyParadox().run(confusion(table)).findings[0].status is status


def test_among_many_classes_a_dead_one_must_survive_holm(confusion: Make) -> None:
    def judged(classes: int, dead: int) -> tuple[Status, str]:
        table = {f"c{i}": {f"c{i}": 100} for i in range(classes)}
        outcome = AccuracyParadox().run(confusion(table | {"dead": {"c0": dead}}))
        return outcome.status, _finding(outcome, "dead", "recall").note

    assert judged(9, 7)[0] is Status.INCONCLUSIVE  # 10 × 0.5 to the 7th
    assert "Holm over 10 classes: p = 0.078" in judged(9, 7)[1]
    status, note = judged(9, 8)
    assert status is Status.FAIL
    assert note.startswith("Holm over 10 classes: p = ")


def test_classes_below_one_by_one_are_not_missed_together(confusion: Make) -> None:
    """11 of 32 is p = 0.026 at 53%, and 0.18 among seven classes."""
    table = {"a": {"a": 20_000}} | {f"c{i}": {f"c{i}": 11, "a": 21} for i in range(3)}
    table |= {f"g{i}": {f"g{i}": 30} for i in range(3)}
    gap = _finding(
        AccuracyParadox(missed_below=0.53).run(confusion(table)),
        "test",
        "accuracy minus balanced accuracy",
    )
    assert gap.status is Status.INCONCLUSIVE
    assert gap.note.startswith("perhaps missed")


def _of_few_images(right: int, wrong: int) -> Table:
    table: Table = {f"c{i}": {f"c{i}": 40} for i in range(100)}
    return table | {f"r{i}": {f"r{i}": right, "c0": wrong} for i in range(100)}


def test_classes_of_few_images_are_missed_together(confusion: Make) -> None:
    """None of 400 images right, and of no class it is sure."""
    outcome = AccuracyParadox().run(confusion(_of_few_images(0, 4)))
    gap = _finding(outcome, "test", "accuracy minus balanced accuracy")
    assert outcome.status is gap.status is Status.FAIL
    assert "only 0% of 400 images of 100 rare classes together is recognised" in outcome.summary


@pytest.mark.parametrize("right", [2, 3, 4])
def test_their_twins_on_the_bar_and_above_do_not_fail(confusion: Make, right: int) -> None:
    outcome = AccuracyParadox().run(confusion(_of_few_images(right, 4 - right)))
    assert outcome.status is Status.PASS


def test_rare_classes_on_the_bar_fail_together_no_more_often_than_they_may(
    confusion: Make,
) -> None:
    random, failed = np.random.default_rng(5), 0
    for right in random.binomial(4, 0.5, (200, 60)).tolist():
        table = {f"c{i}": {f"c{i}": 60} for i in range(60)}
        table |= {f"r{i}": {f"r{i}": k, "c0": 4 - k} for i, k in enumerate(right)}
        failed += AccuracyParadox().run(confusion(table)).status is Status.FAIL
    assert failed <= binom.ppf(0.999, 200, 0.05)


def test_a_gap_that_may_be_small_enough_is_not_settled(confusion: Make) -> None:
    table = {f"c{i}": {f"c{i}": 500} for i in range(6)} | {"low": {"low": 2, "c0": 14}}
    outcome = AccuracyParadox().run(confusion(table))
    gap = _finding(outcome, "test", "accuracy minus balanced accuracy")
    assert gap.interval is not None
    assert gap.interval[0] < 0.10 < gap.interval[1]
    assert gap.status is Status.INCONCLUSIVE
    assert gap.note == "missed: low, behind a gap that may be small enough"
    assert outcome.status is Status.FAIL, "of the class itself"


def test_what_is_shown_has_intervals(confusion: Make) -> None:
    outcome = AccuracyParadox().run(confusion({"a": {"a": 95, "b": 5}, "b": {"b": 5}}))
    shown = [f for f in outcome.findings if f.status is Status.SKIP]
    assert len(shown) == 4
    for finding in shown:
        assert finding.observed is not None
        assert finding.interval is not None
        assert finding.interval[0] < finding.observed < finding.interval[1]


@pytest.mark.parametrize(("interval", "method"), [("exact", "beta"), ("wilson", "wilson")])
def test_wilson_may_be_asked_for(confusion: Make, interval: str, method: str) -> None:
    check = AccuracyParadox.model_validate({"interval": interval})

    def dead(n: int) -> Finding:
        outcome = check.run(confusion({"a": {"a": 4000}, "dead": {"a": n}}))
        return _finding(outcome, "dead", "recall")

    assert dead(6).interval == pytest.approx(proportion_confint(0, 6, 0.1, method), abs=1e-9)
    assert dead(6).status is Status.FAIL, "of two classes, at p = 0.03"
    assert dead(5).status is Status.INCONCLUSIVE, "at p = 0.06"
