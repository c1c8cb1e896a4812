"""Expected figures at the class shares of production."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import html5lib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, chi2
from statsmodels.stats.proportion import proportion_confint

from auditor.check import Status
from auditor.checks.accuracy_paradox import AccuracyParadox
from auditor.errors import InputError
from auditor.evidence.confusion import Confusion
from auditor.evidence.deployment import Deployment, Estimates
from auditor.record import Audit
from auditor.render.html import html_report
from tests.references import standardised_reach

Run = Callable[..., Audit]
Write = Callable[[str, str], Path]
Saved = Callable[..., Path]
Costs = Mapping[tuple[int, int], float]
FRAUD = {"fraud": {"fraud": 95, "normal": 5}, "normal": {"fraud": 10, "normal": 990}}
RARE = {"fraud": 0.001, "normal": 0.999}


def _deployment(
    rows: Sequence[Sequence[int]], share: Sequence[float], costs: Costs | None = None
) -> Deployment:
    counts = np.array(rows)
    label, predicted = np.nonzero(counts)
    names = tuple(f"c{i:03}" for i in range(len(rows)))
    return Deployment(
        Confusion(names, label, predicted, counts[label, predicted]), np.array(share), costs
    )


def _fraud(costs: Costs | None = None) -> Deployment:
    return _deployment([[95, 5], [10, 990]], [0.001, 0.999], costs)


def test_the_figures_of_a_fraud_detector() -> None:
    found = _fraud()
    assert found.accuracy().value == pytest.approx(0.001 * 0.95 + 0.999 * 0.99)
    assert found.misses().value == pytest.approx([0.5, 99.9])
    assert found.false_alarms().value == pytest.approx([99.9, 0.5])
    assert found.precision().value == pytest.approx([0.00095 / (0.00095 + 0.00999), 0.99995], 1e-4)


def test_costs_and_the_cheapest_constant_answer() -> None:
    found = _fraud({(0, 1): 100.0, (1, 0): 1.0})
    assert found.cost().value == pytest.approx(0.5 * 100 + 99.9)
    assert found.constant_cost() == (1, 1000.0)
    assert _fraud().cost().at(0) == (None, None)
    assert _fraud({}).cost().value == [0.0]


@pytest.mark.parametrize("cheap", [1e-300, 1e-160, 1.0])
def test_a_cost_whose_square_is_no_number_is_bounded(cheap: float) -> None:
    """All mistakes are of the class whose mistakes cost next to nothing."""
    found = _deployment([[50, 0], [10, 40]], [0.5, 0.5], {(0, 1): 1.0, (1, 0): cheap}).cost()
    value, bounds = found.at(0)
    assert value == pytest.approx(1000 * cheap, rel=1e-9, abs=0)
    assert value is not None
    assert bounds is not None
    low, high = bounds
    assert 0 <= low < value < high
    assert high >= 100 * -np.log(0.05) * (1 - 1e-9)  # of the dear ones there may be so many


def test_costs_that_are_all_next_to_nothing_are_bounded_alike() -> None:
    dear, cheap = (_fraud({(0, 1): 100 * unit, (1, 0): unit}).cost() for unit in (1.0, 1e-300))
    assert np.array(cheap) / 1e-300 == pytest.approx(np.array(dear))


def test_false_alarms_from_a_class_that_hardly_comes_are_bounded() -> None:
    found = _deployment([[90, 10], [5, 95]], [1.0, 1e-300])
    for figures in (found.false_alarms(), found.precision()):
        assert not np.isnan(figures).any()
    low, high = (float(side[0]) for side in found.false_alarms()[1:])
    assert 0 < low < found.false_alarms().value[0] <= high


def test_in_production_it_is_known_what_cheap_mistakes_cost(run: Run, saved: Saved) -> None:
    audit = run(
        predictions={"test": saved({"a": {"a": 100}, "b": {"b": 90, "a": 10}})},
        deployment={
            "prevalence": {"a": 0.5, "b": 0.5},
            "costs": {"a": {"b": 1.0}, "b": {"a": 1e-300}},
        },
    )
    summary = audit.check("accuracy-paradox").summary
    assert "In production the expected cost of 10,000 images is" in summary


def test_at_the_shares_of_the_test_set_it_is_the_test_set() -> None:
    rows = [[50, 3, 7], [1, 80, 9], [4, 4, 42]]
    n = np.sum(rows)
    found = _deployment(rows, np.sum(rows, axis=1) / n)
    confusion = found.confusion
    assert found.accuracy().value == pytest.approx(confusion.accuracy)
    assert found.precision().value == pytest.approx(confusion.precision)
    wrong = confusion.predicted - confusion.correct
    assert found.false_alarms().value == pytest.approx(1e4 * wrong / n)


def test_nothing_wrong_leaves_room() -> None:
    found = _deployment([[5, 0], [0, 50]], [0.5, 0.5])
    assert found.accuracy().value == 1.0
    assert 0.7 < found.accuracy().low[0] < 0.8
    assert found.false_alarms().value.tolist() == [0, 0]
    assert found.false_alarms().high[1] > 1e4 * 0.5 * 0.4
    assert found.precision().low[1] < 0.7


THREE = np.array([[8, 1, 1], [3, 90, 7], [2, 4, 494]])
SHARES = np.array([0.2, 0.3, 0.5])


def _wrongly_put(into: int, confidence: float) -> tuple[float, float]:
    """Fay and Feuer's bounds of the share that is wrongly put into one of three classes."""
    others = [i for i in range(3) if i != into]
    weight = (SHARES / THREE.sum(axis=1))[others]
    total, variance = weight @ THREE[others, into], weight**2 @ THREE[others, into]
    more, spread = total + weight.max(), variance + weight.max() ** 2
    low = variance / (2 * total) * chi2.ppf(1 - confidence, 2 * total**2 / variance)
    high = spread / (2 * more) * chi2.ppf(confidence, 2 * more**2 / spread)
    return float(low), float(high)


def test_the_bounds_of_each_class_are_those_of_statsmodels_and_of_fay_and_feuer() -> None:
    found = _deployment(THREE.tolist(), SHARES.tolist())
    misses, alarms, precision = found.misses(), found.false_alarms(), found.precision()
    for i, (row, share) in enumerate(zip(THREE, SHARES, strict=True)):
        n, k = row.sum(), row[i]
        missed = np.array(proportion_confint(n - k, n, 0.1, "beta"))
        assert misses.at(i)[1] == pytest.approx(tuple(1e4 * share * missed))
        wrong = np.array(_wrongly_put(i, 0.95))
        assert alarms.at(i)[1] == pytest.approx(tuple(1e4 * wrong))
        # Half the error each for what is put there rightly and wrongly, and the worst of the two.
        right = share * np.array(proportion_confint(k, n, 0.05, "beta"))
        corners = right / (right + np.array(_wrongly_put(i, 0.975))[::-1])
        assert precision.at(i)[1] == pytest.approx(tuple(corners))


def test_no_more_is_wrongly_put_into_a_class_than_there_are_images_of_others() -> None:
    found = _deployment([[10, 0], [1, 0]], [0.999, 0.001])
    assert found.false_alarms().high[0] == pytest.approx(10)


def test_what_production_does_not_hold_need_not_be_known() -> None:
    found = _deployment([[90, 10, 0], [5, 95, 0], [0, 0, 0]], [0.5, 0.5, 0.0])
    assert found.unmeasured == ()
    assert found.accuracy().value == pytest.approx(0.925)


def test_a_class_without_test_images_leaves_the_sums_unknown() -> None:
    found = _deployment([[90, 10, 0], [5, 95, 0], [0, 0, 0]], [0.5, 0.4, 0.1], {(0, 1): 1.0})
    assert found.unmeasured == ("c002",)
    for estimate in (found.accuracy(), found.false_alarms(), found.precision(), found.cost()):
        assert estimate.at(0) == (None, None)
    assert found.misses().at(0)[0] == pytest.approx(500)
    assert found.misses().at(2) == (None, None)
    shown = found.exhibit()
    assert shown.unmeasured == ("c002",)
    assert shown.metrics[0].value is None


def test_no_test_image_at_all() -> None:
    found = _deployment([[0, 0], [0, 0]], [0.5, 0.5])
    assert found.accuracy().at(0) == (None, None)
    assert found.exhibit().per_class[0].misses is None


def _covered(
    truth: Sequence[Sequence[float]], n: Sequence[int], share: Sequence[float], audits: int
) -> dict[str, tuple[float, float]]:
    """Return how often the lower and the upper bound hold."""
    random, rates, weight = np.random.default_rng(0), np.array(truth), np.array(share)
    costs = {(0, 1): 10.0, (1, 0): 1.0}
    right = weight * rates.diagonal()
    real = {
        "accuracy": right.sum(),
        "false_alarms": 1e4 * (weight @ rates - right)[0],
        "precision": (right / (weight @ rates))[0],
        "cost": 1e4 * sum(weight[i] * rates[i, j] * c for (i, j), c in costs.items()),
    }
    held = {name: np.zeros(2) for name in real}
    for _ in range(audits):
        rows = [random.multinomial(k, row).tolist() for k, row in zip(n, rates, strict=True)]
        found = _deployment(rows, share, costs)
        for name, value in real.items():
            estimate: Estimates = getattr(found, name)()
            held[name] += estimate.low[0] <= value + 1e-9, estimate.high[0] >= value - 1e-9
    return {name: (low / audits, high / audits) for name, (low, high) in held.items()}


@pytest.mark.parametrize(
    ("truth", "n", "share"),
    [
        ([[0.9, 0.1], [0.01, 0.99]], [20, 1000], [0.001, 0.999]),
        ([[0.8, 0.1, 0.1], [0.05, 0.9, 0.05], [0.01, 0.02, 0.97]], [10, 50, 200], [0.1, 0.3, 0.6]),
        (np.full((10, 10), 0.02) + 0.8 * np.eye(10), [5] * 10, [0.1] * 10),
    ],
)
def test_the_intervals_hold_the_truth(
    truth: Sequence[Sequence[float]], n: Sequence[int], share: Sequence[float]
) -> None:
    for name, bounds in _covered(truth, n, share, 800).items():
        assert min(bounds) >= 0.92, (name, bounds)


@pytest.mark.parametrize(
    ("classes", "each", "recall"), [(200, 5, 0.05), (200, 2, 0.2), (200, 5, 0.9)]
)
def test_the_accuracy_of_many_classes_of_few_images_is_bounded(
    classes: int, each: int, recall: float
) -> None:
    """Where none or all of a class's images are right, its own bounds leave no room."""
    random, audits, missed = np.random.default_rng(0), 400, np.zeros(2)
    one, share = np.arange(classes), np.full(classes, 1 / classes)
    for right in random.binomial(each, recall, (audits, classes)):
        rows = np.zeros((classes, classes), int)
        rows[one, one], rows[one, one - 1] = right, each - right
        found = _deployment(rows.tolist(), share.tolist()).accuracy()
        missed += found.low[0] > recall + 1e-9, found.high[0] < recall - 1e-9
    assert max(missed) <= binom.ppf(0.999, audits, 0.05)


@pytest.mark.parametrize("rows", [THREE, [[8, 1, 1], [2, 1, 7], [60, 39, 1]]])
def test_the_bounds_of_the_accuracy_are_those_of_its_definition(rows: NDArray[np.int64]) -> None:
    counts = np.array(rows)
    found, right, n = _deployment(counts.tolist(), SHARES.tolist()), np.diag(counts), counts.sum(1)
    below, above = (
        standardised_reach([*zip(SHARES.tolist(), side.tolist(), n.tolist(), strict=True)])
        for side in (right, n - right)
    )
    value, bounds = found.accuracy().at(0)
    assert value == pytest.approx(SHARES @ (right / n))
    assert bounds == pytest.approx((SHARES @ (right / n) - below, SHARES @ (right / n) + above))


class TestAccuracyParadox:
    def test_a_detector_worse_than_always_saying_normal_fails(self) -> None:
        found = _fraud()
        outcome = AccuracyParadox().run(found.confusion, found)
        assert outcome.status is Status.FAIL
        assert outcome.findings[-1].subject == "production"
        assert outcome.findings[-1].limit == pytest.approx(0.999)
        assert "In production the expected accuracy is 99.00%" in outcome.summary
        assert AccuracyParadox().run(found.confusion).status is Status.PASS

    def test_its_clean_twin_passes(self) -> None:
        found = _deployment([[95, 5], [10, 990]], [0.3, 0.7])
        outcome = AccuracyParadox().run(found.confusion, found)
        assert outcome.status is Status.PASS

    def test_costs_are_what_counts_where_they_are_given(self) -> None:
        found = _fraud({(0, 1): 100.0, (1, 0): 1.0})
        outcome = AccuracyParadox().run(found.confusion, found)
        assert outcome.status is Status.PASS
        assert outcome.findings[-1].metric == "expected cost of 10,000 images"
        dear = _fraud({(0, 1): 100.0, (1, 0): 50.0})
        assert AccuracyParadox().run(dear.confusion, dear).status is Status.FAIL

    def test_mistakes_that_cost_nothing_have_costs_all_the_same(self) -> None:
        found = _fraud({})
        first, *_, last = AccuracyParadox().run(found.confusion, found).findings
        assert first.status is Status.SKIP
        assert (last.metric, last.observed) == ("expected cost of 10,000 images", 0.0)

    def test_a_detector_that_is_worth_its_false_alarms_passes(self) -> None:
        """It is less accurate than naming the commonest class, and a fourth of the cost."""
        counts, share = [[384, 16], [784, 18_816]], [0.02, 0.98]
        costs = {(0, 1): 100.0, (1, 0): 1.0}
        found = _deployment(counts, share, costs)
        outcome = AccuracyParadox().run(found.confusion, found)
        assert outcome.findings[0].status is Status.SKIP
        assert outcome.status is Status.PASS
        without = AccuracyParadox().run(found.confusion)
        assert without.status is Status.FAIL
        assert "give [deployment] costs" in without.findings[0].note

    def test_shares_alone_leave_the_accuracy_to_be_judged(self) -> None:
        """Where one class is nearly all of the test set, that of production is another question."""
        found = _deployment([[384, 16], [784, 18_816]], [0.5, 0.5])
        outcome = AccuracyParadox().run(found.confusion, found)
        assert outcome.findings[-1].status is Status.PASS
        assert outcome.findings[0].status is Status.FAIL
        assert outcome.status is Status.FAIL

    def test_too_few_images_are_inconclusive(self) -> None:
        found = _deployment([[30, 2], [0, 20]], [0.1, 0.9])
        outcome = AccuracyParadox().run(found.confusion, found)
        assert outcome.status is Status.INCONCLUSIVE
        assert "not settled" in outcome.summary

    def test_a_class_without_test_images_is_inconclusive(self) -> None:
        found = _deployment([[90, 0, 0], [0, 90, 0], [0, 0, 0]], [0.4, 0.4, 0.2])
        finding = AccuracyParadox().run(found.confusion, found).findings[-1]
        assert (finding.status, finding.note) == (Status.INCONCLUSIVE, "no test image of: c002")


class TestAudit:
    def test_the_report_has_the_section(self, run: Run, saved: Saved) -> None:
        costs = {"fraud": {"normal": 100.0}, "normal": {"fraud": 1.0}}
        deployment = {"prevalence": RARE, "costs": costs}
        audit = run(predictions={"test": saved(FRAUD)}, deployment=deployment)
        shown = audit.exhibits.deployment
        assert shown is not None
        assert [row.name for row in shown.metrics] == [
            "expected accuracy",
            "largest share",
            "cost",
            "least constant cost",
        ]
        assert {row.name for row in shown.per_class} == {"fraud", "normal"}
        assert audit.check("accuracy-paradox").findings[-1].subject == "production"
        page = html_report(audit)
        html5lib.HTMLParser(strict=True).parse(page)
        for text in ('id="deployment"', "Misses", "False alarms", "Fay and Feuer"):
            assert text in page

    def test_without_it_there_is_none(self, run: Run, saved: Saved) -> None:
        audit = run(predictions={"test": saved(FRAUD)})
        assert audit.exhibits.deployment is None
        assert 'id="deployment"' not in html_report(audit)

    def test_shares_without_costs_are_judged_by_the_accuracy(self, run: Run, saved: Saved) -> None:
        audit = run(predictions={"test": saved(FRAUD)}, deployment={"prevalence": RARE})
        last = audit.check("accuracy-paradox").findings[-1]
        assert (last.subject, last.metric) == ("production", "expected accuracy")

    def test_it_is_shown_though_the_check_is_off(self, run: Run, saved: Saved) -> None:
        off = {"accuracy-paradox": {"level": "off"}}
        audit = run(predictions={"test": saved(FRAUD)}, deployment={"prevalence": RARE}, checks=off)
        assert audit.exhibits.deployment is not None


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("prevalence = { fraud = 0.1, normal = 0.8 }", 4, ["deployment.prevalence", "sum to 0.9;"]),
        ("prevalence = { fraud = -0.1, normal = 1.1 }", 4, ["deployment.prevalence.fraud", "-0.1"]),
        ("prevalence = { fraud = nan, normal = 1.0 }", 4, ["deployment.prevalence.fraud"]),
        (
            "prevalence = { fraud = 'x', normal = 1.0 }",
            4,
            ["prevalence.fraud: give a number", '"x"'],
        ),
        ("\nprevalence = { fruad = 0.1, normal = 0.9 }", 5, ['"fruad"', 'did you mean "fraud"']),
        ("prevalence = { normal = 1.0 }", 4, ['no share for "fraud"', "every class"]),
        ("prevalence = {}", 4, ["sum to 0"]),
        ("costs = { fraud = { normal = 1 } }", 3, ["deployment.prevalence", "required"]),
        ("[deployment.prevalence]\nfruad = 0.1\nnormal = 0.9", 5, ['did you mean "fraud"']),
        (
            "prevalence = { fraud = 0.1, normal = 0.9 }\ncosts = { fraud = { normal = -1 } }",
            5,
            ["deployment.costs.fraud.normal", "give at least 0, not -1"],
        ),
        (
            "prevalence = { fraud = 0.1, normal = 0.9 }\ncosts = { fraud = { norml = 1 } }",
            5,
            ["deployment.costs.fraud", '"norml"', 'did you mean "normal"'],
        ),
        (
            "prevalence = { fraud = 0.1, normal = 0.9 }\n[deployment.costs.fruad]\nnormal = 1",
            5,
            ['"fruad" is not a class', 'did you mean "fraud"'],
        ),
        (
            "prevalence = { fraud = 0.1, normal = 0.9 }\ncosts = { fraud = { normal = 0 } }",
            5,
            ["deployment.costs", "no image of production costs anything"],
        ),
        (
            "prevalence = { fraud = 0, normal = 1 }\ncosts = { fraud = { normal = 9 } }",
            5,
            ["deployment.costs", "no image of production costs anything"],
        ),
        (
            "prevalence = { fraud = 0.1, normal = 0.9 }\ncosts = { fraud = { normal = 1e308 } }",
            5,
            ["deployment.costs.fraud.normal: give at most 1e+12"],
        ),
        ("prevalance = { fraud = 1.0 }", 4, ['"prevalance"', 'did you mean "prevalence"']),
    ],
)
def test_a_complaint_names_the_line(
    write: Write, run: Run, saved: Saved, text: str, line: int, parts: list[str]
) -> None:
    saved(FRAUD, "p.csv")
    path = write("auditor.toml", f'[predictions]\ntest = "p.csv"\n[deployment]\n{text}\n')
    with pytest.raises(InputError) as caught:
        run(path)
    said = str(caught.value)
    assert said.startswith(f"{path}:{line}: ")
    for part in parts:
        assert part in said


def test_init_and_the_schema_know_it(tmp_path: Path) -> None:
    import tomllib

    from auditor.cli.draft import draft
    from auditor.cli.folder import look
    from auditor.cli.schema import config_schema
    from auditor.config import DeploymentTable
    from auditor.registry import find_checks

    schema = config_schema()
    assert {"prevalence", "costs"} <= schema["$defs"]["DeploymentTable"]["properties"].keys()
    text = draft(look(tmp_path), find_checks())
    for id in ("calibration", "label-order", "operating-point", "preprocessing"):
        assert id in schema["properties"]["checks"]["properties"]
        assert f"[checks.{id}]" in text
    assert "# validation =" in text
    lines = text[text.index("# [deployment]") :].split("\n\n")[0].splitlines()
    example = tomllib.loads("\n".join(line[2:] for line in lines if "=" in line))
    DeploymentTable.model_validate(example)
