"""How often baseline-regression is wrong, and what it finds; prints Markdown tables.

python tests/benchmarks/regression.py [AUDITS]

Every audit is a whole run of the check on simulated predictions of ten or a hundred classes.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from auditor.comparison.paired import paired_intervals
from auditor.checks.baseline_regression import BaselineRegression
from auditor.evidence.baseline import Baseline
from auditor.evidence.predictions import Predictions
from auditor.record import Audit, CandidateInfo, DataInfo, PolicyInfo, Provenance, SplitInfo

SEED = 20261123
ACCURACY = 0.9

Array = NDArray[np.float64]
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
    n: int, k: int, lost: Array, won: Array, random: np.random.Generator
) -> Iterator[tuple[Predictions, Baseline]]:
    """Yield audits of ``n`` images; ``lost`` and ``won`` are shares for each class, shape (k,)."""
    classes = tuple(f"c{i:03}" for i in range(k))
    images = tuple(f"{i:05}" for i in range(n))
    label = np.arange(n) % k
    record = _record(classes, n)
    while True:
        u = random.random(n)
        b, c = u < lost[label], u > 1 - won[label]
        both = random.random(n) < ACCURACY
        before, after = (
            Predictions(
                classes,
                images,
                label,
                np.where(right, label, (label + 1) % k),
                true_probability=random.random(n, np.float32),  # these are two models
            )
            for right in (b | (both & ~c), c | (both & ~b))
        )
        yield after, Baseline(record, before)


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
    check: BaselineRegression, n: int, k: int, lost: Array, won: Array, times: int
) -> dict[str, float]:
    """Return the share of audits that end in each status."""
    random = np.random.default_rng([SEED, n, k, round(1e6 * float(lost.sum() + 2 * won.sum()))])
    source = audits(n, k, lost, won, random)
    seen = Counter(check.run(*next(source)).status.value for _ in range(times))
    return {status: count / times for status, count in seen.items()}


def _line(found: dict[str, float]) -> str:
    return " | ".join(f"{found.get(s, 0.0):.1%}" for s in ("pass", "inconclusive", "fail"))


def equal_models(times: int) -> None:
    """Print how equal models fare; the last column is a false alarm."""
    print(f"\nEqual models, {times:,} audits a row\n")
    print("| classes | n | flipped | margin | pass | inconclusive | fail |\n" + "|---" * 7 + "|")
    for k, sizes in ((10, (50, 200, 1000, 10_000)), (100, (1000, 10_000))):
        for n in sizes:
            for flipped in (0.02, 0.1, 0.3):
                half = np.full(k, flipped / 2)
                for margin in (0.005, 0.0):
                    check = BaselineRegression(margin=margin)
                    found = statuses(check, n, k, half, half, times)
                    print(f"| {k} | {n} | {flipped} | {margin} | {_line(found)} |", flush=True)


def wrong_passes(times: int) -> None:
    """Print how often a candidate that is worse by exactly the margin passes."""
    print(f"\nWorse by exactly the margin, ten classes, {times:,} audits a row\n")
    print("| n | margin | flipped | pass | inconclusive | fail |\n" + "|---" * 6 + "|")
    for n, margin, flipped in (
        (200, 0.02, 0.02),
        (200, 0.02, 0.1),
        (1000, 0.005, 0.005),
        (1000, 0.005, 0.02),
        (1000, 0.02, 0.1),
        (10_000, 0.005, 0.02),
        (10_000, 0.005, 0.1),
    ):
        lost, won = np.full(10, (flipped + margin) / 2), np.full(10, (flipped - margin) / 2)
        found = statuses(BaselineRegression(margin=margin), n, 10, lost, won, times)
        print(f"| {n} | {margin} | {flipped} | {_line(found)} |", flush=True)


def power(times: int) -> None:
    """Print which drop of the accuracy is found with how many images."""
    drops = (0.01, 0.02, 0.05, 0.1, 0.2)
    print(f"\nShare failed, by drop of the accuracy; 5% flip besides, {times:,} audits a cell\n")
    print("| n | " + " | ".join(f"{d:.0%}" for d in drops) + " |\n" + "|---" * 6 + "|")
    for n in (50, 200, 1000, 10_000):
        cells = [
            statuses(
                BaselineRegression(), n, 10, np.full(10, 0.025 + d), np.full(10, 0.025), times
            ).get("fail", 0.0)
            for d in drops
        ]
        print(f"| {n} | " + " | ".join(f"{x:.1%}" for x in cells) + " |", flush=True)


def class_power(times: int) -> None:
    """Print which drop of one class is found while the others make up for it."""
    drops = (0.1, 0.2, 0.4, 0.9)
    print("\nShare failed, by drop of one class of ten while the others gain as much; 4% flip")
    print(f"besides, {times:,} audits a cell\n")
    print("| images of the class | " + " | ".join(f"{d:.0%}" for d in drops) + " |")
    print("|---" * 5 + "|")
    for support in (5, 10, 20, 50, 100, 1000):
        cells = []
        for d in drops:
            lost, won = np.full(10, 0.02), np.full(10, 0.02 + d / 9)
            lost[0], won[0] = 0.02 + d, 0.02
            found = statuses(BaselineRegression(), 10 * support, 10, lost, won, times)
            cells.append(f"{found.get('fail', 0.0):.1%}")
        print(f"| {support} | " + " | ".join(cells) + " |", flush=True)


def main(times: int) -> None:
    """Print every table."""
    coverage_table()
    statuses(BaselineRegression(), 100, 10, np.full(10, 0.1), np.full(10, 0.1), 5)  # imports all
    gc.freeze()  # statsmodels collects garbage at every Holm, which else takes most of the time
    equal_models(times)
    wrong_passes(times)
    power(times // 4)
    class_power(times // 4)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
