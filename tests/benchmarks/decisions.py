"""Measures how often checks decide wrongly, and what they find; prints Markdown tables.

python tests/benchmarks/decisions.py [AUDITS] [PLOT]

Every audit goes through the check's own ``run``. A candidate just under the limit may pass, and one
on the limit may fail, in at most 5% of audits. Simulated shares have a standard error of 0.7 points
per 1000 audits; those of ``top1-accuracy``, the power and the plot are exact: sums over all counts.
The plot of ``baseline-regression`` is of the whole test set; single classes come on top.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, multinomial

from auditor.check import Outcome, Status
from auditor.checks.accuracy_paradox import AccuracyParadox
from auditor.checks.baseline_regression import BaselineRegression
from auditor.checks.rare_class_recall import RareClassRecall
from auditor.checks.top1_accuracy import Top1Accuracy
from auditor.comparison.paired import mid_p, paired_intervals
from auditor.evidence.confusion import Confusion
from auditor.evidence.counts import ClassCounts

SIZES = (5, 10, 20, 50, 100, 200, 500)
CLASSES = (2, 5, 20, 100)
LIMIT, UNDER = 0.85, 0.849
GREY = "#777777"
COLOURS = ("#b8860b", "#d1495b", "#8a63d2", "#2a8fbd", "#2f9e44")
"""As legible on white as on black: about 4 : 1 on both."""
SUPPORTS = (20, 50, 100, 200, 500)
TEST_SETS = (200, 1000, 5000)
GOOD = 0.97
MISSED = (
    *((10, n, recall) for n in (10, 20, 50) for recall in (0.2, 0.3, GOOD)),
    *((99, n, recall) for n in (20, 50) for recall in (0.2, 0.3, GOOD)),
)
"""Classes, images of each, and the recall of the one that is looked at."""
DECISIONS = (Status.PASS, Status.INCONCLUSIVE, Status.FAIL)
FLIPPED = 0.05
"""Share of images on which two equal models would differ."""

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def audit(right: NDArray[np.int64], n: int) -> Outcome:
    """Judge rare classes of ``n`` images each, of which so many are recognised."""
    k = len(right)
    names, index = tuple(f"rare-{i}" for i in range(k)), np.arange(k)
    rows, columns = np.r_[index, index], np.r_[index, np.full(k, k)]
    images, classes = np.r_[right, n - right], (*names, "common")
    some = images > 0
    found = Confusion(classes, rows[some], columns[some], images[some])
    return RareClassRecall(classes=names, min_recall=LIMIT).run(found, ClassCounts(classes, {}))


class Decided(NamedTuple):
    """What became of an audit; a kept ``Outcome`` would slow down every collection of garbage."""

    status: Status
    bare: bool
    """Whether some class is below by its own interval alone."""


def decide(right: NDArray[np.int64], n: int) -> Decided:
    """Audit, and keep what counts."""
    outcome = audit(right, n)
    below = (f.interval is not None and f.interval[1] < LIMIT for f in outcome.findings)
    return Decided(outcome.status, any(below))


def rare_classes(audits: int, random: np.random.Generator) -> None:
    """Print how often rare-class-recall passes just under the limit, and fails on it."""
    print(
        f"\nrare-class-recall, limit {LIMIT}, {audits} audits a row, in %\n\n"
        f"| classes | n of each | passes: one at {UNDER}, others perfect | passes: all at {UNDER} "
        f"| fails: all at {LIMIT} | … without Holm |\n|---|---|---|---|---|---|"
    )
    worst = 0.0
    for k in CLASSES:
        for n in SIZES:
            others = np.full((audits, k - 1), n)
            one = np.c_[random.binomial(n, UNDER, audits), others]
            under, on = random.binomial(n, [[[UNDER]], [[LIMIT]]], (2, audits, k))
            judged = [[decide(right, n) for right in drawn] for drawn in (one, under, on)]
            passes = [np.mean([d.status is Status.PASS for d in row]) for row in judged[:2]]
            fails = [np.mean([d.status is Status.FAIL for d in judged[2]])]
            cells = [*passes, *fails, np.mean([d.bare for d in judged[2]])]
            shown = " | ".join(f"{100 * cell:.1f}" for cell in cells)
            print(f"| {k} | {n} | {shown} |", flush=True)
            worst = float(np.max([worst, *cells[:3]]))
    p = binomtest(round(worst * audits), audits, 0.05, alternative="greater").pvalue
    rows = 3 * len(CLASSES) * len(SIZES)
    print(f"\nThe most is {100 * worst:.1f}; Šidák over {rows}: p = {1 - (1 - p) ** rows:.2f}.")


@cache
def top1(right: int, n: int) -> Status:
    """Judge an accuracy."""
    images = np.array([right, n - right])
    some = images > 0
    found = Confusion(("a", "b"), np.zeros(2, int)[some], np.arange(2)[some], images[some])
    return Top1Accuracy().run(found).status


@cache
def one_class(right: int, n: int) -> Status:
    """Judge a single rare class."""
    return audit(np.array([right]), n).status


def chance(status: Status, judge: Any, n: int, rate: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the exact probability that a check says so, at each true rate."""
    said = np.array([judge(right, n) is status for right in range(n + 1)])
    return np.asarray(binom.pmf(np.arange(n + 1), n, np.atleast_1d(rate)[:, None]) @ said)


def accuracies() -> None:
    """Print how often top1-accuracy passes just under the limit, and fails on it."""
    print("\ntop1-accuracy, limit 0.80, exact, in %\n\n| n | passes at 0.799 | fails at 0.80 |")
    print("|---|---|---|")
    for n in SIZES:
        passes = 100 * chance(Status.PASS, top1, n, np.array([0.799]))[0]
        fails = 100 * chance(Status.FAIL, top1, n, np.array([0.8]))[0]
        print(f"| {n} | {passes:.1f} | {fails:.1f} |")


def power() -> None:
    """Print how often one rare class passes and fails, by its true recall."""
    rates = np.array([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0])
    print(f"\none rare class, limit {LIMIT}, exact: passes / fails in %, by true recall\n")
    print(f"| n | {' | '.join(f'{rate:g}' for rate in rates)} |\n" + "|---" * 11 + "|")
    for n in SIZES:
        passes, fails = (100 * chance(s, one_class, n, rates) for s in (Status.PASS, Status.FAIL))
        cells = (f"{good:.0f} / {bad:.0f}" for good, bad in zip(passes, fails, strict=True))
        print(f"| {n} | {' | '.join(cells)} |")


def shares(drop: float) -> tuple[float, float]:
    """Return the shares of images lost and won, where the accuracy falls by ``drop``."""
    return FLIPPED / 2 + max(drop, 0.0), FLIPPED / 2 + max(-drop, 0.0)


@cache
def decided(n: int, most: float) -> tuple[Counts, Counts, Array, Array]:
    """Return what may be lost and won, (m,) each, and whether that passes or fails."""
    reach = np.arange(int(binom.ppf(1 - 1e-6, n, most)) + 1)
    lost, won = (counts.ravel() for counts in np.meshgrid(reach, reach))
    inside = lost + won <= n
    lost, won = lost[inside], won[inside]
    check = BaselineRegression()
    low, high = paired_intervals(lost, won, np.full(lost.shape, n), check.confidence)
    worse = mid_p(lost, won) <= (1 - check.confidence) / 2
    passes, fails = low >= -check.margin, (high < -check.margin) & worse
    return lost, won, passes.astype(float), fails.astype(float)


def drops_found(n: int, drops: Sequence[float]) -> tuple[Array, Array]:
    """Return the exact chance that a candidate passes, and that it fails, at each true drop."""
    lost, won, *decisions = decided(n, max(max(shares(drop)) for drop in drops))
    cells = np.stack([lost, won, n - lost - won], axis=1)
    found = []
    for drop in drops:
        b, c = shares(drop)
        weight = np.asarray(multinomial.pmf(cells, n, [b, c, 1 - b - c]))
        found.append([float(weight @ decision) for decision in decisions])
    return tuple(np.array(found).T)


def draw_recall(axes: Any) -> None:
    """Draw a solid line for passing and a dashed one for failing, a colour a size."""
    rates = np.linspace(0.5, 1.0, 51)
    for n, colour in zip(SUPPORTS, COLOURS, strict=True):
        passes, fails = (chance(s, one_class, n, rates) for s in (Status.PASS, Status.FAIL))
        axes.plot(100 * rates, 100 * passes, color=colour, label=f"{n} images")
        axes.plot(100 * rates, 100 * fails, color=colour, ls="--")
    axes.axvline(100 * LIMIT, color=GREY, lw=1)
    axes.set_title("rare-class-recall: at least 85%", loc="left")
    axes.set_xlabel("true recall of the class in %")
    axes.set_ylabel("audits in %")


def draw_drop(axes: Any) -> None:
    """Draw the same for the accuracy since the baseline."""
    drops = np.linspace(-0.02, 0.04, 61)
    for n, colour in zip(TEST_SETS, COLOURS[1::2] + COLOURS[-1:], strict=True):
        passes, fails = drops_found(n, drops.tolist())
        axes.plot(100 * drops, 100 * passes, color=colour, label=f"{n:,} images")
        axes.plot(100 * drops, 100 * fails, color=colour, ls="--")
    axes.axvline(100 * BaselineRegression().margin, color=GREY, lw=1)
    axes.set_title("baseline-regression: at most 0.5 points lower", loc="left")
    axes.set_xlabel("true drop of the accuracy in points")


def plot(path: Path) -> None:
    """Draw both panels on no background, to be read on white and on black."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    style: dict[Any, Any] = dict.fromkeys(inked, GREY)
    style |= {"svg.hashsalt": "auditor", "svg.fonttype": "none", "font.size": 9}
    style |= {"axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.6, 4.2), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for draw, axes in zip((draw_recall, draw_drop), panels, strict=True):
            draw(axes)
            axes.axhline(5, color=GREY, lw=1, ls=":")
            axes.margins(x=0)
            axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
        figure.suptitle(
            "How often a check passes (solid) and fails (dashed); dotted: 5%", x=0.01, ha="left"
        )
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def missed(audits: int, random: np.random.Generator) -> None:
    """Print what accuracy-paradox says of one class that is missed among good ones."""
    print(
        f"\naccuracy-paradox, one class recognised as said, all others in {GOOD:.0%}, {audits} "
        "audits a row, in %\n\n| classes | n of each | recall | passes | inconclusive | fails |\n"
        "|---|---|---|---|---|---|"
    )
    for k, n, recall in MISSED:
        rates = np.r_[recall, np.full(k - 1, GOOD)]
        drawn = random.binomial(n, rates, (audits, k))
        said = [paradox(right, n) for right in drawn]
        cells = (f"{100 * said.count(status) / audits:.1f}" for status in DECISIONS)
        print(f"| {k} | {n} | {recall} | {' | '.join(cells)} |", flush=True)


def paradox(right: Counts, n: int) -> Status:
    """Judge classes of ``n`` images each; what is wrong is taken for the next class."""
    k = len(right)
    index = np.arange(k)
    rows, columns = np.r_[index, index], np.r_[index, (index + 1) % k]
    images = np.r_[right, n - right]
    some = images > 0
    names = tuple(f"c{i}" for i in range(k))
    found = Confusion(names, rows[some], columns[some], images[some])
    return AccuracyParadox().run(found).status


def main(audits: int, path: Path) -> None:
    """Print the tables and draw the plot."""
    rare_classes(audits, np.random.default_rng(20261123))
    accuracies()
    power()
    missed(audits, np.random.default_rng(20261127))
    plot(path)


if __name__ == "__main__":
    given = sys.argv[1:]
    here = Path(__file__).parents[2] / "docs" / "power.svg"
    main(int(given[0]) if given else 1000, Path(given[1]) if given[1:] else here)
