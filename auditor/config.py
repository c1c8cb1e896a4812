"""``auditor.toml`` → ``Config``. Every complaint names the file, the line and the next step."""

from __future__ import annotations

import copy
import datetime
import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from auditor.check import Fraction, Level
from auditor.errors import InputError, did_you_mean

__all__ = ["FLAGS", "Config", "ConfigSource", "Preset", "Waiver", "load_config"]

Preset = Literal["sign-off", "pull-request"]
Format = Literal["html", "junit", "markdown"]
Triple = tuple[float, float, float]


Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Located = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path; in the file it is relative to the file, in a flag to the working directory."""


class Table(BaseModel):
    """Base of every table of the file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class CandidateTable(Table):
    """The model under audit."""

    name: str | None = None
    """What to call the candidate in the report."""
    model: str | None = None
    """A timm name, ``hf-hub:…``, or ``phi:1.5``; read from the checkpoint where absent."""
    module: str | None = None
    """``package.module:function`` that returns a ``torch.nn.Module``."""
    checkpoint: Located | None = None
    """``.safetensors``, or ``.pth`` with weights only; timm's training checkpoints too."""
    pretrained: bool = False
    """Use timm's published weights where there is no checkpoint."""
    classes: tuple[str, ...] | Located | None = None
    """Class names in the order of the model's outputs, or a file with one name a line."""
    phi: float | None = Field(default=None, ge=0)
    """Compound scaling coefficient of an EfficientNet."""
    width: float | None = Field(default=None, gt=0)
    """Width multiplier of an EfficientNet, beside ``depth`` and ``resolution``."""
    depth: float | None = Field(default=None, gt=0)
    """Depth multiplier of an EfficientNet."""
    resolution: int | None = Field(default=None, gt=0)
    """Input side of an EfficientNet, in pixels."""
    input_size: int | None = Field(default=None, gt=0)
    """Input side in pixels, where it is not the model's own."""
    mean: Triple | None = None
    """Channel means after scaling to [0, 1], where they are not the model's own."""
    std: Triple | None = None
    """Channel standard deviations, where they are not the model's own."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    """How images are resized, where it is not the model's own way."""
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    """Share of the resized side that the centre crop keeps."""
    training_log: Located | None = None
    """timm's ``summary.csv``, or a CSV with ``epoch``, ``train_loss``, ``eval_loss``."""


class DataTable(Table):
    """Where the images and labels are: a folder of class folders, or a CSV/Parquet manifest."""

    train: Located | None = None
    """Training data. Without it nothing can be said of leakage and overfitting."""
    test: Located | None = None
    """Test data, which the verdict is about."""
    validation: Located | None = None
    """Validation data, on which a threshold may be chosen; never the test data."""
    train_sample: Annotated[int, Field(ge=1)] | Literal["all"] = 10_000
    """How many training images the model is run on; every image of a rare class is kept."""


class PredictionsTable(Table):
    """Saved predictions (``image,label,predicted``, ``prob_CLASS``), instead of running a model."""

    train: Located | None = None
    """Predictions on training images."""
    test: Located | None = None
    """Predictions on test images."""
    validation: Located | None = None
    """Predictions on validation images."""


class BaselineTable(Table):
    """The earlier audit that the candidate is compared with."""

    audit: Located
    """An ``audit.json``, or the folder that holds it; its ``evidence/`` lies beside it."""


class DeploymentTable(Table):
    """What the candidate will meet in production, where that is not what the test set holds."""

    prevalence: dict[str, Fraction]
    """Share of each class in production; every class is named, and they sum to 1."""
    costs: dict[str, dict[str, Cost]] = {}
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
    batch_size: int | None = Field(default=None, ge=1)
    """Images a forward pass; chosen by device where absent."""
    workers: int | None = Field(default=None, ge=1)
    """Threads that decode images; the number of cores where absent."""


class OutputTable(Table):
    """Where the audit goes."""

    directory: Located = Path("audit")
    """``audit.json``, the reports and the evidence are written here."""
    formats: tuple[Format, ...] = ("html", "junit", "markdown")
    """Reports to write beside ``audit.json``."""


class Waiver(Table):
    """An accepted failure: shown, never hidden, never green."""

    check: str
    """The check's id."""
    subject: str | None = None
    """The finding's subject; every failing finding of the check where absent."""
    reason: str = Field(min_length=1)
    """Why the failure is accepted."""
    owner: str | None = None
    """Who answers for it."""
    expires: datetime.date
    """Last day on which it counts."""


class CheckTable(BaseModel):
    """A check's level; its further keys are the options that ``auditor explain`` lists."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    level: Level | None = None
    """``block``, ``advise`` or ``off``; the check's own where absent."""

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
    checks: dict[str, CheckTable] = {}
    waivers: tuple[Waiver, ...] = ()
    engine: EngineTable = EngineTable()
    output: OutputTable = OutputTable()

    @model_validator(mode="after")
    def _one_candidate(self) -> Self:
        if self.candidate.model and self.candidate.module:
            raise ValueError("give either model or module, not both")
        return self


class ConfigSource:
    """The text behind a configuration, to say where in it something stands.

    TOML parsers keep no positions, so headers and keys are found again by text.
    """

    def __init__(self, text: str = "", path: Path | None = None) -> None:
        self.text, self.path = text, path

    def line(self, place: Sequence[str | int]) -> int | None:
        """Return the 1-based line of a dotted place such as ``("checks", "overfitting")``."""
        found, lines = None, self.text.splitlines()
        names = [part for part in place if isinstance(part, str)]
        nth = next((part for part in place if isinstance(part, int)), 0)
        for depth in range(len(names), 0, -1):
            headers = [n for n, line in enumerate(lines) if _header(line) == names[:depth]]
            if headers:
                found = headers[min(nth, len(headers) - 1)]
                return (_key_line(lines, found, names[depth:]) or found) + 1
        found = _key_line(lines, -1, names)
        return None if found is None else found + 1

    def complain(self, place: Sequence[str | int], message: str) -> InputError:
        """Return the error, with the file and the line where there are any."""
        if self.path is None:
            return InputError(message)
        line = self.line(place)
        return InputError(f"{self.path.name}:{f'{line}:' if line else ''} {message}")


def _header(line: str) -> list[str] | None:
    line = line.strip()
    if not line.startswith("["):
        return None
    inside = line.split("#")[0].strip().strip("[]").strip()
    return [part.strip().strip("\"'") for part in inside.split(".")]


def _key_line(lines: list[str], header: int, keys: Sequence[str]) -> int | None:
    if not keys:
        return None
    for number in range(header + 1, len(lines)):
        if _header(lines[number]) is not None and "=" not in lines[number]:
            return None
        if lines[number].split("=")[0].strip().strip("\"'") == keys[0]:
            return number
    return None


def load_config(
    path: Path | None, overrides: Mapping[str, Any] | None = None
) -> tuple[Config, ConfigSource]:
    """Read ``auditor.toml`` and lay the overrides over it.

    Parameters
    ----------
    path
        The file; None where the overrides are enough alone. Paths in it are relative to it.
    overrides
        Nested tables as in the file. Paths in them are relative to the working directory.

    Raises
    ------
    InputError
        With the file, the line and the next step.
    """
    source = ConfigSource() if path is None else ConfigSource(_read(path), path)
    content = _absolute(_parse(source), path)
    merged = _merge(content, overrides or {})
    try:
        return Config.model_validate(merged), source
    except ValidationError as error:
        raise _first_complaint(error, source) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `auditor init` writes one") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error}") from None


def _parse(source: ConfigSource) -> dict[str, Any]:
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        name = source.path.name if source.path else ""
        line = found[1] if found else len(source.text.splitlines())
        raise InputError(f"{name}:{line}: not valid TOML: {error}") from None


def _absolute(content: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """Resolve the file's own paths against its folder, before overrides are laid over them."""
    if path is None:
        return content
    content = copy.deepcopy(content)
    for table, fields in _PATHS.items():
        values = content.get(table)
        if not isinstance(values, dict):
            continue
        for field in fields:
            if isinstance(values.get(field), str):
                place = path.parent / Path(values[field]).expanduser()
                values[field] = os.path.normpath(place)
    if isinstance(content.get("output", {}), dict):
        content.setdefault("output", {}).setdefault("directory", str(path.parent / "audit"))
    return content


FLAGS = {
    "model": ("candidate", "model"),
    "checkpoint": ("candidate", "checkpoint"),
    "module": ("candidate", "module"),
    "classes": ("candidate", "classes"),
    "train": ("data", "train"),
    "test": ("data", "test"),
    "predictions": ("predictions", "test"),
    "train_predictions": ("predictions", "train"),
    "baseline": ("baseline", "audit"),
    "policy": ("policy", "preset"),
    "device": ("engine", "device"),
    "output": ("output", "directory"),
    "formats": ("output", "formats"),
}
"""Flag of the command line → table and key of ``auditor.toml``."""

_PATHS = {
    "candidate": ("checkpoint", "classes", "training_log"),
    "data": ("train", "test", "validation"),
    "predictions": ("train", "test", "validation"),
    "baseline": ("audit",),
    "output": ("directory",),
}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _first_complaint(error: ValidationError, source: ConfigSource) -> InputError:
    errors = error.errors()  # an unknown key explains a missing one
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        return source.complain(place, _unknown_key(place))
    message = first["msg"].removeprefix("Value error, ")
    if not place:
        return source.complain(place, message)
    given = f", not {first['input']!r}" if isinstance(first["input"], str | int | float) else ""
    return source.complain(place, f"{_dotted(place)}: {message}{given}")


def _place(loc: Sequence[str | int]) -> Sequence[str | int]:
    """Cut what pydantic appends below an option, such as the arm of a union."""
    depth = {"checks": 3, "waivers": 3, "deployment": 4}
    return loc[: depth.get(str(loc[0]), 2)] if loc else loc


def _dotted(place: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in place)


def _unknown_key(place: Sequence[str | int]) -> str:
    key = str(place[-1])
    if len(place) == 1:
        return f'"{key}" is not a table of auditor.toml{did_you_mean(key, Config.model_fields)}'
    known = _fields_of(str(place[0]))
    table = f"[{place[0]}]" if place[0] != "waivers" else "[[waivers]]"
    return f'"{key}" is not an option of {table}{did_you_mean(key, known)}'


def _fields_of(table: str) -> list[str]:
    if table == "waivers":
        return list(Waiver.model_fields)
    annotation = Config.model_fields[table].annotation
    models = [annotation, *getattr(annotation, "__args__", ())]
    return [name for m in models if hasattr(m, "model_fields") for name in m.model_fields]
