"""What ``auditor check`` may judge in the name of an ``auditor.toml``: what it names, alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Cli = Callable[..., CompletedProcess[str]]
Audited = Callable[..., str]

CANDIDATE = 'module = "{module}:two"\ninput_size = 16\nclasses = ["a", "b"]\n'
OFF = '[checks.split-overlap]\nlevel = "off"\n'


@pytest.fixture
def audited(
    here: Path, cli: Cli, image_folder: Callable[..., Path], module: Callable[..., str]
) -> Audited:
    """Audit a module that is right about every image; return its ``auditor.toml``."""
    image_folder("test", {"a": 40, "b": 40})
    image_folder("train", {"a": 40, "b": 40}, seed=1)
    image_folder("other", {"a": 40, "b": 40}, seed=2)

    def run(more: str = "", data: str = "") -> str:
        text = f"[candidate]\n{CANDIDATE.format(module=module())}[data]\ntest = 'test'\n{data}"
        text += f'[engine]\ndevice = "cpu"\n{more}'
        (here / "auditor.toml").write_text(text)
        assert cli("run").returncode == 0
        return text

    return run


def _said(done: CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (":two", ":three", 2),
        ("input_size = 16", "input_size = 24", 3),
        ("input_size = 16\n", "", 1),
        ('["a", "b"]', '["b", "a"]', 4),
        ("input_size", "pretrained = true\ninput_size", 3),
        ("input_size", "mean = [0.5, 0.5, 0.5]\ninput_size", 3),
        ("test = 'test'", "test = 'other'", 6),
        ("test = 'test'", "test = 'nowhere'", 6),
        ("[engine]", "[engine]\ndtype = 'bfloat16'", 8),
    ],
)
def test_another_candidate_or_test_set_is_refused(
    cli: Cli, here: Path, audited: Audited, old: str, new: str, line: int
) -> None:
    text = audited()
    (here / "auditor.toml").write_text(text.replace(old, new))
    done = cli("check")
    assert done.returncode == 2
    assert f"auditor.toml:{line}: [" in _said(done)
    assert "is not what the stored evidence was made from" in _said(done)


def test_saved_predictions_are_not_judged_in_the_name_of_a_model(
    cli: Cli, here: Path, good: str
) -> None:
    assert cli("run", "--predictions", good).returncode == 0
    (here / "auditor.toml").write_text('[candidate]\nmodel = "resnet18"\npretrained = true\n')
    done = cli("check")
    assert done.returncode == 2
    assert "auditor.toml:2: the stored evidence was made from saved predictions" in _said(done)


@pytest.mark.parametrize(
    ("more", "check", "key"),
    [
        ("[baseline]\nmodule = 'mine:old'\n", "latency", "[baseline] "),
        ('[overlap]\ngroups = ["patient"]\n', "group-overlap", "[overlap] groups"),
    ],
)
def test_what_was_given_after_the_run_is_an_error_of_who_asks(
    cli: Cli, here: Path, audited: Audited, more: str, check: str, key: str
) -> None:
    text = audited()
    level = f'[checks.{check}]\nlevel = "block"\n'
    (here / "auditor.toml").write_text(text + more + level)
    done = cli("check")
    assert done.returncode == 3
    assert f"! error block {check} {key}" in _said(done)
    assert "it was not given then); `auditor run` gathers anew" in _said(done)


def test_a_budget_given_after_the_run_is_held_to_nothing(
    cli: Cli, here: Path, audited: Audited
) -> None:
    text = audited()
    (here / "auditor.toml").write_text(text + '[checks.latency]\nmax_p50 = "9 s"\n')
    done = cli("check")
    assert done.returncode == 3
    assert "! error block latency nothing was timed when the evidence" in _said(done)


def test_training_data_given_after_the_run_leave_the_audit_undecided(
    cli: Cli, here: Path, audited: Audited
) -> None:
    text = audited()
    (here / "auditor.toml").write_text(text.replace("[data]", "[data]\ntrain = 'test/..'"))
    done = cli("check")
    assert done.returncode == 3
    assert "error block split-overlap [data] train: test/.." in _said(done)
    assert "no training images were given" not in _said(done)


def test_a_cheaper_dtype_given_after_the_run_is_not_skipped(
    cli: Cli, here: Path, audited: Audited
) -> None:
    text = audited()
    level = '[checks.cheaper-inference]\nlevel = "block"\n'
    cheaper = text.replace("[engine]", '[engine]\ncheaper = "bfloat16"')
    (here / "auditor.toml").write_text(cheaper + level)
    assert cli("check").returncode == 3


def test_a_project_that_moved_is_judged_where_it_is_without_data(
    cli: Cli, here: Path, audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the threshold nor the policy is what evidence was made from."""
    audited(data="train = 'train'\n")
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    for name in ("auditor.toml", "audit"):
        shutil.move(here / name, elsewhere / name)
    for name in ("train", "test", "modules"):
        shutil.rmtree(here / name, ignore_errors=True)
    assert cli("check", "elsewhere").returncode == 0
    monkeypatch.chdir(elsewhere)
    assert cli("check", str(elsewhere / "auditor.toml")).returncode == 0
    config = elsewhere / "auditor.toml"
    config.write_text(config.read_text() + "[checks.top1-accuracy]\nmin_accuracy = 0.99\n")
    assert cli("check").returncode == 3
    assert cli("check", "--policy", "pull-request").returncode == 0


def test_where_no_file_names_anything_stored_evidence_is_judged_as_it_is(
    cli: Cli, here: Path, audited: Audited
) -> None:
    audited(data="train = 'train'\n")
    (here / "auditor.toml").unlink()
    assert cli("check").returncode == 0


def test_the_next_run_calls_evidence_by_its_new_name(
    cli: Cli, here: Path, audited: Audited
) -> None:
    """The predictions are known again by their images; only what they are called has changed."""
    text = audited(OFF)
    shutil.copytree(here / "test", here / "copy")
    (here / "auditor.toml").write_text(text.replace("'test'", "'copy'"))
    assert cli("check").returncode == 2
    assert cli("run").returncode == 0
    assert cli("check").returncode == 0


def test_evidence_that_does_not_say_of_what_it_is_is_not_judged_in_a_name(
    cli: Cli, here: Path, audited: Audited
) -> None:
    import json

    audited()
    manifest = here / "audit/evidence/manifest.json"
    content = json.loads(manifest.read_text())
    for entry in content["evidence"].values():
        del entry["asked"]
    manifest.write_text(json.dumps(content))
    done = cli("check")
    assert done.returncode == 2
    assert "an earlier version gathered it, or it was merged" in _said(done)
    assert cli("run").returncode == 0
    assert cli("check").returncode == 0


def test_after_classes_in_another_order_the_next_run_is_judged_again(
    cli: Cli, here: Path, audited: Audited
) -> None:
    text = audited(data="train = 'train'\n")
    (here / "auditor.toml").write_text(text.replace('["a", "b"]', '["b", "a"]'))
    assert cli("run").returncode == 1
    done = cli("check")
    assert done.returncode == 1
    assert "other saved_classes" not in _said(done)
