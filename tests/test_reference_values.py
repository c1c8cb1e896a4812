"""Figures of an audit against published ones: R caret's documentation of confusionMatrix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from auditor import stats
from auditor.check import Status
from auditor.checks.accuracy_paradox import AccuracyParadox
from auditor.evidence.confusion import Confusion

Make = Callable[..., Confusion]

LVS = {"abnormal": {"abnormal": 231, "normal": 27}, "normal": {"abnormal": 32, "normal": 54}}
"""The example ``lvs`` of caret::confusionMatrix, by truth and prediction; R prints 4 digits."""


@pytest.fixture
def lvs(confusion: Make) -> Confusion:
    return confusion(LVS)


def test_overall_figures(lvs: Confusion) -> None:
    assert lvs.accuracy == pytest.approx(0.8285, abs=5e-5)
    assert lvs.no_information_rate == pytest.approx(0.75, abs=5e-5)
    assert lvs.kappa == pytest.approx(0.5336, abs=5e-5)
    assert lvs.balanced_accuracy == pytest.approx(0.7616, abs=5e-5)


def test_figures_of_the_positive_class(lvs: Confusion) -> None:
    assert lvs.recall.tolist() == pytest.approx([0.8953, 0.6279], abs=5e-5)
    assert lvs.precision.tolist() == pytest.approx([0.8783, 0.6667], abs=5e-5)


def test_accuracy_interval(lvs: Confusion) -> None:
    found = stats.proportion_interval(lvs.right, lvs.n, 0.975)
    assert found == pytest.approx((0.7844, 0.8668), abs=5e-5)


def test_accuracy_against_the_no_information_rate(lvs: Confusion) -> None:
    p = stats.chance_p_value(lvs.right, lvs.n, lvs.no_information_rate or 0.0)
    assert p == pytest.approx(0.0003097, abs=5e-8)
    finding = AccuracyParadox().run(lvs).findings[0]
    assert finding.status is Status.PASS
    assert "p = 0.00031" in finding.note
