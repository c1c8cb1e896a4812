"""Figures of the confusion matrix against scikit-learn's, on random and degenerate inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from auditor.evidence.confusion import Confusion
from auditor.evidence.predictions import Predictions

Pairs = tuple[int, list[tuple[int, int]]]


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """K classes, and (label, predicted) pairs that need not use all of them."""
    k = draw(st.integers(2, 6))
    used = draw(st.integers(1, k))
    said = draw(st.integers(1, k))
    cell = st.tuples(st.integers(0, used - 1), st.integers(0, said - 1))
    return k, draw(st.lists(cell, min_size=1, max_size=60))


def _made(case: Pairs) -> tuple[Confusion, NDArray[np.int64], NDArray[np.int64]]:
    k, cells = case
    label, predicted = np.array(cells).T
    names = [f"c{i}" for i in range(k)]
    found = Predictions.of([names[i] for i in label], [names[i] for i in predicted], classes=names)
    return Confusion.of(found), label, predicted


def _quiet(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


@given(pairs())
@example((2, [(0, 0)]))
@example((2, [(0, 1)]))
@example((3, [(0, 0), (1, 0), (2, 0)]))
@example((4, [(1, 1), (1, 1), (2, 1)]))
def test_per_class_figures_equal_scikit_learns(case: Pairs) -> None:
    found, label, predicted = _made(case)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        label, predicted, labels=range(case[0]), zero_division=np.nan
    )
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_array_equal(found.support, support)
    known = (found.support + found.predicted) > 0
    np.testing.assert_allclose(found.f1[known], np.nan_to_num(f1)[known])
    assert np.isnan(found.f1[~known]).all()


@given(pairs())
def test_what_scikit_learn_calls_zero_is_unknown_here(case: Pairs) -> None:
    found, label, predicted = _made(case)
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        label, predicted, labels=range(case[0]), zero_division=0.0
    )
    nowhere, never = found.support == 0, found.predicted == 0
    assert (recall[nowhere] == 0).all()
    assert np.isnan(found.recall[nowhere]).all()
    assert (precision[never] == 0).all()
    assert np.isnan(found.precision[never]).all()


@given(pairs())
@example((3, [(0, 0), (1, 0), (1, 0)]))
@example((5, [(2, 4)]))
def test_figures_over_all_classes_equal_scikit_learns(case: Pairs) -> None:
    found, label, predicted = _made(case)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(label, predicted))
    assert found.balanced_accuracy == pytest.approx(
        _quiet(metrics.balanced_accuracy_score, label, predicted)
    )
    macro = metrics.f1_score(label, predicted, average="macro", zero_division=0.0)
    assert found.macro_f1 == pytest.approx(macro)


@given(pairs())
@example((2, [(0, 0), (1, 1)]))
@example((2, [(0, 0), (1, 0)]))
@example((2, [(0, 0)]))
def test_matthews_equals_scikit_learns_or_is_unknown(case: Pairs) -> None:
    found, label, predicted = _made(case)
    expected = _quiet(metrics.matthews_corrcoef, label, predicted)
    if len(set(label)) == 1 or len(set(predicted)) == 1:
        assert found.matthews is None
        assert expected == 0.0
    else:
        assert found.matthews == pytest.approx(expected)


@given(pairs())
@example((2, [(0, 0), (1, 0)]))
@example((2, [(1, 1), (1, 1)]))
def test_kappa_equals_scikit_learns_or_is_unknown(case: Pairs) -> None:
    found, label, predicted = _made(case)
    if len({*label, *predicted}) == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx(_quiet(metrics.cohen_kappa_score, label, predicted))


@given(pairs())
def test_cells_are_scikit_learns_matrix(case: Pairs) -> None:
    found, label, predicted = _made(case)
    dense = np.zeros((case[0], case[0]), int)
    for row, column, n in found.cells():
        assert n > 0
        dense[row, column] = n
    np.testing.assert_array_equal(
        dense, metrics.confusion_matrix(label, predicted, labels=range(case[0]))
    )
    assert found.n == dense.sum() == len(label)
    assert found.right == dense.trace()


def test_nothing_predicted_has_no_figures() -> None:
    found = Confusion.of(Predictions.of([], [], classes=["cat", "dog"]))
    assert found.n == found.right == 0
    figures = (found.accuracy, found.no_information_rate, found.balanced_accuracy, found.macro_f1)
    assert figures == (None, None, None, None)
    assert found.matthews is None
    assert found.kappa is None
    assert found.absent == ("cat", "dog")


def test_always_the_common_class() -> None:
    found = Confusion.of(Predictions.of(["ok"] * 97 + ["rare"] * 3, ["ok"] * 100))
    assert found.accuracy == pytest.approx(0.97)
    assert found.balanced_accuracy == pytest.approx(0.5)
    assert found.macro_f1 == pytest.approx(0.49, abs=0.003)
    assert found.kappa == 0.0
    assert found.matthews is None
    assert found.no_information_rate == pytest.approx(0.97)


def test_many_classes_stay_sparse() -> None:
    k, n = 21_000, 42_000
    label = np.arange(n) % k
    names = tuple(f"c{i}" for i in range(k))
    found = Confusion.of(Predictions(names, ("x",) * n, label, np.where(label % 7, label, 0)))
    assert len(list(found.cells())) == k
    assert found.matthews == pytest.approx(found.accuracy, abs=0.01)
