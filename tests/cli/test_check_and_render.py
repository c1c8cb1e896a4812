from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Cli = Callable[..., CompletedProcess[str]]


def test_stored_evidence_is_judged_without_data_and_without_torch(
    cli: Cli, process: Cli, fraud: str, here: Path, without_torch: Mapping[str, str]
) -> None:
    ran = cli("run", "--predictions", fraud)
    (here / fraud).unlink()
    done = process("check", **without_torch)
    assert done.returncode == ran.returncode == 1, done.stderr
    assert done.stdout == ran.stdout


def test_a_model_s_evidence_is_judged_without_model_data_and_torch(
    cli: Cli,
    process: Cli,
    here: Path,
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    without_torch: Mapping[str, str],
) -> None:
    image_folder("train", {"a": 20, "b": 20}, seed=1)
    image_folder("test", {"a": 20, "b": 20})
    flags = ("--module", f"{module()}:two", "--train", "train", "--test", "test")
    ran = cli("run", *flags, "--device", "cpu", "--output", "out")
    for folder in ("train", "test", "modules"):
        shutil.rmtree(here / folder)
    done = process("check", "--output", "out", **without_torch)
    assert done.returncode == ran.returncode, done.stderr
    assert done.stdout == ran.stdout


def test_a_changed_threshold_is_judged_in_check(
    cli: Cli, good: str, write: Callable[[str, str], Path]
) -> None:
    config = write("auditor.toml", f'[predictions]\ntest = "{good}"\n')
    assert cli("run").returncode == 0
    config.write_text(config.read_text() + "[checks.top1-accuracy]\nmin_accuracy = 0.99\n")
    assert cli("check").returncode == 1


def test_check_takes_policy_and_evidence(cli: Cli, few: str) -> None:
    assert cli("run", "--predictions", few, "--output", "out").returncode == 3
    assert cli("check", "--evidence", "out", "--policy", "pull-request").returncode == 0


def test_check_without_evidence(cli: Cli, here: Path) -> None:
    done = cli("check", "--output", "elsewhere")
    assert done.returncode == 2
    assert "elsewhere/evidence: no evidence is stored there; `auditor run`" in done.stderr
    assert not (here / "elsewhere").exists()


def test_reports_are_rendered_from_the_audit_alone(
    cli: Cli, process: Cli, good: str, here: Path, without_torch: Mapping[str, str]
) -> None:
    cli("run", "--predictions", good)
    shutil.rmtree(here / "audit/evidence")
    shutil.copy(here / "audit/audit.json", here / "audit.json")
    done = process("render", "audit.json", "--output", "again", **without_torch)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"again/{n}" for n in ("report.html", "junit.xml", "summary.md")]
    for name in ("report.html", "junit.xml", "summary.md"):
        assert (here / "again" / name).read_bytes() == (here / "audit" / name).read_bytes()


def test_reports_are_rendered_beside_the_audit(cli: Cli, good: str, here: Path) -> None:
    cli("run", "--predictions", good, "--format", "junit")
    done = cli("render", "audit/audit.json", "--format", "markdown")
    assert done.stdout == "audit/summary.md\n"
    assert not (here / "audit/report.html").exists()


def test_the_folder_of_an_audit_is_rendered(cli: Cli, good: str, here: Path) -> None:
    cli("run", "--predictions", good, "--format", "junit")
    done = cli("render", "audit", "--format", "markdown")
    assert done.stdout == "audit/summary.md\n"
    (here / "empty").mkdir()
    assert "empty/audit.json: cannot be read" in cli("render", "empty").stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        ("not JSON", "is not JSON"),
        ("[]", "it has no schema_version"),
        ("edited", "edited after the audit"),
    ],
)
def test_an_audit_that_cannot_be_rendered(
    cli: Cli, good: str, here: Path, content: str | None, said: str
) -> None:
    path = here / "audit/audit.json"
    if content == "edited":
        cli("run", "--predictions", good)
        audit = json.loads(path.read_text())
        path.write_text(json.dumps(audit | {"summary": "Accepted, honestly."}))
    elif content is not None:
        path.parent.mkdir()
        path.write_text(content)
    done = cli("render", "audit/audit.json")
    assert done.returncode == 2
    assert f"auditor: audit/audit.json: {said}" in done.stderr or said in done.stderr
