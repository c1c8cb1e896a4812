"""Runs one check: whatever happens in it is an outcome of it, never a crash of the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from auditor.check import Check, Level, Outcome, Status
from auditor.config import Config
from auditor.crashes import kept_in_folder, named, placed
from auditor.errors import OptionError, Unavailable
from auditor.graph import Graph
from auditor.record import CheckResult
from auditor.registry import BrokenCheck

__all__ = ["not_loaded", "run_check"]


def run_check(check: Check, level: Level, own_level: Level | None, graph: Graph) -> CheckResult:
    """Run one check on the evidence that it names.

    Parameters
    ----------
    check
        With its options.
    level, own_level
        Under the policy; and where that names none.
    graph
        Has the evidence.

    Raises
    ------
    OptionError
        Where an option of the check does not fit the data.
    """
    outcome = _outcome(check, graph) if level != "off" else _switched_off()
    options = check.model_dump(mode="json")
    return CheckResult(
        id=check.id,
        version=check.version,
        title=check.title,
        level=level,
        own_level=own_level,
        status=outcome.status,
        judges=check.judges,
        summary=outcome.summary,
        options=options,
        defaults=_defaults(check, options),
        findings=outcome.findings,
        documentation=check.documentation(),
    )


def _defaults(check: Check, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options would be that are not as they are by default."""
    try:
        usual = type(check).model_construct().model_dump(mode="json", warnings=False)
    except Exception:  # a plug-in's defaults may be anything
        return {}
    told = check.model_fields_set & usual.keys()
    return {n: usual[n] for n, value in options.items() if n in told and usual[n] != value}


def _switched_off() -> Outcome:
    return Outcome(status=Status.SKIP, summary="switched off in the configuration")


def _outcome(check: Check, graph: Graph) -> Outcome:
    try:
        arguments = graph.arguments(check.needs())
    except Unavailable as unavailable:
        reason = unavailable.reason
        if unavailable.status == "error":
            return _error(reason)
        outcome = _caught(check, lambda: check.not_run(reason))
        if outcome.status is Status.PASS:
            return _error("not_run returned a pass, and nothing was looked at")
        return outcome
    return _caught(check, lambda: check.run(**arguments))


def _caught(check: Check, asked: Callable[[], object]) -> Outcome:
    try:
        with kept_in_folder():
            returned = asked()
    except OptionError:
        raise
    except (Exception, SystemExit) as crash:
        return _error(f"the check crashed: {placed(crash, type(check))}")
    if not isinstance(returned, Outcome):
        return _error(f"the check returned {type(returned).__name__}, not an Outcome")
    return _held(returned)


def _held(outcome: Outcome) -> Outcome:
    """Return the outcome as the record will hold it.

    It may be one that no validator has seen: a changed copy, or made by ``model_construct``.
    """
    try:
        return Outcome.model_validate_json(outcome.model_dump_json(warnings=False))
    except Exception as wrong:
        return _error(f"the check returned an Outcome that no audit can hold: {named(wrong)}")


def _error(summary: str) -> Outcome:
    return Outcome(status=Status.ERROR, summary=summary)


def not_loaded(check: BrokenCheck, config: Config) -> CheckResult:
    """Report a check that did not load; unless the policy says otherwise, it blocks."""
    table = config.checks.get(check.id)
    level = (table.level if table else None) or "block"
    return CheckResult(
        id=check.id,
        version=0,
        title=f"{check.id} can be loaded",
        level=level,
        own_level="block",
        status=Status.SKIP if level == "off" else Status.ERROR,
        summary=f"the check did not load: {check.reason}",
    )
