"""Which failures among many tests still stand once their number is counted.

Of a hundred classes that are all good enough, five look surely bad at 95% confidence. So a
failure must be upheld by a correction over the family of all that were tested together; one that
is not is inconclusive. A pass needs no correction where every member of the family must pass: the
check then errs only if the one bad member passes, which its own interval allows with at most
1 - confidence (an intersection–union test; Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auditor import stats
from auditor.check import Finding, IntervalMethod, Status
from auditor.settling import what_would_settle
from auditor.wording import p_value

__all__ = ["TOGETHER", "Family", "pooled", "rate_p_values"]

TOGETHER = 0.1
"""Part of the allowed error that a test of all members together has, beside those of each."""


@dataclass(frozen=True, eq=False)
class Family:
    """Tests that are corrected together.

    Parameters
    ----------
    p_values
        One a test, shape (n,); NaN for what was not tested, which is not of the family.
    method
        Holm bounds the chance of any wrong failure, for what blocks; Benjamini–Hochberg the
        expected share of wrong ones, for what is listed.
    what
        The members, in the plural: ``rare classes``.
    confidence
        Of each one-sided test, in (0, 1); p-values after the correction are held to what it leaves.
    interval
        The bounds by which it is told how many more samples would settle a test.
    least_p
        The least that some of the p-values were looked for down to; 0 where all are exact.
    """

    p_values: NDArray[np.float64]
    method: Literal["Holm", "Benjamini–Hochberg"]
    what: str
    confidence: float
    interval: IntervalMethod = "exact"
    least_p: float = 0.0

    @property
    def size(self) -> int:
        """How many were tested."""
        return int(np.count_nonzero(~np.isnan(self.p_values)))

    @cached_property
    def adjusted(self) -> NDArray[np.float64]:
        """The p-values after the correction, shape (n,); NaN stays NaN.

        Computed once something fails by itself.
        """
        adjust = stats.holm if self.method == "Holm" else stats.benjamini_hochberg
        return adjust(self.p_values)

    @property
    def upheld(self) -> NDArray[np.bool_]:
        """Which tests reject after the correction; all of them in a family of one."""
        return np.asarray((self.adjusted <= 1 - self.confidence) | (self.size < 2))

    def judge(self, i: int, finding: Finding) -> Finding:
        """Return the finding of test ``i``; a failure that is not upheld is inconclusive."""
        if finding.status is not Status.FAIL or self.size < 2:
            return finding
        said = f"{self.method} over {self.size:,} {self.what}: p {self._said(self.adjusted[i])}"
        if self.upheld[i]:
            return finding.model_copy(update={"note": said})
        note = f"on the wrong side by itself, but not surely so among so many ({said})"
        if finding.unit == "share":
            note += f"; {self._what_would_settle(finding)}"
        return finding.model_copy(update={"status": Status.INCONCLUSIVE, "note": note})

    def _said(self, adjusted: float) -> str:
        # Below the least is only what was not looked for, and the correction multiplies.
        return p_value(adjusted, least=self.size * self.least_p * (adjusted >= self.least_p))

    def _what_would_settle(self, finding: Finding) -> str:
        n, limit, confidence = finding.n or 0, finding.limit or 0.0, self.confidence
        right = _successes(finding)
        return what_would_settle(right, n, limit, confidence, self.interval, self.size)


def rate_p_values(findings: list[Finding]) -> NDArray[np.float64]:
    """Return the p-value of "the rate is at least its limit" of each; NaN without samples.

    Exact binomial, whatever bounds the rates have: the score test, which belongs to Wilson's, is
    far too sure of small p-values, and those are what a correction among many looks at.
    """
    right = np.array([_successes(finding) for finding in findings], int)
    n = np.array([finding.n or 0 for finding in findings], int)
    limits = np.array([finding.limit for finding in findings], float)
    return stats.shortfall_p_values(right, n, limits)


def pooled(findings: list[Finding]) -> tuple[int, int, float]:
    """Return the successes and samples of all rates, and the mean of their limits by samples."""
    n = sum(finding.n or 0 for finding in findings)
    limits = sum((finding.limit or 0.0) * (finding.n or 0) for finding in findings)
    return sum(map(_successes, findings)), n, limits / max(n, 1)


def _successes(finding: Finding) -> int:
    return round((finding.observed or 0.0) * (finding.n or 0))
