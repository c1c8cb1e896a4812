"""By which rules an audit was judged, so that ``auditor check`` replaces it by no others unsaid."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.cli.options import overrides

if TYPE_CHECKING:
    from auditor.config import Config

__all__ = ["refuse_other_rules"]

_RULES = ("policy", "checks", "waivers", "deployment", "baseline")
"""Tables by which stored evidence is judged; of ``[overlap]`` only the groups are such."""


def refuse_other_rules(config: Config, file: Path | None, flags: Mapping[str, Any]) -> None:
    """Raise ``InputError`` where an audit is on record that was judged by other rules.

    Parameters
    ----------
    config
        What it would be judged by.
    file
        Where that comes from, though nobody named it; None where no file lies here. One of the same
        name may have been edited since: to judge by it is what the command is for.
    flags
        What they say is meant to be another.
    """
    from auditor.belongings import RECORD
    from auditor.errors import InputError
    from auditor.provenance import recorded

    path, provenance = config.output.directory / RECORD, recorded(config.output.directory)
    if provenance is None:
        return
    by = _file_in(provenance.repeat)
    if file is not None and (by is None or Path(by).name == file.name):
        return
    now = config.model_dump(mode="json", exclude_defaults=True)
    then, now = (_rules(each, overrides(flags)) for each in (provenance.settings, now))
    if others := [f"[{name}]" for name in then if then[name] != now[name]]:
        tables = ", ".join(others)
        raise InputError(
            f"{path}: was judged by {by}, whose {tables} this command would not follow; name the "
            f"file: auditor check {shlex.quote(by)}"
            if by is not None
            else f"{path}: was judged by other {tables} ({provenance.repeat}); give the same "
            "flags, or name a file to judge it by"
        )


def _file_in(command: str) -> str | None:
    """Return the file that the command of an audit names."""
    named = shlex.split(command)[2:3]
    return named[0] if named and not named[0].startswith("-") else None


def _rules(settings: Mapping[str, Any], said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the rules among settings, but for what flags say."""
    found = {name: settings.get(name) or {} for name in _RULES}
    found["overlap"] = (settings.get("overlap") or {}).get("groups", [])
    for name, keys in said.items():
        if isinstance(table := found.get(name), Mapping):
            found[name] = {k: v for k, v in table.items() if k not in keys}
    return found
