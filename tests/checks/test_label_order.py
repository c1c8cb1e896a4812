from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import beta, binom, binomtest

from auditor.check import MOST_CONFIDENCE, Status
from auditor.checks.label_order import LabelOrder
from auditor.comparison.paired import paired_interval
from auditor.data.classes import stored_classes
from auditor.evidence.predictions import Predictions
from auditor.renaming import best_renaming, cycles, folder_orders, renaming_gain, reserve

Codes = NDArray[np.int64]
ITEMS = tuple(f"item{k}" for k in range(1, 13))  # natural order: item2 before item10


def _predictions(classes: Sequence[str], label: Codes, predicted: Codes) -> Predictions:
    images = tuple(f"{i}.jpg" for i in range(len(label)))
    return Predictions(tuple(classes), images, label, predicted, about={"candidate": {}})


def _model(
    k: int, n: int, accuracy: float, outputs: Codes | None = None, seed: int = 0
) -> Predictions:
    """A model that is right as often as told; ``outputs`` says what each class is called."""
    random = np.random.default_rng(seed)
    label = random.integers(0, k, n)
    wrong = (label + random.integers(1, k, n)) % k
    predicted = np.where(random.random(n) < accuracy, label, wrong)
    names = [f"c{i:04}" for i in range(k)]
    return _predictions(names, label, predicted if outputs is None else outputs[predicted])


def _swapped(k: int, a: int, b: int) -> Codes:
    outputs = np.arange(k)
    outputs[[a, b]] = b, a
    return outputs


def test_an_order_that_no_image_speaks_for_is_inconclusive() -> None:
    """All images are put into a class that stays where it is, whatever the limit."""
    label = np.zeros(40, np.int64)
    test = _predictions(("a", "item10", "item2"), label, label)
    outcome = LabelOrder(max_gain=1.0).run(test)
    assert outcome.status is Status.INCONCLUSIVE
    assert [f.n for f in outcome.findings[:2]] == [0, 40]


def test_plain_order_read_as_natural_is_named() -> None:
    plain = sorted(ITEMS)
    random = np.random.default_rng(0)
    label = random.integers(0, 12, 600)
    right = random.random(600) < 0.85
    true = np.where(right, label, random.integers(0, 12, 600))
    said = np.array([plain.index(ITEMS[i]) for i in true])  # the output, as plain order has it
    outcome = LabelOrder().run(_predictions(ITEMS, label, said))
    assert outcome.status is Status.FAIL
    assert "The outputs stand in the plain order (torchvision's)" in outcome.summary
    assert "[candidate] classes" in outcome.summary
    assert outcome.findings[0].subject == "plain order (torchvision's)"
    notes = {f.subject: f.note for f in outcome.findings}
    assert notes["item2"] == 'what is called "item2" is "item10"'
    assert "item1" not in notes


def test_natural_order_read_as_plain_is_named() -> None:
    plain = sorted(ITEMS)
    label = np.arange(600) % 12
    said = np.array([ITEMS.index(plain[i]) for i in label])
    outcome = LabelOrder().run(_predictions(plain, label, said))
    assert "in the natural order (timm's)" in outcome.summary
    assert "then 100.0% of 600 test images are right, not 8.3%" in outcome.summary


def test_of_two_orders_that_fail_the_one_is_named_that_explains_it() -> None:
    """Read as if one class was moved, another order than the plain one is what it is in."""
    natural = ("apple", "bee", "cat2", "cat10", "Dog")
    read = ("Dog", "apple", "bee", "cat2", "cat10")
    label = np.random.default_rng(0).integers(0, 5, 500)
    predicted = np.array([natural.index(read[k]) for k in label])  # outputs in natural order
    outcome = LabelOrder().run(_predictions(read, label, predicted))
    assert outcome.status is Status.FAIL
    assert "natural order" in outcome.summary
    assert "100.0% of 500 test images are right" in outcome.summary


def test_its_clean_twin_passes() -> None:
    label = np.arange(600) % 12
    for classes in (ITEMS, sorted(ITEMS)):
        outcome = LabelOrder().run(_predictions(classes, label, label))
        assert outcome.status is Status.PASS
        assert outcome.summary == "No renaming of the outputs makes the candidate much better."


def test_the_suspects_share_what_the_confidence_leaves() -> None:
    """The plain order and any renaming are two: each bound holds with 97.5%."""
    label = np.arange(600) % 12
    predicted = np.where(np.arange(600) % 5, label, (label + 1) % 12)
    test = _predictions(ITEMS, label, predicted)
    findings = LabelOrder().run(test).findings
    assert [f.subject for f in findings] == [
        "plain order (torchvision's)",
        "any renaming of all outputs",
    ]
    gain = renaming_gain(test, folder_orders(ITEMS)["plain order (torchvision's)"])
    expected = paired_interval(gain.lost, gain.won, gain.n, 0.975)
    assert findings[0].interval == pytest.approx(expected)
    p_value = binomtest(gain.won, gain.won + gain.lost, 0.5, alternative="greater").pvalue
    assert gain.p_value == pytest.approx(p_value)
    assert findings[1].interval == pytest.approx(paired_interval(480, 120, 600, 0.975))


@pytest.mark.parametrize(
    ("outputs", "judged"),
    [
        ([1, 0, 2, 3, 4], ["best renaming"]),
        ([1, 0, 3, 2, 4], ["best renaming", "c0, c1", "c2, c3"]),
    ],
)
def test_cycles_share_what_the_confidence_leaves_where_there_are_several(
    outputs: list[int], judged: list[str]
) -> None:
    """A single cycle is the best renaming over again."""
    label = np.arange(500) % 5
    test = _predictions(["c0", "c1", "c2", "c3", "c4"], label, np.array(outputs)[label])
    findings = [f for f in LabelOrder().run(test).findings if f.unit == "points"]
    assert [f.subject for f in findings] == judged
    for finding in findings:
        assert finding.n is not None
        expected = paired_interval(0, finding.n, finding.n, 1 - 0.05 / len(judged))
        assert finding.interval == pytest.approx(expected)


def test_the_most_confidence_can_be_shared_among_many() -> None:
    """A thousand cycles: what each is given is still told from certainty."""
    outputs = np.arange(2000) ^ 1
    outcome = LabelOrder(confidence=MOST_CONFIDENCE).run(_model(2000, 20_000, 1.0, outputs))
    assert outcome.status is Status.FAIL


@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.95])
def test_an_order_of_its_own_is_written_out(accuracy: float) -> None:
    outcome = LabelOrder().run(_model(10, 800, accuracy, np.roll(np.arange(10), 1)))
    assert outcome.status is Status.FAIL
    assert outcome.summary.startswith("10 classes have changed places: ")
    assert 'what is called "c0000" is "c0001"' in outcome.summary


def test_two_classes_that_changed_places_are_found_among_a_thousand() -> None:
    """Beside pairs of look-alikes, of which chance alone makes the best renaming move some."""
    random = np.random.default_rng(0)
    label = random.integers(0, 1000, 30_000)
    wrong = np.where(label < 900, label ^ 1, (label + 7) % 1000)
    predicted = np.where(random.random(30_000) < np.where(label < 900, 0.6, 0.9), label, wrong)
    names = [f"c{i:04}" for i in range(1000)]
    test = _predictions(names, label, _swapped(1000, 917, 960)[predicted])
    outcome = LabelOrder().run(test)
    assert outcome.status is Status.FAIL
    failed = [f.subject for f in outcome.findings if f.status is Status.FAIL]
    assert failed == ["c0917, c0960"]
    notes = [f.note for f in outcome.findings]
    assert 'what is called "c0917" is "c0960"' in notes


def test_a_cycle_that_surely_gains_is_not_passed_over() -> None:
    """Five images of two classes among a hundred: surely better, not surely by 25 points."""
    outcome = LabelOrder().run(_model(100, 1000, 0.6, _swapped(100, 0, 1), seed=41))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary.endswith("renaming these would help: c0000, c0001.")
    low, high = outcome.findings[-1].interval or (0.0, 0.0)
    assert 0 < low < LabelOrder().max_gain < high


def test_cycles_that_gain_nothing_are_passed_over() -> None:
    """Of 200 classes of five images chance makes the best renaming of one half move many."""
    assert LabelOrder().run(_model(200, 1000, 0.6, seed=1)).status is Status.PASS


@pytest.mark.parametrize("n", [20, 40, 100])
def test_two_classes_that_changed_places_pass_at_most_at_the_nominal_rate(n: int) -> None:
    """Right in 35%: swapped, it gains 30 points. Of 200 audits 5% may pass."""
    outputs = np.array([1, 0])
    passed = sum(
        LabelOrder().run(_model(2, n, 0.65, outputs, seed)).status is Status.PASS
        for seed in range(200)
    )
    assert passed <= binom.ppf(0.999, 200, 0.05)


@pytest.mark.parametrize(("k", "images", "accuracy"), [(100, 6, 0.8), (200, 5, 0.7)])
def test_two_classes_that_changed_places_do_not_pass_among_few_images(
    k: int, images: int, accuracy: float
) -> None:
    """Whether one half of five images shows them or not; and its clean twin passes."""
    swapped, clean = (
        [LabelOrder().run(_model(k, k * images, accuracy, outputs, s)) for s in range(20)]
        for outputs in (_swapped(k, 0, 1), None)
    )
    assert sum(outcome.status is Status.PASS for outcome in swapped) <= 2
    assert sum(outcome.status is Status.PASS for outcome in clean) >= 19


def test_what_images_do_not_exclude_is_said() -> None:
    """Of 5 of 5 right, and none of one other class, exact bounds leave this; of 500 of 500 none."""
    few, many = (np.tile(np.arange(10), n) for n in (5, 500))
    names = [f"c{i}" for i in range(10)]
    summary = LabelOrder().run(_predictions(names, few, few)).summary
    level = 0.05 / 100
    gained = beta.ppf(1 - level, 1, 5) - beta.ppf(level, 5, 1)
    assert summary.endswith(
        "found that makes the candidate much better; of most classes little is known: for 10 of 10 "
        "classes the test images do not exclude one that gains up to "
        f"{math.ceil(100 * gained)} points."
    )
    assert LabelOrder().run(_predictions(names, many, many)).summary == (
        "No renaming of the outputs makes the candidate much better."
    )


def test_outputs_that_no_image_was_put_into_are_counted() -> None:
    """Whatever those are called, the test images do not tell."""
    label = np.tile(np.arange(10), 500)
    for first, said in ((9, "1 of 10 outputs is"), (8, "2 of 10 outputs are")):
        predicted = np.where(label < first, label, 0)
        outcome = LabelOrder().run(_predictions([f"c{i}" for i in range(10)], label, predicted))
        assert outcome.status is Status.PASS
        assert outcome.summary == (
            f"No renaming of the outputs makes the candidate much better; {said} never predicted."
        )


@pytest.mark.parametrize("seed", range(5))
def test_no_renaming_gains_more_than_its_outputs_may(seed: int) -> None:
    random = np.random.default_rng(seed)
    label, predicted = random.integers(0, 6, (2, 60))
    test = _predictions("abcdef", label, predicted)
    found = reserve(test)
    most = float(((found.won - found.lost) / found.n).max())
    for _ in range(50):
        assert renaming_gain(test, random.permutation(6)).share <= most + 1e-12
    shift = renaming_gain(test, np.roll(np.arange(6), 1))
    assert shift.won - shift.lost <= found.together.won - found.together.lost


@pytest.mark.parametrize("k", [2, 10, 100, 1000])
def test_a_good_model_passes(k: int) -> None:
    assert LabelOrder().run(_model(k, 10 * k + 20, 0.95)).status is Status.PASS


@pytest.mark.parametrize(("k", "accuracy"), [(2, 0.55), (10, 0.3), (10, 0.15), (100, 0.1)])
def test_a_poor_model_passes(k: int, accuracy: float) -> None:
    assert LabelOrder().run(_model(k, 2000, accuracy)).status is Status.PASS


def test_a_model_that_misses_a_class_passes() -> None:
    label = np.repeat([0, 1, 2], [300, 300, 60])
    predicted = np.repeat([0, 1, 0], [300, 300, 60])
    outcome = LabelOrder().run(_predictions("abc", label, predicted))
    assert outcome.status is Status.PASS


def test_guessing_is_called_a_permutation_at_most_at_the_nominal_rate() -> None:
    """The best of all renamings wins by luck; of 400 guessing models, 5% may fail."""
    random = np.random.default_rng(5)
    sizes = [(2, 40), (5, 60), (10, 100), (20, 60)]
    failed = 0
    for k, n in sizes * 100:
        guess = _predictions(
            [f"c{i:02}" for i in range(k)], random.integers(0, k, n), random.integers(0, k, n)
        )
        best = renaming_gain(guess, best_renaming(guess))
        assert best.won >= best.lost
        failed += LabelOrder(max_gain=0.0).run(guess).status is Status.FAIL
    assert failed <= binom.ppf(0.999, 400, 0.05)


@pytest.mark.parametrize(("n", "status"), [(1, "inconclusive"), (3, "inconclusive"), (4, "pass")])
def test_few_images_that_are_all_right(n: int, status: str) -> None:
    """Swapped they gain 1 - 2 × accuracy, and 0.05 to the fourth root is above 37.5%."""
    label = np.arange(n) % 2
    assert LabelOrder().run(_predictions("ab", label, label)).status == status


def test_few_images_that_are_all_wrong_are_never_a_pass() -> None:
    for n in range(1, 30):
        label = np.arange(n) % 2
        assert LabelOrder().run(_predictions("ab", label, 1 - label)).status is not Status.PASS


def test_no_image_is_inconclusive() -> None:
    nothing = np.zeros(0, np.int64)
    outcome = LabelOrder().run(_predictions("ab", nothing, nothing))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.summary == "There is no test image, so no order can be told."


def test_absent_classes_close_a_cycle() -> None:
    """A shift by one, with a class that has no image: what is left over is not named."""
    label = np.repeat([1, 2, 3], 50)
    outcome = LabelOrder().run(_predictions("abcd", label, label - 1))
    assert outcome.status is Status.FAIL
    assert 'what is called "a" is "b"' in outcome.summary
    assert 'what is called "d"' not in outcome.summary


@pytest.mark.parametrize(
    ("label", "predicted", "said"),
    [
        (
            [1] * 100,
            [0] * 100,
            'One output has the wrong name: what is called "a" is "b" (100 of 100 images); then',
        ),
        ([0, 1] * 50, [1, 0] * 50, "2 classes have changed places: "),
    ],
)
def test_one_class_that_images_speak_for_is_one(
    label: list[int], predicted: list[int], said: str
) -> None:
    outcome = LabelOrder().run(_predictions("abc", np.array(label), np.array(predicted)))
    assert outcome.status is Status.FAIL
    assert outcome.summary.startswith(said)


def _exchanged(pairs: Sequence[int], right: int = 30) -> Predictions:
    """Two classes of 30 images each; then pairs of classes that are taken for one another."""
    sizes = [right, right, *(n for n in pairs for _ in range(2))]
    label = np.repeat(np.arange(len(sizes)), sizes)
    predicted = np.where(label < 2, label, label ^ 1)
    return _predictions([f"c{i:02}" for i in range(len(sizes))], label, predicted)


@pytest.mark.parametrize("pairs", [(30, 3), (30, 2, 1), (30, 3, 2, 1)])
def test_only_places_that_failed_are_stated(pairs: Sequence[int]) -> None:
    """Pairs of few images are swapped by the best renaming of all images, too."""
    test = _exchanged(pairs)
    assert len(cycles(best_renaming(test))) == len(pairs)
    outcome = LabelOrder().run(test)
    assert outcome.status is Status.FAIL
    assert outcome.summary.startswith(
        '2 classes have changed places: what is called "c02" is "c03" (30 of 30 images); what is '
        'called "c03" is "c02" (30 of 30 images); then'
    )
    shown = [f.subject for f in outcome.findings if f.status is Status.SKIP]
    assert shown == ["c02", "c03"]


def test_places_that_only_all_together_show_are_not_stated_of_each() -> None:
    outcome = LabelOrder().run(_exchanged([4] * 20))
    assert outcome.status is Status.FAIL
    failed = [f.subject for f in outcome.findings if f.status is Status.FAIL]
    assert failed == ["best renaming"]
    assert re.match(
        r"Judged together, \d+ classes have changed places, though none surely by itself: ",
        outcome.summary,
    )


def test_mcnemars_test_is_said_to_be_one_sided() -> None:
    label = np.arange(100) % 2
    (finding, *_) = LabelOrder().run(_predictions("ab", label, 1 - label)).findings
    assert finding.note == "100 images won, 0 lost; McNemar's exact one-sided p = 7.9e-31"


@pytest.mark.parametrize("accuracy", [0.9, 0.95, 1.0])
@pytest.mark.parametrize(("images", "few"), [(2, 40), (1, 60), (2, 51), (2, 50), (2, 20)])
def test_whether_most_classes_could_be_noticed_does_not_hang_on_the_model(
    images: int, few: int, accuracy: float
) -> None:
    """However good it is; a few images that the best of one half moves by luck decide nothing."""
    label = np.repeat(np.arange(100), np.where(np.arange(100) < few, images, 6))
    random = np.random.default_rng(0)
    wrong = (label + random.integers(1, 100, len(label))) % 100
    predicted = np.where(random.random(len(label)) < accuracy, label, wrong)
    outcome = LabelOrder().run(_predictions([f"c{i:02}" for i in range(100)], label, predicted))
    assert outcome.status is (Status.PASS if few <= 50 else Status.INCONCLUSIVE)
    said = "little is known" if few <= 50 else f"{few} of 100 classes have fewer than 3"
    assert said in outcome.summary


def test_saved_predictions_are_repaired_where_they_were_saved() -> None:
    label = np.arange(100) % 2
    test = replace(_predictions(("cat", "dog"), label, 1 - label), about={})
    assert "save the predictions again" in LabelOrder().run(test).summary


def test_an_order_that_is_stored_is_repaired_in_the_checkpoint() -> None:
    label = np.arange(100) % 2
    about = {"candidate": {}, "class_order": stored_classes(("cat", "dog"), "best.pth").order}
    test = replace(_predictions(("cat", "dog"), label, 1 - label), about=about)
    assert "store them in the checkpoint" in LabelOrder().run(test).summary


def test_swapped_folders_of_which_both_orders_are_one() -> None:
    label = np.arange(100) % 2
    outcome = LabelOrder().run(_predictions(("dog", "cat"), label, 1 - label))
    assert "order of the class folders (timm's and torchvision's)" in outcome.summary


@pytest.mark.parametrize("seed", range(10))
def test_the_best_renaming_is_scipys_dense_assignment(seed: int) -> None:
    random = np.random.default_rng(seed)
    k, n = int(random.integers(2, 30)), int(random.integers(1, 300))
    label, predicted = random.integers(0, k, (2, n))
    test = _predictions([str(i) for i in range(k)], label, predicted)
    counts = np.zeros((k, k))
    np.add.at(counts, (label, predicted), 1)
    renaming = best_renaming(test)
    assert sorted(renaming) == list(range(k))
    right = int((renaming[predicted] == label).sum())
    assert right == counts[linear_sum_assignment(-counts)].sum()


def test_nothing_is_renamed_without_need() -> None:
    label = np.array([0, 0, 1, 1])
    tie = _predictions("abc", label, np.array([0, 1, 1, 0]))
    assert best_renaming(tie).tolist() == [0, 1, 2]


def test_cycles_are_independent_parts() -> None:
    renaming = np.array([1, 0, 2, 4, 5, 3])
    assert [part.tolist() for part in cycles(renaming)] == [
        [1, 0, 2, 3, 4, 5],
        [0, 1, 2, 4, 5, 3],
    ]
    assert cycles(np.arange(4)) == []


def test_chains_that_nothing_joins_are_closed_each_by_itself() -> None:
    """a is b and c is d; nothing is put into b and d, which may as well be each other's."""
    test = _predictions("abcd", np.array([1, 1, 3, 3]), np.array([0, 0, 2, 2]))
    assert best_renaming(test).tolist() == [1, 0, 3, 2]


def test_folder_orders_are_those_that_differ() -> None:
    assert list(folder_orders(ITEMS)) == ["plain order (torchvision's)"]
    assert list(folder_orders(sorted(ITEMS))) == ["natural order (timm's)"]
    assert folder_orders(("cat", "dog")) == {}
    (one,) = folder_orders(("dog", "cat")).values()
    assert one.tolist() == [1, 0]
