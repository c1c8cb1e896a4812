"""What the user named as rungs, and the audits behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auditor.errors import InputError
from auditor.ladder.rung import Rung, read_rung

if TYPE_CHECKING:
    from auditor.config import Config, ConfigSource
    from auditor.progress import Progress

__all__ = ["gather"]

_USE = """\
a ladder has at least two rungs, the same kind of model in several sizes:

  auditor ladder audits/b0 audits/b1 audits/b2       compares finished audits
  auditor ladder b0/auditor.toml b1/auditor.toml     audits each, then compares"""


class _Place(NamedTuple):
    """Where a rung is, or the configuration that makes it."""

    given: Path
    audit: Path
    config: tuple[Config, ConfigSource] | None


def gather(paths: Sequence[Path], progress: Progress) -> list[Rung]:
    """Read finished audits, and audit what is given by its ``auditor.toml``.

    Parameters
    ----------
    paths
        Audits (an ``audit.json``, or its folder) and configurations (an ``auditor.toml``, or a
        folder with one and no audit). Evidence that is already there is used again.
    progress
        Is told how far the audits are.

    Raises
    ------
    InputError
        Fewer than two rungs, a path that holds neither, two that are the same, or what `auditor
        run` refuses. All paths are looked at before anything is run.
    """
    if len(paths) < 2:
        raise InputError(_USE)
    places = [_place(path) for path in paths]
    _require_apart(places)
    found = [_rung(place, f"{i} of {len(places)}", progress) for i, place in enumerate(places, 1)]
    return _named(found)


def _place(path: Path) -> _Place:
    from auditor.config import load_config

    if not path.exists():
        raise InputError(
            f"{path} does not exist; give the folder of an audit, its audit.json, or an "
            "auditor.toml"
        )
    file = _file(path) if path.is_dir() else path
    if file.suffix != ".toml":
        return _Place(path, file, None)
    config, source = load_config(file)
    return _Place(path, config.output.directory / "audit.json", (config, source))


def _file(folder: Path) -> Path:
    for name in ("audit.json", "auditor.toml"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} holds neither an audit.json nor an auditor.toml; `auditor run` writes the one, "
        "`auditor init` the other"
    )


def _require_apart(places: Sequence[_Place]) -> None:
    seen: dict[Path, _Place] = {}
    for place in places:
        other = seen.setdefault(place.audit.resolve(), place)
        if other is place:
            continue
        if place.config and other.config and place.given.resolve() != other.given.resolve():
            raise InputError(
                f"{other.given} and {place.given} both write their audit to {place.audit.parent}; "
                "give each its own [output] directory"
            )
        raise InputError(f"{place.given} is the same audit as {other.given}; give every rung once")


def _rung(place: _Place, number: str, progress: Progress) -> Rung:
    if place.config is not None:
        progress.say(f"rung {number}: {place.given}")
        _audit(*place.config, progress)
    return replace(read_rung(place.audit), path=str(place.given))


def _audit(config: Config, source: ConfigSource, progress: Progress) -> None:
    """Do what ``auditor run`` does, so that the folder holds one whole audit."""
    from auditor.runner import judge

    judge(config, source, progress=progress).write()


def _named(rungs: Sequence[Rung]) -> list[Rung]:
    """Tell rungs of one name apart by where they are."""
    names = [rung.name for rung in rungs]
    return [
        rung if names.count(rung.name) == 1 else replace(rung, name=f"{rung.name} ({rung.path})")
        for rung in rungs
    ]
