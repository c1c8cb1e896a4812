from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click
import pytest

from auditor.check import Finding, Status
from auditor.cli.verdict import verdict
from auditor.record import Audit
from auditor.render.markdown import MARKER, escape, markdown


@pytest.mark.parametrize("name", ["rejected", "accepted", "undecided"])
def test_marker_verdict_and_sentence_come_first(name: str, request: pytest.FixtureRequest) -> None:
    audit: Audit = request.getfixturevalue(name)
    lines = markdown(audit).splitlines()
    assert lines[0] == MARKER == "<!-- auditor -->"
    assert name.capitalize() in lines[1]
    assert audit.summary in lines[3]


def test_every_check_is_a_row_with_symbol_and_word(rejected: Audit) -> None:
    text = markdown(rejected)
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(rejected.checks)
    for sign in ("✗ fail", "✓ pass", "? inconclusive", "! error", "⚑ waived", "– not run"):
        assert any(row.startswith(f"| {sign} |") for row in rows), sign


@pytest.mark.parametrize("printed", [markdown, lambda audit: verdict(audit, [])])
def test_what_was_changed_of_blocking_checks_is_named_beside_what_is_usual(
    make_audit: Any, make_check: Any, printed: Callable[[Audit], str]
) -> None:
    changed = {
        "options": {"most": 1.0, "classes": ["a"]},
        "defaults": {"most": 0.05, "classes": []},
    }
    checks = [
        make_check("gap", **changed),
        make_check("kept"),
        make_check("cost", level="advise", **changed),
        make_check("top", options={"least": 0.0}, defaults={"least": 0.8}),
    ]
    text = " ".join(printed(make_audit("accepted", checks)).replace("\\", "").split())
    said = 'gap (classes ["a"], usually none; most 1, usually 0.05), top (least 0, usually 0.8).'
    assert f" Set here: {said}" in text
    assert "Set here" not in printed(make_audit("accepted", [make_check("kept")]))


def test_the_worst_ten_findings_and_how_many_more(make_audit: Any, make_check: Any) -> None:
    findings = [
        Finding(
            subject=f"class{i:02}", metric="recall", observed=i / 100, limit=0.9, n=50,
            status=Status.FAIL,
        )
        for i in range(25)
    ]  # fmt: skip
    text = markdown(make_audit("rejected", [make_check("many", Status.FAIL, findings=findings)]))
    assert [f"class{i:02}" for i in range(10)] == re.findall(r"\*\*(class\d\d)\*\*", text)
    assert "- 15 more in the report" in text


def test_checks_that_did_not_run_stand_apart_from_images(accepted: Audit) -> None:
    checks, _, images = markdown(accepted).partition("\n### Images not looked at\n")
    idle = checks.partition("\n### Not run\n")[2]
    assert "No baseline was given" in idle
    assert "40 of 2,040 test images" in images
    assert "test images" not in idle


def test_what_must_be_known_of_the_candidate_is_a_note(accepted: Audit) -> None:
    (note,) = accepted.candidate.notes
    assert f"\n### Notes\n\n- {note}\n" in markdown(accepted)
    assert f"\nNotes\n  {note}\n" in click.unstyle(verdict(accepted, []) + "\n")


def test_what_did_not_run_says_its_level_and_every_title_its_id(
    make_audit: Any, make_check: Any
) -> None:
    checks = [
        make_check("cost", Status.SKIP, "advise", summary="no model"),
        make_check("leak", Status.SKIP, summary="no train data"),
        make_check("rare", Status.FAIL),
    ]
    text = markdown(make_audit("rejected", checks))
    idle = text.partition("\n### Not run\n")[2]
    leak, cost = (check.title for check in (checks[1], checks[0]))
    assert f"- {leak} (leak, block): no train data\n- {cost} (cost, advise): no model" in idle
    assert f"| block | {checks[2].title} (rare) |" in text
    assert f"**{checks[2].title}** (rare, fail)" in text


def test_a_table_row_stays_a_row(hostile: Audit) -> None:
    lines = markdown(hostile).splitlines()
    start = lines.index("|---|---|---|---|") + 1
    rows = lines[start : start + len(hostile.checks)]
    assert all(re.findall(r"(?<!\\)\|", row).__len__() == 5 for row in rows)


def test_hostile_names_are_text(hostile: Audit) -> None:
    text = markdown(hostile)
    assert "<" not in text.removeprefix(MARKER)
    assert "`" not in text
    assert not re.search(r"@\w|https?://|(?<!&)#\d", text)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text)
    assert len(text) < 65_536


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("`rm`", "&#96;rm&#96;"),
        ("<b>", "&lt;b&gt;"),
        ("two\nlines", "two↵lines"),
        ("*bold* _em_ [x](y)", r"\*bold\* \_em\_ \[x\](y)"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_escape(raw: str, shown: str) -> None:
    assert escape(raw) == shown


def test_what_was_not_looked_at_is_told(rejected: Audit) -> None:
    text = markdown(rejected)
    assert "No baseline was given" in text
    assert "test/cat/0412.jpg" in text
    assert "40 of 2,042 test images" in text
