"""The audit as a document: the JSON that every renderer and every later comparison reads.

``audit.json`` is sorted, holds no NaN, and ends in a digest over everything else, so that a
hand-edited one is noticed. Fields are only added within a ``schema_version``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auditor.check import Finding, Level, Status
from auditor.errors import InputError

__all__ = [
    "SCHEMA_VERSION",
    "Audit",
    "BaselineExhibit",
    "CalibrationBin",
    "CalibrationExhibit",
    "CandidateInfo",
    "ChangeRow",
    "CheckResult",
    "ClassRow",
    "ConfusionExhibit",
    "CurvePoint",
    "DataInfo",
    "DeploymentExhibit",
    "DeploymentRow",
    "EfficiencyExhibit",
    "EfficiencyPoint",
    "Exhibits",
    "FlipRow",
    "LeakFree",
    "MetricRow",
    "OperatingExhibit",
    "OverlapExhibit",
    "OverlapRow",
    "PolicyInfo",
    "Provenance",
    "SplitInfo",
    "TrainingExhibit",
    "UnreadableImage",
    "Verdict",
    "WaiverInfo",
]

SCHEMA_VERSION = 1

Verdict = Literal["accepted", "rejected", "undecided"]


class Record(BaseModel):
    """Base of every part of the document."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class CandidateInfo(Record):
    """The model under audit."""

    name: str
    architecture: str | None = None
    checkpoint: str | None = None
    weights: str | None = None
    """Where the weights came from, as a sentence."""
    weights_digest: str | None = None
    """SHA-256 of the checkpoint file."""
    preprocessing: str | None = None
    parameters: int | None = None
    macs: int | None = None
    """Multiply–accumulate operations of one image; FLOPs are twice this."""
    activations: int | None = None
    """Output elements of convolution and linear layers for one image."""
    bytes_on_disk: int | None = None
    input_size: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = ()


class UnreadableImage(Record):
    """An image that could not be read, and why."""

    image: str
    reason: str


class SplitInfo(Record):
    """One split as it was looked at."""

    source: str
    images: int
    """Images that the split names, readable or not."""
    predicted: int
    """Images whose prediction is in evidence."""
    sample: str = ""
    """How the predicted images were chosen, where they are not all."""
    unreadable: tuple[UnreadableImage, ...] = ()


class DataInfo(Record):
    """The data that the candidate was judged on."""

    classes: tuple[str, ...]
    class_order: str
    """Where the order of the classes came from, as a sentence."""
    test: SplitInfo
    train: SplitInfo | None = None


class WaiverInfo(Record):
    """An accepted failure and whether it still counts."""

    check: str
    subject: str | None
    reason: str
    owner: str | None
    expires: str
    state: Literal["active", "expired", "stale"]


class PolicyInfo(Record):
    """The rules by which outcomes became a verdict."""

    preset: Literal["sign-off", "pull-request"]
    inconclusive: str
    """What an inconclusive blocking check does, as a sentence."""
    waivers: tuple[WaiverInfo, ...] = ()


class LeakFree(Record):
    """A blocking check on both views of the test set: without and with the overlapping images."""

    left_out: int
    """Test images that overlap training."""
    decides: bool
    """Whether the status differs without them; it then is the check's own."""
    status: Status
    """Without them."""
    summary: str
    status_with_overlap: Status
    summary_with_overlap: str


class CheckResult(Record):
    """A check's outcome under the policy."""

    id: str
    version: int
    title: str
    level: Level
    status: Status
    judges: Literal["candidate", "data"] = "candidate"
    """Whether a pass says something of the candidate, or only of the data."""
    summary: str
    options: dict[str, Any] = {}
    findings: tuple[Finding, ...] = ()
    waived: bool = False
    """Every failure is covered by an active waiver: shown, never green, does not block."""
    waived_subjects: tuple[str, ...] = ()
    documentation: str = ""
    leak_free: LeakFree | None = None
    """What the check says without the overlapping test images; None where there are none."""


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


class MetricRow(Record):
    """A figure over the whole test set."""

    name: str
    value: float | None
    unit: Literal["share", "none"] = "share"
    """A share in [0, 1], or a coefficient without a unit."""
    interval: tuple[float, float] | None = None
    explanation: str = ""


class OverlapRow(Record):
    """A test image and the training image it overlaps; thumbnails are ``data:`` URIs."""

    test_image: str
    train_image: str
    kind: str
    distance: int
    """Hamming distance of the perceptual hashes, in bits of 64."""
    similarity: float
    test_label: str
    train_label: str
    test_thumbnail: str | None = None
    train_thumbnail: str | None = None


class OverlapExhibit(Record):
    """The overlapping pairs, worst first, cut to what a reader can look at."""

    pairs: tuple[OverlapRow, ...]
    total_pairs: int
    test_images: int
    """Test images with at least one partner in the training data."""
    within_test: tuple[OverlapRow, ...] = ()
    """Pairs inside the test set whose labels disagree (test_* and train_* are the two members)."""


class EfficiencyPoint(Record):
    """A model on the accuracy–cost plane."""

    name: str
    macs: int
    parameters: int
    top1: float | None
    """Top-1 accuracy as a share in [0, 1]."""


class EfficiencyExhibit(Record):
    """The candidate beside the published EfficientNet family."""

    candidate: EfficiencyPoint
    reference: tuple[EfficiencyPoint, ...]
    reference_source: str
    comparable: bool
    """Whether the candidate was tested on the data set of the reference."""
    baseline: EfficiencyPoint | None = None


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


class Provenance(Record):
    """All that is needed to repeat the audit."""

    auditor: str
    created: str
    """UTC, ISO 8601."""
    repeat: str
    """The command that repeats the audit."""
    config: str
    """The effective configuration, as TOML-like JSON."""
    config_digest: str
    python: str
    platform: str
    device: str | None = None
    dtype: str | None = None
    seed: int | None = None
    packages: dict[str, str] = {}
    evidence: dict[str, str] = {}
    """Evidence name → SHA-256 of its stored form."""
    seconds: float | None = None


class Audit(Record):
    """One audit: the verdict and all that it stands on."""

    schema_version: int = SCHEMA_VERSION
    verdict: Verdict
    summary: str
    """The verdict in one sentence."""
    candidate: CandidateInfo
    data: DataInfo
    policy: PolicyInfo
    checks: tuple[CheckResult, ...]
    exhibits: Exhibits = Exhibits()
    provenance: Provenance
    digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @property
    def exit_status(self) -> int:
        """0 accepted, 1 rejected, 3 undecided."""
        return {"accepted": 0, "rejected": 1, "undecided": 3}[self.verdict]

    def check(self, id: str) -> CheckResult:
        """Return one check's result; raise ``KeyError`` where it did not take part."""
        for result in self.checks:
            if result.id == id:
                return result
        raise KeyError(id)

    def sealed(self) -> Self:
        """Return the same audit with its digest set."""
        return self.model_copy(update={"digest": _digest(self.model_dump(mode="json"))})

    def to_json(self) -> str:
        """Return the document: sorted keys, two spaces, no NaN, a line feed at the end."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write ``audit.json`` in one step, so that no reader sees half of it."""
        partial = path.with_suffix(".partial")
        partial.write_text(self.to_json(), encoding="utf-8")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and verify an audit; ``InputError`` where it is absent, foreign or edited."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise InputError(f"{path}: is not JSON: {error}") from None
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: schema version {version!r}, but this Auditor reads {SCHEMA_VERSION}; "
                "audit again with this version"
            )
        try:
            audit = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(f"{path}: {place}: {first['msg']}; is it an audit.json?") from None
        if audit.digest != _digest(content):  # as written: an older one lacks later fields
            raise InputError(
                f"{path}: the digest does not match the content: it was edited after the audit; "
                "audit again"
            )
        return audit

    def _repr_html_(self) -> str:
        from auditor.render.html import notebook_card

        return notebook_card(self)


def _digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 over everything but the digest itself."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
