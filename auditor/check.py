"""All that the author of a check imports: ``Check``, ``Outcome``, ``Finding``, ``Status``.

A check is a frozen pydantic model whose fields are its options and whose ``run`` is a pure
function: it names the evidence it needs by its parameters and returns an ``Outcome``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from auditor.table import Table

__all__ = [
    "LEAST_CONFIDENCE",
    "MOST_CONFIDENCE",
    "MOST_UNSEEN",
    "Check",
    "Finding",
    "Fraction",
    "IntervalMethod",
    "Level",
    "Outcome",
    "Probability",
    "Status",
    "decide",
    "worst",
]

Level = Literal["block", "advise", "off"]
Judges = Literal["candidate", "cost", "data"]
IntervalMethod = Literal["exact", "wilson"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
MOST_UNSEEN = 0.05
"""Largest share that may not be looked at for the figure of the rest to stand for the whole."""
LEAST_CONFIDENCE = 0.8
"""With less, a bound would be wrong more often than one time in five."""
MOST_CONFIDENCE = 0.999
"""More settles nothing, and under ``pull-request`` what is not settled passes."""
Probability = Annotated[float, Field(ge=LEAST_CONFIDENCE, le=MOST_CONFIDENCE, allow_inf_nan=False)]


class Status(StrEnum):
    """What became of a check or a finding. Never derived from a missing value."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    SKIP = "skip"
    ERROR = "error"


_SEVERITY = (Status.PASS, Status.INCONCLUSIVE, Status.ERROR, Status.FAIL)


def worst(statuses: Iterable[Status]) -> Status:
    """Return the most severe status; what was only shown (``skip``) does not count.

    >>> worst([Status.PASS, Status.SKIP, Status.INCONCLUSIVE])
    <Status.INCONCLUSIVE: 'inconclusive'>
    >>> worst([])
    <Status.SKIP: 'skip'>
    """
    judged = [status for status in statuses if status is not Status.SKIP]
    return max(judged, key=_SEVERITY.index, default=Status.SKIP)


def decide(interval: tuple[float, float], limit: float, *, higher_is_better: bool) -> Status:
    """Compare a whole interval with a limit.

    >>> decide((0.81, 0.93), 0.80, higher_is_better=True)
    <Status.PASS: 'pass'>
    >>> decide((0.78, 0.93), 0.80, higher_is_better=True)
    <Status.INCONCLUSIVE: 'inconclusive'>
    """
    low, high = interval if higher_is_better else (-interval[1], -interval[0])
    bar = limit if higher_is_better else -limit
    if low >= bar:
        return Status.PASS
    if high < bar:
        return Status.FAIL
    return Status.INCONCLUSIVE


class Finding(BaseModel):
    """One subject (a class, an image, a metric) with what was observed and what was allowed.

    The type refuses what its own numbers contradict: a pass or a failure of which nothing was
    observed, an interval that ends before it begins, a pass whose whole interval – or, without one,
    whose observed value – is not on the right side of the limit, and a failure whose is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    subject: str
    """What was looked at: a class, an image, ``test``."""
    metric: str
    """What was measured, in the field's own words: ``recall``, ``top-1 accuracy``."""
    observed: float | None = None
    """The point estimate, in ``unit``; None where it could not be had."""
    limit: float | None = None
    """The bar; None where the figure is shown and not judged."""
    interval: tuple[float, float] | None = None
    """Lower and upper bound, each one-sided at the check's confidence."""
    n: int | None = Field(default=None, ge=0)
    """How many samples the observation rests on."""
    unit: str = "share"
    higher_is_better: bool = True
    status: Status = Status.SKIP
    note: str = ""
    """One sentence: what would settle it, or why it could not be judged."""

    @model_validator(mode="after")
    def _pass_is_earned(self) -> Self:
        if why := self._contradicted():
            raise ValueError(f"{self.subject}: {self.metric}: {why}")
        return self

    def _contradicted(self) -> str:
        """Say which of its numbers the finding contradicts; nothing where it is of one piece."""
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            return (
                f"the interval [{self.interval[0]:g}, {self.interval[1]:g}] ends before it begins"
            )
        if self.status not in (Status.PASS, Status.FAIL):
            return ""
        if self.observed is None or self.n == 0:
            return f"nothing was observed, so the status cannot be {self.status.value}"
        if self.limit is None:
            return ""
        low, high = seen = self.interval or (self.observed, self.observed)
        kept = decide(seen, self.limit, higher_is_better=self.higher_is_better) is Status.PASS
        if kept is (self.status is Status.PASS):
            return ""
        side = f"at {'least' if self.higher_is_better else 'most'} {self.limit:g}"
        shown = f"[{low:g}, {high:g}]" if self.interval else f"{low:g}"
        is_not = "is" if kept else "is not wholly" if self.interval else "is not"
        return f"{shown} {is_not} {side}, so the status cannot be {self.status.value}"

    @classmethod
    def judged(
        cls,
        subject: str,
        metric: str,
        observed: float,
        interval: tuple[float, float],
        limit: float,
        *,
        n: int,
        unit: str = "share",
        higher_is_better: bool = True,
        note: str = "",
    ) -> Self:
        """Return a finding whose status follows from its interval and limit."""
        status = decide(interval, limit, higher_is_better=higher_is_better)
        return cls(
            subject=subject,
            metric=metric,
            observed=observed,
            limit=limit,
            interval=interval,
            n=n,
            unit=unit,
            higher_is_better=higher_is_better,
            status=status,
            note=note,
        )

    @classmethod
    def unmeasured(
        cls,
        subject: str,
        metric: str,
        note: str,
        limit: float | None = None,
        *,
        unit: str = "share",
        higher_is_better: bool = True,
    ) -> Self:
        """Return an inconclusive finding where there is nothing to measure; the note says why."""
        return cls(
            subject=subject,
            metric=metric,
            limit=limit,
            n=0,
            unit=unit,
            higher_is_better=higher_is_better,
            status=Status.INCONCLUSIVE,
            note=note,
        )

    @classmethod
    def rate(
        cls,
        subject: str,
        metric: str,
        successes: int,
        n: int,
        minimum: float,
        confidence: float,
        interval: IntervalMethod = "exact",
        *,
        family: int = 1,
    ) -> Self:
        """Return a finding on a proportion, decided on its Clopper–Pearson or Wilson interval.

        Without samples it is inconclusive and says how many would be needed. ``family`` is how many
        rates are tested together; it goes into that number, not into the status, which is corrected
        by ``auditor.multiplicity``.

        Raises
        ------
        ValueError
            For counts that are not whole, a minimum outside [0, 1], or another method.
        """
        from auditor import settling, stats

        stats.require_rate(successes, n, minimum, interval)
        if n == 0:
            note = settling.NEVER
            if minimum < 1:
                needed = settling.samples_for_perfect(minimum, confidence, interval)
                note = f"{needed} samples, all right, would show it"
            note = f"nothing to measure; {note}"
            return cls.unmeasured(subject, metric, note, minimum)
        bounds = stats.proportion_interval(successes, n, confidence, interval)
        finding = cls.judged(subject, metric, successes / n, bounds, minimum, n=n)
        if finding.status is Status.INCONCLUSIVE:
            note = settling.what_would_settle(successes, n, minimum, confidence, interval, family)
            return finding.model_copy(update={"note": note})
        return finding

    @classmethod
    def fact(
        cls,
        subject: str,
        metric: str,
        observed: float,
        limit: float,
        *,
        n: int | None = None,
        unit: str,
        higher_is_better: bool = False,
        note: str = "",
    ) -> Self:
        """Return a finding on something counted, not estimated: it needs no interval."""
        good = observed >= limit if higher_is_better else observed <= limit
        return cls(
            subject=subject,
            metric=metric,
            observed=observed,
            limit=limit,
            n=n,
            unit=unit,
            higher_is_better=higher_is_better,
            status=Status.PASS if good else Status.FAIL,
            note=note,
        )

    @classmethod
    def shown(
        cls,
        subject: str,
        metric: str,
        observed: float | None,
        *,
        n: int | None = None,
        interval: tuple[float, float] | None = None,
        unit: str = "share",
        higher_is_better: bool = True,
        why: str = "",
    ) -> Self:
        """Return a finding on a figure that is not held to anything; ``why`` says why not."""
        return cls(
            subject=subject,
            metric=metric,
            observed=observed,
            interval=interval,
            n=n,
            unit=unit,
            higher_is_better=higher_is_better,
            note=f"shown, not judged{': ' if why else ''}{why}",
        )


class Outcome(BaseModel):
    """What a check found: a status, a sentence a manager understands, and the findings.

    A pass rests on at least one passing finding and on none that is worse; the type refuses it
    otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    summary: str
    findings: tuple[Finding, ...] = ()

    @model_validator(mode="after")
    def _pass_is_earned(self) -> Self:
        if self.status is Status.PASS and worst(f.status for f in self.findings) != Status.PASS:
            raise ValueError("a check passes only on findings that were judged and all pass")
        return self

    @classmethod
    def of(cls, findings: Iterable[Finding], summary: str) -> Self:
        """Return the outcome whose status is that of its worst judged finding."""
        findings = tuple(findings)
        return cls(status=worst(f.status for f in findings), summary=summary, findings=findings)


class Check(Table):
    """One question about the candidate. Subclass it, set the class variables, write ``run``.

    Attributes
    ----------
    id
        Kebab-case name, used in ``[checks.<id>]``.
    title
        The passing condition, stated as a fact.
    version
        Raised when the decision rule changes; outcomes of different versions do not compare.
    level
        What a failure does unless the configuration says otherwise.
    blocks_once
        What has to be given for a check to block whose level is ``advise``, as a clause: "a
        baseline is given". ``blocks_now`` tells whether it is.
    judges
        ``candidate``; or ``cost`` or ``data`` where a pass says nothing of how well it
        predicts: an audit is not accepted on such passes alone.
    """

    id: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int] = 1
    level: ClassVar[Level] = "advise"
    blocks_once: ClassVar[str] = ""
    judges: ClassVar[Judges] = "candidate"

    run: ClassVar[Callable[..., Outcome]]

    confidence: Probability = 0.95
    """Confidence of each interval bound, one-sided."""

    @field_validator("confidence")
    @classmethod
    def _bounds_something(cls, confidence: float) -> float:
        """Hold it to its range where a subclass gives it another type, too."""
        if not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
            raise ValueError(f"give at least {LEAST_CONFIDENCE} and at most {MOST_CONFIDENCE}")
        return confidence

    def default_level(self, available: frozenset[str]) -> Level:
        """Return the level where the configuration names none.

        Parameters
        ----------
        available
            Names of the evidence that was given, such as ``baseline``.
        """
        return "block" if self.blocks_once and self.blocks_now(available) else self.level

    def blocks_now(self, available: frozenset[str]) -> bool:
        """Tell whether what ``blocks_once`` names is given; parameter as for ``default_level``."""
        del available
        return False

    @property
    def has_budget(self) -> bool:
        """Whether an option states a budget: it is not settled while nothing is held to it."""
        return False

    def not_run(self, reason: str) -> Outcome:
        """Return what becomes of the check where evidence that it needs was not given.

        It is skipped, unless it was told of something to judge: what was demanded and not looked
        at is not settled.

        Parameters
        ----------
        reason
            What was not given, as one sentence.
        """
        if self.has_budget:
            return Outcome(status=Status.INCONCLUSIVE, summary=f"no budget was judged: {reason}")
        return Outcome(status=Status.SKIP, summary=reason)

    @classmethod
    def needs(cls) -> dict[str, bool]:
        """Return the evidence that ``run`` asks for: name → whether it is required."""
        parameters = list(inspect.signature(cls.run).parameters.values())[1:]
        return {p.name: not allows_none(p.annotation) for p in parameters}

    @classmethod
    def documentation(cls) -> str:
        """Return the check's page: the docstring of its module."""
        return inspect.cleandoc(inspect.getmodule(cls).__doc__ or cls.__doc__ or cls.title)


def allows_none(annotation: Any) -> bool:
    """Tell whether an annotation, evaluated or not, admits ``None``."""
    text = annotation if isinstance(annotation, str) else str(annotation)
    optional = text.removeprefix("typing.").startswith("Optional[")
    return optional or "None" in (part.strip() for part in text.split("|"))
