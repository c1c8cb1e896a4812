"""What an audit must be given, or must not: said before the work, with the line of the file."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from auditor.belongings import names
from auditor.config import Config, ConfigSource
from auditor.data.samples import Samples
from auditor.errors import ConfigError, Unavailable
from auditor.graph import Graph

__all__ = [
    "require_another_folder",
    "require_apart_from_output",
    "require_known_classes",
    "require_other_than_training",
    "require_something_to_judge",
]


def require_something_to_judge(config: Config, source: ConfigSource) -> None:
    """Refuse an audit of nothing or of data alone, and a model timed beside what is no model."""
    if config.data.test is None and config.predictions.test is None:
        message = "nothing to judge: give [data] test with a model, or [predictions] test"
        raise source.complain((), message)
    if config.predictions.test is None and not config.candidate.names_a_model:
        raise source.complain(
            ("data", "test"),
            "no model was given to run on the test images; give [candidate] model, module or "
            "checkpoint, or [predictions] test with what it said of them",
        )
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
    folders = {place.parent for place in _places(file)}
    if config.output.directory.resolve() in folders:
        raise source.complain(
            ("baseline", "audit"),
            f"{given} lies where this audit is written to, so that the next one would be compared "
            "with this one, whatever its verdict; keep the baseline elsewhere, or give --output",
        )


def require_apart_from_output(config: Config, source: ConfigSource) -> None:
    """Refuse an input that has the name and place of what this audit writes, or removes."""
    directory = config.output.directory.resolve()
    ours = {directory / name for name in names()}
    for table, keys in _INPUTS.items():
        for key in keys:
            path = getattr(getattr(config, table), key)
            if isinstance(path, Path) and not ours.isdisjoint(_places(path)):
                raise source.complain(
                    (table, key),
                    f"{path} would be replaced by what this audit writes; move it, or give another "
                    "--output",
                )


_INPUTS = {
    "candidate": ("classes", "training_log"),
    "data": ("test", "train", "validation"),
    "predictions": ("test", "train", "validation"),
}


def _places(path: Path) -> set[Path]:
    """Return where a file is, and where the link to it is."""
    return {path.parent.resolve() / path.name, path.resolve()}


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


def require_other_than_training(graph: Graph, source: ConfigSource) -> None:
    """Stop where the test predictions name images of the training data, where they lie.

    A name from its own folder on, as ``cat/0001.jpg``, both splits may have. Nothing is listed for
    this: what no check asks for is not looked at.
    """
    given = graph.config.predictions.test
    if given is None or graph.config.data.test is not None or not graph.asked_for("train_samples"):
        return
    try:
        samples, test = graph.get("train_samples"), graph.get("test")
    except Unavailable:  # said by the checks that ask for it
        return
    rows = _named_below(samples, test.images)
    if rows and 2 * len(rows) >= len(test):
        raise source.complain(
            ("predictions", "test"),
            f"{given}:{rows[0] + 2}: {test.images[rows[0]]} is an image of {samples.source}, the "
            f"training data, and so are {len(rows):,} of the {len(test):,}; give predictions of "
            "the test images, or say by [data] test that these are",
        )


def _named_below(samples: Samples, names: Sequence[str]) -> list[int]:
    """Return the rows of names that lead to images of the training data, from folders above it.

    From its own folder alone only where that is called after training: both splits may have
    ``images/cat/0001.jpg``.
    """
    known = {*samples.images}
    above = (samples.root.absolute(), samples.root.resolve())
    before = {
        f"{Path(*root.parts[k:]).as_posix()}/"
        for root in above
        for k in range(len(root.parts) - ("train" not in root.name.lower()))
    }

    def leads(name: str) -> bool:
        plain = posixpath.normpath(name.strip().replace("\\", "/"))
        while plain.startswith("../"):
            plain = plain[3:]
        return any(plain.startswith(b) and plain[len(b) :] in known for b in before)

    return [row for row, name in enumerate(names) if leads(name)]
