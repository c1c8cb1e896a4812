"""The step for GitHub: its script is run by bash, as a runner would."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPORTS = ("audit.json", "report.html", "junit.xml", "summary.md")
Step = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def action(repository: Path) -> dict[str, Any]:
    text = (repository / "action.yml").read_text(encoding="utf-8")
    content: dict[str, Any] = importlib.import_module("yaml").safe_load(text)
    return content


@pytest.fixture
def step(action: dict[str, Any], tmp_path: Path) -> Step:
    """Run the step that audits, in a folder of its own."""
    script = next(s["run"] for s in action["runs"]["steps"] if "auditor run" in s.get("run", ""))
    command = tmp_path / "bin/auditor"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m auditor "$@"\n')
    command.chmod(0o755)

    def run(policy: str = "") -> subprocess.CompletedProcess[str]:
        given = {"CONFIG": "auditor.toml", "OUTPUT": "my audit", "POLICY": policy}
        given["GITHUB_STEP_SUMMARY"] = str(tmp_path / "step.md")
        given["GITHUB_OUTPUT"] = str(tmp_path / "outputs")
        given["PATH"] = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def few(tmp_path: Path, saved: Callable[..., Path]) -> Path:
    """Predictions on too few images to tell."""
    path = saved({"cat": {"cat": 9, "dog": 1}, "dog": {"dog": 10}}, "few.csv")
    (tmp_path / "auditor.toml").write_text(f'[predictions]\ntest = "{path.name}"\n')
    return path


def test_the_verdict_is_the_exit_status_and_in_the_summary(
    step: Step, few: Path, tmp_path: Path
) -> None:
    done = step()
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "step.md").read_text() == (tmp_path / "my audit/summary.md").read_text()
    assert "policy sign-off" in done.stdout
    assert "policy pull-request" in step("pull-request").stdout


def test_an_earlier_verdict_is_never_published(step: Step, few: Path, tmp_path: Path) -> None:
    step()
    assert (tmp_path / "outputs").read_text() == "written=true\n"
    for name in ("step.md", "outputs"):
        (tmp_path / name).write_text("")
    (tmp_path / "auditor.toml").write_text("[candidat]\n")
    assert step().returncode == 2
    assert (tmp_path / "step.md").read_text() == ""
    assert (tmp_path / "outputs").read_text() == ""
    assert all((tmp_path / "my audit" / name).exists() for name in REPORTS)  # they are not ours


def test_a_summary_that_this_audit_did_not_write_is_not_published(
    step: Step, few: Path, tmp_path: Path
) -> None:
    (tmp_path / "my audit").mkdir()
    (tmp_path / "my audit/summary.md").write_text("## Accepted\n")
    with (tmp_path / "auditor.toml").open("a") as file:
        file.write('[output]\nformats = ["html"]\n')
    assert step().returncode == 3
    assert (tmp_path / "outputs").read_text() == "written=true\n"
    assert not (tmp_path / "step.md").exists()


def test_an_earlier_summary_that_this_audit_removed_changes_nothing(
    step: Step, few: Path, tmp_path: Path
) -> None:
    assert step("pull-request").returncode == 0
    (tmp_path / "step.md").unlink()
    with (tmp_path / "auditor.toml").open("a") as file:
        file.write('[output]\nformats = ["html"]\n')
    done = step("pull-request")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "my audit/summary.md").exists()
    assert not (tmp_path / "step.md").exists()


def test_the_report_becomes_an_artifact_whatever_was_decided(action: dict[str, Any]) -> None:
    last = action["runs"]["steps"][-1]
    assert last["uses"].startswith("actions/upload-artifact@")
    assert last["if"] == "always() && steps.audit.outputs.written == 'true'"
    assert action["runs"]["steps"][1]["id"] == "audit"
    assert last["with"]["path"].splitlines()[0] == "${{ inputs.output }}"


def test_what_is_installed_is_the_action_itself(action: dict[str, Any]) -> None:
    first = action["runs"]["steps"][0]
    assert action["inputs"]["version"]["default"] == ""
    assert first["env"]["VERSION"] == "${{ inputs.version || github.action_path }}"


def test_every_input_is_used(action: dict[str, Any], repository: Path) -> None:
    text = (repository / "action.yml").read_text(encoding="utf-8")
    for name in action["inputs"]:
        assert f"inputs.{name}" in text
