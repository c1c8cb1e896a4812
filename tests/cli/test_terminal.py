"""What reaches a terminal: no name is a command to the CI server that reads the log."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditor.terminal import inert

Cli = Callable[..., CompletedProcess[str]]

HOSTILE = (
    "::add-mask::pass",
    "##vso[task.complete result=Succeeded;]x",
    "##[error]",
    "a long name so that what follows it is wrapped to a line of its own  ::stop-commands::x",
)
PIECES = st.sampled_from(
    [":", "::", "#", "##", "[", "vso[", " ", "\n", "a", "]", "\x1b[1m", "\xa0"]
)


def commands(text: str) -> list[str]:
    """Find what GitHub's and Azure's runners may take for a command: "##" with any area."""
    lines = click.unstyle(text).splitlines()
    return [line for line in lines if line.strip().startswith("::") or re.search(r"##\w*\[", line)]


@example(":\x1b[1m:")
@example("#\x1b[1m#\x1b[1mvso\x1b[1m[")
@given(st.lists(PIECES).map("".join))
def test_no_text_is_a_command_and_nothing_else_is_changed(text: str) -> None:
    assert not commands(inert(text))
    assert inert(text).replace("\u200b", "") == text
    if not commands(text):
        assert click.unstyle(inert(text)) == click.unstyle(text)


@pytest.fixture
def two_audits(cli: Cli, here: Path) -> tuple[str, str]:
    for name, every in (("one", 3), ("two", 2)):
        with (here / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "label", "predicted"])
            for i, label in enumerate(HOSTILE):
                other = HOSTILE[(i + 1) % len(HOSTILE)]
                for k in range(30):
                    writer.writerow([f"::error::{label}{k}", label, label if k % every else other])
        done = cli("run", "--predictions", f"{name}.csv", "--output", name)
        assert "add-mask" in done.stdout
        assert not commands(done.stdout + done.stderr)
    return "one", "two"


def test_no_name_in_a_verdict_or_a_difference_is_a_command(
    cli: Cli, two_audits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in range(40, 101, 5):
        monkeypatch.setenv("COLUMNS", str(columns))
        done = cli("diff", *two_audits)
        assert done.returncode == 0
        assert "task.complete" in done.stdout
        assert not commands(done.stdout + done.stderr)


def test_nor_is_a_name_in_an_error(cli: Cli, two_audits: tuple[str, str], here: Path) -> None:
    (here / "auditor.toml").write_text(
        '[predictions]\ntest = "one.csv"\n'
        '[checks.rare-class-recall]\nclasses = ["x\\n::add-mask::pass"]\n'
    )
    done = cli("run", "auditor.toml")
    assert done.returncode != 0
    assert "add-mask" in done.stdout + done.stderr
    assert not commands(done.stdout + done.stderr)


def test_no_id_is_broken_at_a_hyphen(
    cli: Cli, two_audits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in range(42, 101, 6):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = cli("run", "--predictions", "one.csv").stdout.splitlines()
        assert any("precision-recall-gap" in line for line in lines)
        assert not [line for line in lines if line.endswith(("-", "rare", "accuracy-"))]
