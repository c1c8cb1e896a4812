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
Parameters, multiply–accumulates (MACs; FLOPs are twice that), activations and bytes are counted,
so they need no interval.

1. Each budget that is given (``max_parameters``, ``max_macs``, ``max_activations``, ``max_bytes``)
   must hold.
2. Against the baseline audit, none may grow by more than ``tolerance``. It is 0 unless said
   otherwise: a count has no noise that would have to be let through, and growth that is wanted is
   stated, by the tolerance or by a waiver that names the metric, such as ``MACs``. Bytes are not
   compared where neither model comes from a file.
3. Against the published family, where the test set is ImageNet-1k: the candidate is dominated if
   some EfficientNet needs no more MACs and the candidate's whole accuracy interval lies more than
   ``accuracy_tolerance`` below that model's published accuracy (the paper's or timm's, whichever
   is lower).
4. On the same data, its MACs may be at most ``max_excess`` times those of the smallest published
   EfficientNet that is as accurate, taken over the candidate's whole accuracy interval. The 2 is
   one step of compound scaling, which doubles the MACs: beyond it the candidate is a whole step
   behind the family.
5. Against audits of the user's own models (``audits``), on the same test images: it is dominated if
   one of them needs no more MACs and the whole interval of the paired difference lies below zero.
   The intervals are Bonferroni's over those models. Audits of other images, pictures, labels or
   classes are named and left out.

On other data than ImageNet-1k the published accuracies say nothing about this candidate: there
the family is shown, and only the user's own audits are judged. timm's other models are shown and
never judged, because most are trained by later recipes. The check advises until a budget or a
baseline is given; then it blocks.

How to fix
----------
Take the smaller member of the family that holds the accuracy, or a lower resolution; look for a
classifier head or a branch that is not needed. ``auditor profile`` shows where the cost lies. A
checkpoint that grew while its parameters did not holds something else, such as optimiser state.

A figure that is not known - an operator that may multiply and is not counted, weights that are no
parameters of the module, no model at all - passes no budget: it is inconclusive, and says why.

Limits
------
MACs count convolution and linear layers and matrix products. They follow latency well within one
family and badly across families; latency itself is another check.

References
----------
Tan and Le, EfficientNet, ICML 2019 (arXiv:1905.11946), table 2 and section 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from auditor.check import Check, Finding, Fraction, Outcome, Status
from auditor.units import Bytes, Count, Macs
from auditor.wording import count, listed

if TYPE_CHECKING:
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.complexity import Complexity
    from auditor.evidence.confusion import Confusion
    from auditor.evidence.own_audits import OwnAudits
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.signatures import Signatures

Excess = Annotated[float, Field(ge=1.0, allow_inf_nan=False)]


class Efficiency(Check):
    """Is the candidate worth its parameters, operations and bytes?"""

    id = "efficiency"
    title = "The candidate is worth what it costs"
    version = 6
    level = "advise"
    blocks_once = "a budget or a baseline is given"
    judges = "cost"

    max_parameters: Count | None = None
    """Most parameters, such as "5.3 M"."""
    max_macs: Macs | None = None
    """Most multiply–accumulates for one image, such as "0.4 G" or "400 MMAC"."""
    max_activations: Count | None = Field(default=None, examples=["7 M"])
    """Most output elements of convolution and linear layers for one image, such as "7 M"."""
    max_bytes: Bytes | None = None
    """Largest checkpoint file, such as "21 MB" or "20 MiB"."""
    tolerance: Fraction = 0.0
    """Share by which the candidate may be costlier than the baseline."""
    reference: Literal["auto", "imagenet-1k", "none"] = "auto"
    """Whether published ImageNet-1k accuracies apply; ``auto`` looks at the class names."""
    accuracy_tolerance: Fraction = 0.01
    """How far the accuracy may lie below that of a cheaper EfficientNet."""
    max_excess: Excess = 2.0
    """Most MACs, as a multiple of the smallest published EfficientNet that is as accurate."""
    audits: tuple[Path, ...] = ()
    """Audits of your own models on the same test images: ``audit.json`` or the folder of each."""

    def blocks_now(self, available: frozenset[str]) -> bool:
        """Tell whether there is something to hold the candidate to."""
        return "baseline" in available or self.has_budget

    @property
    def has_budget(self) -> bool:
        """Whether a budget was given."""
        budgets = (self.max_parameters, self.max_macs, self.max_activations, self.max_bytes)
        return any(budgets)

    def run(
        self,
        complexity: Complexity,
        confusion: Confusion,
        baseline: Baseline | None,
        test: Predictions | None = None,
        own_audits: OwnAudits | None = None,
        test_signatures: Signatures | None = None,
    ) -> Outcome:
        """Judge budgets, baseline, the published family and the user's own models."""
        findings = [
            *self._budgets(complexity),
            *self._against(complexity, baseline),
            *self._against_family(complexity, confusion),
            *self._against_own(complexity, test, own_audits, test_signatures),
        ]
        return Outcome.of(findings, _summary(complexity, findings))

    def _budgets(self, complexity: Complexity) -> Iterator[Finding]:
        costs = _costs(complexity)
        for metric, limit in (
            ("parameters", self.max_parameters),
            ("MACs", self.max_macs),
            ("activations", self.max_activations),
            ("bytes", self.max_bytes),
        ):
            cost = costs[metric]
            if limit is None:
                yield _shown("candidate", metric, cost)
            elif cost is None:
                yield _unknown("candidate", metric, limit, complexity.unknown * (metric != "bytes"))
            else:
                yield Finding.fact("candidate", metric, cost, limit, n=1, unit=metric)

    def _against(self, complexity: Complexity, baseline: Baseline | None) -> Iterator[Finding]:
        if baseline is None:
            return
        before = baseline.audit.candidate
        name, costs = f"baseline {before.name}", _costs(complexity)
        for metric, old in (
            ("parameters", before.parameters),
            ("MACs", before.macs),
            ("activations", before.activations),
            ("bytes", before.bytes_on_disk),
        ):
            cost = costs[metric]
            if old is None or cost is None:
                yield _not_compared(name, metric, old, cost, complexity)
            else:
                limit = float(f"{old * (1 + self.tolerance):.15g}")  # 15% on 800 are 920
                yield Finding.fact(name, metric, cost, limit, n=1, unit=metric)

    def _against_family(self, complexity: Complexity, confusion: Confusion) -> Iterator[Finding]:
        from auditor.efficiency.standing import among_published

        if not self._comparable(confusion.classes) or not confusion.n:
            return
        if complexity.macs is None:
            yield _unknown("published family", "MACs", None, complexity.unknown)
        else:
            yield from among_published(
                complexity.macs,
                confusion,
                self.confidence,
                accuracy_tolerance=self.accuracy_tolerance,
                max_excess=self.max_excess,
            )

    def _against_own(
        self,
        complexity: Complexity,
        test: Predictions | None,
        own_audits: OwnAudits | None,
        test_signatures: Signatures | None,
    ) -> Iterator[Finding]:
        from auditor.comparison.comparable import pictures_of
        from auditor.efficiency.standing import among_own

        if own_audits is None or test is None:
            return
        macs, pictures = complexity.macs, pictures_of(test_signatures)
        if macs is None:
            yield _unknown("own audits", "MACs", None, complexity.unknown)
        else:
            yield from among_own(macs, test, own_audits, self.confidence, pictures=pictures)

    def _comparable(self, classes: tuple[str, ...]) -> bool:
        if self.reference != "auto":
            return self.reference == "imagenet-1k"
        synsets = all(re.fullmatch(r"n\d{8}", name) for name in classes)
        return len(classes) == 1000 and synsets


def _summary(complexity: Complexity, findings: list[Finding]) -> str:
    parameters, macs = _known(complexity.parameters, _millions), _known(complexity.macs, _macs)
    height, width = complexity.input_size[1:]
    head = f"{parameters} parameters, {macs} MACs at {height} × {width}"
    failed = [f for f in findings if f.status is Status.FAIL]
    if failed:
        return f"{head}: {listed([_said(finding) for finding in failed], separator='; ')}."
    if all(finding.status is Status.SKIP for finding in findings):
        return f"{head}; no budget, no baseline and no comparable reference to judge them by."
    if any(finding.status is Status.INCONCLUSIVE for finding in findings):
        return f"{head}; {_unsettled(findings)}."
    passed = [finding for finding in findings if finding.status is Status.PASS]
    if all(map(_beside_a_model, passed)):
        beside = listed([finding.note for finding in passed], separator="; ")
        return f"{head}; no budget and no baseline was given; {beside}."
    return f"{head}; within every limit given."


def _unsettled(findings: list[Finding]) -> str:
    found = [finding for finding in findings if finding.status is Status.INCONCLUSIVE]
    named = listed([f"{finding.metric} ({finding.subject})" for finding in found])
    why = listed([*dict.fromkeys(f.note for f in found if f.observed is None)], separator="; ")
    return f"not settled: {named}" + (f": {why}" if why else "")


def _known(figure: int | None, written: Callable[[int], str]) -> str:
    return "an unknown number of" if figure is None else written(figure)


def _macs(macs: int) -> str:
    return f"{macs / 1e9:.2f} G" if macs >= 1e8 else _millions(macs)


def _millions(amount: int) -> str:
    return f"{amount / 1e6:.2f} M" if amount >= 1e4 else f"{amount:,}"


def _costs(complexity: Complexity) -> dict[str, int | None]:
    return {
        "parameters": complexity.parameters,
        "MACs": complexity.macs,
        "activations": complexity.activations,
        "bytes": complexity.bytes_on_disk,
    }


def _shown(subject: str, metric: str, cost: int | None) -> Finding:
    if cost is None:
        return _unjudged(subject, metric, Status.SKIP, "not known")
    return Finding.shown(
        subject, metric, cost, unit=metric, higher_is_better=False, why="no budget was given"
    )


def _unknown(subject: str, metric: str, limit: float | None, reasons: Sequence[str]) -> Finding:
    why = f": {'; '.join(reasons)}" if reasons else ""
    note = f"the figure is not known{why}"
    return _unjudged(subject, metric, Status.INCONCLUSIVE, note, limit=limit)


def _not_compared(
    subject: str, metric: str, old: int | None, cost: int | None, complexity: Complexity
) -> Finding:
    lacking = [who for who, has in (("candidate", cost), ("baseline", old)) if has is None]
    of = f"of the {' and of the '.join(lacking)}"
    if metric == "bytes" and len(lacking) == 2:
        return _unjudged(subject, metric, Status.SKIP, "not judged: neither comes from a file")
    note = f"the figure {of} is not known"
    if metric == "bytes":
        note += ", as it comes from no file; audit both from a checkpoint or from none"
    elif cost is None:
        note += "".join(f"; {reason}" for reason in complexity.unknown)
    else:
        note += "; audit it anew with its model"
    return _unjudged(subject, metric, Status.INCONCLUSIVE, note)


def _unjudged(
    subject: str,
    metric: str,
    status: Status,
    note: str,
    *,
    limit: float | None = None,
) -> Finding:
    return Finding(
        subject=subject,
        metric=metric,
        limit=limit,
        unit=metric,
        higher_is_better=False,
        status=status,
        note=note,
    )


def _beside_a_model(finding: Finding) -> bool:
    """Tell whether it is of the published family or an own audit, and no count beside a limit."""
    return finding.unit in ("share", "points", "ratio")


def _said(finding: Finding) -> str:
    if _beside_a_model(finding):
        return finding.note
    if finding.subject == "candidate" and finding.limit is not None:
        return (
            f"{finding.observed:,.0f} {finding.metric} exceed the budget of {count(finding.limit)}"
        )
    return f"{finding.observed:,.0f} {finding.metric} are too many beside the {finding.subject}"
