"""How an audit came about, and how to repeat it."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditor import __version__
from auditor.belongings import RECORD
from auditor.config import FLAGS, Config, ConfigSource, load_config
from auditor.errors import InputError
from auditor.evidence.inputs import SEED
from auditor.graph import Graph
from auditor.models.identity import installed_versions
from auditor.plug_ins import brought_checks, brought_packages
from auditor.record import Provenance

__all__ = ["describe_run", "recorded"]

_PACKAGES = (
    "torch",
    "torchvision",
    "torchcodec",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "imagehash",
    "pyarrow",
    "onnxruntime",
    "onnx",
    "openvino",
)
"""Named where they are installed."""
_SUBJECT = ("candidate", "data", "predictions")
"""Tables that say what is judged."""


def describe_run(config: Config, source: ConfigSource, graph: Graph, seconds: float) -> Provenance:
    """Return the versions, the configuration and the digests of the evidence."""
    about = graph.get("test").about
    effective = config.model_dump(mode="json", exclude_defaults=True)
    if source.path is None and not graph.gathering:
        effective = _subject_then(effective, graph) | effective
    text = json.dumps(effective, indent=1, sort_keys=True, ensure_ascii=False)
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return Provenance(
        auditor=__version__,
        created=created.isoformat(),
        repeat=repeat_command(config, source, gathering=graph.gathering),
        config=text,
        config_digest=hashlib.sha256(text.encode()).hexdigest(),
        python=platform.python_version(),
        platform=platform.platform(),
        device=_device(about),
        dtype=about.get("dtype"),
        forward=about.get("forward"),
        transform=about.get("transform"),
        seed=SEED,
        packages=_packages(about),
        checks_from=brought_checks(),
        evidence={k: v for k, v in graph.store.digests().items() if graph.asked_for(k)},
        seconds=round(seconds, 3),
    )


def recorded(directory: Path) -> Provenance | None:
    """Return how the audit came about that lies in a folder; None where none is on record."""
    try:  # of many findings to verify all takes a second
        return Provenance.model_validate(
            json.loads((directory / RECORD).read_bytes())["provenance"]
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _subject_then(effective: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    """Return what the audit that is replaced was made from, where it was of the same predictions.

    Nothing where any of it is said anew.
    """
    then = recorded(graph.config.output.directory)
    if then is None or not effective.keys().isdisjoint(_SUBJECT):
        return {}
    if then.evidence.get("test") != graph.store.digests().get("test"):
        return {}
    return {name: table for name, table in then.settings.items() if name in _SUBJECT}


def _packages(about: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions that are installed; of what decoded the pictures, those it had then."""
    installed = {**brought_packages(), **installed_versions(_PACKAGES)}
    versions = {**installed, **about.get("packages", {})}
    return {name: version for name, version in versions.items() if version}


def _device(about: Mapping[str, Any]) -> str | None:
    """Return what the model ran on, and with how many threads where that is a processor."""
    device, threads = about.get("device"), about.get("threads")
    if device is None or threads is None:
        return device
    return f"{device}, {threads} thread{'s' * (threads != 1)}"


def repeat_command(config: Config, source: ConfigSource, *, gathering: bool = True) -> str:
    """Return the command that repeats the audit, ready to paste.

    It names the file and every flag by which the audit differed from it.
    """
    alone = _alone(source)
    words = ["auditor", "run" if gathering else "check"]
    words += [] if source.path is None else [str(source.path)]
    for flag, (table, key) in FLAGS.items():
        value = getattr(getattr(config, table), key, None)
        told = None if alone is None else getattr(getattr(alone, table), key, None)
        if value is not None and value != told:
            words += _words(flag, value)
    return shlex.join(words)


def _alone(source: ConfigSource) -> Config | None:
    """Return what the file says without flags; None where it takes them to be whole."""
    try:
        return Config() if source.path is None else load_config(source.path)[0]
    except InputError:
        return None


def _words(flag: str, value: Any) -> list[str]:
    if flag == "formats":
        return [word for name in value for word in ("--format", name)]
    if isinstance(value, tuple):  # the names of classes, which only a file can say
        return []
    return [f"--{flag.replace('_', '-')}", str(value)]
