"""``auditor list``."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from itertools import chain
from typing import TYPE_CHECKING

import click

from auditor.cli.layout import row
from auditor.naming import visible
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.check import Check
    from auditor.registry import Registry

__all__ = ["command"]


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def command(as_json: bool) -> None:
    """List the checks that are installed.

    Each with its id, its level (what a failure does unless auditor.toml says otherwise) and what
    passes. Plug-ins that did not load are listed with the reason; they block until they load or
    are switched off.
    """
    from auditor.registry import find_checks

    with redirect_stdout(sys.stderr):  # a plug-in may print while it loads
        registry = find_checks()
    if as_json:
        click.echo(_as_json(registry))
    else:
        say(_as_table(registry))


def _as_json(registry: Registry) -> str:
    checks = [
        {
            "id": check.id,
            "level": check.level,
            "blocks_once": check.blocks_once,
            "title": check.title,
            "version": check.version,
            "needs": [name for name, required in check.needs().items() if required],
        }
        for check in registry.checks.values()
    ]
    broken = [check._asdict() for check in registry.broken]
    return json.dumps({"checks": checks, "broken": broken}, indent=1)


def _as_table(registry: Registry) -> str:
    rows: list[tuple[str, str, str]]
    rows = [(c.id, c.level, _title(c)) for c in registry.checks.values()]
    rows += [(c.id, "broken", visible(c.reason)) for c in registry.broken]
    longest = max(len(id) for id, _, _ in rows)
    heads = [(f"{id:<{longest}}  {level:<6}", title) for id, level, title in rows]
    lines = (row(head, title, longest + len("  advise  ")) for head, title in heads)
    return "\n".join(chain.from_iterable(lines))


def _title(check: type[Check]) -> str:
    return f"{check.title}; blocks once {check.blocks_once}" if check.blocks_once else check.title
