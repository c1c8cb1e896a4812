"""``auditor diff`` says of a check what every other format says of it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from auditor.check import Finding, Level, Status
from auditor.comparison.diff import diff
from auditor.config import Waiver
from auditor.evidence.baseline import Baseline
from auditor.policy import apply_waivers
from auditor.record import Audit
from auditor.render.html import html_diff

FAILS = Finding(subject="cat", metric="recall", observed=0.5, limit=0.9, n=9, status=Status.FAIL)
VAGUE = FAILS.model_copy(update={"subject": "dog", "status": Status.INCONCLUSIVE})


def _alone(audit: Audit) -> Baseline:
    provenance = audit.provenance.model_copy(update={"config": "{}"})
    return Baseline(audit.model_copy(update={"provenance": provenance}), None)


@pytest.mark.parametrize(
    ("left", "level", "shown"),
    [((), "block", "waived"), ((VAGUE,), "block", "inconclusive"), ((), "off", "off")],
)
def test_a_waived_check_is_what_it_weighs(
    make_check: Any, make_audit: Any, left: tuple[Finding, ...], level: Level, shown: str
) -> None:
    until = datetime.date(2099, 1, 1)
    waiver = Waiver(check="rare", subject="cat", reason="agreed", owner="A", expires=until)
    check = make_check("rare", Status.FAIL, level=level, findings=(FAILS, *left))
    waived = apply_waivers(check, [waiver], datetime.date(2026, 11, 23))
    before, after = (_alone(make_audit(checks=[c])) for c in (make_check("rare"), waived))
    found = diff(before, after)
    assert [(each.before, each.after) for each in found.checks] == [("pass", shown)]
    assert f"<td>pass</td><td>{shown}</td>" in html_diff(found)
