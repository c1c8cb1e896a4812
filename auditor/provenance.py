"""How an audit came about, and how to repeat it."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version

from auditor import __version__
from auditor.config import Config, ConfigSource
from auditor.evidence.inputs import SEED
from auditor.graph import Graph
from auditor.record import Provenance

__all__ = ["describe_run"]

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "pillow",
    "imagehash",
    "pyarrow",
)


def describe_run(config: Config, source: ConfigSource, graph: Graph, seconds: float) -> Provenance:
    """Return the versions, the configuration and the digests of the evidence."""
    about = graph.get("test").about
    effective = config.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(effective, indent=1, sort_keys=True, ensure_ascii=False)
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return Provenance(
        auditor=__version__,
        created=created.isoformat(),
        repeat=repeat_command(config, source),
        config=text,
        config_digest=hashlib.sha256(text.encode()).hexdigest(),
        python=platform.python_version(),
        platform=platform.platform(),
        device=about.get("device"),
        dtype=about.get("dtype"),
        seed=SEED,
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        evidence={k: v for k, v in graph.store.digests().items() if graph.asked_for(k)},
        seconds=round(seconds, 3),
    )


def repeat_command(config: Config, source: ConfigSource) -> str:
    """Return the command that repeats the audit, ready to paste."""
    if source.path is not None:
        return shlex.join(["auditor", "run", str(source.path)])
    candidate, words = config.candidate, ["auditor", "run"]
    for flag, value in (
        ("--model", candidate.model),
        ("--checkpoint", candidate.checkpoint),
        ("--train", config.data.train),
        ("--test", config.data.test),
        ("--predictions", config.predictions.test),
        ("--policy", config.policy.preset),
        ("--output", config.output.directory),
    ):
        words += [flag, str(value)] if value is not None else []
    return shlex.join(words)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
