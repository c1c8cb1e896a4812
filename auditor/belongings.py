"""What an audit writes into its folder, and may therefore remove from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.record import Audit

__all__ = ["RECORD", "names", "remove_earlier"]

RECORD = "audit.json"


def names() -> tuple[str, ...]:
    """Return the names of all that an audit may write beside its evidence."""
    from auditor.overlap.lists import LISTS
    from auditor.render import FORMATS

    return (*(each.filename for each in FORMATS.values()), *LISTS, RECORD)


def remove_earlier(audit: Audit, directory: Path) -> None:
    """Remove what an earlier audit wrote: beside this one's it would contradict it.

    Reports say that they are one. Lists do not: where no audit lies there, they are not ours.
    """
    from auditor.overlap.lists import LISTS
    from auditor.render import other_reports

    lists = [directory / name for name in LISTS] if _is_audit(directory / RECORD) else []
    for path in [*other_reports(audit, directory), *lists]:
        path.unlink(missing_ok=True)


def _is_audit(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "schema_version" in found
