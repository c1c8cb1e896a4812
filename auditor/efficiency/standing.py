"""Judges a candidate's place on the plane of accuracy and cost: among published and own models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor import stats
from auditor.check import Finding, Status
from auditor.comparison import Comparison, NotComparable, compare
from auditor.efficiency.frontier import Place, cheapest_reaching, standing
from auditor.wording import apart, beside, magnitude, share

if TYPE_CHECKING:
    from auditor.comparison.comparable import Pictures
    from auditor.evidence.baseline import Baseline
    from auditor.evidence.confusion import Confusion
    from auditor.evidence.own_audits import OwnAudits
    from auditor.evidence.predictions import Predictions

__all__ = ["among_own", "among_published"]


def among_published(
    macs: int,
    confusion: Confusion,
    confidence: float,
    *,
    accuracy_tolerance: float,
    max_excess: float,
) -> Iterator[Finding]:
    """Judge a candidate that was tested on ImageNet-1k among the published EfficientNets.

    Parameters
    ----------
    macs
        Multiply–accumulates of one image.
    confusion
        On the test set, with at least one image.
    confidence
        Of each bound of the accuracy's interval.
    accuracy_tolerance
        How far the accuracy may lie below that of a cheaper model, a difference of shares.
    max_excess
        Most MACs as a multiple of those of the smallest model that is as accurate.
    """
    from auditor.efficiency.published import published_efficientnets

    family = published_efficientnets()
    right, n = confusion.right, confusion.n
    interval = stats.proportion_interval(right, n, confidence)
    within = [place for place in family if place.macs <= macs]
    if within:
        best = max(within, key=lambda place: place.top1)
        yield Finding.judged(
            f"published {best.name}",
            "top-1 accuracy",
            right / n,
            interval,
            best.top1 - accuracy_tolerance,
            n=n,
            note=_beside(macs, right / n, best, family),
        )
    yield _excess(macs, right / n, interval, family, max_excess, n)


def _beside(macs: int, top1: float, best: Place, family: tuple[Place, ...]) -> str:
    found = standing(macs, top1, family)
    text = f"published {best.name} reaches {share(best.top1)} with {magnitude(best.macs)} MACs"
    if found.better is not None:
        text += f", {apart(found.gain)} more at no more MACs"
    if found.cheaper is not None:
        text += (
            f"; {found.cheaper.name} is no less accurate with {share(found.saving, 0)} fewer MACs"
        )
    return text


def _excess(
    macs: int,
    top1: float,
    interval: tuple[float, float],
    family: tuple[Place, ...],
    limit: float,
    n: int,
) -> Finding:
    """Judge how many times the MACs of the smallest model as accurate are spent."""
    metric = "MACs for its accuracy"
    at_low, at, at_high = (
        cheapest_reaching(accuracy, family) for accuracy in (interval[0], top1, interval[1])
    )
    if at_low is None or at is None:
        note = "no published EfficientNet is as accurate, so there is none to be costlier than"
        return Finding(
            subject="published family", metric=metric, unit="ratio", limit=limit, n=n, note=note,
            higher_is_better=False,
        )  # fmt: skip
    # No model reaches the upper bound: then it may be as cheap as one can imagine.
    lowest = 0.0 if at_high is None else macs / at_high.macs
    times = beside(macs / at.macs, limit, "ratio", 1).removesuffix("×")
    return Finding.judged(
        f"published {at.name}",
        metric,
        macs / at.macs,
        (lowest, macs / at_low.macs),
        limit,
        n=n,
        unit="ratio",
        higher_is_better=False,
        note=f"it takes {times} times the MACs of {at.name}, the smallest published EfficientNet "
        f"that is at least as accurate ({share(at.top1)})",
    )


def among_own(
    macs: int,
    test: Predictions,
    own: OwnAudits,
    confidence: float,
    *,
    pictures: Pictures | None = None,
) -> Iterator[Finding]:
    """Judge a candidate among audits of the user's own models, on the same test images.

    Parameters
    ----------
    macs
        Multiply–accumulates of one image through the candidate.
    test
        What the candidate said of the test images.
    own
        The other models' audits.
    confidence
        That no dominating model is named wrongly, over all of them together.
    pictures
        Digests of the test images, where they were looked at.
    """
    cheaper = [each for each in own.audits if (each.audit.candidate.macs or macs + 1) <= macs]
    level = 1 - (1 - confidence) / max(1, len(cheaper))  # Bonferroni
    for each in own.audits:
        info = each.audit.candidate
        try:
            found = compare(test, each, level, pictures=pictures)
        except NotComparable as reason:
            yield _left_out(each, f"left out, not comparable: {reason}")
            continue
        if info.macs is None:
            yield _left_out(each, "left out: its audit does not hold its MACs")
        elif not found.paired:
            yield _left_out(each, "left out: it was tested on other images")
        elif found.identical and info.macs == macs:
            yield _left_out(each, "left out: it is the same model")
        else:
            yield _beside_own(macs, each, found)


def _left_out(each: Baseline, why: str) -> Finding:
    return Finding(
        subject=f"own {each.audit.candidate.name}",
        metric="accuracy difference",
        unit="points",
        note=why,
    )


def _beside_own(macs: int, each: Baseline, found: Comparison) -> Finding:
    info, change = each.audit.candidate, found.overall
    assert info.macs is not None
    verb = "more" if change.difference < 0 else "less"
    takes = "as many MACs" if info.macs == macs else f"{beside(info.macs / macs, 1.0)} of the MACs"
    note = (
        f"own {info.name} takes {takes} and is "
        f"{apart(change.difference)} {verb} accurate on the same images"
    )
    if info.macs > macs:
        return Finding(
            subject=f"own {info.name}",
            metric="accuracy difference",
            observed=change.difference,
            interval=change.interval,
            n=change.n_after,
            unit="points",
            note=f"{note}: shown, as it cannot dominate",
        )
    finding = Finding.judged(
        f"own {info.name}",
        "accuracy difference",
        change.difference,
        change.interval,
        0.0,
        n=change.n_after,
        unit="points",
        note=note,
    )
    if finding.status is Status.INCONCLUSIVE:
        text = f"{note}: not shown to be better than a model that costs no more"
        return finding.model_copy(update={"note": text})
    return finding
