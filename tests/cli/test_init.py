from __future__ import annotations

import argparse
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from auditor.cli.draft import draft
from auditor.cli.folder import look
from auditor.config import Config, ConfigSource, load_config
from auditor.registry import configure, find_checks

Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture
def timm_run(here: Path) -> Callable[..., Path]:
    """Write a checkpoint as timm's training script does, and what it puts beside it."""

    def make(outputs: int = 2, **changes: Any) -> Path:
        import timm
        import torch

        torch.manual_seed(0)
        model = timm.create_model("test_efficientnet", num_classes=outputs)
        args = argparse.Namespace(model="test_efficientnet", num_classes=outputs, lr=0.1)
        content = {"epoch": 3, "arch": "test_efficientnet", "state_dict": model.state_dict()}
        content |= {"optimizer": {}, "version": 2, "args": args, "metric": 50.0} | changes
        folder = here / "output/train/20250101-test_efficientnet-160"
        folder.mkdir(parents=True)
        kept = {key: value for key, value in content.items() if value is not None}
        for name in ("model_best.pth.tar", "checkpoint-3.pth.tar", "last.pth.tar"):
            torch.save(kept, folder / name)
        (folder / "args.yaml").write_text("lr: 0.1\nmodel: test_efficientnet\nnum_classes: 2\n")
        (folder / "summary.csv").write_text(
            "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,1.1,1.0,40.0,99,0.1\n"
        )
        return folder

    return make


def load(here: Path) -> dict[str, Any]:
    load_config(here / "auditor.toml")
    return tomllib.loads((here / "auditor.toml").read_text())


def test_a_folder_of_timm_is_audited_with_two_commands(
    cli: Cli, here: Path, image_folder: Callable[..., Path], timm_run: Callable[..., Path]
) -> None:
    image_folder("train", {"cat": 8, "dog": 8}, seed=1)
    image_folder("test", {"cat": 6, "dog": 6})
    folder = timm_run().relative_to(here)
    done = cli("init")
    assert done.returncode == 0, done.stderr
    assert "model_best.pth.tar (2 outputs; chosen from 3 checkpoints)" in " ".join(
        done.stdout.split()
    )
    assert done.stdout.endswith("Wrote auditor.toml. Next: auditor run\n")
    config = load(here)
    assert config["candidate"] == {
        "model": "test_efficientnet",
        "checkpoint": f"{folder}/model_best.pth.tar",
        "training_log": f"{folder}/summary.csv",
    }
    assert config["data"] == {"train": "train", "test": "test"}

    ran = cli("run")
    assert ran.returncode in (1, 3), ran.stderr
    assert "test_efficientnet: 12 test images, 2 classes" in ran.stdout
    assert (here / "audit/report.html").is_file()


COMMENTED = re.compile(r"# (\[|[a-z0-9_]+ = )")
EVERYTHING = ("baseline", "baseline_model", "groups")
"""Evidence that makes a check block, once it is given."""
ALTERNATIVES = {"module", "address"}
"""Keys that do not go with what else stands in the file."""


def key(line: str) -> str:
    return line.removeprefix("# ").partition(" = ")[0]


def test_every_line_can_be_uncommented(cli: Cli, here: Path) -> None:
    cli("init")
    path = here / "auditor.toml"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if key(line) not in ALTERNATIVES]
    path.write_text("\n".join(line[2:] if COMMENTED.match(line) else line for line in kept))
    config, _ = load_config(path)
    given = tomllib.loads(path.read_text())
    for name in Config.model_fields.keys() - {"checks"}:
        table, value = given[name], getattr(config, name)
        if name == "waivers":
            table, value = table[0], value[0]
        assert table.keys() == type(value).model_fields.keys() - ALTERNATIVES, name
    checks = find_checks().checks
    assert config.checks.keys() == checks.keys()
    for id, check in config.checks.items():
        assert check.level == ("block" if checks[id].blocks_once else checks[id].level)
        assert check.options.keys() == checks[id].model_fields.keys()
        checks[id](**check.options)


def test_each_line_can_be_uncommented_alone(cli: Cli, here: Path) -> None:
    cli("init")
    path = here / "auditor.toml"
    lines = path.read_text().splitlines()
    end = next(n for n, line in enumerate(lines) if line.startswith("# [latency]"))
    numbers = [n for n, line in enumerate(lines[:end]) if COMMENTED.match(line)]
    assert len(numbers) > 100
    for n in numbers:
        alone = [line[2:] if i == n else line for i, line in enumerate(lines)]
        if key(lines[n]) == "address":
            alone[n] += '\nkind = "ray"'
        path.write_text("\n".join(alone))
        config, source = load_config(path)
        configure(find_checks(), config.checks, source)


def test_what_has_a_default_stands_there_with_it(cli: Cli, here: Path) -> None:
    cli("init")
    lines = (here / "auditor.toml").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("[checks."))
    end = next(n for n, line in enumerate(lines) if line.startswith("# The rest"))
    shown = [line[2:] if COMMENTED.match(line) else line for line in lines[start:end]]
    defaults = [line for n, line in enumerate(shown) if "(example)" not in shown[n - 1] + line]
    registry, source = find_checks(), ConfigSource()
    written = Config.model_validate(tomllib.loads("\n".join(defaults))).checks
    assert [*written] == [*registry.checks]
    for given in [(), *((name,) for name in EVERYTHING), EVERYTHING]:
        available = frozenset(given)
        usual = configure(registry, {}, source, available)
        assert configure(registry, written, source, available) == usual
    assert {each.level for each in usual.checks} == {"advise", "block"}


def test_it_never_overwrites_unless_told(cli: Cli, here: Path) -> None:
    (here / "auditor.toml").write_text("mine")
    done = cli("init")
    assert done.returncode == 2
    assert done.stderr == "auditor: auditor.toml exists; --force overwrites it\n"
    assert (here / "auditor.toml").read_text() == "mine"
    assert cli("init", "--force").returncode == 0
    load(here)


def test_an_empty_folder_gets_a_file_to_fill_in(cli: Cli, here: Path) -> None:
    done = cli("init")
    assert done.returncode == 0
    assert "no test data: fill in [data] test, or [predictions] test" in done.stdout
    assert "no checkpoint" in done.stdout
    assert "Next: fill in what it marks with FILL IN, then auditor run" in done.stdout
    assert load(here)["data"] == {}
    ran = cli("run")
    assert ran.returncode == 2
    assert "auditor.toml: nothing to judge" in ran.stderr


def test_what_stands_behind_a_mark_is_a_default_or_said_to_be_an_example(
    cli: Cli, here: Path
) -> None:
    cli("init")
    path = here / "auditor.toml"
    lines = path.read_text().splitlines()
    end = next(n for n, line in enumerate(lines) if line.startswith("# [latency]"))
    told, about = [], ""
    for line in lines[:end]:
        about += line
        if COMMENTED.match(line) or not line.startswith("#"):
            told += [line.removeprefix("# ")] if "(example)" not in about else []
            about = ""
    path.write_text("\n".join(told))
    given, plain = load_config(path)[0], Config()
    for name in Config.model_fields.keys() - {"checks", "output"}:
        assert getattr(given, name) == getattr(plain, name), name
    candidate = "\n".join(lines).partition("[candidate]")[2].partition("\n[data]")[0]
    keys = [key(line) for line in candidate.splitlines() if COMMENTED.match(line)]
    assert keys[:5] == ["name", "model", "module", "checkpoint", "pretrained"]
    assert '# max_activations = "7 M"' in lines


def test_saved_predictions_are_judged(cli: Cli, here: Path, good: str) -> None:
    (here / good).rename(here / "predictions.csv")
    assert "predictions.csv" in cli("init").stdout
    assert "FILL IN" not in (here / "auditor.toml").read_text()
    assert load(here)["predictions"] == {"test": "predictions.csv"}
    assert cli("run").returncode == 0


def test_another_folder(cli: Cli, here: Path, image_folder: Callable[..., Path]) -> None:
    image_folder("project/data/train", {"a": 1, "b": 1})
    image_folder("project/data/Test", {"a": 1, "b": 1})
    done = cli("init", "project")
    assert done.stdout.endswith(
        "Wrote project/auditor.toml. Next: fill in what it marks with FILL IN, then auditor run "
        "project/auditor.toml\n"
    )
    assert load(here / "project")["data"] == {"train": "data/train", "test": "data/Test"}
    assert cli("init", "absent").returncode == 2
    assert "no model was given" in cli("run", "project").stderr


def test_validation_data_is_judged_only_where_there_is_no_test_set(
    here: Path, image_folder: Callable[..., Path]
) -> None:
    image_folder("dataset/val", {"a": 1, "b": 1})
    folder = look(here)
    assert folder.test is not None
    assert folder.test.kind == "validation"
    assert "# There is no test set" in draft(folder, find_checks())
    image_folder("test", {"a": 1, "b": 1})
    folder = look(here)
    assert folder.test is not None
    assert folder.test.path == here / "test"


def test_manifests_and_class_names_are_found(
    cli: Cli, here: Path, write: Callable[[str, str], Path]
) -> None:
    write("data/train.csv", "image,label\na.jpg,a\n")
    write("data/test.csv", "file,class\na.jpg,a\n")  # not a manifest
    write("test.csv", "image,label\nb.jpg,b\n")
    write("labels.txt", "a\nb\n")
    cli("init")
    config = load(here)
    assert config["data"] == {"train": "data/train.csv", "test": "test.csv"}
    assert config["candidate"] == {"classes": "labels.txt"}


def test_a_checkpoint_that_names_no_architecture(
    cli: Cli, here: Path, timm_run: Callable[..., Path]
) -> None:
    folder = timm_run(arch=None, args=None)
    assert "Next: auditor run" in cli("init").stdout
    assert load(here)["candidate"]["model"] == "test_efficientnet"  # as args.yaml says
    (folder / "args.yaml").unlink()
    done = cli("init", "--force")
    assert 'the checkpoint has no "arch": fill in [candidate] model' in done.stdout
    assert "model" not in load(here)["candidate"]
    assert "# FILL IN: the checkpoint" in (here / "auditor.toml").read_text()


def test_outputs_that_do_not_fit_the_class_folders_are_said(
    cli: Cli, here: Path, image_folder: Callable[..., Path], timm_run: Callable[..., Path]
) -> None:
    image_folder("train", {"a": 1, "b": 1, "c": 1})
    timm_run(2)
    said = " ".join(cli("init").stdout.split())
    assert "the checkpoint has 2 outputs, train has 3 classes" in said


def test_a_checkpoint_that_cannot_be_read(cli: Cli, here: Path) -> None:
    (here / "best.pth").write_bytes(b"not a checkpoint")
    done = cli("init")
    assert done.returncode == 0
    assert "is not a checkpoint that torch can load" in " ".join(done.stdout.split())
    assert load(here)["candidate"] == {"checkpoint": "best.pth"}


def test_the_best_is_taken_then_the_newest(here: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    for age, name in enumerate(("runs/7/best.safetensors", "new.safetensors", "optimizer.pt")):
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"fc.weight": np.zeros((age + 2, 3), np.float32)}, path)
        os.utime(path, (1_000_000 + age,) * 2)
    found = look(here).weights
    assert found is not None
    assert (found.path, found.others, found.outputs) == (here / "runs/7/best.safetensors", 1, 2)
    (here / "runs/7/best.safetensors").unlink()
    found = look(here).weights
    assert found is not None
    assert found.path == here / "new.safetensors"


@pytest.mark.parametrize(
    ("files", "named", "said"),
    [
        (["test-0.tar", "test-1.tar"], "test-*.tar", "2 tars"),
        (["data/test.tar"], "data/test.tar", "a tar"),
        (["test/0.parquet", "test/1.parquet"], "test", "Parquet files"),
        (["test/state.json"], "test", "a data set on disk"),
    ],
)
def test_images_in_few_files_are_found(
    cli: Cli, here: Path, files: list[str], named: str, said: str
) -> None:
    for file in files:
        (here / file).parent.mkdir(exist_ok=True)
        (here / file).touch()
    done = cli("init")
    assert f"test         {named} ({said})" in done.stdout
    assert load(here)["data"]["test"] == named


def test_a_manifest_is_no_predictions_and_folders_may_be_written_large(
    cli: Cli, here: Path, image_folder: Callable[..., Path], write: Callable[[str, str], Path]
) -> None:
    image_folder("Data/Train", {"a": 1, "b": 1})
    image_folder("Data/Test", {"a": 1, "b": 1})
    write("predictions.csv", "image,label\na.jpg,a\n")
    cli("init")
    config = load(here)
    assert config["data"] == {"train": "Data/Train", "test": "Data/Test"}
    assert config["predictions"] == {}
