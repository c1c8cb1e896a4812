"""What the documents promise is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditor.cli import COMMANDS
from auditor.registry import find_checks


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str, readme: str) -> None:
    assert f"`auditor {command}" in readme


def test_the_readme_lists_every_check_at_its_level(readme: str) -> None:
    listed = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (block|advise) \|", readme, re.M))
    checks = find_checks().checks.values()
    built_in = [check for check in checks if check.__module__.startswith("auditor.checks.")]
    assert listed == {check.id: check.level for check in built_in}


def test_every_link_in_the_documents_leads_somewhere(repository: Path) -> None:
    for document in repository.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (repository / target).exists(), target
