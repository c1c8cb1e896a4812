"""What an audit writes is of what it judged, whoever else uses the folder meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from auditor.record import Audit
from auditor.store import Store

Cli = Callable[..., CompletedProcess[str]]

LISTS = ("overlap.csv", "clean_test.csv")
EVIDENCE = ("overlap", "test_signatures")


@pytest.fixture
def words(here: Path, image_folder: Callable[..., Path], module: Callable[..., str]) -> list[str]:
    """An audit of a split with one leaked image."""
    train = image_folder("train", {"a": 4, "b": 4}, seed=1)
    test = image_folder("test", {"a": 4, "b": 4})
    (test / "a" / "leak.png").write_bytes((train / "a" / "0000.png").read_bytes())
    model = ("--module", f"{module()}:two")
    return [*model, "--train", train.name, "--test", test.name]


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_lists_are_of_what_was_judged(
    cli: Cli, here: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    cli("run", *words)
    alone = [(here / "audit" / name).read_text() for name in LISTS]
    assert "leak.png" in alone[0]
    (here / "test" / "a" / "leak.png").unlink()
    cli("run", *words, "--output", "other")
    (here / "test" / "a" / "leak.png").write_bytes((here / "train" / "a" / "0000.png").read_bytes())
    write, other = Audit.write, Store(here / "other" / "evidence")

    def late(self: Audit, path: Path) -> None:
        mine = Store(here / "audit" / "evidence")
        for name in EVIDENCE:
            table, key = other.load(name), other.key(name)
            assert table is not None
            assert key is not None
            mine.save(name, key, table, other.origin(name))
        write(self, path)

    monkeypatch.setattr(Audit, "write", late)
    cli(command, *(words if command == "run" else []))
    assert [(here / "audit" / name).read_text() for name in LISTS] == alone
    stored, digests = Store(here / "audit" / "evidence").digests(), other.digests()
    assert {name: stored[name] for name in EVIDENCE} == {name: digests[name] for name in EVIDENCE}
    said = Audit.read(here / "audit" / "audit.json").provenance.evidence
    assert {name for name in EVIDENCE if said[name] == digests[name]} == set()


@pytest.mark.parametrize("package", ["torch", "onnxruntime", "onnx"])
def test_the_versions_that_decide_predictions_are_named(cli: Cli, good: str, package: str) -> None:
    cli("run", "--predictions", good)
    audit = Audit.read(Path("audit/audit.json"))
    assert audit.provenance.packages[package] == version(package)


def test_a_crash_is_judged_in_the_place_of_what_was_stored_before_and_costs_nothing(
    cli: Cli,
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    counted: str,
    looked: Callable[[], int],
) -> None:
    data = ["--test", str(image_folder("test", {"a": 50, "b": 50}))]
    first = cli("run", "--module", counted, *data)
    assert looked() == 100
    broken = f"{module('def broken(): raise SystemExit(1)')}:broken"
    for done in (cli("run", "--module", broken, *data), cli("check")):
        assert done.returncode == 2
        assert "SystemExit: 1" in done.stderr.splitlines()[-1]
    again = cli("run", "--module", counted, *data)
    assert (again.returncode, looked()) == (first.returncode, 0)


def test_no_run_removes_or_replaces_what_it_is_given(
    cli: Cli, here: Path, good: str, write: Callable[[str, str], Path]
) -> None:
    (here / "del").mkdir()
    for name in ("overlap.csv", "clean_test.csv", "junit.xml", "summary.md"):
        (here / good).rename(here / "del" / name)
        (here / good).symlink_to(here / "del" / name)
        content = (here / "del" / name).read_bytes()
        for given in (f"del/{name}", good):
            done = cli("run", "--predictions", given, "--output", "del")
            assert done.returncode == 2
            assert f"{given} would be replaced by what this audit writes" in done.stderr
            assert (here / "del" / name).read_bytes() == content
        (here / good).unlink()
        (here / "del" / name).rename(here / good)
    config = write("auditor.toml", f'[predictions]\ntest = "{good}"\n[output]\ndirectory = "."\n')
    write("audit.json", "[]")
    config.write_text(config.read_text() + '[candidate]\ntraining_log = "audit.json"\n')
    assert "auditor.toml:6: audit.json would be replaced" in cli("run").stderr


def test_files_of_others_are_left_where_no_audit_lies(cli: Cli, here: Path, good: str) -> None:
    for name in ("overlap.csv", "junit.xml"):
        (here / name).write_text("mine")
    words = ("run", "--predictions", good, "--output", ".", "--format", "html")
    assert cli(*words).returncode == 0
    assert [(here / n).read_text() for n in ("overlap.csv", "junit.xml")] == ["mine", "mine"]
    assert cli(*words).returncode == 0  # an audit lies there now, which such files would contradict
    assert not (here / "overlap.csv").exists()
    assert (here / "junit.xml").read_text() == "mine"
