"""The candidate is worth what it costs.

What it asks
------------
Is it within the budget? Does a published EfficientNet do better for less? Did it become costlier
than the baseline?

Why it matters
--------------
A model twice the size is paid for in every request, on every device, for as long as it is in
production. Accuracy per operation is what EfficientNet is about, and it is rarely audited.

How it decides
--------------
Parameters, multiply–accumulates (MACs; FLOPs are twice that) and bytes are counted, so they need
no interval.

1. Each budget that is given (``max_parameters``, ``max_macs``, ``max_bytes``) must hold.
2. Against the baseline audit, none may grow by more than ``tolerance``.
3. Against the published family, where the test set is ImageNet-1k: the candidate is dominated if
   some EfficientNet needs no more MACs and the candidate's whole accuracy interval lies more than
   ``accuracy_tolerance`` below that model's. On other data the published accuracies say nothing
   about this candidate, and the comparison is shown, not judged.

It advises until a budget or a baseline is given; then it blocks.

How to fix
----------
Take the smaller member of the family that holds the accuracy, or a lower resolution; look for a
classifier head or a branch that is not needed.

Limits
------
MACs count convolution and linear layers. They follow latency well within one family and badly
across families; latency itself is not measured here.

References
----------
Tan and Le, EfficientNet, ICML 2019 (arXiv:1905.11946), table 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from auditor.check import Check, Finding, Fraction, Level, Outcome, Status, worst

if TYPE_CHECKING:
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.complexity import Complexity
    from auditor.evidence.confusion import Confusion

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _amount(value: object) -> object:
    """Read ``"5.3 M"`` or ``"20 MB"``; other values are left for pydantic to judge."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if found is None or found[2].upper() not in _UNITS:
        return value
    return round(float(found[1]) * _UNITS[found[2].upper()])


Amount = Annotated[int, BeforeValidator(_amount, json_schema_input_type=int | str), Field(gt=0)]


class Efficiency(Check):
    """Is the candidate worth its parameters, operations and bytes?"""

    id = "efficiency"
    title = "The candidate is worth what it costs"
    level = "advise"

    max_parameters: Amount | None = None
    """Most parameters, as a number or "5.3 M"."""
    max_macs: Amount | None = None
    """Most multiply–accumulates for one image, as a number or "0.4 G"."""
    max_bytes: Amount | None = None
    """Largest checkpoint file, as a number or "20 MB"."""
    tolerance: Fraction = 0.05
    """Share by which the candidate may be costlier than the baseline."""
    reference: Literal["auto", "imagenet-1k", "none"] = "auto"
    """Whether published ImageNet-1k accuracies apply; ``auto`` looks at the class names."""
    accuracy_tolerance: Fraction = 0.01
    """How far the accuracy may lie below that of a cheaper EfficientNet."""

    def default_level(self, available: frozenset[str]) -> Level:
        """Block once there is something to hold the candidate to."""
        budgets = (self.max_parameters, self.max_macs, self.max_bytes)
        return "block" if "baseline" in available or any(budgets) else "advise"

    def run(
        self, complexity: Complexity, confusion: Confusion, baseline: Baseline | None
    ) -> Outcome:
        """Judge budgets, baseline and the published family."""
        findings = [
            *self._budgets(complexity),
            *self._against(complexity, baseline),
            *self._against_family(complexity, confusion),
        ]
        status = worst(finding.status for finding in findings)
        return Outcome(
            status=status, summary=self._summary(complexity, findings), findings=tuple(findings)
        )

    def _budgets(self, complexity: Complexity) -> Iterator[Finding]:
        costs = _costs(complexity)
        for metric, limit in (
            ("parameters", self.max_parameters),
            ("MACs", self.max_macs),
            ("bytes", self.max_bytes),
        ):
            cost = costs[metric]
            if limit is None:
                yield _shown("candidate", metric, cost)
            elif cost is None:
                yield _unknown("candidate", metric, limit)
            else:
                yield Finding.fact("candidate", metric, cost, limit, n=1, unit=metric)

    def _against(self, complexity: Complexity, baseline: Baseline | None) -> Iterator[Finding]:
        if baseline is None:
            return
        before = baseline.audit.candidate
        for metric, old in (
            ("parameters", before.parameters),
            ("MACs", before.macs),
            ("bytes", before.bytes_on_disk),
        ):
            cost, name = _costs(complexity)[metric], f"baseline {before.name}"
            if old is None or cost is None:
                yield _unknown(name, metric, None)
            else:
                limit = old * (1 + self.tolerance)
                yield Finding.fact(name, metric, cost, limit, n=1, unit=metric)

    def _against_family(self, complexity: Complexity, confusion: Confusion) -> Iterator[Finding]:
        from auditor import stats
        from auditor.models.reference import efficientnet_reference

        if not self._comparable(confusion.classes) or not confusion.n:
            return
        cheaper = [m for m in efficientnet_reference() if m.macs <= complexity.macs]
        if not cheaper:
            return
        best = max(cheaper, key=lambda model: model.top1)
        interval = stats.proportion_interval(confusion.right, confusion.n, self.confidence)
        yield Finding.judged(
            f"published {best.name}",
            "top-1 accuracy",
            confusion.right / confusion.n,
            interval,
            best.top1 / 100 - self.accuracy_tolerance,
            n=confusion.n,
            note=f"{best.name} reaches {best.top1}% with {best.macs / 1e9:.2f} G MACs",
        )

    def _comparable(self, classes: tuple[str, ...]) -> bool:
        if self.reference != "auto":
            return self.reference == "imagenet-1k"
        synsets = all(re.fullmatch(r"n\d{8}", name) for name in classes)
        return len(classes) == 1000 and synsets

    def _summary(self, complexity: Complexity, findings: list[Finding]) -> str:
        head = (
            f"{complexity.parameters / 1e6:.2f} M parameters, {_macs(complexity.macs)} "
            f"at {complexity.input_size[1]} × {complexity.input_size[2]}"
        )
        failed = [f for f in findings if f.status is Status.FAIL]
        if failed:
            said = "; ".join(_said(finding) for finding in failed[:3])
            return f"{head}: {said}."
        if all(finding.status is Status.SKIP for finding in findings):
            return f"{head}; no budget, no baseline and no comparable reference to judge them by."
        open_ = [f for f in findings if f.status is Status.INCONCLUSIVE]
        return f"{head}; {'not all could be settled' if open_ else 'within every limit given'}."


def _macs(macs: int) -> str:
    return f"{macs / 1e9:.2f} G MACs" if macs >= 1e8 else f"{macs / 1e6:.2f} M MACs"


def _costs(complexity: Complexity) -> dict[str, int | None]:
    return {
        "parameters": complexity.parameters,
        "MACs": complexity.macs,
        "bytes": complexity.bytes_on_disk,
    }


def _shown(subject: str, metric: str, cost: int | None) -> Finding:
    note = "shown, not judged: no budget was given" if cost is not None else "not known"
    return Finding(
        subject=subject,
        metric=metric,
        observed=cost,
        unit=metric,
        higher_is_better=False,
        note=note,
    )


def _unknown(subject: str, metric: str, limit: float | None) -> Finding:
    return Finding(
        subject=subject,
        metric=metric,
        limit=limit,
        unit=metric,
        higher_is_better=False,
        status=Status.INCONCLUSIVE,
        note="the figure is not known on both sides"
        if limit is None
        else "the figure is not known",
    )


def _said(finding: Finding) -> str:
    if finding.metric == "top-1 accuracy":
        return f"{finding.subject} does better for less ({finding.note})"
    if finding.subject == "candidate":
        return f"{finding.observed:,.0f} {finding.metric} exceed the budget of {finding.limit:,.0f}"
    return f"{finding.observed:,.0f} {finding.metric} are too many beside the {finding.subject}"
