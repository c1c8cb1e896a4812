"""What ``auditor.toml`` named when evidence was gathered: kept with it, compared before judging.

A file that is here is known by what is in it, one that is not by where it is named to be: as it is
written in the file, which may have moved as a whole, or by its absolute path. Of data both must be
the same: a manifest's images lie beside it. A module is known by its name, and by its source and
those of the user's modules that it imports, as far as they are here. Of images that are here their
names and labels are compared, not what is in them: a copy may hold pointers in their place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.config import (
    FLAGS,
    CandidateTable,
    Config,
    ConfigSource,
    DataTable,
    ModelTable,
    OverlapTable,
    PredictionsTable,
    beside,
)
from auditor.config.literal import literal
from auditor.data.classes import class_list
from auditor.errors import InputError, Unavailable
from auditor.evidence.latency import is_timed
from auditor.models.factory import factory_source, factory_sources
from auditor.models.identity import digest_file
from auditor.models.single_file import MODEL_FILES, weights_digest

if TYPE_CHECKING:
    from auditor.graph import Graph

__all__ = ["asked", "require_same_subject"]

_KEYS = {
    "candidate": CandidateTable.model_fields.keys() - {"name"},
    "data": DataTable.model_fields.keys(),
    "predictions": PredictionsTable.model_fields.keys(),
    "baseline": ModelTable.model_fields.keys() - {"name"},
    "engine": {"dtype", "preprocessing", "cheaper"},
    "overlap": OverlapTable.model_fields.keys(),
}
"""Table → keys that evidence depends on."""
_MADE = {
    ("candidate", "training_log"): ("training_log",),
    ("data", "test"): ("test", "test_signatures"),
    ("data", "train"): ("train", "train_signatures", "train_counts"),
    ("data", "validation"): ("validation",),
    ("data", "train_sample"): ("train",),
    ("predictions", "test"): ("test",),
    ("predictions", "train"): ("train",),
    ("predictions", "validation"): ("validation",),
    ("engine", "cheaper"): ("cheaper",),
    ("overlap", "false_discovery_rate"): ("overlap",),
    ("overlap", "transforms"): ("overlap",),
    ("overlap", "views"): ("test_signatures",),
    ("overlap", "hash_mode"): ("test_signatures",),
    ("overlap", "groups"): ("group_counts",),
    ("overlap", "features"): ("scenes",),
}
"""Table and key → evidence that is made from it; what is made from that follows."""
_SPLITS = ("test", "train", "validation")
_LISTED = {
    "test": "test_samples",
    "test_signatures": "test_samples",
    "train": "train_sample",
    "train_signatures": "train_samples",
    "validation": "validation_samples",
}
"""Evidence of images → those that it is of."""
_NEXT = "`auditor run` gathers anew"
_CHANGED = "it held something else then"


class _Said(NamedTuple):
    """What the configuration says now at one place."""

    table: str
    key: str
    value: Any
    """As ``asked`` keeps it."""


def asked(config: Config, source: ConfigSource) -> dict[str, dict[str, Any]]:
    """Return what evidence depends on, as JSON values by table and key; to be kept with it."""
    found = {}
    for name, keys in _KEYS.items():
        table, written = getattr(config, name), source.tables.get(name, {})
        values = {} if table is None else table.model_dump(mode="json", include=set(keys))
        paths = {k: str(v) for k in values if _is_place(k, v := getattr(table, k))}
        found[name] = values | {k: _place(v, written.get(k), source) for k, v in paths.items()}
        if module := values.get("module"):
            found[name]["module"] = _module(module, table.module_folder)
    for key in _SPLITS:
        if (table := getattr(config.data, key)) is not None:
            found["data"][key] |= _content(table)
    return found | {"latency": {"timed": is_timed(config)}}


def _is_place(key: str, value: object) -> bool:
    whole = key == "model" and str(value).lower().endswith(MODEL_FILES)
    return whole or isinstance(value, Path)


def _place(path: str, written: object, source: ConfigSource) -> dict[str, str]:
    """Return where a file is, and how that is written."""
    folder = source.path
    by_file = folder and isinstance(written, str) and beside(folder, written) == path
    named = written if by_file else path
    return {"path": Path(path).absolute().as_posix(), "written": Path(str(named)).as_posix()}


def _module(reference: str, folder: Path | None) -> dict[str, Any]:
    """Return what a module is called, its file, and what is in it and in those that it imports.

    The file is named from the folder of ``auditor.toml``, as paths in that are.
    """
    try:
        file = os.path.relpath(factory_source(reference, folder), folder or Path.cwd())
        sources = factory_sources(reference, folder)
        return {"written": reference, "file": Path(file).as_posix(), "sources": sources}
    except (InputError, OSError, ValueError):  # said where it is imported; or on another drive
        return {"written": reference, "sources": {}}


def _content(path: Path) -> dict[str, str]:
    """Return what is in one table of images and labels; nothing where there is none here."""
    from auditor.data import parquet
    from auditor.data.tables import is_table
    from auditor.store.files import sha256_of

    if not (is_table(path) and path.is_file()):
        return {}
    try:
        return {"sha256": (parquet.digest if parquet.claims(path) else sha256_of)(path)}
    except (InputError, OSError):  # said where it is read
        return {}


def require_same_subject(config: Config, graph: Graph, source: ConfigSource) -> None:
    """Stop where the test predictions are not of what the configuration names now.

    Other evidence that is not of it is an error of the checks that ask for it: what was not given
    then, too, for the reason that is stored is no longer true.

    Raises
    ------
    InputError
        With the line of the file.
    """
    if said := _other_kind(config, graph):
        table = "predictions" if config.predictions.test else "candidate"
        raise source.complain((table, "test" if table == "predictions" else "model"), said)
    timed = (graph.store.asked("latency") or {}).get("latency", {}).get("timed")
    if is_timed(config) and timed is False:
        graph.refuse("latency", f"nothing was timed when the evidence was gathered; {_NEXT}")
    for now in _said(config, asked(config, source)):
        for name in filter(graph.asked_for, _made_from(now, config)):
            if why := _difference(now, name, graph) or _other_images(now, name, graph):
                reason = (
                    f"[{now.table}] {now.key}: {_shown(now.value)} is not what the stored evidence "
                    f"was made from ({why}); {_NEXT}"
                )
                if name == "test":
                    raise source.complain((now.table, now.key), reason)
                graph.refuse(name, reason)


def _other_kind(config: Config, graph: Graph) -> str:
    """Say that a model is named and predictions were judged, or the reverse."""
    about, saved = _about(graph), config.predictions.test
    if not about:
        return ""
    was_saved = "saved_test" in graph.store.origin("test")
    if saved is not None and not was_saved:
        return f"the stored evidence was made by a model, not from {saved}; {_NEXT}"
    if saved is None and was_saved and config.candidate.names_a_model:
        return (
            f"the stored evidence was made from saved predictions ({about.get('source')}), not by "
            f"a model; {_NEXT}"
        )
    return ""


def _said(config: Config, now: Mapping[str, Mapping[str, Any]]) -> Iterator[_Said]:
    """Yield what the configuration says: all of a model that it names, else what it gives.

    What a flag may have given is not said where it is absent: this command has no such flag.
    """
    flags = set(FLAGS.values())
    for name in _KEYS:
        table, values = getattr(config, name), now[name]
        whole = isinstance(table, ModelTable) and table.names_a_model
        for key, value in values.items():
            given = key in table.model_fields_set and value not in (None, [])
            absent = value is None and ((name, key) in flags or key == "training_log")
            if given or (whole and not absent):
                yield _Said(name, key, value)


def _made_from(now: _Said, config: Config) -> tuple[str, ...]:
    if now.table == "baseline":
        return ("latency",)
    if found := _MADE.get((now.table, now.key)):
        return found
    if now.key == "classes":
        return ("test",)
    return ("complexity",) if config.predictions.test else ("test", "complexity")


def _difference(now: _Said, name: str, graph: Graph) -> str:
    """Return what stored evidence was made from instead; nothing where it was from the same."""
    if graph.store.key(name) is None:  # said by who asks for it
        return ""
    tables = graph.store.asked(name)
    then = (tables or {}).get(now.table, {}).get(now.key)
    if (same := _same_content(now, name, graph)) is not None:
        return "" if same else _other_file(now.value, then)
    if tables is None:
        return "which it does not say: an earlier version gathered it, or it was merged"
    if _alike(now.value, then):
        return "" if _holds_the_same(now.value, then) else _CHANGED
    if not then and (name, now.table) == ("test", "data"):  # predictions saved elsewhere
        return ""
    return _shown(then) if then else "it was not given then"


def _other_file(now: Any, then: Any) -> str:
    return f"it was {_shown(then)} then" if then and not _alike(now, then) else _CHANGED


def _other_images(now: _Said, name: str, graph: Graph) -> str:
    """Say how the images that are here are others; nothing where none are, or they are the same."""
    from auditor.engine.known import other_images

    if now.table != "data" or now.key not in _SPLITS or name not in _LISTED:
        return ""
    if "sha256" in now.value:  # of a table, whose content was compared
        return ""
    try:
        samples = graph.get(_LISTED[name])
        file = graph.store.find(name)
    except (InputError, Unavailable):
        return ""
    return "" if file is None else other_images(file, samples)


def _alike(now: Any, then: Any) -> bool:
    if isinstance(now, dict) and isinstance(then, dict):
        return any(k in now and now[k] == then.get(k) for k in ("path", "written"))
    return bool(now == then)


def _holds_the_same(now: Any, then: Any) -> bool:
    """Tell whether a table or a module that is here is what it was, as far as that was kept."""
    one, other = (_digests(each) for each in (now, then))
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _digests(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    whole = {"": value["sha256"]} if "sha256" in value else {}
    return {**whole, **value.get("sources", {})}


def _shown(value: Any) -> str:
    """Return a value as a person wrote it; of many, what fits."""
    text = str(value["written"]) if isinstance(value, dict) and "written" in value else ""
    return text or literal(value)


def _same_content(now: _Said, name: str, graph: Graph) -> bool | None:
    """Tell whether a file holds what the evidence was made from; None where that is not known."""
    try:
        match now.table, now.key:
            case "predictions", split:
                return _same_leaf(f"saved_{split}", name, graph) and _same_file(split, graph)
            case "candidate", "training_log":
                return _same_leaf("log_file", name, graph)
            case "candidate", "classes":
                given = graph.config.candidate.classes
                return given is not None and class_list(given).names == graph.get("test").classes
            case "candidate", "checkpoint" | "model" if isinstance(now.value, dict):
                return _same_weights(Path(now.value["path"]), graph)
    except (InputError, Unavailable):  # it is not here, or not all of it
        return None
    return None


def _same_leaf(leaf: str, name: str, graph: Graph) -> bool | None:
    made_from = graph.store.origin(name).get(leaf)
    return None if made_from is None else bool(graph.get(leaf).identity == made_from)


def _same_file(split: str, graph: Graph) -> bool:
    """Tell whether predictions say themselves that they were read from the file that is here."""
    said = graph.get(split).about.get("file_digest")
    return bool(said == graph.get(f"saved_{split}").digest)


def _same_weights(file: Path, graph: Graph) -> bool | None:
    judged = (_about(graph).get("candidate") or {}).get("weights_digest")
    if judged is None or not file.is_file():
        return None
    whole = file.suffix.lower() in MODEL_FILES
    return bool(judged == (weights_digest(file) if whole else digest_file(file)))


def _about(graph: Graph) -> Mapping[str, Any]:
    """Return what the test predictions say of themselves; nothing where there are none."""
    try:
        found: Mapping[str, Any] = graph.get("test").about
    except Unavailable:
        return {}
    return found
