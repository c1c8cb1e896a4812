"""Seven published CIFAR-10 models beside each other, where their predictions are at hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, fisher_exact
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from auditor.check import Outcome, Status
from auditor.checks.baseline_regression import BaselineRegression
from auditor.comparison import Comparison
from auditor.data.saved import read_saved
from auditor.evidence.baseline import Baseline
from auditor.evidence.counts import counts as count
from auditor.evidence.predictions import Predictions
from auditor.record import Audit
from tests.references import difference_bounds

pytestmark = pytest.mark.shared_data
Compared = Callable[[Predictions, Predictions], Comparison]
Models = dict[str, Predictions]
Table = NDArray[np.int64]
SIX = (
    "wrn_28_10",
    "densenet_BC_100_12",
    "vgg16_keras",
    "resnet_basic_110",
    "resnet_basic_32",
    "random_features_256k_no_aug",
)
SEVEN = (*SIX, "probabilities")
PAIRS = list(combinations(SEVEN, 2))
EQUALS = [("vgg16_keras", "resnet_basic_110"), ("resnet_basic_110", "vgg16_keras")]


@pytest.fixture(scope="module")
def models(repository: Path) -> Models:
    folder = repository.parent / "shared" / "data" / "predictions"
    if not folder.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    tables = {path.stem: read_saved(path) for path in sorted(folder.glob("*.csv"))}
    return {
        name: Predictions(t.classes.names, tuple(t.images), t.label, t.predicted)
        for name, t in tables.items()
    }


def _table(before: Predictions, after: Predictions) -> Table:
    """Images by whether the baseline and the candidate have them right, counted by name."""
    right = dict(zip(before.images, before.correct.tolist(), strict=True))
    table = np.zeros((2, 2), np.int64)
    for image, correct in zip(after.images, after.correct.tolist(), strict=True):
        table[int(right[image]), int(correct)] += 1
    return table


def _exact_and_mid_p(table: Table) -> tuple[float, float]:
    """Return statsmodels' exact p-value, and the same less the point that was observed."""
    exact = float(mcnemar(table, exact=True).pvalue)
    flipped = int(table[0, 1] + table[1, 0])
    return exact, exact - float(binom.pmf(int(table[0, 1]), flipped, 0.5))


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_pair_agrees_with_statsmodels(
    compared: Compared, models: Models, a: str, b: str
) -> None:
    before, after = models[f"cifar10_{a}"], models[f"cifar10_{b}"]
    found, table = compared(before, after), _table(before, after)
    assert (found.overall.lost, found.overall.won) == (table[1, 0], table[0, 1])
    assert found.mcnemar == pytest.approx(_exact_and_mid_p(table), rel=1e-9)
    low, high = found.overall.interval
    assert (found.mcnemar or (1.0,))[0] >= 0.05 or low > 0 or high < 0


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_class_of_every_pair_agrees_with_statsmodels(
    compared: Compared, models: Models, a: str, b: str
) -> None:
    before, after = models[f"cifar10_{a}"], models[f"cifar10_{b}"]
    found = compared(before, after)
    raw = []
    for change in found.classes:
        own = before.classes.index(change.name), after.classes.index(change.name)
        table = _table(before.where(before.label == own[0]), after.where(after.label == own[1]))
        assert (change.lost, change.won, change.n_after) == (table[1, 0], table[0, 1], 1000)
        lost, won = int(table[1, 0]), int(table[0, 1])
        raw.append(binomtest(lost, lost + won, alternative="greater").pvalue)
    assert found.family == 10
    holm = multipletests(raw, method="holm")[1].tolist()
    assert [change.p_worse for change in found.classes] == pytest.approx(holm)


def _judged(after: Predictions, baseline: Baseline, margin: float = 0.005) -> Outcome:
    check = BaselineRegression(margin=margin)
    return check.run(after, baseline, count(after, None, None))


@pytest.mark.parametrize("name", SEVEN)
def test_a_model_beside_itself_passes(old_audit: Audit, models: Models, name: str) -> None:
    model = models[f"cifar10_{name}"]
    outcome = _judged(model, Baseline(old_audit, model))
    assert outcome.status is Status.PASS
    assert outcome.summary.startswith("Not worse than the baseline (old) by more than ")
    assert "on the same 10,000 images, 0 lost, 0 won" in outcome.summary


@pytest.mark.parametrize(("a", "b"), EQUALS)
@pytest.mark.parametrize("margin", [0.0, 0.01])
def test_the_pair_of_equals_is_no_regression(
    old_audit: Audit, models: Models, a: str, b: str, margin: float
) -> None:
    before, after = models[f"cifar10_{a}"], models[f"cifar10_{b}"]
    outcome = _judged(after, Baseline(old_audit, before), margin)
    assert outcome.status is (Status.PASS if margin >= 0.01 else Status.INCONCLUSIVE)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_a_real_regression_is_one_and_its_undoing_is_none(
    old_audit: Audit, models: Models, margin: float
) -> None:
    best, worst = models["cifar10_wrn_28_10"], models["cifar10_random_features_256k_no_aug"]
    assert _judged(worst, Baseline(old_audit, best), margin).status is Status.FAIL
    assert _judged(best, Baseline(old_audit, worst), margin).status is Status.PASS


@pytest.mark.parametrize("name", SIX)
def test_cifar_10_1_is_other_images(
    compared: Compared, old_audit: Audit, models: Models, name: str
) -> None:
    before, after = models[f"cifar10_{name}"], models[f"cifar10.1_{name}"]
    found = compared(before, after)
    right = int(after.correct.sum()), int(before.correct.sum())
    assert not found.paired
    assert found.mcnemar is None
    bounds = difference_bounds(right[0], 2_000, right[1], 10_000)
    assert found.overall.interval == pytest.approx(bounds, abs=1e-7)
    table = np.array([[right[0], 2_000 - right[0]], [right[1], 10_000 - right[1]]])
    assert found.overall.p_worse == pytest.approx(fisher_exact(table, "less").pvalue)
    outcome = _judged(after, Baseline(old_audit, before))
    assert outcome.status is Status.FAIL
    assert "the difference may be that of the images" in outcome.summary
