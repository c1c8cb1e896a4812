"""What a report shows beside the outcomes: tables and series, drawn by the renderers alone."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from auditor.record.base import Record
from auditor.record.efficiency import EfficiencyExhibit, EfficiencyPoint
from auditor.record.overlap import OverlapExhibit

__all__ = [
    "BaselineExhibit",
    "CalibrationBin",
    "CalibrationExhibit",
    "ChangeRow",
    "ClassRow",
    "ConfusionExhibit",
    "CurvePoint",
    "DeploymentExhibit",
    "DeploymentRow",
    "EfficiencyExhibit",
    "EfficiencyPoint",
    "Exhibits",
    "Figure",
    "FlipRow",
    "LatencyExhibit",
    "LatencyRatio",
    "LatencyRow",
    "MetricRow",
    "OperatingExhibit",
    "TrainingExhibit",
]


class ClassRow(Record):
    """One class of the test set. Rates are shares in [0, 1], None where n is 0."""

    name: str
    support: int
    """Test images of the class."""
    predicted: int
    """Test images that the candidate put into the class."""
    correct: int
    recall: float | None
    recall_interval: tuple[float, float] | None
    precision: float | None
    precision_interval: tuple[float, float] | None
    f1: float | None
    train_images: int | None = None
    rare: bool = False


class ConfusionExhibit(Record):
    """Confusion matrix, sparse: rows are labels, columns are predictions."""

    classes: tuple[str, ...]
    cells: tuple[tuple[int, int, int], ...]
    """(label index, predicted index, images), only where images > 0."""

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        known = range(len(self.classes))
        for label, predicted, images in self.cells:
            if label not in known or predicted not in known or images < 1:
                raise ValueError(f"({label}, {predicted}, {images}) is no cell of these classes")
        return self


class MetricRow(Record):
    """A figure over the whole test set."""

    name: str
    value: float | None
    unit: Literal["share", "none"] = "share"
    """A share in [0, 1], or a coefficient without a unit."""
    interval: tuple[float, float] | None = None
    explanation: str = ""


class CurvePoint(Record):
    """What flagging a class from a threshold on finds, on validation images."""

    threshold: float
    recall: float
    precision: float


class OperatingExhibit(Record):
    """A class that is flagged from a probability on: chosen on validation, judged on test."""

    critical: str
    wanted: float
    """Recall that is wanted."""
    curve: tuple[CurvePoint, ...]
    """On validation images, from the lowest threshold on."""
    threshold: float | None
    """None where the validation images cannot show that any threshold reaches it."""
    recall: float | None = None
    """On test images at the threshold, as are all that follow."""
    recall_interval: tuple[float, float] | None = None
    precision: float | None = None
    precision_interval: tuple[float, float] | None = None
    false_alarms: float | None = None
    """Share of the images of other classes that is flagged."""
    false_alarms_interval: tuple[float, float] | None = None


class CalibrationBin(Record):
    """Test images of about the same confidence."""

    images: int
    right: int
    confidence: float
    """Mean probability given to the class that was named."""
    interval: tuple[float, float]
    """Of the share that is right."""


class CalibrationExhibit(Record):
    """How often the candidate is right when it says how sure it is."""

    error: float | None
    """Expected calibration error, in shares."""
    interval: tuple[float, float] | None
    bins: tuple[CalibrationBin, ...]


class DeploymentRow(Record):
    """One class in production; counts are of images in 10,000, None where not known."""

    name: str
    share: float
    """Share of the class in production, in [0, 1]."""
    precision: float | None
    precision_interval: tuple[float, float] | None
    misses: float | None
    """Images of the class that are called something else."""
    misses_interval: tuple[float, float] | None
    false_alarms: float | None
    """Images of other classes that are called this one."""
    false_alarms_interval: tuple[float, float] | None


class DeploymentExhibit(Record):
    """What the candidate is expected to do at the class shares of production."""

    metrics: tuple[MetricRow, ...]
    per_class: tuple[DeploymentRow, ...]
    """By misses and false alarms together, most first."""
    unmeasured: tuple[str, ...] = ()
    """Classes of production without a test image: without them no sum is known."""
    method: str
    """How the intervals were made, as a sentence."""


class TrainingExhibit(Record):
    """The training log, an entry an epoch; None where the log has a gap."""

    epochs: tuple[float, ...]
    train_loss: tuple[float | None, ...]
    validation_loss: tuple[float | None, ...]
    validation_top1: tuple[float | None, ...] = ()


class ChangeRow(Record):
    """What became of the accuracy on the whole test set, or on one class."""

    name: str
    n_before: int
    n_after: int
    before: float
    """The baseline's accuracy, a share in [0, 1]."""
    after: float
    difference: float
    """Candidate minus baseline."""
    interval: tuple[float, float]
    lost: int | None = None
    """Images that only the baseline had right; None where the images are not the same."""
    won: int | None = None
    """Images that only the candidate has right."""
    significant: bool = False
    """By Holm over the classes; the whole test set by itself."""


class FlipRow(Record):
    """An image that only one of the two models got right; the thumbnail is a ``data:`` URI."""

    image: str
    label: str
    before: str
    after: str
    thumbnail: str | None = None


class BaselineExhibit(Record):
    """The candidate beside its baseline, cut to what a reader can look at."""

    baseline: str
    candidate: str
    digest: str = ""
    """Of the baseline's audit; empty where it was compared with something else."""
    created: str = ""
    """When that audit was made."""
    same_images: bool
    overall: ChangeRow
    classes: tuple[ChangeRow, ...] = ()
    """Classes whose accuracy moved, the largest drop first."""
    family: int = 0
    """Classes that Holm's correction is over."""
    mcnemar_exact: float | None = None
    mcnemar_mid_p: float | None = None
    """Two-sided p-values; None where the images are not the same."""
    changed: int | None = None
    """Images predicted differently, right or wrong."""
    lost: tuple[FlipRow, ...] = ()
    won: tuple[FlipRow, ...] = ()


class Figure(Record):
    """A value with its bounds, None where there were too few repeats for both."""

    value: float
    interval: tuple[float, float] | None


class LatencyRow(Record):
    """A model's times at one batch size, by the clock on the wall, in seconds."""

    role: Literal["candidate", "baseline"]
    name: str
    batch: int
    """Images a forward pass."""
    repeats: int
    settled: bool
    """Whether the time stood still before it was measured."""
    p50: Figure
    p90: Figure
    p99: Figure
    throughput: Figure
    """Images a second of the median pass."""
    waited: float
    """Seconds spent waiting for a processor in use by others, all threads, per second measured."""
    seconds: tuple[float, ...]
    """Repeats, smallest first; some of them, evenly, where there are many."""


class LatencyRatio(Record):
    """How much longer the candidate takes than another model, round by round."""

    batch: int
    to: Literal["baseline", "twin"]
    """``twin`` is a copy of the candidate: the self-check."""
    clock: Literal["wall", "processor"]
    decides: bool
    ratio: Figure


class LatencyExhibit(Record):
    """How long the candidate takes, and on what that was measured."""

    hardware: dict[str, str]
    """What must agree before two latencies compare."""
    state: dict[str, str]
    """Clocks and power, as far as they could be read."""
    clock: Literal["wall", "processor"]
    """Which clock decides on ratios."""
    tolerance: float
    """Share by which the candidate may be slower."""
    rows: tuple[LatencyRow, ...]
    ratios: tuple[LatencyRatio, ...]


class Exhibits(Record):
    """What a report shows beside the outcomes."""

    metrics: tuple[MetricRow, ...] = ()
    per_class: tuple[ClassRow, ...] = ()
    """Rare classes first, then by recall, lowest first."""
    confusion: ConfusionExhibit | None = None
    overlap: OverlapExhibit | None = None
    efficiency: EfficiencyExhibit | None = None
    training: TrainingExhibit | None = None
    deployment: DeploymentExhibit | None = None
    calibration: CalibrationExhibit | None = None
    operating: OperatingExhibit | None = None
    baseline: BaselineExhibit | None = None
    latency: LatencyExhibit | None = None
    cheaper: BaselineExhibit | None = None
    """The candidate in a cheaper dtype, beside itself in float32."""
