"""Outcomes → verdict: levels, presets and waivers.

A verdict is ``rejected`` when a blocking check fails; ``undecided`` when one crashed, when one is
inconclusive under ``sign-off``, when one left something unmeasured under ``pull-request`` (a
baseline that may not be compared, or a class without a test image, shows no regression, whatever
there is), or when none that judges the candidate passed; ``accepted`` otherwise. A check that does
not run is noted, and decides nothing; where ``auditor.toml`` itself says ``level = "block"``, it
was demanded, and what was demanded and not judged is inconclusive.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence

from auditor.check import Finding, Status, worst
from auditor.config import CheckTable, Preset, Waiver
from auditor.record import CheckResult, PolicyInfo, Verdict, WaiverInfo
from auditor.wording import plural

__all__ = [
    "apply_waivers",
    "blocks",
    "counts_as",
    "covers",
    "decide_verdict",
    "describe_policy",
    "hold_to_level",
    "shown_status",
]

_OPEN = "not settled"
_CRASHED = "ended in an error"

_INCONCLUSIVE: dict[Preset, str] = {
    "sign-off": "an inconclusive blocking check leaves the audit undecided: the burden of proof is "
    "on the model",
    "pull-request": "an inconclusive blocking check does not stop the change, and is noted: the "
    "burden of proof is on the regression; one that left something unmeasured, such as a class "
    "without a test image, leaves the audit undecided",
}


def describe_policy(
    preset: Preset, waivers: Sequence[Waiver], results: Sequence[CheckResult], today: datetime.date
) -> PolicyInfo:
    """Return the rules, with what became of every waiver."""
    states = tuple(_described(waiver, results, today) for waiver in waivers)
    return PolicyInfo(preset=preset, inconclusive=_INCONCLUSIVE[preset], waivers=states)


def _described(waiver: Waiver, results: Sequence[CheckResult], today: datetime.date) -> WaiverInfo:
    matched = any(covers(waiver, r.id, finding) for r in results for finding in _failing(r))
    expired = waiver.expires < today
    return WaiverInfo(
        check=waiver.check,
        subject=waiver.subject,
        metric=waiver.metric,
        reason=waiver.reason,
        owner=waiver.owner,
        expires=waiver.expires.isoformat(),
        state="expired" if expired else "active" if matched else "stale",
    )


def hold_to_level(result: CheckResult, tables: Mapping[str, CheckTable]) -> CheckResult:
    """Leave unsettled what ``[checks.*] level = "block"`` demands and what did not run."""
    table = tables.get(result.id)
    if table is None or table.level != "block" or result.status is not Status.SKIP:
        return result
    summary = f'level = "block" demands this check, and it was not judged: {result.summary}'
    return result.model_copy(update={"status": Status.INCONCLUSIVE, "summary": summary})


def apply_waivers(
    result: CheckResult, waivers: Sequence[Waiver], today: datetime.date
) -> CheckResult:
    """Mark the failing findings that an unexpired waiver covers; the status stays as it is."""
    active = [waiver for waiver in waivers if waiver.expires >= today]
    failing = _failing(result)
    covered = [f for f in failing if any(covers(w, result.id, f) for w in active)]
    return result.model_copy(
        update={
            "waived": bool(failing) and len(covered) == len(failing),
            "waived_findings": _metrics_by_subject(covered),
        }
    )


def covers(waiver: Waiver | WaiverInfo, check: str, finding: Finding) -> bool:
    """Tell whether a waiver means a finding of a check; what it leaves open, it means all of."""
    named = waiver.subject in (None, finding.subject) and waiver.metric in (None, finding.metric)
    return waiver.check == check and named


def _failing(result: CheckResult) -> list[Finding]:
    return [finding for finding in result.findings if finding.status is Status.FAIL]


def _metrics_by_subject(findings: Sequence[Finding]) -> dict[str, tuple[str, ...]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for finding in findings:
        found[finding.subject].append(finding.metric)
    return {subject: tuple(dict.fromkeys(metrics)) for subject, metrics in found.items()}


def decide_verdict(results: Sequence[CheckResult], preset: Preset) -> tuple[Verdict, str]:
    """Return the verdict and its reason in one sentence, which says where gates were removed."""
    verdict, reason = _decided(results, preset)
    return verdict, f"{reason}{_removed(results)}."


def _decided(results: Sequence[CheckResult], preset: Preset) -> tuple[Verdict, str]:
    blocking = [result for result in results if result.level == "block"]
    ids = {status: [r.id for r in blocking if counts_as(r) is status] for status in Status}
    total = len(blocking)
    if failed := ids[Status.FAIL]:
        besides = _listed(ids, {Status.ERROR: _CRASHED, Status.INCONCLUSIVE: _OPEN})
        return "rejected", f"{_of(failed, total, _verb(failed, 'fail'))}{besides}"
    if crashed := ids[Status.ERROR]:
        besides = _listed(ids, {Status.INCONCLUSIVE: _OPEN})
        return "undecided", f"{_of(crashed, total, _CRASHED)}{besides}"
    if unsettled := [r.id for r in blocking if blocks(r, preset)]:
        return "undecided", _of(unsettled, total, _unsettled(unsettled, preset))
    passed = [r for r in blocking if counts_as(r) is Status.PASS]
    if not any(r.judges == "candidate" for r in passed):
        return "undecided", f"{_nothing_shown([r.id for r in passed])}{_advising(results)}"
    noted = _accepted(ids, [r.id for r in blocking if r.waived], total) + _advising(results)
    return "accepted", noted


def blocks(result: CheckResult, preset: Preset) -> bool:
    """Tell whether a result stands between the candidate and "accepted"."""
    weight = counts_as(result)
    if result.level != "block" or weight in (Status.PASS, Status.SKIP):
        return False
    return weight is not Status.INCONCLUSIVE or preset == "sign-off" or not _measured(result)


def _measured(result: CheckResult) -> bool:
    """Tell whether there is a figure of all that is not settled; other figures stand for none."""
    open_ = [f for f in result.findings if f.status is Status.INCONCLUSIVE]
    return bool(open_) and all(f.observed is not None for f in open_)


def counts_as(result: CheckResult) -> Status:
    """Return what a result weighs: a waived failure leaves what else was found, never a pass."""
    if not result.waived or result.status is not Status.FAIL:
        return result.status
    rest = worst(f.status for f in result.findings if f.status is not Status.FAIL)
    return Status.SKIP if rest is Status.PASS else rest


def shown_status(check: CheckResult) -> str:
    """Return the word for a check's state: what it weighs, and never a pass where it is waived."""
    if check.level == "off":
        return "off"
    weight = counts_as(check)
    unweighed = check.waived and weight in (Status.PASS, Status.SKIP)
    return "waived" if unweighed else weight.value


def _accepted(ids: dict[Status, list[str]], waived: list[str], total: int) -> str:
    passed = ids[Status.PASS]
    text = f"{len(passed)} of {plural(total, 'blocking check')} {_verb(passed, 'pass', 'passes')}"
    if unsettled := ids[Status.INCONCLUSIVE]:
        text += f"; not settled, noted: {', '.join(unsettled)}"
    if waived:
        text += f"; failed and waived: {', '.join(waived)}"
    if skipped := [id for id in ids[Status.SKIP] if id not in waived]:
        text += f"; not run: {', '.join(skipped)}"
    return text


def _nothing_shown(passed: list[str]) -> str:
    text = "No blocking check that judges the candidate passed, so nothing was shown"
    if passed:
        verb = _verb(passed, "say", "says")
        text += f"; passed, and {verb} nothing of how well it predicts: {', '.join(passed)}"
    return text


def _listed(ids: Mapping[Status, list[str]], what: Mapping[Status, str]) -> str:
    """Name what else stands in the way, so that it is not found out one by one."""
    return "".join(f"; {said}: {', '.join(ids[s])}" for s, said in what.items() if ids[s])


def _advising(results: Sequence[CheckResult]) -> str:
    """Name what would have stopped the candidate if it blocked."""
    text = ""
    for state, verb in (("fail", "failing"), ("error", _CRASHED)):
        if ids := [r.id for r in results if r.level == "advise" and shown_status(r) == state]:
            text += f"; advising and {verb}: {', '.join(ids)}"
    return text


def _removed(results: Sequence[CheckResult]) -> str:
    text = ""
    for level, said in (("off", "switched off"), ("advise", "only advising")):
        if ids := [r.id for r in results if r.usually_blocks and r.level == level]:
            text += f"; {said} here: {', '.join(ids)}"
    return text


def _unsettled(some: list[str], preset: Preset) -> str:
    if preset == "pull-request":
        return "left something unmeasured"
    return _verb(some, "are not settled by the evidence", "is not settled by the evidence")


def _of(some: list[str], total: int, verb: str) -> str:
    return f"{len(some)} of {plural(total, 'blocking check')} {verb}: {', '.join(some)}"


def _verb(some: list[str], many: str, one: str | None = None) -> str:
    return (one or many + "s") if len(some) == 1 else many
