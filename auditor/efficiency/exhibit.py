"""The report's part on efficiency: the complexity card and the candidate's place on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditor.efficiency.frontier import Place, Standing, standing
from auditor.record.efficiency import (
    ComplexityCard,
    EfficiencyExhibit,
    EfficiencyPoint,
    MemoryRow,
    StageRow,
)
from auditor.wording import apart, share

if TYPE_CHECKING:
    from auditor.check import Finding
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.complexity import Complexity
    from auditor.evidence.own_audits import OwnAudits

__all__ = ["exhibit"]


def exhibit(
    name: str,
    complexity: Complexity,
    top1: float | None,
    findings: Sequence[Finding],
    baseline: Baseline | None = None,
    own: OwnAudits | None = None,
) -> EfficiencyExhibit:
    """Return what the report shows of a candidate whose MACs and parameters are known.

    Parameters
    ----------
    name, complexity, top1
        Of the candidate; the accuracy as a share.
    findings
        Of the ``efficiency`` check: they say what compares.
    baseline, own
        The other models' audits.
    """
    from auditor.efficiency.published import published_efficientnets
    from auditor.models import reference

    assert complexity.macs is not None
    assert complexity.parameters is not None
    comparable = any(f.subject.startswith("published ") for f in findings)
    judged = [f for f in findings if f.subject.startswith("own ")]
    audits = own.audits if own is not None else ()
    beside = [a for a, f in zip(audits, judged, strict=False) if f.observed is not None]
    points = tuple(point for audit in beside if (point := _audited(audit)) is not None)
    family = published_efficientnets() if comparable else ()
    others = [*family, *(Place(p.name, p.macs, p.top1) for p in points if p.top1 is not None)]
    return EfficiencyExhibit(
        candidate=EfficiencyPoint(
            name=name, macs=complexity.macs, parameters=complexity.parameters, top1=top1
        ),
        reference=_published(),
        reference_source=reference.SOURCE,
        comparable=comparable,
        baseline=None if baseline is None else _audited(baseline),
        own=points,
        left_out=tuple((f.subject.removeprefix("own "), f.note) for f in judged if not _shown(f)),
        frontier=_frontier() if comparable else (),
        frontier_source=reference.FRONTIER if comparable else "",
        standing=_sentence(complexity.macs, top1, others),
        card=_card(complexity),
    )


def _shown(finding: Finding) -> bool:
    return finding.observed is not None


def _audited(baseline: Baseline) -> EfficiencyPoint | None:
    audit = baseline.audit
    if audit.candidate.macs is None or audit.candidate.parameters is None:
        return None
    top1 = next((m.value for m in audit.exhibits.metrics if m.name == "top-1 accuracy"), None)
    return EfficiencyPoint(
        name=audit.candidate.name,
        macs=audit.candidate.macs,
        parameters=audit.candidate.parameters,
        top1=top1,
    )


def _published() -> tuple[EfficiencyPoint, ...]:
    from auditor.models.reference import efficientnet_reference

    return tuple(
        EfficiencyPoint(name=m.name, macs=m.macs, parameters=m.parameters, top1=m.top1 / 100)
        for m in efficientnet_reference()
    )


def _frontier() -> tuple[EfficiencyPoint, ...]:
    from auditor.models.reference import frontier_reference

    return tuple(
        EfficiencyPoint(
            name=f"{m.name} at {m.resolution}",
            macs=m.macs,
            parameters=m.parameters,
            top1=m.top1 / 100,
        )
        for m in frontier_reference()
    )


def _sentence(macs: int, top1: float | None, others: Sequence[Place]) -> str:
    if top1 is None or not others:
        return ""
    found = standing(macs, top1, others)
    if not found.dominated:
        return "None of the models that it compares with is as accurate with no more MACs."
    return f"Dominated, by the figures as they are: {'; '.join(_parts(found))}."


def _parts(found: Standing) -> list[str]:
    parts = []
    if found.better is not None:
        parts.append(f"{found.better.name} is {apart(found.gain)} more accurate with no more MACs")
    if found.cheaper is not None:
        parts.append(
            f"{found.cheaper.name} is as accurate with {share(found.saving, 0)} fewer MACs"
        )
    return parts


def _card(complexity: Complexity) -> ComplexityCard | None:
    from auditor.models.complexity import MEMORY_RULE, RULE

    if not complexity.stages:  # counted elsewhere, as a graph that is no torch module
        return None
    memory = {"float32": complexity.fp32, "bfloat16": complexity.bf16}
    return ComplexityCard(
        activations=complexity.activations,
        macs_fvcore=complexity.macs_fvcore,
        bytes_on_disk=complexity.bytes_on_disk,
        memory=tuple(
            MemoryRow(dtype=dtype, weights=each.weights, peak=each.peak)
            for dtype, each in memory.items()
            if each is not None
        ),
        stages=tuple(
            StageRow(name=s.name, parameters=s.parameters, macs=s.macs, activations=s.activations)
            for s in complexity.stages
        ),
        uncounted=tuple((each.name, each.share) for each in complexity.uncounted),
        scaling=complexity.scaling,
        rule=f"{RULE} {MEMORY_RULE}",
        notes=complexity.notes,
    )
