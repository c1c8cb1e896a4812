"""The earlier audit that the candidate is compared with."""

from __future__ import annotations

from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.provider import derive
from auditor.record import Audit

__all__ = ["baseline"]


@derive
def baseline(config: Config) -> Audit:
    """Read the baseline's ``audit.json``; an edited or foreign one is refused."""
    if config.baseline is None:
        raise Unavailable("no baseline audit was given ([baseline] audit, or --baseline)")
    return Audit.read(config.baseline.audit)
