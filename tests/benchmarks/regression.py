"""How often baseline-regression is wrong, and what it finds; prints Markdown tables.

python tests/benchmarks/regression.py [AUDITS]

Every audit is a whole run of the check on simulated predictions.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from auditor.checks.baseline_regression import BaselineRegression
from auditor.comparison.paired import paired_intervals
from auditor.evidence.baseline import Baseline
from auditor.evidence.counts import counts
from auditor.evidence.predictions import Predictions
from auditor.record import Audit, CandidateInfo, DataInfo, PolicyInfo, Provenance, SplitInfo

SEED = 20261123
ACCURACY = 0.9

Array = NDArray[np.float64]
Right = NDArray[np.bool_]
Shares = Mapping[str, float]
Bounds = Callable[[Array, Array, int, float], tuple[Array, Array]]


# --- coverage of the paired interval, by enumeration ---------------------------------------------


def ours(lost: Array, won: Array, n: int, confidence: float) -> tuple[Array, Array]:
    """Auditor's interval."""
    b, c = lost.astype(np.int64), won.astype(np.int64)
    return paired_intervals(b, c, np.full(b.shape, n), confidence)


def bonett_price(lost: Array, won: Array, n: int, confidence: float) -> tuple[Array, Array]:
    """Bonett and Price, Journal of Educational and Behavioral Statistics 37 (2012)."""
    b, c = (lost + 1) / (n + 2), (won + 1) / (n + 2)
    reach = special.ndtri(confidence) * np.sqrt((b + c - (c - b) ** 2) / (n + 2))
    return c - b - reach, c - b + reach


def tango(lost: Array, won: Array, n: int, confidence: float) -> tuple[Array, Array]:
    """Tango's score interval, Statistics in Medicine 17 (1998), by bisection."""

    def score(d: Array) -> Array:
        b = -won - lost + (2 * n - won + lost) * d
        q = (np.sqrt(np.maximum(b**2 + 8 * n * lost * d * (1 - d), 0)) - b) / (4 * n)
        spread = np.maximum(n * (2 * q + d * (1 - d)), 1e-300)
        return np.asarray((won - lost - n * d) / np.sqrt(spread))

    z = float(special.ndtri(confidence))
    return _root(score, z, lost.shape), _root(score, -z, lost.shape)


def _root(score: Callable[[Array], Array], target: float, shape: tuple[int, ...]) -> Array:
    low, high = -np.ones(shape), np.ones(shape)
    for _ in range(50):
        middle = (low + high) / 2
        above = score(middle) > target
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low


METHODS: dict[str, Bounds] = {"ours": ours, "Bonett–Price": bonett_price, "Tango": tango}


def coverage(bounds: Bounds, n: int, lost: float, won: float, confidence: float) -> float:
    """Return the lower of the two bounds' exact coverage, at true shares of lost and won."""
    b, c = (a.ravel().astype(float) for a in np.meshgrid(_likely(n, lost), _likely(n, won)))
    b, c = b[b + c <= n], c[b + c <= n]
    rest = n - b - c
    weight = stats.multinomial.pmf(np.stack([b, c, rest], 1), n, [lost, won, 1 - lost - won])
    low, high = bounds(b, c, n, confidence)
    truth = won - lost
    return float(min(weight[low <= truth + 1e-12].sum(), weight[high >= truth - 1e-12].sum()))


def _likely(n: int, share: float) -> NDArray[np.int64]:
    low, high = (int(stats.binom.ppf(q, n, share)) for q in (1e-9, 1 - 1e-9))
    return np.arange(low, high + 1)


def coverage_table(confidence: float = 0.95) -> None:
    """Print the lowest coverage over how the flips are shared out."""
    print(f"\nLowest exact coverage of a one-sided {confidence:.0%} bound, lost share .5 to 1\n")
    print("| n | flipped | " + " | ".join(METHODS) + " |\n|---|---|" + "---|" * len(METHODS))
    for n in (20, 100, 1000):
        for flipped in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
            found = (_lowest(bounds, n, flipped, confidence) for bounds in METHODS.values())
            print(
                f"| {n} | {flipped} | " + " | ".join(f"{x:.3f}" for x in found) + " |", flush=True
            )


def _lowest(bounds: Bounds, n: int, flipped: float, confidence: float) -> float:
    shares = (0.5, 0.6, 0.75, 0.9, 1.0)
    return min(coverage(bounds, n, flipped * x, flipped * (1 - x), confidence) for x in shares)


# --- whole audits --------------------------------------------------------------------------------


def audits(
    n: int,
    lost: Array,
    won: Array,
    random: np.random.Generator,
    *,
    same_images: bool = True,
    probabilities: bool = True,
) -> Iterator[tuple[Predictions, Baseline]]:
    """Yield audits of ``n`` images; ``lost`` and ``won`` are shares for each class, shape (k,).

    On different images the two models have the accuracies that follow, independently. Without
    probabilities nothing but changed predictions tells one model from the other.
    """
    k = len(lost)
    classes = tuple(f"c{i:03}" for i in range(k))
    images = tuple(f"{i:05}" for i in range(n)), tuple(f"new-{i:05}" for i in range(n))
    label = np.arange(n) % k
    record = _record(classes, n)
    while True:
        draws = _draw(lost[label], won[label], random), _draw(lost[label], won[label], random)
        right = draws[0] if same_images else (draws[0][0], draws[1][1])
        before, after = (
            Predictions(
                classes,
                images[side and not same_images],
                label,
                np.where(right[side], label, (label + 1) % k),
                # these are two models
                true_probability=random.random(n, np.float32) if probabilities else None,
            )
            for side in (False, True)
        )
        yield after, Baseline(record, before)


def _draw(lost: Array, won: Array, random: np.random.Generator) -> tuple[Right, Right]:
    """Return which images the baseline and the candidate have right."""
    u, both = random.random(len(lost)), random.random(len(lost)) < ACCURACY
    b, c = u < lost, u > 1 - won
    return b | (both & ~c), c | (both & ~b)


def _record(classes: tuple[str, ...], n: int) -> Audit:
    words = ("auditor", "created", "repeat", "config", "config_digest", "python", "platform")
    split = SplitInfo(source="", images=n, predicted=n)
    return Audit(
        verdict="accepted",
        summary="",
        candidate=CandidateInfo(name="baseline"),
        data=DataInfo(classes=classes, class_order="", test=split),
        policy=PolicyInfo(preset="sign-off", inconclusive=""),
        checks=(),
        provenance=Provenance(**dict.fromkeys(words, "")),
    )


def statuses(
    checks: Sequence[BaselineRegression],
    n: int,
    lost: Array,
    won: Array,
    times: int,
    **how: bool,
) -> list[Shares]:
    """Return, for each check on the same audits, the share that ends in each status."""
    seed = [SEED, n, len(lost), round(1e6 * float(lost.sum() + 2 * won.sum()))]
    source = audits(n, lost, won, np.random.default_rng(seed), **how)
    seen = [Counter[str]() for _ in checks]
    for test, baseline in itertools.islice(source, times):
        images = counts(test, None, None)
        for check, count in zip(checks, seen, strict=True):
            count[check.run(test, baseline, images).status.value] += 1
    return [{status: count / times for status, count in row.items()} for row in seen]


def _cells(found: Shares) -> str:
    return " | ".join(f"{100 * found.get(s, 0.0):.1f}" for s in ("pass", "inconclusive", "fail"))


class FalseAlarms:
    """The highest share of false alarms that was seen, and what chance makes of it."""

    def __init__(self, times: int) -> None:
        self.times, self.seen = times, list[float]()

    def __str__(self) -> str:
        most, rows = max(self.seen), len(self.seen)
        right = round(most * self.times)
        p = stats.binomtest(right, self.times, 0.05, alternative="greater").pvalue
        return f"The most is {100 * most:.1f}; Šidák over {rows}: p = {1 - (1 - p) ** rows:.2f}."


def equal_models(times: int) -> None:
    """Print how equal models fare on the same images; the last column is a false alarm."""
    print(f"\nEqual models on the same images, {times:,} audits a row, in %\n")
    print("| classes | n | flipped | margin | pass | inconclusive | fail |\n" + "|---" * 7 + "|")
    checks, alarms = [BaselineRegression(margin=m) for m in (0.005, 0.0)], FalseAlarms(times)
    for k, sizes in ((2, (50, 500)), (10, (50, 200, 1000, 10_000)), (100, (1000, 10_000))):
        for n, flipped in itertools.product(sizes, (0.02, 0.1, 0.3)):
            half = np.full(k, flipped / 2)
            for check, found in zip(checks, statuses(checks, n, half, half, times), strict=True):
                row = f"{k} | {n} | {flipped} | {check.margin} | {_cells(found)}"
                print(f"| {row} |", flush=True)
                alarms.seen.append(found.get("fail", 0.0))
    print(f"\n{alarms}")


def different_images(times: int) -> None:
    """Print how equal models fare on test sets without a common image."""
    print(f"\nEqual models on different images, {times:,} audits a row, in %\n")
    print("| classes | n of each | margin | pass | inconclusive | fail |\n" + "|---" * 6 + "|")
    checks, alarms = [BaselineRegression(margin=m) for m in (0.005, 0.0)], FalseAlarms(times)
    for k, n in itertools.product((2, 10), (50, 200, 1000, 10_000)):
        half = np.full(k, 0.05)
        found = statuses(checks, n, half, half, times, same_images=False)
        for check, shares in zip(checks, found, strict=True):
            print(f"| {k} | {n} | {check.margin} | {_cells(shares)} |", flush=True)
            alarms.seen.append(shares.get("fail", 0.0))
    print(f"\n{alarms}")


def wrong_passes(times: int) -> None:
    """Print how often a candidate that is worse by exactly the margin passes."""
    print(f"\nWorse by exactly the margin, ten classes, {times:,} audits a row, in %\n")
    print("| images | n | margin | flipped | pass | inconclusive | fail |\n" + "|---" * 7 + "|")
    for images, n, margin, flipped in (
        ("the same", 200, 0.02, 0.02),
        ("the same", 200, 0.02, 0.1),
        ("the same", 1000, 0.005, 0.005),
        ("the same", 1000, 0.005, 0.02),
        ("the same", 1000, 0.02, 0.1),
        ("the same", 10_000, 0.005, 0.02),
        ("the same, no probabilities", 100, 0.005, 0.005),
        ("the same, no probabilities", 200, 0.005, 0.005),
        ("the same, no probabilities", 500, 0.005, 0.005),
        ("the same, no probabilities", 1000, 0.005, 0.005),
        ("others", 200, 0.02, 0.1),
        ("others", 1000, 0.02, 0.1),
    ):
        lost, won = np.full(10, (flipped + margin) / 2), np.full(10, (flipped - margin) / 2)
        check, how = BaselineRegression(margin=margin), {"same_images": images != "others"}
        how["probabilities"] = "no probabilities" not in images
        (found,) = statuses([check], n, lost, won, times, **how)
        print(f"| {images} | {n} | {margin} | {flipped} | {_cells(found)} |", flush=True)


def fallen(n: int, drop: float, times: int) -> Shares:
    """Audit a candidate whose accuracy is lower by ``drop``; one image in twenty flips besides."""
    lost, won = np.full(10, 0.025 + max(drop, 0.0)), np.full(10, 0.025 + max(-drop, 0.0))
    return statuses([BaselineRegression()], n, lost, won, times)[0]


def power(times: int) -> None:
    """Print which drop of the accuracy is found with how many images."""
    drops = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    print("\npasses / fails in %, by drop of the accuracy; ten classes, 5% of images flip besides,")
    print(f"margin 0.5 points, {times:,} audits a cell\n")
    print("| n | " + " | ".join(f"{d:.1%}" for d in drops) + " |\n" + "|---" * 8 + "|")
    for n in (50, 200, 1000, 2000):
        found = (fallen(n, drop, times) for drop in drops)
        cells = (f"{100 * s.get('pass', 0.0):.0f} / {100 * s.get('fail', 0.0):.0f}" for s in found)
        print(f"| {n} | " + " | ".join(cells) + " |", flush=True)


def class_power(times: int) -> None:
    """Print which drop of one class is found while the others make up for it."""
    drops = (0.1, 0.2, 0.4, 0.9)
    print("\nfails in %, by drop of one class of ten while the others gain as much; 4% of images")
    print(f"flip besides, {times:,} audits a cell\n")
    print("| images of the class | " + " | ".join(f"{d:.0%}" for d in drops) + " |")
    print("|---" * 5 + "|")
    for support in (5, 10, 20, 50, 100):
        cells = []
        for d in drops:
            lost, won = np.full(10, 0.02), np.full(10, 0.02 + d / 9)
            lost[0], won[0] = 0.02 + d, 0.02
            (found,) = statuses([BaselineRegression()], 10 * support, lost, won, times)
            cells.append(f"{100 * found.get('fail', 0.0):.0f}")
        print(f"| {support} | " + " | ".join(cells) + " |", flush=True)


def main(times: int) -> None:
    """Print every table."""
    coverage_table()
    equal_models(times)
    different_images(times)
    wrong_passes(times)
    power(times // 4)
    class_power(times // 4)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
