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
