from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from auditor.engine.timings import Timings
from auditor.evidence.latency import Latency
from auditor.evidence.predictions import Predictions
from auditor.ladder import Rung, climb
from auditor.render.ladder import html_ladder
from auditor.render.ladder_plot import draw_by_latency

Said = Callable[..., Predictions]
Make = Callable[..., Rung]
HARDWARE = {
    "device": "cpu",
    "processor": "one",
    "cores": "2",
    "threads": "1",
    "dtype": "float32",
    "backend": "eager",
    "torch": "2",
}


@pytest.fixture
def test(said: Said) -> Predictions:
    return said([k % 5 != 0 for k in range(300)])


def test_rungs_are_ordered_by_macs(test: Predictions, rung: Make) -> None:
    rungs = [rung(f"m{macs}", test, macs=macs, parameters=9 - macs) for macs in (4, 1, 3)]
    found = climb(rungs)
    assert [row.name for row in found.rungs] == ["m1", "m3", "m4"]
    assert [(step.before, step.after) for step in found.steps] == [("m1", "m3"), ("m3", "m4")]
    assert found.ordered_by == "macs"
    assert found == climb(rungs[::-1])


def test_by_parameters_where_some_macs_are_not_known(test: Predictions, rung: Make) -> None:
    found = climb([rung("b", test, parameters=2), rung("a", test, macs=9, parameters=1)])
    assert [row.name for row in found.rungs] == ["a", "b"]
    assert found.ordered_by == "parameters"
    assert (found.steps[0].macs_ratio, found.steps[0].gain_per_doubling) == (None, None)
    assert found.steps[0].parameters_ratio == 2
    third = rung("c", test, parameters=3)
    equal = [rung(f"m{macs}", test, macs=macs, parameters=2) for macs in (9, 5)]
    for given in ([*equal, third], [*equal[::-1], third]):
        assert [row.name for row in climb(given).rungs] == ["m5", "m9", "c"]


def test_as_given_where_no_cost_is_known(test: Predictions, rung: Make) -> None:
    found = climb([rung("b", test), rung("a", test, parameters=1)])
    assert [row.name for row in found.rungs] == ["b", "a"]
    assert found.ordered_by == "order given"


COSTS: list[dict[str, int]] = [{"macs": 7, "parameters": 3}, {"macs": 7}, {"parameters": 3}]


@pytest.mark.parametrize("cost", COSTS)
def test_rungs_of_one_cost_are_no_scaling_in_either_order(
    said: Said, rung: Make, cost: dict[str, int]
) -> None:
    """Planted: two trainings of one model. Told up or down, it would be the order given."""
    bad, good = (said([k % 10 < right for k in range(1000)]) for right in (7, 9))
    rungs = [rung("good", good, **cost), rung("bad", bad, **cost)]
    for names, given in ("good and bad", rungs), ("bad and good", rungs[::-1]):
        found = climb(given)
        assert (found.state, found.stops_at) == ("same cost", None)
        assert found.compared
        assert found.summary == (
            f"It is not told whether scaling pays: {names} cost the same, so that neither is a "
            "step up from the other. Give one rung of each cost; auditor diff compares two of one."
        )
        (step,) = found.steps
        assert step.state == "same cost"
        assert abs(step.gain) == pytest.approx(0.2)
        page = html_ladder(found)
        assert "Scaling stops paying at bad" not in page
        assert "</span> same cost</span></td>" in page


def test_among_others_they_leave_it_untold_which_is_built_upon(said: Said, rung: Make) -> None:
    tests = [said([k % 10 < right for k in range(1000)]) for right in (7, 9, 8)]
    rungs = [
        rung(name, test, macs=m) for name, test, m in zip("abc", tests, (5, 5, 9), strict=True)
    ]
    for given in (rungs, [rungs[1], rungs[0], rungs[2]]):
        found = climb(given)
        assert found.steps[0].state == "same cost"
        assert "Scaling" not in found.summary
        assert not any("a step pays" in remark for remark in found.remarks)


@pytest.mark.parametrize(("macs", "parameters"), [((5, 6), (3, 3)), ((5, 5), (3, 4))])
def test_their_twins_that_differ_in_one_cost_are_a_step(
    said: Said, rung: Make, macs: tuple[int, int], parameters: tuple[int, int]
) -> None:
    tests = [said([k % 10 < right for k in range(1000)]) for right in (7, 9)]
    rungs = [rung("ab"[i], tests[i], macs=macs[i], parameters=parameters[i]) for i in (0, 1)]
    assert climb(rungs).summary.startswith("Scaling pays up to b")
    assert climb(rungs[::-1]) == climb(rungs)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 5), (5, 5)])
def test_costs_without_a_ratio_give_no_points_per_doubling(
    test: Predictions, rung: Make, a: int, b: int
) -> None:
    (step,) = climb([rung("a", test, macs=a), rung("b", test, macs=b)]).steps
    assert (step.gain_per_doubling, step.per_doubling_interval) == (None, None)


def _other_images(test: Predictions) -> Predictions:
    return replace(test, images=("new.jpg", *test.images[1:]))


def _other_labels(test: Predictions) -> Predictions:
    label = test.label.copy()
    label[7] = (label[7] + 1) % 3
    return replace(test, label=label)


def _other_order(test: Predictions) -> Predictions:
    return replace(test, classes=("dog", "cat", "fox"))


def _other_classes(test: Predictions) -> Predictions:
    return replace(test, classes=("cat", "dog", "owl"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_images, "other test images (1 missing, such as 00000.jpg, 1 added, such as new."),
        (_other_labels, '1 test image carries another label, such as 00007.jpg ("fox", not "dog")'),
        (_other_order, "its classes are the same but in another order"),
        (_other_classes, "it has other classes (1 missing, such as fox, 1 added, such as owl) "),
    ],
)
def test_a_rung_that_does_not_match_is_named_and_left_out(
    test: Predictions, rung: Make, change: Callable[[Predictions], Predictions], reason: str
) -> None:
    odd = rung("odd", change(test), macs=2)
    found = climb([rung("a", test, macs=1), odd, rung("c", test, macs=3)])
    assert [row.name for row in found.rungs] == ["a", "c"]
    (left,) = found.not_compared
    assert (left.name, left.path) == ("odd", "audits/odd")
    assert reason in left.reason
    assert not found.compared
    two = climb([rung("a", test, macs=1), odd])
    assert (two.state, two.steps, two.compared) == ("not comparable", (), False)
    assert "fewer than two rungs" in two.summary


def test_other_pictures_under_the_same_names(test: Predictions, rung: Make) -> None:
    def looked(first: bytes) -> dict[str, tuple[bytes, bytes]]:
        return {test.images[0]: (first, first), test.images[1]: (b"b", b"b")}

    rungs = [rung(f"m{i}", test, macs=i, pictures=looked(b"a")) for i in (1, 2)]
    odd = rung("odd", test, macs=3, pictures=looked(b"x"))
    found = climb([*rungs, odd, rung("unseen", test, macs=4)])
    assert [row.name for row in found.rungs] == ["m1", "m2", "unseen"]
    assert "1 of its test images are other pictures" in found.not_compared[0].reason


def test_a_picture_saved_again_without_loss_is_the_same(test: Predictions, rung: Make) -> None:
    rungs = [
        rung(f"m{i}", test, macs=i, pictures={test.images[0]: (bytes([i]), b"pixels")})
        for i in (1, 2)
    ]
    assert climb(rungs).compared


def test_missing_predictions_are_named(test: Predictions, rung: Make) -> None:
    gone = rung("gone", None, macs=2, missing={"test": "the file is away"})
    none = rung("none", test.where(np.zeros(300, bool)), macs=3)
    found = climb([rung("a", test, macs=1), gone, none])
    reasons = [left.reason for left in found.not_compared]
    assert reasons == [
        "its test predictions cannot be had: the file is away",
        "no test image was predicted",
    ]
    assert climb([gone, none]).rungs == ()


class TestOverlap:
    def test_copies_of_training_images_are_left_out(self, said: Said, rung: Make) -> None:
        """Planted: the bigger model is better only on the images that it has seen."""
        leaked = frozenset(f"{i:05}.jpg" for i in range(100))
        small = said([k >= 100 for k in range(1000)])
        big = said([True] * 1000)
        rungs = [rung("a", small, macs=1), rung("b", big, macs=2, overlapping=leaked)]
        found = climb(rungs)
        assert (found.test_images, found.left_out) == (900, 100)
        assert found.steps[0].gain == 0
        assert found.remarks == ()

    def test_where_nobody_looked_the_rungs_are_named(self, said: Said, rung: Make) -> None:
        small, big = said([k >= 100 for k in range(1000)]), said([True] * 1000)
        looked, not_looked = rung("a", small, macs=1), rung("b", big, macs=2, overlapping=None)
        found = climb([looked, not_looked])
        assert found.steps[0].state == "pays"
        (remark,) = found.remarks
        assert "overlap the training images of b: what was learned by heart" in remark
        neither = climb([replace(looked, overlapping=None), not_looked]).remarks
        assert len(neither) == 1
        assert "of any rung" in neither[0]

    def test_nothing_is_left(self, test: Predictions, rung: Make) -> None:
        every = frozenset(test.images)
        found = climb([rung("a", test, macs=1), rung("b", test, macs=2, overlapping=every)])
        assert found.state == "not comparable"
        assert found.summary == "Not comparable: all 300 test images overlap the training data."


def _timed(seconds: float, *, twin: float = 1.0, waited: float = 0.0, **hardware: str) -> Latency:
    times = np.column_stack([np.full(60, seconds), np.full(60, twin * seconds)])
    one = Timings(
        1,
        ("candidate", "twin"),
        wall=times,
        processor=times,
        waited=waited * times,
        place=np.tile([0, 1], (60, 1)),
        settled={"candidate": True, "twin": True},
    )
    return Latency((one,), {**HARDWARE, **hardware}, {}, {"candidate": "it"})


class TestLatency:
    def test_it_stands_side_by_side(self, test: Predictions, rung: Make) -> None:
        rungs = [rung(f"m{i}", test, macs=i, latency=_timed(i / 100)) for i in (1, 3)]
        found = climb(rungs)
        assert found.rungs[0].latency is not None
        assert found.rungs[0].latency.seconds == pytest.approx(0.01)
        assert found.rungs[0].latency.steady
        assert found.steps[0].latency_ratio == pytest.approx(3)
        assert found.remarks == ()
        drawn = draw_by_latency(found)
        assert drawn is not None
        assert "m1: 10.0 ms, 80.0%; m3: 30.0 ms, 80.0%." in drawn.alt

    def test_not_if_another_machine_measured_it(self, test: Predictions, rung: Make) -> None:
        rungs = [
            rung("a", test, macs=1, latency=_timed(0.01)),
            rung("b", test, macs=2, latency=_timed(0.02, threads="8")),
        ]
        found = climb(rungs)
        assert found.steps[0].latency_ratio is None
        assert draw_by_latency(found) is None
        assert "measured with other threads 1 and 8" in found.remarks[0]

    @pytest.mark.parametrize(
        ("load", "told"),
        [
            ({"twin": 1.6}, "a copy of it took 1.60× as long."),
            (
                {"waited": 0.7},
                "700.00 ms for each second measured, all threads together, went by waiting for a "
                "processor in use by others, and a copy of it took 1.00× as long.",
            ),
            (
                {"waited": 1.64},  # of several threads, each of which waited while it was timed
                "1.64 s for each second measured, all threads together, went by waiting for a "
                "processor in use by others, and a copy of it took 1.00× as long.",
            ),
        ],
    )
    def test_a_busy_machine_is_told(
        self, test: Predictions, rung: Make, load: dict[str, float], told: str
    ) -> None:
        rungs = [
            rung("a", test, macs=1, latency=_timed(0.01)),
            rung("b", test, macs=2, latency=_timed(0.02, **load)),  # type: ignore[arg-type]
        ]
        found = climb(rungs)
        (remark,) = found.remarks
        said = f"The machine was too busy when b was timed: {told} Time it on a quiet one."
        assert remark == said
        assert found.steps[0].latency_ratio is None

    def test_what_was_not_timed_says_so(self, test: Predictions, rung: Make) -> None:
        rungs = [rung(f"m{i}", test, macs=i, missing={"latency": "not timed"}) for i in (1, 2)]
        found = climb(rungs)
        assert (found.rungs[0].latency, found.rungs[0].latency_missing) == (None, "not timed")
