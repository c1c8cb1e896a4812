"""Auditor decides whether an image classifier may ship.

``auditor.audit(...)`` runs an audit and returns it. To write a check, import ``Check``,
``Finding``, ``Outcome`` and ``Status`` from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditor.check import Check as Check
    from auditor.check import Finding as Finding
    from auditor.check import Outcome as Outcome
    from auditor.check import Status as Status
    from auditor.errors import AuditorError as AuditorError
    from auditor.errors import InputError as InputError
    from auditor.record import Audit as Audit
    from auditor.runner import audit as audit

__version__ = "0.1.0"

_HOME = {
    "Audit": "auditor.record",
    "AuditorError": "auditor.errors",
    "Check": "auditor.check",
    "Finding": "auditor.check",
    "InputError": "auditor.errors",
    "Outcome": "auditor.check",
    "Status": "auditor.check",
    "audit": "auditor.runner",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line must answer at once."""
    if name not in _HOME:
        raise AttributeError(f"module 'auditor' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
