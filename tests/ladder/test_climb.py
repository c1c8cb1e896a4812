from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from auditor.evidence.predictions import Predictions
from auditor.ladder import Ladder, Rung, climb
from auditor.render.ladder import html_ladder
from auditor.wording import roughly
from tests.references import gamma_bounds, gap_bounds

Said = Callable[..., Predictions]
Make = Callable[..., Rung]
N = 3000


def right(share: float, n: int = N, seed: int = 0) -> list[bool]:
    """The same easy images first: a better model is right where a worse one is, and further on."""
    place = np.random.default_rng(seed).permutation(n)
    return list(place < round(share * n))


@pytest.fixture
def ladder(said: Said, rung: Make) -> Callable[..., Ladder]:
    """Compare rungs given by their shares of right answers; each costs twice the one before."""

    def make(*shares: float, n: int = N, **options: float) -> Ladder:
        rungs = [
            rung(f"b{i}", said(right(share, n)), macs=100 * 2**i) for i, share in enumerate(shares)
        ]
        return climb(rungs, **options)

    return make


def exact(successes: int, n: int, confidence: float) -> tuple[float, float]:
    found = binomtest(successes, n).proportion_ci(2 * confidence - 1, method="exact")
    return float(found.low), float(found.high)


def paired(lost: int, won: int, n: int, confidence: float) -> tuple[float, float]:
    """Zou and Donner's bounds, written out once more over scipy's exact ones."""
    b, c = lost / n, won / n
    (b_low, b_high), (c_low, c_high) = (exact(k, n, confidence) for k in (lost, won))
    r = math.sqrt(b * c / ((1 - b) * (1 - c)))
    down, up = ((c - c_low), (b_high - b)), ((c_high - c), (b - b_low))
    reach = [math.sqrt(x * x + y * y + 2 * r * x * y) for x, y in (down, up)]
    return c - b - reach[0], c - b + reach[1]


class TestAgainstOthers:
    def test_the_gain_its_interval_and_mcnemar(self, said: Said, rung: Make) -> None:
        before, after = right(0.8, seed=1), right(0.83, seed=2)
        found = climb([rung("a", said(before), macs=100), rung("b", said(after), macs=300)])
        (step,) = found.steps
        table = np.zeros((2, 2), int)
        np.add.at(table, (np.array(before, int), np.array(after, int)), 1)
        assert (step.won, step.lost) == (table[0, 1], table[1, 0])
        assert step.gain == pytest.approx(0.03)
        assert step.mcnemar_exact == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert step.interval == pytest.approx(paired(step.lost, step.won, N, 0.95))
        assert step.macs_ratio == pytest.approx(3)
        assert step.gain_per_doubling == pytest.approx(step.gain / math.log2(3))
        assert step.per_doubling_interval == pytest.approx(
            tuple(bound / math.log2(3) for bound in step.interval)
        )

    def test_the_p_value_is_the_dual_of_the_bound(self, ladder: Callable[..., Ladder]) -> None:
        (step,) = ladder(0.80, 0.81, min_gain=0.005).steps
        low, _ = paired(step.lost, step.won, N, 1 - step.p_pays)
        assert low == pytest.approx(0.005, abs=1e-9)
        (step,) = ladder(0.80, 0.803, min_gain=0.005).steps
        _, high = paired(step.lost, step.won, N, 1 - step.p_does_not_pay)
        assert high == pytest.approx(0.005, abs=1e-9)

    def test_holm_over_the_steps(self, ladder: Callable[..., Ladder]) -> None:
        shares = (0.80, 0.809, 0.82, 0.828)
        alone = [ladder(*pair).steps[0].p_pays for pair in pairwise(shares)]
        together = [step.p_pays for step in ladder(*shares).steps]
        assert together == pytest.approx(multipletests(alone, method="holm")[1].tolist())
        assert together != pytest.approx(alone)

    def test_a_step_that_pays_alone_may_not_among_many(self, ladder: Callable[..., Ladder]) -> None:
        step = (0.80, 0.8085)
        assert ladder(*step).steps[0].state == "pays"
        crowded = ladder(*step, *([step[1]] * 4)).steps[0]
        assert crowded.interval[0] > 0.005
        assert crowded.state == "not shown"
        assert crowded.images_to_settle is not None

    def test_each_rungs_accuracy_and_gap(self, said: Said, rung: Make) -> None:
        train = said(right(0.95, 600))
        hits = np.bincount(train.label[train.correct])
        rungs = [rung(x, said(right(0.8)), macs=i + 1, train=train) for i, x in enumerate("ab")]
        row = climb(rungs).rungs[0]
        assert row.interval == pytest.approx(exact(2400, N, 0.95))
        assert row.gap == pytest.approx(0.15)
        assert row.gap_interval == pytest.approx(
            gap_bounds([(1 / 3, int(k), 200) for k in hits], 2400, N), abs=1e-7
        )

    def test_the_change_of_the_gap(self, said: Said, rung: Make) -> None:
        """Training images are of three classes alike, and of the test images a fifth is foxes."""
        seen = np.arange(N) % 6 != 2
        test = [said(right(share, seed=i)).where(seen) for i, share in enumerate((0.80, 0.81))]
        train = [said(right(share, 900, seed=3 + i)) for i, share in enumerate((0.90, 0.96))]
        found = climb([rung(x, test[i], macs=i + 1, train=train[i]) for i, x in enumerate("ab")])
        (step,), (before, after) = found.steps, found.rungs
        weight = np.bincount(test[0].label) / len(test[0]) / 300
        lost, won = (
            np.bincount(t.label[t.correct & ~o.correct], minlength=3)
            for t, o in (train, train[::-1])
        )
        learnt, (low, high), (less, more) = (
            weight @ (won - lost),
            *(gamma_bounds(zip(weight, side.tolist(), strict=True)) for side in (lost, won)),
        )
        down = (weight @ won - less, high - weight @ lost, step.interval[1] - step.gain)
        up = (more - weight @ won, weight @ lost - low, step.gain - step.interval[0])
        assert step.gap is not None
        assert step.gap.difference == pytest.approx(learnt - step.gain)
        assert step.gap.difference == pytest.approx((after.gap or 0) - (before.gap or 0))
        assert step.gap.interval == pytest.approx(
            (learnt - step.gain - math.hypot(*down), learnt - step.gain + math.hypot(*up))
        )


class TestPaying:
    def test_planted_a_bigger_rung_that_is_not_better(self, ladder: Callable[..., Ladder]) -> None:
        found = ladder(0.70, 0.80, 0.801, 0.90)
        assert [step.state for step in found.steps] == ["pays", "does not pay", "pays"]
        assert (found.state, found.stops_at) == ("does not pay", "b2")
        assert found.summary.startswith("Scaling stops paying at b2: over b1 it gains +0.1 points")
        assert "for 2× the MACs" in found.summary
        assert any("Further up a step pays again: b3" in text for text in found.remarks)

    def test_clean_every_step_pays(self, ladder: Callable[..., Ladder]) -> None:
        found = ladder(0.70, 0.80, 0.85, 0.90)
        assert (found.state, found.stops_at, found.remarks) == ("pays", None, ())
        assert found.summary == (
            "Scaling pays up to b3: each of the 3 steps gains more than 0.5 points at 95% "
            "confidence."
        )

    def test_few_images_show_nothing(self, ladder: Callable[..., Ladder]) -> None:
        found = ladder(0.75, 0.80, n=60)
        (step,) = found.steps
        assert step.state == found.state == "not shown"
        assert step.images_to_settle is not None
        assert "Scaling is not shown to pay at b1" in found.summary
        assert f"about {roughly(step.images_to_settle)} more would" in found.summary
        assert "stops" not in found.summary

    @pytest.mark.parametrize(("a", "b"), [(0.75, 0.80), (0.80, 0.81), (0.80, 0.79)])
    def test_so_many_images_would_settle_it(
        self, ladder: Callable[..., Ladder], a: float, b: float
    ) -> None:
        (step,) = ladder(a, b, n=200, min_gain=0.02, confidence=0.999).steps
        assert step.images_to_settle is not None

        def settled(n: int) -> bool:
            lost, won = (round(k * n / 200) for k in (step.lost, step.won))
            low, high = paired(lost, won, n, 0.999)
            return low > 0.02 or high < 0.02

        assert settled(200 + step.images_to_settle)
        assert not settled(200 + round(0.9 * step.images_to_settle))

    def test_a_gain_that_stands_on_the_minimum(self, ladder: Callable[..., Ladder]) -> None:
        found = ladder(0.70, 0.80, n=1000, min_gain=0.1)
        assert found.steps[0].images_to_settle is None
        assert "no number of further images would" in found.summary

    @pytest.mark.parametrize("digest", ["5f" * 32, None])
    def test_identical_rungs(self, said: Said, rung: Make, digest: str | None) -> None:
        test = replace(said(right(0.80)), about={"candidate": {"weights_digest": digest}})
        found = climb([rung(f"b{i}", test, macs=100 * 2**i) for i in range(2)])
        (step,) = found.steps
        assert (step.gain, step.changed, step.mcnemar_exact) == (0, 0, 1)
        assert step.state == "does not pay"
        assert step.identical is (digest is not None)
        one = "predicts as b0 does on every image, as one model would"
        assert (one in found.summary) is step.identical

    def test_a_bigger_rung_that_is_worse(self, ladder: Callable[..., Ladder]) -> None:
        found = ladder(0.80, 0.70)
        assert "over b0 accuracy changes by −10.0 points [" in found.summary

    @given(
        st.lists(st.integers(0, 40), min_size=2, max_size=5),
        st.integers(1, 40),
        st.sampled_from([0.0, 0.005, 0.1]),
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
    def test_what_is_said_follows_from_the_interval(
        self, said: Said, rung: Make, hits: list[int], n: int, min_gain: float
    ) -> None:
        rungs = [
            rung(f"b{i}", said([k < hit for k in range(n)]), macs=2**i)
            for i, hit in enumerate(hits)
        ]
        found = climb(rungs, min_gain)
        for step in found.steps:
            low, high = step.interval
            assert -1 <= low <= step.gain <= high <= 1
            assert step.state != "pays" or low > min_gain
            assert step.state != "does not pay" or high < min_gain
        first = next((step for step in found.steps if step.state != "pays"), None)
        assert found.stops_at == (first.after if first else None)
        found.to_json()


class TestOverfitting:
    def test_planted_a_rung_that_overfits_more_is_named(self, said: Said, rung: Make) -> None:
        train = [said(right(share, 1000)) for share in (0.84, 0.90, 0.99)]
        shares = (0.80, 0.86, 0.87)
        rungs = [
            rung(f"b{i}", said(right(s)), macs=2**i, train=t)
            for i, (s, t) in enumerate(zip(shares, train, strict=True))
        ]
        found = climb(rungs)
        assert [step.gap and step.gap.state for step in found.steps] == ["not shown", "grows"]
        (remark,) = found.remarks
        assert remark.startswith("b2 overfits more than b1: the train–test gap goes from +4.0 p")

    def test_a_gap_that_shrinks(self, said: Said, rung: Make) -> None:
        train = said(right(0.99, 1000))
        rungs = [rung(f"{s}", said(right(s)), macs=round(100 * s), train=train) for s in (0.8, 0.9)]
        (step,) = climb(rungs).steps
        assert step.gap is not None
        assert step.gap.state == "shrinks"

    @pytest.mark.parametrize("cats", [200, 0])
    def test_the_gap_grows_by_what_the_gaps_differ(self, said: Said, rung: Make, cats: int) -> None:
        """The foxes are learnt by heart, most training images and a tenth of the test images."""
        label, place = np.arange(N) % 3, np.arange(N) // 3
        learnt = (label > 0) | (place < cats)
        sample = (label > 0) & (place % 2 == 0) | (label == 0)
        rungs = []
        for i, (train, test) in enumerate(
            [((95, 90, 80), (90, 90, 80)), ((93, 90, 99), (90, 90, 84))]
        ):
            known, right = (said(place % 100 < np.array(side)[label]) for side in (train, test))
            known = replace(known, representative=sample).where(learnt)
            seen = right.where((label < 2) | (place < 200))
            rungs.append(rung(f"b{i}", seen, macs=i + 1, train=known))
        found = climb(rungs)
        (before, after), (step,) = found.rungs, found.steps
        assert step.gap is not None
        assert step.gap.state == "not shown"
        assert step.gap.difference == pytest.approx((after.gap or 0) - (before.gap or 0))

    def test_missing_training_predictions_are_no_gap(self, said: Said, rung: Make) -> None:
        test = said(right(0.8))
        rungs = [
            rung("a", test, macs=1, train=said(right(0.9, 50))),
            rung("b", test, macs=2, missing={"train": "nobody looked"}),
        ]
        found = climb(rungs)
        assert found.steps[0].gap is None
        assert found.steps[0].gap_missing == "b: nobody looked"
        assert (found.rungs[1].gap, found.rungs[1].gap_missing) == (None, "nobody looked")

    def test_every_rung_that_lacks_them_is_named_once(self, said: Said, rung: Make) -> None:
        train = said(right(0.9, 50))
        part = train.where(np.arange(50) < 40)
        away: dict[str, Any] = {"missing": {"train": "nobody looked"}}
        given = [{"train": train}, {"train": part}, away, away, away]
        rungs = [rung(f"r{i}", said(right(0.8)), macs=i + 1, **e) for i, e in enumerate(given)]
        found = climb(rungs)
        assert [step.gap_missing for step in found.steps[1:]] == [
            "r2: nobody looked",
            "r2: nobody looked; r3: nobody looked",
            "r3: nobody looked; r4: nobody looked",
        ]
        notes = re.findall(r'<p class="note">Not compared: (.*?)\.</p>', html_ladder(found))
        assert [re.sub("<[^>]*>", "", note) for note in notes] == [
            *(f"r{i}: nobody looked" for i in (2, 3, 4)),
            "r0 and r1 were not run on the same training images",
        ]

    def test_other_training_images_are_not_compared(self, said: Said, rung: Make) -> None:
        test, train = said(right(0.8)), said(right(0.9, 80))
        part = train.where(np.arange(80) < 60)
        found = climb([rung("a", test, macs=1, train=train), rung("b", test, macs=2, train=part)])
        assert "not run on the same training images" in found.steps[0].gap_missing


class TestClasses:
    def _three(self, cat: Sequence[int], said: Said, rung: Make, rare: Sequence[str]) -> Ladder:
        """Rungs that know every dog and fox, and some of 200 cats."""
        rungs = []
        for i, known in enumerate(cat):
            hits = [k % 3 != 0 or k // 3 < known for k in range(600)]
            rungs.append(rung(f"b{i}", said(hits), macs=2**i, rare=rare))
        return climb(rungs)

    def test_planted_a_rare_class_that_falls_is_named(self, said: Said, rung: Make) -> None:
        found = self._three([180, 120], said, rung, ["cat"])
        (change,) = found.steps[0].classes
        assert (change.name, change.state, change.lost, change.won) == ("cat", "worse", 60, 0)
        assert change.interval == pytest.approx(paired(60, 0, 200, 0.95))
        assert "b1 recognises cat less than b0: 90.0% → 60.0% of 200" in found.remarks[0]
        assert (found.rare, found.rungs[1].worst_class) == (("cat",), "cat")
        assert found.rungs[1].worst_recall == pytest.approx(0.6)

    def test_clean_a_rare_class_that_gains(self, said: Said, rung: Make) -> None:
        found = self._three([120, 180], said, rung, ["cat"])
        assert found.steps[0].classes[0].state == "better"
        assert found.remarks == ()

    def test_without_a_rare_class_all_are_followed(self, said: Said, rung: Make) -> None:
        found = self._three([120, 180], said, rung, [])
        assert [change.name for change in found.steps[0].classes] == ["dog", "fox", "cat"]

    @pytest.mark.parametrize(("lost", "state"), [(8, "not shown"), (9, "worse")])
    def test_among_many_classes_it_takes_exact_p_values(
        self, said: Said, rung: Make, lost: int, state: str
    ) -> None:
        """Eight lost of eight are 25 times 1/256, and by mid-p half of that."""
        names = [f"c{i:02}" for i in range(25)]
        row = np.arange(25 * 40)  # of each class in turn
        missed = (row % 25 == 0) & (row < 25 * lost)
        sides = [said((~missed).tolist(), names), said([True] * len(row), names)]
        fallen, won = (
            climb([rung("a", before, macs=1), rung("b", after, macs=2)]).steps[0].classes
            for before, after in (sides[::-1], sides)
        )
        assert (fallen[0].name, fallen[0].lost, fallen[0].state) == ("c00", lost, state)
        assert (won[-1].name, won[-1].won) == ("c00", lost)
        assert won[-1].state == state.replace("worse", "better")

    @pytest.mark.parametrize("k", [10, 100])
    def test_the_recall_of_the_worst_class_is_bounded_as_the_lowest_of_all(
        self, said: Said, rung: Make, k: int
    ) -> None:
        """All are recognised in 90%; the upper bound of one class by itself misses more often."""
        random, names = np.random.default_rng(k), [f"c{i:03}" for i in range(k)]
        bounds = []
        for _ in range(60):
            test = said((random.random(50 * k) < 0.9).tolist(), names)
            found = climb([rung(x, test, macs=i + 1) for i, x in enumerate("ab")]).rungs[0]
            recall = binomtest(round(found.worst_recall * 50), 50)
            # The level of scipy's is two-sided.
            alone, together = (recall.proportion_ci(1 - 2 * a) for a in (0.05, 0.05 / k))
            assert found.worst_of == k
            assert found.worst_interval == pytest.approx((alone.low, together.high))
            bounds.append((together.high, alone.high))
        held, alone_held = (np.array(bounds) >= 0.9).sum(axis=0)
        assert held >= binom.ppf(0.001, 60, 0.95)
        assert alone_held < held

    def test_a_class_without_images_is_not_the_worst(self, said: Said, rung: Make) -> None:
        test = said([True, True, False, True, True])  # the last image is a dog's
        only = test.where(np.array([True, True, False, True, True]))
        found = climb([rung(x, only, macs=i + 1, rare=["fox"]) for i, x in enumerate("ab")])
        assert found.rungs[0].worst_class != "fox"
        assert found.steps[0].classes == ()
