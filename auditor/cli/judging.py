"""What ``run`` and ``check`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.cli.output import writing
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.config import Config, ConfigSource

__all__ = ["judge"]


def judge(config: Config, source: ConfigSource, *, gathering: bool) -> int:
    """Audit, write ``audit.json`` and the reports, print the verdict; return the exit status."""
    from auditor.cli.verdict import verdict
    from auditor.progress import Progress
    from auditor.runner import judge as judged

    with writing(config.output.directory, trying=True):
        found = judged(config, source, gathering=gathering, progress=Progress.on_stderr())
        written = found.write()
    say(verdict(found.audit, written))
    return found.audit.exit_status
