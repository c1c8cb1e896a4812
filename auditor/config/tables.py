"""The tables of ``auditor.toml`` and their keys: defaults, types, documentation."""

from __future__ import annotations

import datetime
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from auditor.check import Fraction, Level
from auditor.errors import InputError
from auditor.table import Table

__all__ = [
    "BaselineTable",
    "CandidateTable",
    "CheckTable",
    "Config",
    "DataTable",
    "DeploymentTable",
    "EngineTable",
    "LatencyTable",
    "ModelTable",
    "OutputTable",
    "OverlapTable",
    "PolicyTable",
    "PredictionsTable",
    "Preset",
    "Waiver",
]

Preset = Literal["sign-off", "pull-request"]
Format = Literal["html", "junit", "markdown"]
Triple = tuple[float, float, float]


Cost = Annotated[float, Field(ge=0, le=1e12)]


def _located(path: Path) -> Path:
    path = _at_home(path)
    if "\0" in str(path):
        raise ValueError("a path holds no NUL")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise InputError(f"{shown}: the name is not UTF-8; rename it, or run inside") from None
    return path


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such user; write the path out") from None


def _given(value: object) -> object:
    if value == "":
        raise ValueError("give a path, or leave the key out")
    return value


def _a_day(value: object) -> object:
    """Let pydantic see nothing but a day: of a number it would make one, counted from 1970."""
    day = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    if day or (isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII)):
        return value
    raise PydanticCustomError("date_type", "no date")


Located = Annotated[Path, BeforeValidator(_given), AfterValidator(_located)]
"""A path; in the file it is relative to the file, in a flag to the working directory."""
LARGEST_SIDE = 16_384
"""Pixels of an image's side, at most; a checkpoint is held to it, too."""
Side = Annotated[int, Field(gt=0, le=LARGEST_SIDE, examples=[224])]
"""Of a square picture, in pixels; more would fill a machine's memory with one."""
Day = Annotated[datetime.date, BeforeValidator(_a_day)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class ModelTable(Table):
    """The keys that name a model."""

    name: str | None = Field(default=None, examples=["the fraud model of May"])
    """What to call it in the report."""
    model: str | None = Field(default=None, examples=["efficientnet_b0"])
    """A timm name, ``hf-hub:…``, ``phi:1.5``, or an ``.onnx`` or ``.pt2`` file; read from the
    checkpoint where absent."""
    module: str | None = Field(default=None, examples=["package.module:function"])
    """``package.module:function`` that returns a ``torch.nn.Module``; sought beside this file, in
    the working directory, then where Python does."""
    checkpoint: Located | None = Field(default=None, examples=["best.safetensors"])
    """``.safetensors``, or ``.pth`` with weights only; timm's training checkpoints too."""
    pretrained: bool = False
    """Use timm's published weights where there is no checkpoint."""
    phi: float | None = Field(default=None, ge=-16, le=16, examples=[1.5])
    """Compound scaling coefficient of an EfficientNet; below 0 it is smaller than B0."""
    width: float | None = Field(default=None, gt=0, examples=[1.0])
    """Width multiplier of an EfficientNet, beside ``depth`` and ``resolution``."""
    depth: float | None = Field(default=None, gt=0, examples=[1.0])
    """Depth multiplier of an EfficientNet."""
    resolution: Side | None = None
    """Input side of an EfficientNet, in pixels."""
    input_size: Side | None = None
    """Input side in pixels, where it is not the model's own."""
    _module_folder: Path | None = PrivateAttr(default=None)

    @property
    def module_folder(self) -> Path | None:
        """Folder of the file that names the module; None where a flag does, or nothing."""
        return self._module_folder

    def seek_module_in(self, folder: Path) -> None:
        """Have the module sought in a folder first."""
        self._module_folder = folder

    @property
    def names_a_model(self) -> bool:
        """Whether anything is said of which model it is."""
        scaled = (self.phi, self.width, self.depth)
        return any((self.model, self.module, self.checkpoint)) or scaled != (None, None, None)

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if self.model and self.module:
            raise ValueError("give either model or module, not both")
        return self


class CandidateTable(ModelTable):
    """The model under audit."""

    classes: tuple[str, ...] | Located | None = Field(default=None, examples=["classes.txt"])
    """Class names in the order of the model's outputs, or a file with one name a line."""
    mean: Triple | None = Field(default=None, examples=[[0.485, 0.456, 0.406]])
    """Channel means after scaling to [0, 1], where they are not the model's own."""
    std: Triple | None = Field(default=None, examples=[[0.229, 0.224, 0.225]])
    """Channel standard deviations, where they are not the model's own."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = Field(
        default=None, examples=["bicubic"]
    )
    """How images are resized, where it is not the model's own way."""
    crop_pct: float | None = Field(default=None, gt=0, le=1, examples=[0.875])
    """Share of the resized side that the centre crop keeps."""
    training_log: Located | None = Field(default=None, examples=["summary.csv"])
    """timm's ``summary.csv``, or a CSV with ``epoch``, ``train_loss``, ``eval_loss``."""


class DataTable(Table):
    """Where the images and labels are.

    A folder of class folders; a CSV or Parquet manifest; tars (``shards-{000..099}.tar``, or
    ``data.tar/train`` for class folders in one); Parquet files with the images in them; a data set
    that Hugging Face's ``save_to_disk`` wrote.
    """

    train: Located | None = Field(default=None, examples=["data/train"])
    """Training data. Without it nothing can be said of leakage and overfitting."""
    test: Located | None = Field(default=None, examples=["data/test"])
    """Test data, which the verdict is about."""
    validation: Located | None = Field(default=None, examples=["data/validation"])
    """Validation data, on which a threshold may be chosen; never the test data."""
    train_sample: Annotated[int, Field(ge=1)] | Literal["all"] = 10_000
    """How many training images the model is run on; every image of a rare class is kept. Saved
    predictions must be of all of them."""


class PredictionsTable(Table):
    """Saved predictions (``image,label,predicted``, ``prob_CLASS``), instead of running a model."""

    train: Located | None = Field(default=None, examples=["train_predictions.csv"])
    """Predictions on training images."""
    test: Located | None = Field(default=None, examples=["predictions.csv"])
    """Predictions on test images."""
    validation: Located | None = Field(default=None, examples=["validation_predictions.csv"])
    """Predictions on validation images."""


class BaselineTable(ModelTable):
    """What the candidate is compared with: an earlier audit, and the model of it to be timed."""

    audit: Located | None = Field(default=None, examples=["baseline/audit.json"])
    """An ``audit.json``, or the folder that holds it; its ``evidence/`` lies beside it."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.audit is None and not self.names_a_model:
            raise ValueError("give audit, or a model (model, module, checkpoint or phi), or both")
        return self


class DeploymentTable(Table):
    """What the candidate will meet in production, where that is not what the test set holds."""

    prevalence: dict[str, Fraction] = Field(examples=[{"fraud": 0.001, "normal": 0.999}])
    """Share of each class in production; every class is named, and they sum to 1."""
    costs: dict[str, dict[str, Cost]] = Field(
        default_factory=dict, examples=[{"fraud": {"normal": 100.0}, "normal": {"fraud": 1.0}}]
    )
    """Cost of an image, label → predicted → cost; 0 where nothing is said."""

    @field_validator("prevalence")
    @classmethod
    def _sums_to_one(cls, prevalence: dict[str, float]) -> dict[str, float]:
        total = math.fsum(prevalence.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares sum to {total:.9g}; they must sum to 1")
        return prevalence


class PolicyTable(Table):
    """How outcomes become a verdict."""

    preset: Preset = "sign-off"
    """``sign-off`` puts the burden of proof on the model, ``pull-request`` on the regression."""


class EngineTable(Table):
    """Where and how the model runs."""

    device: str = "auto"
    """``auto`` takes CUDA, then MPS, then CPU."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Verdicts are made in float32 unless asked otherwise."""
    backend: Literal["auto", "torch", "onnxruntime", "openvino", "inductor"] = "auto"
    """What runs the model on a CPU in float32. ``auto`` takes OpenVINO, else ONNX Runtime, where it
    is installed, gives torch's predictions, and images × pixels of the input are 25 million or
    more (500 images of 224 × 224); else torch. On CUDA torch runs it: ``inductor`` compiles the
    model, ``auto`` where a pass is of 4e15 multiply–adds or more."""
    preprocessing: Literal["fast", "device", "reference"] = "fast"
    """``reference`` prepares images exactly as timm does, with PIL; ``fast`` does the same on 8-bit
    tensors, within a few grey levels; ``device`` decodes and resizes JPEGs of 256 pixels and more,
    512 KiB and less, on the GPU, whose decoders differ by more (``pip install "auditor[gpu]"``)."""
    batch_size: int | None = Field(default=None, ge=1, examples=[64])
    """Images a forward pass; chosen by device where absent."""
    kind: Literal["local", "ray"] = "local"
    """Where images are looked at: here, or on a Ray cluster (``pip install "auditor[ray]"``)."""
    address: str | None = Field(default=None, examples=["auto"])
    """Of the Ray cluster, which this machine belongs to: ``auto``, ``head:6379``; where absent, the
    one that runs here, else a new one of this machine alone."""
    workers: int | None = Field(default=None, ge=1, examples=[8])
    """Threads or processes that decode images; where absent the number of cores, three quarters of
    it where the GPU decodes."""
    cheaper: Literal["bfloat16", "float16"] | None = None
    """A cheaper dtype: ``cheaper-inference`` asks whether its predictions would do instead."""

    @model_validator(mode="after")
    def _address_of_a_cluster(self) -> Self:
        if self.address is not None and self.kind != "ray":
            raise ValueError('address is that of a Ray cluster; give kind = "ray", or leave it out')
        return self

    @model_validator(mode="after")
    def _device_of_an_actor(self) -> Self:
        if self.kind == "ray" and ":" in self.device:
            raise ValueError(
                f'Ray shows an actor one GPU, whichever it is, so there is no "{self.device}"; '
                'give device = "cuda", or kind = "local"'
            )
        return self

    @model_validator(mode="after")
    def _cheaper_than_float32(self) -> Self:
        if self.cheaper is not None and self.dtype != "float32":
            raise ValueError("cheaper is compared with float32; leave dtype as it is, or cheaper")
        return self


class LatencyTable(Table):
    """How forward passes are timed: where this table, a budget or a baseline model is given."""

    seconds: float = Field(default=20.0, gt=0)
    """How long to measure at each batch size; up to five times as long on a busy machine."""


class OverlapTable(Table):
    """How copies are looked for between the splits and within them."""

    false_discovery_rate: float = Field(default=0.02, gt=0, lt=1)
    """Share of strangers among the near-duplicates that is put up with."""
    transforms: bool = True
    """Look for mirrored, turned and upside-down copies too."""
    views: bool = False
    """Look for crops too; each picture is then signed eight times."""
    hash_mode: Literal["exact", "fast"] = "exact"
    """``fast`` signs JPEGs at a fraction of their size, whether a model looks at them or not: of 10
    hashes 8 stay as they are, 99% change by 2 bits at most, and equal pixels show in equal files
    alone."""
    groups: tuple[str, ...] = ()
    """Columns of the manifests, such as a patient or a scene, whose values may not be in both."""
    features: bool = False
    """Show the most similar scenes by the candidate's own features; never counted as copies."""


class OutputTable(Table):
    """Where the audit goes."""

    directory: Located = Path("audit")
    """``audit.json``, the reports and the evidence are written here."""
    formats: tuple[Format, ...] = ("html", "junit", "markdown")
    """Reports to write beside ``audit.json``."""


class Waiver(Table):
    """An accepted failure: shown, never hidden, never green."""

    check: str = Field(examples=["split-overlap"])
    """The check's id."""
    subject: str | None = Field(default=None, examples=["CLASS/image.jpg"])
    """The finding's subject; every failing one of the check where absent."""
    metric: str | None = Field(default=None, examples=["copies in training"])
    """The finding's metric; every failing one of the subject where absent."""
    reason: Reason = Field(examples=["stock background, agreed with the data team"])
    """Why the failure is accepted."""
    owner: str | None = Field(default=None, examples=["vision-team"])
    """Who answers for it."""
    expires: Day = Field(examples=[datetime.date(2030, 1, 31)])
    """Last day on which it counts; the day ends at midnight UTC."""


class CheckTable(BaseModel):
    """A check's level; its further keys are the options that ``auditor explain`` lists."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    level: Level | None = None
    """``block``, ``advise`` or ``off``; the check's own where absent. What is told to block here
    and does not run is inconclusive, which leaves a sign-off undecided."""

    @property
    def options(self) -> dict[str, Any]:
        """The options as given."""
        return dict(self.model_extra or {})


class Config(Table):
    """All of ``auditor.toml``."""

    candidate: CandidateTable = CandidateTable()
    data: DataTable = DataTable()
    predictions: PredictionsTable = PredictionsTable()
    baseline: BaselineTable | None = None
    deployment: DeploymentTable | None = None
    policy: PolicyTable = PolicyTable()
    checks: dict[str, CheckTable] = Field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    engine: EngineTable = EngineTable()
    latency: LatencyTable | None = None
    overlap: OverlapTable = OverlapTable()
    output: OutputTable = OutputTable()
