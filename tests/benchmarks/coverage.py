"""Measures how often intervals of composite figures hold the truth; prints Markdown tables.

python tests/benchmarks/coverage.py [AUDITS]

A pair of one-sided 95% bounds should hold the truth in 90% of audits. Beside it stands the plain
stratified percentile bootstrap of balanced accuracy, which collapses where a class is small.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditor import composite
from auditor.composite import Answers, Reliability
from auditor.evidence.confusion import Confusion

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]


FIGURES = {
    "balanced accuracy": composite.BALANCED_ACCURACY,
    "macro-F1": composite.MACRO_F1,
    "MCC": composite.MATTHEWS,
    "κ": composite.KAPPA,
    "accuracy − balanced": composite.ACCURACY_GAP,
}
TRUTHS = ("good", "nearly perfect", "paradox", "collapse", "uniform errors", "uneven")
CALIBRATIONS = ("calibrated", "overconfident", "underconfident", "uneven", "always sure")
RESAMPLES = 300
AIM = 88.0


def sizes(k: int) -> Iterator[tuple[str, Counts]]:
    """Yield test sets: some classes or all have 5–20 images."""
    if k == 2:
        yield "1000 + 5", np.array([1000, 5])
        yield "1000 + 20", np.array([1000, 20])
        return
    few = np.linspace(5, 20, k).astype(np.int64)
    yield "half 5–20, half 200", np.where(np.arange(k) < k // 2, 200, few)
    yield "all 5–20", few


def candidate(truth: str, n: Counts) -> Floats:
    """Return the true shares of answers, a row a class."""
    k, share, rare = len(n), n / n.sum(), n < np.median(n) + 1e-9
    commonest = np.eye(k)[n.argmax()]
    recall, lure = {
        "good": (np.full(k, 0.95), share),
        "nearly perfect": (np.full(k, 0.995), share),
        "paradox": (np.where(rare, 0.1, 0.99), commonest + 1e-4 * share),
        "collapse": (np.where(n < n.max(), 0.1, 0.99), commonest + 1e-4 * share),
        "uniform errors": (np.full(k, 0.7), np.full(k, 1 / k)),
        "uneven": (np.linspace(0.3, 1.0, k)[np.argsort(np.arange(k) * 7919 % k)], share + 1 / k),
    }[truth]
    rows = np.tile(lure, (k, 1)) * (1 - np.eye(k))
    rows *= ((1 - recall) / rows.sum(axis=1))[:, None]
    rows[np.arange(k), np.arange(k)] = recall
    return rows


def missed(bounds: tuple[float, float] | None, truth: float) -> NDArray[np.int64]:
    """Return (truth is below, truth is above, an interval was given)."""
    if bounds is None:
        return np.zeros(3, int)
    return np.array([truth < bounds[0] - 1e-9, truth > bounds[1] + 1e-9, 1], int)


def said(misses: NDArray[np.int64]) -> str:
    """Return a table's cell: coverage, and on which side the truth was missed, in percent."""
    below, above, audits = misses.tolist()
    covered = 100 * (1 - (below + above) / audits)
    text = f"{covered:.1f} ({100 * below / audits:.1f}/{100 * above / audits:.1f})"
    return f"**{text}**" if covered < AIM else text


def bootstrap(counts: Counts, n: Counts, random: np.random.Generator) -> tuple[float, float]:
    """Return the stratified percentile bootstrap of balanced accuracy."""
    means = (random.binomial(n, np.diag(counts) / n, (RESAMPLES, len(n))) / n).mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95]).tolist()
    return low, high


def one_row(k: int, n: Counts, truth: str, audits: int, random: np.random.Generator) -> list[str]:
    """Audit one candidate many times."""
    rows, classes = candidate(truth, n), tuple(map(str, range(k)))
    answers = Answers(n / n.sum(), np.diag(rows), n / n.sum() @ rows)
    true = {name: figure.slope(answers).value for name, figure in FIGURES.items()}
    misses = {name: np.zeros(3, int) for name in (*FIGURES, "bootstrap")}
    drawn = np.stack([random.multinomial(n[i], rows[i], audits) for i in range(k)], axis=1)
    for counts in drawn:
        labels, columns = np.nonzero(counts)
        found = Confusion(classes, labels, columns, counts[labels, columns])
        for name, figure in FIGURES.items():
            misses[name] += missed(composite.interval(found, figure), true[name])
        misses["bootstrap"] += missed(bootstrap(counts, n, random), true["balanced accuracy"])
    return [said(found) for found in misses.values()]


def calibration_row(k: int, n: int, truth: str, audits: int, random: np.random.Generator) -> str:
    """Audit the calibration of one candidate many times."""
    misses = np.zeros(3, int)
    for _ in range(audits):
        stated = 1 / k + (1 - 1 / k) * random.beta(4, 1, n)
        if truth == "always sure":  # one-hot probabilities: a single bin, at the edge
            stated = np.ones(n)
        rate = {
            "calibrated": stated,
            "overconfident": 1 / k + 0.8 * (stated - 1 / k),
            "underconfident": stated + 0.5 * (1 - stated),
            "uneven": np.where(stated > 0.8, stated - 0.1, stated + 0.1),
            "always sure": np.full(n, 0.95),
        }[truth]
        edges = np.unique(np.quantile(stated, np.arange(1, 15) / 15))
        off = np.bincount(np.searchsorted(edges, stated), rate - stated)
        right = random.random(n) < rate
        bounds = Reliability.of(stated, right, edges).interval()
        misses += missed(bounds, float(np.abs(off).sum() / n))
    return said(misses)


def figures_table(audits: int) -> None:
    """Print the table of the confusion matrix's figures."""
    random = np.random.default_rng(20261123)
    print(f"Coverage in % (truth below/above the interval), {audits} audits a row; nominal 90.\n")
    print(f"| K | test images a class | truth | {' | '.join(FIGURES)} | bootstrap of balanced |")
    print("|" + "---|" * (len(FIGURES) + 4))
    for k in (2, 10, 100):
        for label, n in sizes(k):
            for truth in TRUTHS:
                cells = " | ".join(one_row(k, n, truth, audits, random))
                print(f"| {k} | {label} | {truth} | {cells} |", flush=True)


def calibration_table(audits: int) -> None:
    """Print the table of the expected calibration error."""
    random = np.random.default_rng(20261123)
    print("\nExpected calibration error, 15 bins of equal mass.\n")
    print(f"| K | n | {' | '.join(CALIBRATIONS)} |")
    print("|" + "---|" * (len(CALIBRATIONS) + 2))
    for k in (2, 10, 100):
        for images in (20, 60, 200, 2000):
            row = [calibration_row(k, images, truth, audits, random) for truth in CALIBRATIONS]
            print(f"| {k} | {images} | {' | '.join(row)} |", flush=True)


def main(audits: int) -> None:
    """Print both tables."""
    figures_table(audits)
    calibration_table(audits)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 800)
