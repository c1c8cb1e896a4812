"""The user's own earlier audits, among which the candidate stands on the user's own data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.comparison.comparable import Pictures
from auditor.config import Config
from auditor.errors import InputError, OptionError, Unavailable
from auditor.evidence.baseline import Baseline, read_baseline
from auditor.provider import derive

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["OwnAudits", "own_audits"]


@dataclass(frozen=True, eq=False)
class OwnAudits:
    """Audits of the user's own models, each with the predictions that it rests on."""

    audits: tuple[Baseline, ...]

    def without(self, images: frozenset[str]) -> OwnAudits:
        """Return the same audits without some test images."""
        return OwnAudits(tuple(audit.without(images) for audit in self.audits))

    def named_as(self, test: Predictions, pictures: Pictures | None = None) -> OwnAudits:
        """Return the same audits, their images named as the candidate's."""
        return OwnAudits(tuple(audit.named_as(test, pictures) for audit in self.audits))


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
