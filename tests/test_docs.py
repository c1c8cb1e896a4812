"""What the documents promise is there."""

from __future__ import annotations

import pkgutil
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from auditor import overlap
from auditor.check import Status
from auditor.cli import COMMANDS, auditor
from auditor.record import Audit
from auditor.registry import find_checks


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str, readme: str) -> None:
    assert f"`auditor {command}" in readme


def test_the_readme_names_arguments_as_the_help_does(readme: str) -> None:
    rows = dict(re.findall(r"^\| `auditor (\w+) (\S+)` \|", readme, re.M))
    for name in ("cache", "render"):
        command = auditor.get_command(click.Context(auditor), name)
        assert command is not None
        assert rows[name] in command.collect_usage_pieces(click.Context(command))


def test_the_readme_lists_every_check_at_its_level(readme: str) -> None:
    listed = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (block|advise) \|", readme, re.M))
    checks = find_checks().checks.values()
    built_in = [check for check in checks if check.__module__.startswith("auditor.checks.")]
    assert listed == {check.id: check.level for check in built_in}


def test_a_check_is_added_as_the_documents_say(
    repository: Path,
    plug_in: Callable[..., str],
    run: Callable[..., Audit],
    saved: Callable[..., Path],
) -> None:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, section = text.partition("## Add a check in ten minutes")
    code = re.search(r"```python\n(.*?)```", section, re.S)
    assert code is not None
    plug_in(textwrap.dedent(code[1]), checks={"worst-class": "{}:WorstClass"})
    audit = run(predictions={"test": saved({"a": {"a": 90}, "b": {"a": 60, "b": 30}})})
    check = audit.check("worst-class")
    assert (check.status, check.level) == (Status.FAIL, "block")
    assert re.search(r"^4\. .*README's table", section, re.M)  # without its row the tests fail


def test_what_is_reckoned_follows_from_what_was_measured(repository: Path) -> None:
    page = (repository / "docs/overlap-at-scale.md").read_text(encoding="utf-8")
    measured = (repository / "tests/benchmarks/RESULTS.md").read_text(encoding="utf-8")
    rows = re.findall(r"`, ([\d,]+)/s a core \| [\d.]+ ms \| (\d+) core-hours, \$(\d+) \|", page)
    assert len(rows) == 2
    for rate, hours, dollars in rows:
        assert f" {rate} (" in measured
        spent = 1e9 / int(rate.replace(",", "")) / 3600
        assert (round(spent), round(spent * 0.04)) == (int(hours), int(dollars))
    joins = re.findall(r"\bin ([\d.]+ s) at radius 10|that \(([\d.]+ s)\)", page)
    assert [one or other for one, other in joins] == ["3.8 s", "5.5 s"]
    assert re.search(r"\*\*10\*\* \| \*\*3\.8 s\*\* .* \*\*5\.5 s\*\*", measured)


def test_every_link_in_the_documents_leads_somewhere(repository: Path) -> None:
    for document in repository.glob("*.md"):
        text = document.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (repository / target).exists(), target


def test_the_package_of_the_overlap_names_its_modules_and_no_others() -> None:
    said = re.findall(r"``(\w+)``", str(overlap.__doc__))
    assert sorted(said) == [module.name for module in pkgutil.iter_modules(overlap.__path__)]
