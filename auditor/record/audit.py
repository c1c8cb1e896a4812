"""The audit itself: what was judged, by which rules, what came of it, and how it is kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from auditor.check import Finding, Level, Status
from auditor.errors import InputError
from auditor.record.base import Record
from auditor.record.exhibits import Exhibits
from auditor.writing import write_text

__all__ = [
    "SCHEMA_VERSION",
    "Audit",
    "CandidateInfo",
    "CheckResult",
    "DataInfo",
    "LeakFree",
    "PolicyInfo",
    "PropertyRow",
    "Provenance",
    "SplitInfo",
    "UnreadableImage",
    "Verdict",
    "WaiverInfo",
]

SCHEMA_VERSION = 2

Verdict = Literal["accepted", "rejected", "undecided"]


class CandidateInfo(Record):
    """The model under audit."""

    name: str
    architecture: str | None = None
    module: str | None = None
    """File of the user's module that made it, from the folder of ``auditor.toml``."""
    checkpoint: str | None = None
    weights: str | None = None
    """Where the weights came from, as a sentence."""
    weights_digest: str | None = None
    """SHA-256 of the checkpoint file; of the digests of all files where weights lie beside it."""
    predictions_digests: dict[str, str] = Field(default_factory=dict)
    """Split → SHA-256 of the file of saved predictions, where these were judged."""
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


class PropertyRow(Record):
    """A property of a split's images: how far it ranges."""

    name: str
    unit: Literal["pixels", "bytes", "none"] = "none"
    images: int
    """Images whose value is known; at least one."""
    least: float
    median: float
    most: float


class SplitInfo(Record):
    """One split as it was looked at."""

    source: str
    images: int
    """Images that the split names, readable or not."""
    predicted: int
    """Images whose prediction is in evidence."""
    sample: str = ""
    """How the predicted images were chosen, where they are not all."""
    left_out: str = ""
    """Which files of the source were not taken for images, as a phrase."""
    unreadable: tuple[UnreadableImage, ...] = ()
    properties: tuple[PropertyRow, ...] = ()
    """Of the images that were looked at; empty where none was."""
    formats: dict[str, int] = Field(default_factory=dict)
    """Format of the files → images, of those that were looked at."""


class DataInfo(Record):
    """The data that the candidate was judged on."""

    classes: tuple[str, ...]
    class_order: str
    """Where the order of the classes came from, as a sentence."""
    test: SplitInfo
    train: SplitInfo | None = None
    validation: SplitInfo | None = None
    """On which thresholds were chosen; None where nothing asked for it."""

    @property
    def splits(self) -> dict[str, SplitInfo]:
        """The splits that were looked at, by what a reader calls them."""
        named = {"test": self.test, "training": self.train, "validation": self.validation}
        return {name: split for name, split in named.items() if split is not None}


class WaiverInfo(Record):
    """An accepted failure and whether it still counts."""

    check: str
    subject: str | None
    metric: str | None
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
    shown: bool
    """Whether the check's summary and findings are those without them."""
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
    own_level: Level | None = None
    """The level where the configuration names none; None where that is not known."""
    status: Status
    judges: Literal["candidate", "cost", "data"] = "candidate"
    """Whether a pass says something of the candidate, or only of the data."""
    summary: str
    options: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Each option that the configuration changed → what it would have been."""
    findings: tuple[Finding, ...] = ()
    waived: bool = False
    """Every failure is covered by an active waiver: shown, never green, does not block."""
    waived_findings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Subject → metrics whose failure an active waiver covers."""
    documentation: str = ""
    leak_free: LeakFree | None = None
    """What the check says without the overlapping test images; None where there are none."""

    @property
    def usually_blocks(self) -> bool:
        """Whether it would block if the configuration did not say otherwise."""
        return self.own_level == "block" and self.level != "block"


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
    forward: str | None = None
    """How the model was run: backend, memory format, what was folded."""
    transform: str | None = None
    """How images were prepared: ``fast`` on 8-bit tensors, ``reference``, timm's own way, or what
    decoded them on the device."""
    seed: int | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    checks_from: dict[str, str] = Field(default_factory=dict)
    """Check → name and version of the package that it is from; Auditor's own are not named."""
    evidence: dict[str, str] = Field(default_factory=dict)
    """Evidence name → SHA-256 of its stored form."""
    seconds: float | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration, as far as it differed from the defaults."""
        found = json.loads(self.config or "{}")
        return found if isinstance(found, dict) else {}


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

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        ids = [check.id for check in self.checks]
        if twice := [id for id in ids if ids.count(id) > 1]:
            raise ValueError(f"{twice[0]} is there twice")
        return self

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
        """Return the document: sorted keys, a line a finding or row, no NaN, a line feed last."""
        return _layered(self.model_dump(mode="json")) + "\n"

    def write(self, path: Path) -> None:
        """Write ``audit.json`` in one step, so that no reader sees half of it."""
        write_text(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and verify an audit; ``InputError`` where it is absent, foreign or edited."""
        try:
            content = _parsed(path.read_text(encoding="utf-8"))
            digest = _digest(content)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: is not JSON: {error}") from None
        version = content.get("schema_version")
        if version is None:
            raise InputError(f"{path}: is no audit.json: it has no schema_version")
        if type(version) is not int or version != SCHEMA_VERSION:  # True and 1.0 equal 1
            newer = type(version) is int and version > SCHEMA_VERSION
            raise InputError(
                f"{path}: schema version {version!r}, but this Auditor reads {SCHEMA_VERSION}; "
                + ("update Auditor" if newer else "audit again with this version")
            )
        try:
            audit = cls.model_validate(content)
        except ValidationError as error:
            raise InputError(f"{path}: {_misfit(error)}") from None
        if audit.digest != digest:  # of what is written: an older one lacks later fields
            raise InputError(
                f"{path}: the digest does not match the content: it was edited after the audit; "
                "audit again"
            )
        return audit

    def _repr_html_(self) -> str:
        from auditor.render.html import notebook_card

        return notebook_card(self)


def _misfit(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "checks"
    if first["type"] == "extra_forbidden":
        return f"{place} is not known here: it was written by a newer Auditor, or edited"
    if first["type"] == "value_error":  # what an audit may not say, however it is written
        said = str(first["ctx"]["error"])
        return f"{place}: {said}; it was edited, or written by an older Auditor: audit again"
    return f"{place}: {first['msg']}; is it an audit.json?"


def _parsed(text: str) -> dict[str, Any]:
    """Return the content of a document that says everything once.

    Readers differ in which of two equal keys they take: the digest would be of one of them.
    """
    content = json.loads(text, object_pairs_hook=_of_different_keys, parse_int=_whole)
    return content if isinstance(content, dict) else {}


def _whole(digits: str) -> int:
    number = int(digits)
    if abs(number) >= 1 << 63:
        raise ValueError(f"a whole number of {len(digits)} digits counts nothing")
    return number


def _of_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f'"{twice}" is there twice')
    return found


def _layered(value: Any, indent: str = "\n") -> str:
    """Return JSON in which each finding, row and setting has a line of its own.

    Python's own indentation is twenty times as slow, which 21,000 classes notice.
    """
    if not _holds_rows(value):
        return json.dumps(value, sort_keys=True, allow_nan=False)
    inner = f"{indent} "
    if isinstance(value, dict):
        entries = [f"{json.dumps(k)}: {_layered(v, inner)}" for k, v in sorted(value.items())]
    else:
        entries = [_layered(entry, inner) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}{inner}{f',{inner}'.join(entries)}{indent}{closing}"


def _holds_rows(value: Any) -> bool:
    """Tell whether something is in it that is no single value and no list of such."""
    entries = value.values() if isinstance(value, dict) else value
    inside = entries if isinstance(value, dict | list) else ()
    return any(
        isinstance(e, dict) or (isinstance(e, list) and any(map(_is_container, e))) for e in inside
    )


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list)


def _digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 over everything but the digest itself."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
