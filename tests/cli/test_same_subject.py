"""What ``auditor check`` may judge in the name of an ``auditor.toml``: what it names, alone."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

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

    def run(more: str = "", data: str = "", checkpoint: str = "") -> str:
        candidate = CANDIDATE.format(module=module()) + checkpoint
        text = f"[candidate]\n{candidate}[data]\ntest = 'test'\n{data}"
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
        ("[engine]", "[engine]\npreprocessing = 'reference'", 8),
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


HELPED = """
from {helper} import swapped

def helped():
    model = two()
    model.mix.weight.data = model.mix.weight.data[[1, 0]] if swapped() else model.mix.weight.data
    return model
"""


@pytest.fixture
def helped(
    here: Path, cli: Cli, image_folder: Callable[..., Path], module: Callable[..., str]
) -> dict[str, Path]:
    """Audit a module that another one helps; return the files of both, and of one apart."""
    image_folder("test", {"a": 40, "b": 40})
    helper = module("def swapped():\n    return False\n", by_colour=False)
    apart, name = module(), module(HELPED.format(helper=helper))
    candidate = CANDIDATE.format(module=name).replace(":two", ":helped")
    (here / "auditor.toml").write_text(
        f"[candidate]\n{candidate}[data]\ntest = 'test'\n[engine]\ndevice = \"cpu\"\n"
    )
    assert cli("run").returncode == 0
    folder = here / "modules"
    named = {"module": name, "helper": helper, "apart": apart}
    return {key: folder / f"{each}.py" for key, each in named.items()}


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [("module", "if swapped()", "if not swapped()"), ("helper", "return False", "return True")],
)
def test_a_module_that_was_edited_is_another_candidate(
    cli: Cli, helped: dict[str, Path], key: str, old: str, new: str
) -> None:
    whole = helped[key].read_text()
    assert old in whole
    helped[key].write_text(whole.replace(old, new))
    done = cli("check")
    assert done.returncode == 2
    assert f"auditor.toml:2: [candidate] module: {helped['module'].stem}:helped is not" in _said(
        done
    )
    assert "(it held something else then)" in _said(done)
    helped[key].write_text(whole)
    assert cli("check").returncode == 0


def test_a_module_that_is_not_here_or_that_it_does_not_import_says_nothing(
    cli: Cli, helped: dict[str, Path]
) -> None:
    helped["apart"].write_text("x = 1")
    assert cli("check").returncode == 0
    helped["helper"].unlink()
    assert cli("check").returncode == 0
    helped["module"].unlink()
    assert cli("check").returncode == 0


@pytest.mark.parametrize(
    ("named", "said"), [("one", "it held something else then"), ("two", "it was one.pt then")]
)
def test_other_weights_are_told_from_another_file(
    cli: Cli, here: Path, audited: Audited, named: str, said: str
) -> None:
    for size, name in enumerate(("one", "two"), 9):
        weight = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]) * size
        torch.save({"mix.weight": weight, "mix.bias": torch.zeros(2)}, here / f"{name}.pt")
    text = audited(checkpoint="checkpoint = 'one.pt'\n")
    shutil.copy(here / "two.pt", here / "one.pt")
    (here / "auditor.toml").write_text(text.replace("one.pt", f"{named}.pt"))
    done = cli("check")
    assert done.returncode == 2
    assert f"{named}.pt is not what the stored evidence was made from ({said})" in _said(done)


def test_saved_predictions_are_not_judged_in_the_name_of_a_model(
    cli: Cli, here: Path, good: str
) -> None:
    assert cli("run", "--predictions", good).returncode == 0
    (here / "auditor.toml").write_text('[candidate]\nmodel = "resnet18"\npretrained = true\n')
    done = cli("check")
    assert done.returncode == 2
    assert "auditor.toml:2: the stored evidence was made from saved predictions" in _said(done)


def test_evidence_that_says_it_was_made_from_another_file_is_not_judged(
    cli: Cli, here: Path, good: str, fraud: str
) -> None:
    """Swapped together with its digest, it is whole."""
    (here / "auditor.toml").write_text(f'[predictions]\ntest = "{good}"\n')
    assert cli("run").returncode == 0
    cli("run", "--predictions", fraud, "--output", "other")
    own, other = (here / of / "evidence" for of in ("audit", "other"))
    shutil.copy(other / "test.parquet", own)
    said = [json.loads((of / "manifest.json").read_text()) for of in (own, other)]
    for key in ("sha256", "rows"):
        said[0]["evidence"]["test"][key] = said[1]["evidence"]["test"][key]
    (own / "manifest.json").write_text(json.dumps(said[0]))
    done = cli("check")
    assert done.returncode == 2
    assert f"[predictions] test: {good} is not what the stored evidence was made" in _said(done)
    assert cli("run").returncode == cli("check").returncode == 0


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


@pytest.fixture
def listed(here: Path, cli: Cli, image_folder: Callable[..., Path], suffix: str) -> Path:
    """Audit saved predictions on images of a manifest; return the manifest."""
    image_folder("data", {"a": 40, "b": 40})
    images = [f"{name}/{n:04}.png" for name in "ab" for n in range(40)]
    manifest = here / "data" / f"test{suffix}"
    _list(manifest, images, [image[0] for image in images])
    rows = [f"{image},{image[0]},{image[0]}" for image in images]
    (here / "saved.csv").write_text("\n".join(["image,label,predicted", *rows]))
    (here / "auditor.toml").write_text(
        f"[data]\ntest = 'data/{manifest.name}'\n[predictions]\ntest = 'saved.csv'\n"
    )
    assert cli("run").returncode == 0
    assert cli("check").returncode == 0
    return manifest


def _list(manifest: Path, images: list[str], labels: list[str]) -> None:
    if manifest.suffix == ".parquet":
        pq.write_table(pa.table({"image": images, "label": labels}), manifest)
        return
    rows = (f"{image},{label}" for image, label in zip(images, labels, strict=True))
    manifest.write_text("\n".join(["image,label", *rows]))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_labels_that_changed_since_are_not_judged_as_they_were(
    cli: Cli, here: Path, listed: Path
) -> None:
    whole = listed.read_bytes()
    images = [f"{name}/{n:04}.png" for name in "ab" for n in range(40)]
    _list(listed, images, ["ba"["ab".index(image[0])] for image in images])
    done = cli("check")
    assert done.returncode == 2
    said = "is not what the stored evidence was made from (it held something else then)"
    assert f"auditor.toml:2: [data] test: data/{listed.name} {said}" in _said(done)
    listed.write_bytes(whole)
    assert cli("check").returncode == 0
    listed.unlink()
    assert cli("check").returncode == 0, "stored evidence needs no data"
    _list(listed, images[:9], ["a"] * 9)
    manifest = here / "audit/evidence/manifest.json"
    content = json.loads(manifest.read_text())
    for entry in content["evidence"].values():
        entry["asked"]["data"]["test"].pop("sha256", None)
    manifest.write_text(json.dumps(content))
    assert cli("check").returncode == 0, "evidence of before is judged as it was"


def test_images_in_parquet_are_told_apart_by_their_labels(
    cli: Cli, here: Path, module: Callable[..., str], image_folder: Callable[..., Path]
) -> None:
    folder = image_folder("test", {"a": 40, "b": 40})
    files = sorted(folder.rglob("*.png"))
    images = [{"bytes": path.read_bytes(), "path": None} for path in files]
    names = [path.parent.name for path in files]
    pq.write_table(pa.table({"image": images, "label": names}), here / "test.parquet")
    (here / "auditor.toml").write_text(
        f"[candidate]\n{CANDIDATE.format(module=module())}[data]\ntest = 'test.parquet'\n"
        '[engine]\ndevice = "cpu"\n'
    )
    assert cli("run").returncode == 0
    assert cli("check").returncode == 0
    pq.write_table(pa.table({"image": images, "label": names[::-1]}), here / "test.parquet")
    done = cli("check")
    assert done.returncode == 2
    assert "[data] test: test.parquet is not what the stored evidence was made" in _said(done)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda at: shutil.copy(at / "a/0000.png", at / "b/new.png"), "1 new image, first b/new"),
        (lambda at: (at / "a/0003.png").unlink(), "1 missing image, first a/0003.png"),
        (
            lambda at: (at / "a/0001.png").rename(at / "b/moved.png"),
            "1 new image, first b/moved.png; 1 missing image, first a/0001.png",
        ),
    ],
)
def test_a_folder_that_holds_other_images_now_is_not_judged_as_it_was(
    cli: Cli, here: Path, audited: Audited, change: Callable[[Path], object], said: str
) -> None:
    audited(OFF, data="train = 'train'\n")
    change(here / "test")
    done = cli("check")
    assert done.returncode == 2
    assert "auditor.toml:6: [data] test: test is not what the stored evidence was" in _said(done)
    assert f"({said}" in _said(done)
    assert cli("run").returncode == cli("check").returncode != 2


def test_other_training_images_are_an_error_of_who_asks_for_them(
    cli: Cli, here: Path, audited: Audited
) -> None:
    audited(data="train = 'train'\n")
    shutil.copy(here / "test/a/0000.png", here / "train/a/leaked.png")
    done = cli("check")
    assert done.returncode == 3
    assert "error block split-overlap [data] train: train is not what" in _said(done)
    assert cli("run").returncode == 1


def test_a_folder_without_its_images_says_nothing(cli: Cli, here: Path, audited: Audited) -> None:
    """What judges may be a checkout that holds no data."""
    audited(OFF)
    shutil.rmtree(here / "test")
    (here / "test").mkdir()
    (here / "test/README.md").write_text("fetched by `dvc pull`")
    assert cli("check").returncode == 0


def test_labels_that_a_flag_named_are_no_others(
    cli: Cli, here: Path, module: Callable[..., str], image_folder: Callable[..., Path]
) -> None:
    """Read without it they are numbers, of which nothing is known."""
    folder = image_folder("test", {"a": 40, "b": 40})
    with tarfile.open(here / "test.tar", "w") as tar:
        for path in sorted(folder.rglob("*.png")):
            key = f"{path.parent.name}-{path.stem}"
            tar.add(path, f"{key}.png")
            (here / "label").write_text(str("ab".index(path.parent.name)))
            tar.add(here / "label", f"{key}.cls")
    (here / "names.txt").write_text("a\nb\n")
    candidate = CANDIDATE.format(module=module()).replace('classes = ["a", "b"]\n', "")
    (here / "auditor.toml").write_text(
        f"[candidate]\n{candidate}[data]\ntest = 'test.tar'\n[engine]\ndevice = \"cpu\"\n"
    )
    assert cli("run", "auditor.toml", "--classes", "names.txt").returncode == 0
    assert cli("check").returncode == 0


def test_a_sample_is_known_again_by_the_images_that_it_was_drawn_from(
    cli: Cli, here: Path, audited: Audited
) -> None:
    audited(OFF, data="train = 'train'\ntrain_sample = 30\n")
    assert cli("check").returncode == 0
    for number in range(30):
        shutil.copy(here / "train/a/0000.png", here / f"train/a/more{number}.png")
    done = cli("check")
    assert "error block overfitting [data] train: train is not what" in _said(done)
