"""Figures of an audit against published ones.

R's ``caret::confusionMatrix`` on two tables whose printed results are public: ``lvs``, the example
of its documentation (liver scans: Altman and Bland, BMJ 308:1552 and 309:102, 1994), and
``screening``, the worked example of Wikipedia's "Sensitivity and specificity"
(rpubs.com/datascience9/235576). R prints four digits or more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from auditor import stats
from auditor.check import Status
from auditor.checks.accuracy_paradox import AccuracyParadox
from auditor.comparison import compare
from auditor.evidence.baseline import Baseline
from auditor.evidence.confusion import Confusion
from auditor.evidence.deployment import Deployment
from auditor.evidence.predictions import Predictions
from auditor.record import Audit

Make = Callable[..., Confusion]


class Published(NamedTuple):
    """What R prints of a table; the positive class is the first."""

    table: Mapping[str, Mapping[str, int]]
    """Truth → prediction → images."""
    accuracy: float
    interval: tuple[float, float]
    no_information_rate: float
    better_than_chance: float
    """P-value of accuracy > no-information rate."""
    kappa: float
    sensitivity: float
    specificity: float
    ppv: float
    npv: float
    prevalence: float
    detection_rate: float
    detection_prevalence: float
    balanced_accuracy: float


LVS = Published(
    {"abnormal": {"abnormal": 231, "normal": 27}, "normal": {"abnormal": 32, "normal": 54}},
    accuracy=0.8285,
    interval=(0.7844, 0.8668),
    no_information_rate=0.75,
    better_than_chance=0.0003097,
    kappa=0.5336,
    sensitivity=0.8953,
    specificity=0.6279,
    ppv=0.8783,
    npv=0.6667,
    prevalence=0.7500,
    detection_rate=0.6715,
    detection_prevalence=0.7645,
    balanced_accuracy=0.7616,
)
SCREENING = Published(
    {
        "positive": {"positive": 20, "negative": 10},
        "negative": {"positive": 180, "negative": 1820},
    },
    accuracy=0.9064,
    interval=(0.8929, 0.9187),
    no_information_rate=0.9852,
    better_than_chance=1.0,
    kappa=0.1521,
    sensitivity=0.666667,
    specificity=0.910000,
    ppv=0.100000,
    npv=0.994536,
    prevalence=0.014778,
    detection_rate=0.009852,
    detection_prevalence=0.098522,
    balanced_accuracy=0.788333,
)
EXAMPLES = pytest.mark.parametrize("printed", [LVS, SCREENING], ids=["lvs", "screening"])


def _near(value: object) -> object:
    return pytest.approx(value, abs=5e-5)


@EXAMPLES
def test_overall_figures(confusion: Make, printed: Published) -> None:
    found = confusion(printed.table, list(printed.table))
    assert found.accuracy == _near(printed.accuracy)
    assert found.no_information_rate == _near(printed.no_information_rate)
    assert found.kappa == _near(printed.kappa)
    assert found.balanced_accuracy == _near(printed.balanced_accuracy)


@EXAMPLES
def test_figures_of_the_positive_class(confusion: Make, printed: Published) -> None:
    found = confusion(printed.table, list(printed.table))
    assert found.recall.tolist() == _near([printed.sensitivity, printed.specificity])
    assert found.precision.tolist() == _near([printed.ppv, printed.npv])
    assert found.support[0] / found.n == _near(printed.prevalence)
    assert found.correct[0] / found.n == _near(printed.detection_rate)
    assert found.predicted[0] / found.n == _near(printed.detection_prevalence)


@EXAMPLES
def test_the_exact_interval_of_the_accuracy(confusion: Make, printed: Published) -> None:
    found = confusion(printed.table, list(printed.table))
    interval = stats.proportion_interval(found.right, found.n, 0.975)
    assert interval == _near(printed.interval)
    assert interval == pytest.approx(proportion_confint(found.right, found.n, 0.05, method="beta"))


@EXAMPLES
def test_accuracy_against_the_no_information_rate(confusion: Make, printed: Published) -> None:
    found = confusion(printed.table, list(printed.table))
    p = stats.chance_p_value(found.right, found.n, found.no_information_rate or 0.0)
    assert p == pytest.approx(printed.better_than_chance, abs=5e-8)
    finding = AccuracyParadox().run(found).findings[0]
    assert finding.status is (Status.PASS if printed is LVS else Status.FAIL)
    assert f"p = {p:.2g}" in finding.note


@EXAMPLES
def test_kappa_is_that_of_statsmodels(confusion: Make, printed: Published) -> None:
    found = confusion(printed.table, list(printed.table))
    rows = [[row[name] for name in printed.table] for row in printed.table.values()]
    assert found.kappa == pytest.approx(cohens_kappa(np.array(rows)).kappa)


@pytest.mark.parametrize(
    ("share", "ppv", "npv"),
    [(0.75, 0.88, 0.67), (0.25, 0.45, 0.95)],
)
def test_predictive_values_at_another_prevalence(
    confusion: Make, share: float, ppv: float, npv: float
) -> None:
    """The same liver scans at another hospital: Altman and Bland, BMJ 309:102."""
    found = confusion(LVS.table, list(LVS.table))
    deployed = Deployment(found, np.array([share, 1 - share]), None)
    assert deployed.precision().value == pytest.approx([ppv, npv], abs=5e-3)


def test_mcnemar(old_audit: Audit) -> None:
    """R prints p = 0.6025 for 27 and 32, by the chi-squared approximation with its correction."""
    approximate = mcnemar([[0, 27], [32, 0]], exact=False, correction=True).pvalue
    assert approximate == pytest.approx(0.6025, abs=5e-5)
    label = ["a", "b"] * 172
    before, after = (
        Predictions.of(label, ["b" if k in wrong else label[k] for k in range(344)], classes="ab")
        for wrong in (set(range(0, 54, 2)), set(range(100, 164, 2)))
    )
    found = compare(after, Baseline(old_audit, before))
    assert (found.overall.won, found.overall.lost) == (27, 32)
    assert found.mcnemar is not None
    assert found.mcnemar[0] == pytest.approx(binomtest(27, 59).pvalue)
    assert found.mcnemar[0] == pytest.approx(approximate, abs=1e-3)
