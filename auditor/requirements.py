"""What an audit must be given, or must not: said before the work, with the line of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditor.config import Config, ConfigSource
from auditor.errors import ConfigError, InputError, Unavailable
from auditor.graph import Graph
from auditor.models.identity import digest_file
from auditor.models.single_file import MODEL_FILES, weights_digest

__all__ = [
    "require_another_folder",
    "require_known_classes",
    "require_same_subject",
    "require_something_to_judge",
]

_NEXT = "`auditor run` gathers anew"


def require_something_to_judge(config: Config, source: ConfigSource) -> None:
    """Refuse an audit of nothing, and a model that is timed beside a candidate that is none."""
    if config.data.test is None and config.predictions.test is None:
        message = "nothing to judge: give [data] test with a model, or [predictions] test"
        raise source.complain((), message)
    given = config.baseline
    if given is not None and given.names_a_model and not config.candidate.names_a_model:
        keys = ("model", "module", "checkpoint")
        key = next((key for key in keys if getattr(given, key)), "phi")
        raise source.complain(
            ("baseline", key),
            f"[baseline] {key} is timed beside the candidate, which is no model here; give "
            "[candidate] model, module or checkpoint, or leave it out",
        )


def require_another_folder(config: Config, source: ConfigSource) -> None:
    """Refuse a baseline that this audit would replace: the next one would be held to itself."""
    given = None if config.baseline is None else config.baseline.audit
    if given is None:
        return
    file = given / "audit.json" if given.is_dir() else given
    folders = {file.parent.resolve(), file.resolve().parent}  # the file may be a link, too
    if config.output.directory.resolve() in folders:
        raise source.complain(
            ("baseline", "audit"),
            f"{given} lies where this audit is written to, so that the next one would be compared "
            "with this one, whatever its verdict; keep the baseline elsewhere, or give --output",
        )


def require_known_classes(graph: Graph, source: ConfigSource) -> None:
    """Stop where ``[deployment]`` does not fit the classes, or ``[overlap] groups`` the data."""
    try:
        if graph.config.deployment is not None:
            graph.get("deployment")
        if graph.asked_for("groups"):
            graph.get("groups", required=False)
    except ConfigError as error:
        raise source.complain(error.place, str(error)) from None
    except Unavailable:  # said by the checks that ask for the predictions
        return


def require_same_subject(config: Config, graph: Graph, source: ConfigSource) -> None:
    """Stop where the configuration names predictions or weights that the evidence is not of.

    What is not at hand, as on another machine, cannot be compared.

    Raises
    ------
    InputError
        With the line of the file.
    """
    for split in ("test", "train", "validation"):
        path: Path | None = getattr(config.predictions, split)
        if path is None or not graph.asked_for(split):
            continue
        if said := _other_predictions(path, split, graph):
            raise source.complain(("predictions", split), said)
    key = "checkpoint" if config.candidate.checkpoint else "model"
    if said := _other_weights(config, _about(graph, "test").get("candidate") or {}):
        raise source.complain(("candidate", key), said)


def _other_predictions(path: Path, split: str, graph: Graph) -> str:
    about = _about(graph, split)
    if not about:
        return ""
    made_from = graph.store.origin(split).get(f"saved_{split}")
    if made_from is None:
        return f"the stored evidence was made by a model, not from {path}; {_NEXT}"
    try:
        found = graph.get(f"saved_{split}", required=False).identity
    except InputError:  # it is not here: its name is all there is
        found = made_from if Path(str(about.get("source"))).name == path.name else ""
    if found == made_from:
        return ""
    return f"{path} is not what the stored evidence was made from ({about.get('source')}); {_NEXT}"


def _other_weights(config: Config, candidate: Mapping[str, Any]) -> str:
    given, judged = _weights(config), candidate.get("weights_digest")
    if given is None or judged is None or not given.is_file():
        return ""
    whole = given.suffix.lower() in MODEL_FILES
    try:
        found = weights_digest(given) if whole else digest_file(given)
    except InputError:  # what belongs to it is not here
        return ""
    if found == judged:
        return ""
    return f"{given} does not hold the weights that the stored evidence is of; {_NEXT}"


def _weights(config: Config) -> Path | None:
    model = config.candidate.model or ""
    if model.lower().endswith(MODEL_FILES):
        return Path(model)
    return config.candidate.checkpoint


def _about(graph: Graph, split: str) -> Mapping[str, Any]:
    """Return what a split's predictions say of themselves; nothing where there are none."""
    try:
        found: Mapping[str, Any] = graph.get(split).about
    except Unavailable:
        return {}
    return found
