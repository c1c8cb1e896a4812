"""By which rules an audit was judged, so that ``auditor check`` replaces it by no others unsaid."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.cli.options import overrides

if TYPE_CHECKING:
    from auditor.config import Config
    from auditor.record import Provenance

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
        Where that comes from, though nobody named it; None where no file lies here. The one by
        which it was judged may have been edited since: to judge by it is what the command is for.
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
    here = not flags.get("output") or (file is not None and _is_of(file, path))
    if here and file is not None and (by is None or Path(by).name == file.name):
        return
    now = config.model_dump(mode="json", exclude_defaults=True)
    then, now = (_rules(each, overrides(flags)) for each in (provenance.settings, now))
    if others := [f"[{name}]" for name in then if then[name] != now[name]]:
        raise InputError(f"{path}: was judged by {_said(', '.join(others), provenance, file)}")


def _said(tables: str, provenance: Provenance, file: Path | None) -> str:
    """Say by what an audit was judged, and how it is judged again."""
    by = _file_in(provenance.repeat)
    if by is None:
        return (
            f"other {tables} ({provenance.repeat}); give the same flags, or name a file to judge "
            "it by"
        )
    if file is not None and Path(by).name == file.name:
        return f"another {file.name}, with other {tables}; name the file to judge it by"
    return (
        f"{by}, whose {tables} this command would not follow; name the file: auditor check "
        f"{shlex.quote(by)}"
    )


def _is_of(file: Path, record: Path) -> bool:
    """Tell whether a file lies in the folder of the audit's project: the first above that has one.

    A file of the same name elsewhere is another project's, wherever both are checked out.
    """
    above = record.resolve().parents
    own = next((folder for folder in above if (folder / file.name).is_file()), None)
    return own == file.resolve().parent


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
