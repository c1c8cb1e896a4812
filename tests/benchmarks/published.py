"""Compares published CIFAR-10 models with each other; prints Markdown tables.

python tests/benchmarks/published.py FOLDER

The folder holds saved predictions: ``cifar10_MODEL.csv`` and, on newly collected images,
``cifar10.1_MODEL.csv``. McNemar's test, exact bounds by squares and sums, and Fisher's test are
compared with those of statsmodels and scipy.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import fisher_exact
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from auditor.checks.baseline_regression import BaselineRegression
from auditor.comparison import Comparison, compare
from auditor.data.saved import read_saved
from auditor.evidence.baseline import Baseline
from auditor.evidence.counts import counts
from auditor.evidence.predictions import Predictions
from auditor.record import Audit, CandidateInfo, DataInfo, PolicyInfo, Provenance, SplitInfo


def read(path: Path) -> Predictions:
    """Read saved predictions."""
    table = read_saved(path)
    return Predictions(table.classes.names, tuple(table.images), table.label, table.predicted)


def baseline(name: str, predictions: Predictions) -> Baseline:
    """Return a baseline that is its predictions alone."""
    words = ("auditor", "created", "repeat", "config", "config_digest", "python", "platform")
    split = SplitInfo(source="", images=len(predictions), predicted=len(predictions))
    record = Audit(
        verdict="accepted",
        summary="",
        candidate=CandidateInfo(name=name),
        data=DataInfo(classes=predictions.classes, class_order="", test=split),
        policy=PolicyInfo(preset="sign-off", inconclusive=""),
        checks=(),
        provenance=Provenance(**dict.fromkeys(words, "")),
    )
    return Baseline(record, predictions)


def points(found: Comparison) -> str:
    """Return the difference with its bounds, in points."""
    low, high = (100 * bound for bound in found.overall.interval)
    return f"{100 * found.overall.difference:+.2f} [{low:+.2f}, {high:+.2f}]"


def judged(model: Predictions, earlier: Baseline) -> str:
    """Return the status of the check."""
    return BaselineRegression().run(model, earlier, counts(model, None, None)).status.value


def same_images(models: dict[str, Predictions]) -> None:
    """Print every pair, the better model first, and the largest departure from statsmodels."""
    ranked = sorted(models, key=lambda name: -models[name].correct.mean())
    print("| baseline | candidate | points | lost | won | exact p | mid-p | baseline-regression |")
    print("|---" * 8 + "|")
    apart = 0.0
    for a, b in combinations(ranked, 2):
        earlier = baseline(a, models[a])
        found = compare(models[b], earlier)
        lost, won = found.overall.lost or 0, found.overall.won or 0
        exact, mid = found.mcnemar or (np.nan, np.nan)
        apart = max(apart, abs(exact - mcnemar([[0, lost], [won, 0]], exact=True).pvalue))
        status = judged(models[b], earlier)
        cells = f"{points(found)} | {lost} | {won} | {exact:.2g} | {mid:.2g} | {status}"
        print(f"| {a} | {b} | {cells} |")
    alone = {judged(m, baseline(n, m)) for n, m in models.items()}
    print(f"\nExact p-values differ from statsmodels' by at most {apart:.1g}; each model beside")
    print(f"itself: {', '.join(alone)}.")


def _bounds(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    (low, high), (least, most) = (
        proportion_confint(k, size, alpha=0.1, method="beta") for k, size in ((a, n), (b, m))
    )
    p, q = a / n, b / m
    return p - q - np.hypot(p - low, most - q), p - q + np.hypot(high - p, q - least)


def other_images(models: dict[str, Predictions], again: dict[str, Predictions]) -> None:
    """Print each model on the two test sets, and the largest departure from the libraries."""
    print("\n| model | CIFAR-10 | CIFAR-10.1 | points | p worse |\n" + "|---" * 5 + "|")
    apart = 0.0
    for name, after in again.items():
        found = compare(after, baseline(name, models[name])).overall
        right = (found.right_after, found.n_after, found.right_before, found.n_before)
        a, n, b, m = right
        off = np.subtract(found.interval, _bounds(*right))
        p = fisher_exact(np.array([[a, n - a], [b, m - b]]), "less").pvalue
        apart = max(apart, *np.abs(off), abs(found.p_worse - p))
        shown = points(compare(after, baseline(name, models[name])))
        print(f"| {name} | {found.before:.2%} | {found.after:.2%} | {shown} | {p:.2g} |")
    print(f"\nBounds and p-values differ from the libraries' by at most {apart:.1g}.")


def main(folder: Path) -> None:
    """Print both tables."""
    found = {path.stem: read(path) for path in sorted(folder.glob("cifar10*.csv"))}
    split = {name: name.partition("_") for name in found}
    models = {split[n][2]: p for n, p in found.items() if split[n][0] == "cifar10"}
    again = {split[n][2]: p for n, p in found.items() if split[n][0] == "cifar10.1"}
    same_images(models)
    other_images(models, again)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
