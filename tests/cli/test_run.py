from __future__ import annotations

import hashlib
import json
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from auditor.record import Audit

Cli = Callable[..., CompletedProcess[str]]


def test_a_good_model_is_accepted(cli: Cli, good: str, here: Path) -> None:
    done = cli("run", "--predictions", good)
    assert done.returncode == 0
    assert done.stdout.startswith("✓ Accepted: ")
    assert "good.csv: 600 test images, 2 classes, policy sign-off" in done.stdout
    assert "✓ pass          block   top1-accuracy" in done.stdout
    for name in ("audit.json", "report.html", "junit.xml", "summary.md"):
        assert f"  audit/{name}\n" in done.stdout
        assert (here / "audit" / name).is_file()


def test_what_was_not_looked_at_is_said_once(cli: Cli, good: str) -> None:
    ran, _, idle = cli("run", "--predictions", good).stdout.partition("\nNot run\n")
    assert "split-overlap" in idle.partition("Written")[0]
    assert "– not run" not in ran


def test_a_model_that_misses_fraud_is_rejected_by_both_policies(cli: Cli, fraud: str) -> None:
    for policy in ("sign-off", "pull-request"):
        done = cli("run", "--predictions", fraud, "--policy", policy, "--output", "out")
        assert done.returncode == 1
        assert done.stdout.startswith("✗ Rejected: ")
        assert "✗ fail          block   rare-class-recall" in done.stdout


def test_too_few_images_leave_it_undecided(cli: Cli, few: str) -> None:
    assert cli("run", "--predictions", few).returncode == 3
    assert cli("run", "--predictions", few, "--policy", "pull-request").returncode == 0


def test_a_file_that_only_flags_make_whole_is_audited_and_repeated(
    cli: Cli, good: str, here: Path
) -> None:
    (here / "auditor.toml").write_text(
        f'[predictions]\ntest = "{good}"\n[candidate]\nclasses = ["cat", "dog"]\n'
        '[policy]\npreset = "signoff"\n'
    )
    assert cli("run", "auditor.toml").returncode == 2
    assert cli("run", "auditor.toml", "--policy", "sign-off").returncode == 0
    repeat = json.loads((here / "audit/audit.json").read_text())["provenance"]["repeat"]
    assert "--classes" not in repeat
    assert cli(*shlex.split(repeat)[1:]).returncode == 0


def test_only_the_formats_that_are_asked_for_are_written(cli: Cli, good: str, here: Path) -> None:
    cli("run", "--predictions", good, "--format", "junit", "--format", "markdown", "--output", "o")
    names = {path.name for path in (here / "o").iterdir()}
    assert names == {"audit.json", "junit.xml", "summary.md", "evidence"}


def test_nothing_of_an_earlier_audit_stays_beside_another(
    cli: Cli, good: str, fraud: str, here: Path
) -> None:
    """Whoever picks up the reports would publish the earlier verdict."""
    assert cli("run", "--predictions", good, "--output", "o").returncode == 0
    for name in ("overlap.csv", "clean_test.csv", "conflicts.csv", "notes.txt"):
        (here / "o" / name).write_text("earlier")
    done = cli("run", "--predictions", fraud, "--output", "o", "--format", "html")
    assert done.returncode == 1
    names = {path.name for path in (here / "o").iterdir()}
    assert names == {"audit.json", "report.html", "evidence", "notes.txt"}


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 300])
def test_no_line_is_wider_than_the_terminal(
    cli: Cli, fraud: str, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = cli("run", "--predictions", fraud).stdout
    assert max(map(len, out.splitlines())) <= max(50, min(columns, 100))
    assert all(line == line.rstrip() for line in out.splitlines())


def test_a_configuration_is_used_and_flags_are_laid_over_it(
    cli: Cli, few: str, write: Callable[[str, str], Path]
) -> None:
    write("auditor.toml", f'[predictions]\ntest = "{few}"\n[policy]\npreset = "pull-request"\n')
    done = cli("run")
    assert done.returncode == 0
    assert done.stderr.startswith("auditor: using auditor.toml\n")
    assert cli("run", "--policy", "sign-off").returncode == 3
    named = cli("run", "auditor.toml")
    assert named.returncode == 0
    assert "using" not in named.stderr


def test_flags_that_are_enough_leave_a_file_out_that_merely_lies_here(
    cli: Cli, good: str, fraud: str, write: Callable[[str, str], Path]
) -> None:
    write(
        "auditor.toml", f'[predictions]\ntest = "{fraud}"\n[checks.top1-accuracy]\nlevel = "off"\n'
    )
    done = cli("run", "--predictions", good)
    assert done.returncode == 0
    assert "auditor.toml is left out" in done.stderr
    assert "top1-accuracy" in done.stdout.partition("\nNot run\n")[0]
    both = cli("run", "auditor.toml", "--predictions", good)
    assert both.returncode == 0
    assert "off" in both.stdout.partition("\nNot run\n")[2]


def test_a_model_that_is_named_is_run_though_the_file_has_predictions(
    cli: Cli,
    few: str,
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    write: Callable[[str, str], Path],
) -> None:
    image_folder("test", {"a": 4, "b": 4})
    write("auditor.toml", f'[predictions]\ntest = "{few}"\n[candidate]\nmodel = "other"\n')
    flags = ("--module", f"{module()}:two", "--test", "test", "--device", "cpu")
    done = cli("run", "auditor.toml", *flags)
    assert ": 8 test images, 2 classes" in done.stdout


def test_a_model_and_folders_by_flags_alone(
    cli: Cli, here: Path, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    image_folder("train", {"a": 30, "b": 30}, seed=1)
    image_folder("test", {"a": 60, "b": 60})
    (here / "classes.txt").write_text("a\nb\n")
    flags = ("--module", f"{module()}:two", "--train", "train", "--test", "test")
    done = cli("run", *flags, "--classes", "classes.txt", "--device", "cpu")
    assert done.returncode in (0, 3), done.stderr
    assert "looking at test: 120 images in " in done.stderr
    audit = json.loads((here / "audit/audit.json").read_text())
    assert audit["data"]["class_order"] == "as in classes.txt"
    assert audit["data"]["train"]["predicted"] == 60


def test_neither_file_nor_flags(cli: Cli) -> None:
    done = cli("run")
    assert done.returncode == 2
    assert done.stderr.startswith("auditor: nothing to audit")
    assert "auditor init" in done.stderr
    assert "auditor demo" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("log", [None, "epoch,loss\n1,0.5\n"])
def test_a_training_log_is_read_before_any_image(
    cli: Cli,
    here: Path,
    write: Callable[[str, str], Path],
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    log: str | None,
) -> None:
    image_folder("test", {"a": 2, "b": 2})
    text = (
        f'[candidate]\nmodule = "{module()}:two"\ntraining_log = "log.csv"\n[data]\ntest = "test"'
    )
    write("auditor.toml", text)
    if log is not None:
        write("log.csv", log)
    done = cli("run")
    assert done.returncode == 2
    assert "log.csv" in done.stderr
    assert "images" not in done.stderr
    assert not [*here.glob("audit/evidence/test*")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "\n\n[checks.rare-clas-recall]\n",
            'auditor: auditor.toml:5: "rare-clas-recall" is not a check; '
            'did you mean "rare-class-recall"?',
        ),
        ("[checks.top1-accuracy]\nmin_acuracy = 0.9\n", 'auditor.toml:4: "min_acuracy" is not an'),
        ("[checks.top1-accuracy]\nmin_accuracy = 90\n", ":4: checks.top1-accuracy.min_accuracy: "),
        ("[checks]\ntop1 = \n", "not valid TOML: Invalid value (at line 4"),
        ("[cheks]\n", 'auditor.toml:3: "cheks" is not a table of auditor.toml; did you mean'),
    ],
)
def test_a_wrong_configuration(
    cli: Cli, good: str, write: Callable[[str, str], Path], text: str, said: str
) -> None:
    write("auditor.toml", f'[predictions]\ntest = "{good}"\n{text}')
    done = cli("run", "auditor.toml")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "absent.toml"), "auditor: absent.toml does not exist; `auditor init` writes one"),
        (("run", "--predictions", "absent.csv"), "absent.csv: cannot be read: No such file"),
        (("run", "--module", "no_such:f", "--test", "no-such-folder"), "no-such-folder"),
        (("run", "--train", "train"), "nothing to audit"),
        (("run", "--model", "efficientnet_b0"), "auditor: --test is missing: a flag names the"),
        (("run", "--checkpoint", "best.pth", "--train", "train"), "  --test data/test "),
        (("gather", "--module", "nets:small"), "auditor: --test is missing: a flag names the"),
        (("gather",), "nothing to gather"),
        (("run", "--polcy", "sign-off"), "No such option"),
        (("run", "--policy", "strict"), "'strict' is not one of"),
        (("rnu",), 'there is no command "rnu"; did you mean "run"?'),
        (("explain",), "Missing argument 'CHECK'"),
    ],
)
def test_a_wrong_command(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_names_cannot_write_to_the_terminal(
    cli: Cli, here: Path, saved: Callable[..., Path]
) -> None:
    counts = {"\x1b[31mcat": {"\x1b[31mcat": 300}, "\u202edog": {"\u202edog": 300}}
    done = cli("run", "--predictions", saved(counts, "hostile.csv").name)
    assert done.returncode == 0, textwrap.shorten(done.stderr, 500)
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


@pytest.mark.parametrize(
    "flag",
    ["--predictions", "--train", "--checkpoint", "--classes", "--baseline", "--output", "--model"],
)
def test_an_empty_flag_is_no_value(cli: Cli, here: Path, good: str, flag: str) -> None:
    """As from a variable that a CI job did not set; the working directory is not meant."""
    done = cli("run", "--predictions", good, flag, "")
    assert done.returncode == 2
    assert f"'{flag}': it is empty" in done.stderr
    assert not (here / "audit.json").exists()


def test_saved_predictions_win_over_a_model_and_it_is_said(
    cli: Cli, good: str, write: Callable[[str, str], Path]
) -> None:
    write("auditor.toml", f'[candidate]\nmodel = "resnet18"\n[predictions]\ntest = "{good}"\n')
    said = "the saved predictions are judged; [candidate] is not run"
    assert said in cli("run").stderr
    assert said not in cli("run", "--predictions", good).stderr


@pytest.mark.parametrize("split", ["train", "validation"])
def test_predictions_of_a_flag_stand_beside_no_others_of_the_file(
    cli: Cli, here: Path, good: str, few: str, write: Callable[[str, str], Path], split: str
) -> None:
    """They may be another model's: what the old one said of its training images tells nothing."""
    old = write("old.csv", (here / good).read_text().replace("-", "-old-"))
    write("auditor.toml", f'[predictions]\ntest = "{few}"\n{split} = "{old.name}"\n')
    said = f"auditor: leaving out [predictions] {split} of auditor.toml, as --predictions may"
    done = cli("run", "auditor.toml", "--predictions", good)
    assert said in done.stderr
    judged = Audit.read(here / "audit/audit.json").candidate.predictions_digests
    assert [*judged] == ["test"]
    assert said not in cli("run", "auditor.toml").stderr, "all of them are the file's"
    if split == "train":
        done = cli("run", "auditor.toml", "--predictions", good, "--train-predictions", old.name)
        assert said not in done.stderr
        judged = Audit.read(here / "audit/audit.json").candidate.predictions_digests
        assert {*judged} == {"test", "train"}


def test_each_file_of_predictions_is_known_by_its_digest(cli: Cli, good: str, here: Path) -> None:
    train = here / "train.csv"
    rows = [f"t{n},{('cat', 'dog')[n % 2]},{('cat', 'dog')[n % 2]}" for n in range(900)]
    train.write_text("\n".join(["image,label,predicted", *rows]))
    assert cli("run", "--predictions", good, "--train-predictions", train.name).returncode == 0
    digests = {
        split: hashlib.sha256((here / name).read_bytes()).hexdigest()
        for split, name in (("test", good), ("train", train.name))
    }
    assert Audit.read(here / "audit/audit.json").candidate.predictions_digests == digests
    page = (here / "audit/report.html").read_text()
    for title, split in (("Predictions", "test"), ("Training predictions", "train")):
        assert re.search(rf"{title} SHA-256</dt>\s*<dd>(<code>)?{digests[split]}<", page)
    assert "Validation predictions SHA-256" not in page
    for name in (good, train.name):
        (here / name).unlink()
    assert cli("check").returncode == 0
    assert Audit.read(here / "audit/audit.json").candidate.predictions_digests == digests
