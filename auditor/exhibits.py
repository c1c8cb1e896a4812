"""What the report shows beside the outcomes, from evidence that the checks already asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from auditor import composite, stats
from auditor.description import if_had
from auditor.errors import Unavailable
from auditor.record import (
    BaselineExhibit,
    CalibrationExhibit,
    CheckResult,
    ClassRow,
    ConfusionExhibit,
    DeploymentExhibit,
    EfficiencyExhibit,
    Exhibits,
    LatencyExhibit,
    MetricRow,
    OperatingExhibit,
    OverlapExhibit,
    TrainingExhibit,
)

if TYPE_CHECKING:
    from auditor.check import IntervalMethod
    from auditor.comparison import Comparison
    from auditor.evidence.calibration import Calibration
    from auditor.evidence.confusion import Confusion
    from auditor.evidence.counts import ClassCounts
    from auditor.evidence.deployment import Deployment
    from auditor.evidence.predictions import Predictions
    from auditor.graph import Graph
    from auditor.record import Audit

__all__ = ["show"]


def show(graph: Graph, results: Sequence[CheckResult], candidate: str) -> Exhibits:
    """Return every exhibit whose evidence is at hand.

    Parameters
    ----------
    graph
        The evidence.
    results
        Of the checks, whose options the exhibits follow.
    candidate
        What it is called.
    """
    confusion = graph.get("confusion")
    return Exhibits(
        metrics=_metrics(confusion, graph.get("test"), results),
        per_class=_per_class(graph, confusion, results),
        confusion=ConfusionExhibit(classes=confusion.classes, cells=tuple(confusion.cells())),
        overlap=_overlap(graph, results),
        efficiency=_efficiency(graph, confusion, results, candidate),
        training=_training(graph),
        deployment=_deployment(graph, results),
        calibration=_calibration(graph, results),
        operating=_operating(graph, results),
        baseline=_baseline(graph, results, candidate),
        latency=_latency(graph, results),
        cheaper=_cheaper(graph, results),
    )


def _result(results: Sequence[CheckResult], id: str) -> CheckResult | None:
    return next((result for result in results if result.id == id), None)


def _options(results: Sequence[CheckResult], id: str) -> Mapping[str, Any]:
    """Return the options that a check ran with; none where it took no part."""
    result = _result(results, id)
    return {} if result is None else result.options


class _Bounds(NamedTuple):
    """How a check bounds what it measures; as it does unless told otherwise, where it is off."""

    confidence: float
    method: IntervalMethod

    @classmethod
    def of(cls, results: Sequence[CheckResult], id: str) -> _Bounds:
        options = _options(results, id)
        return cls(options.get("confidence", 0.95), options.get("interval", "exact"))


def _metrics(
    confusion: Confusion, test: Predictions, results: Sequence[CheckResult]
) -> tuple[MetricRow, ...]:
    confidence = _Bounds.of(results, "accuracy-paradox").confidence

    def bounds(figure: composite.Figure) -> stats.Interval | None:
        return composite.interval(confusion, figure, confidence)

    always = "accuracy of always naming the most frequent class"
    balanced, f1 = bounds(composite.BALANCED_ACCURACY), bounds(composite.MACRO_F1)
    matthews, kappa = bounds(composite.MATTHEWS), bounds(composite.KAPPA)
    linked = "correlation of labels and predictions; 0 is chance"
    beyond = "agreement beyond chance; 0 is chance"
    return (
        *_accuracies(confusion, test, _Bounds.of(results, "top1-accuracy")),
        _metric("no-information rate", confusion.no_information_rate, always),
        _metric(
            "balanced accuracy",
            confusion.balanced_accuracy,
            "mean recall over the classes",
            interval=balanced,
        ),
        _metric("macro-F1", confusion.macro_f1, "mean F1 over the classes", interval=f1),
        _metric("MCC", confusion.matthews, linked, "none", interval=matthews),
        _metric("Cohen's κ", confusion.kappa, beyond, "none", interval=kappa),
    )


def _accuracies(confusion: Confusion, test: Predictions, bounds: _Bounds) -> Iterator[MetricRow]:
    n = confusion.n
    yield _metric(
        "top-1 accuracy",
        confusion.accuracy,
        "share of test images put into the right class",
        interval=stats.proportion_interval(confusion.right, n, *bounds) if n else None,
    )
    if n and test.top5 is not None and len(test.classes) > 5:
        hits = int(test.among_first_five.sum())
        yield _metric(
            "top-5 accuracy",
            hits / n,
            "share of test images whose class is among the five most probable; not where it ties "
            "with the sixth, or has probability 0",
            interval=stats.proportion_interval(hits, n, *bounds),
        )


def _metric(
    name: str,
    value: float | None,
    explanation: str,
    unit: Literal["share", "none"] = "share",
    interval: stats.Interval | None = None,
) -> MetricRow:
    return MetricRow(name=name, value=value, unit=unit, interval=interval, explanation=explanation)


def _per_class(
    graph: Graph, confusion: Confusion, results: Sequence[CheckResult]
) -> tuple[ClassRow, ...]:
    try:
        counts = graph.get("counts")
        rare, train = _rare(counts, results), counts.train
    except Unavailable:  # said by the checks that asked for it
        rare, train = frozenset(), None
    right, named = confusion.correct, confusion.predicted
    of_recall = _Bounds.of(results, "rare-class-recall")
    of_precision = _Bounds.of(results, "precision-recall-gap")
    recall = stats.proportion_intervals(right, confusion.support, *of_recall)
    precision = stats.proportion_intervals(right, named, *of_precision)
    rows = [
        ClassRow(
            name=name,
            support=int(confusion.support[i]),
            predicted=int(confusion.predicted[i]),
            correct=int(confusion.correct[i]),
            recall=_known(confusion.recall[i]),
            recall_interval=_pair(recall, i) if confusion.support[i] else None,
            precision=_known(confusion.precision[i]),
            precision_interval=_pair(precision, i) if confusion.predicted[i] else None,
            f1=_known(confusion.f1[i]),
            train_images=None if train is None else train.get(name, 0),
            rare=name in rare,
        )
        for i, name in enumerate(confusion.classes)
    ]
    return tuple(sorted(rows, key=lambda row: (not row.rare, row.recall or 0.0, row.name)))


def _rare(counts: ClassCounts, results: Sequence[CheckResult]) -> frozenset[str]:
    """Return the classes that ``rare-class-recall`` treats as rare, or would, where it is off."""
    options = _options(results, "rare-class-recall")
    named, also = (options.get(key, ()) for key in ("classes", "per_class"))
    return counts.rare(options.get("rarity", 0.5), named, also)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _pair(bounds: tuple[Any, Any], i: int) -> tuple[float, float]:
    return float(bounds[0][i]), float(bounds[1][i])


def _overlap(graph: Graph, results: Sequence[CheckResult]) -> OverlapExhibit | None:
    from auditor.overlap.exhibit import show_overlap

    overlap = if_had(graph, "overlap")
    if overlap is None:
        return None
    counts, groups, scenes = (if_had(graph, name) for name in ("counts", "groups", "scenes"))
    rare = frozenset() if counts is None else _rare(counts, results)
    confidence = _Bounds.of(results, "split-overlap").confidence
    signed = if_had(graph, "test_signatures")
    listing = None if signed is None else signed.manifest()
    return show_overlap(overlap, graph.get("test"), groups, scenes, rare, confidence, listing)


def _efficiency(
    graph: Graph, confusion: Confusion, results: Sequence[CheckResult], candidate: str
) -> EfficiencyExhibit | None:
    from auditor.efficiency.exhibit import exhibit

    complexity = if_had(graph, "complexity")
    if complexity is None or None in (complexity.macs, complexity.parameters):
        return None  # without a cost it has no place on the plane
    judged = _result(results, "efficiency")
    return exhibit(
        candidate,
        complexity,
        confusion.accuracy,
        () if judged is None else judged.findings,
        if_had(graph, "baseline"),
        if_had(graph, "own_audits"),
    )


def _baseline(
    graph: Graph, results: Sequence[CheckResult], candidate: str
) -> BaselineExhibit | None:
    from auditor.comparison import NotComparable, compare
    from auditor.comparison.comparable import pictures_of

    baseline = if_had(graph, "baseline")
    if baseline is None:
        return None
    confidence = _Bounds.of(results, "baseline-regression").confidence
    try:
        pictures = pictures_of(if_had(graph, "test_signatures"))
        comparison = compare(
            graph.get("test"),
            baseline,
            confidence,
            pictures=pictures,
            rare=_rare_by_share(graph),
        )
    except NotComparable:  # said by the check
        return None
    audit: Audit = baseline.audit
    shown = _beside(graph, comparison, audit.candidate.name, candidate)
    which = {"digest": audit.digest, "created": audit.provenance.created}
    return shown.model_copy(update=which)


def _rare_by_share(graph: Graph) -> frozenset[str]:
    counts: ClassCounts | None = if_had(graph, "counts")
    return frozenset() if counts is None else counts.rare()


def _beside(graph: Graph, comparison: Comparison, before: str, after: str) -> BaselineExhibit:
    """Show a comparison under both models' names, with the pictures that are at hand."""
    from auditor.comparison.exhibit import beside, thumbnails

    samples = if_had(graph, "test_samples") if graph.gathering else None
    shown = beside(comparison, before, after)
    return shown if samples is None else thumbnails(shown, samples.read)


def _training(graph: Graph) -> TrainingExhibit | None:
    log = if_had(graph, "training_log")
    if log is None:
        return None
    return TrainingExhibit(
        epochs=tuple(log.epoch.tolist()),
        train_loss=_gaps(log.train_loss),
        validation_loss=_gaps(log.eval_loss),
        validation_top1=_gaps(log.eval_top1 / 100),
    )


def _gaps(values: Any) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values)


def _deployment(graph: Graph, results: Sequence[CheckResult]) -> DeploymentExhibit | None:
    deployment: Deployment | None = if_had(graph, "deployment")
    if deployment is None:
        return None
    return deployment.exhibit(_Bounds.of(results, "accuracy-paradox").confidence)


def _calibration(graph: Graph, results: Sequence[CheckResult]) -> CalibrationExhibit | None:
    calibration: Calibration | None = if_had(graph, "calibration")
    if calibration is None or not calibration.n:
        return None
    return calibration.exhibit(_Bounds.of(results, "calibration").confidence)


def _operating(graph: Graph, results: Sequence[CheckResult]) -> OperatingExhibit | None:
    from auditor.operating import exhibit

    judged, validation = _result(results, "operating-point"), if_had(graph, "validation")
    if judged is None or not judged.findings or validation is None:
        return None
    critical, min_recall = judged.options["critical"], judged.options["min_recall"]
    return exhibit(validation, critical, min_recall, judged.findings)


def _latency(graph: Graph, results: Sequence[CheckResult]) -> LatencyExhibit | None:
    from auditor.efficiency import speed

    latency = if_had(graph, "latency")
    if latency is None:
        return None
    tolerance = _options(results, "latency").get("tolerance")
    return speed.show(
        latency,
        latency.tolerance if tolerance is None else tolerance,
        _Bounds.of(results, "latency").confidence,
    )


def _cheaper(graph: Graph, results: Sequence[CheckResult]) -> BaselineExhibit | None:
    from auditor.comparison import NotComparable
    from auditor.evidence.cheaper import compare_cheaper

    cheaper = if_had(graph, "cheaper")
    if cheaper is None:
        return None
    confidence = _Bounds.of(results, "cheaper-inference").confidence
    try:
        rare = _rare_by_share(graph)
        comparison = compare_cheaper(graph.get("test"), cheaper, confidence, rare)
    except NotComparable:  # said by the check
        return None
    return _beside(graph, comparison, "float32", graph.get("cheaper_dtype").name)
