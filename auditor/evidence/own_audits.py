"""The user's own earlier audits, among which the candidate stands on the user's own data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from auditor.config import Config
from auditor.errors import InputError, OptionError, Unavailable
from auditor.evidence.baseline import Baseline, read_baseline
from auditor.provider import derive

__all__ = ["OwnAudits", "own_audits"]


@dataclass(frozen=True, eq=False)
class OwnAudits:
    """Audits of the user's own models, each with the predictions that it rests on."""

    audits: tuple[Baseline, ...]

    def without(self, images: frozenset[str]) -> OwnAudits:
        """Return the same audits without some test images."""
        return OwnAudits(
            tuple(
                audit
                if audit.predictions is None
                else replace(audit, predictions=audit.predictions.without(images))
                for audit in self.audits
            )
        )


@derive
def own_audits(config: Config) -> OwnAudits:
    """Read the audits that ``[checks.efficiency] audits`` names."""
    table = config.checks.get("efficiency")
    paths = table.options.get("audits") if table else None
    if not paths:
        raise Unavailable("no audits of your own were given ([checks.efficiency] audits)")
    try:
        return OwnAudits(tuple(read_baseline(Path(path)) for path in paths))
    except InputError as error:
        raise OptionError("audits", str(error)) from error
