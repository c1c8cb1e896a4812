from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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


def test_the_folder_of_an_audit_in_place_of_the_file(cli: Cli, good: str, here: Path) -> None:
    assert cli("run", "--predictions", good, "--output", "of it").returncode == 0
    done = cli("check", "of it")
    assert done.returncode == 2
    assert "of it: is the folder of an audit; name it by --output 'of it'" in done.stderr
    assert cli("check", "--output", "of it").returncode == 0
    (here / "of it" / "auditor.toml").write_text('[output]\ndirectory = "."\n')
    assert cli("check", "of it").returncode == 0


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


def test_reports_of_two_audits_are_not_mixed(cli: Cli, good: str, few: str, here: Path) -> None:
    cli("run", "--predictions", good, "--output", "one")
    cli("run", "--predictions", few, "--output", "two")
    before = {path: path.read_bytes() for path in Path("two").iterdir() if path.is_file()}
    done = cli("render", "one", "--output", "two")
    assert done.returncode == 2
    assert "two/audit.json: is another audit than the one to render" in done.stderr
    assert all(path.read_bytes() == content for path, content in before.items())
    (here / "two/audit.json").unlink()
    for name, rest in (("report.html", "junit"), ("junit.xml", "markdown"), ("summary.md", "html")):
        shutil.rmtree(here / "three", ignore_errors=True)
        (here / "three").mkdir()
        shutil.copy(here / "two" / name, here / "three" / name)
        done = cli("render", "one", "--output", "three", "--format", rest)
        assert done.returncode == 2
        assert f"three/{name}: is the report of another audit; remove it" in done.stderr
        assert [path.name for path in (here / "three").iterdir()] == [name]
    assert cli("render", "one", "--output", "two").returncode == 0


def test_reports_stand_beside_what_is_no_report_of_an_audit(
    cli: Cli, good: str, here: Path
) -> None:
    cli("run", "--predictions", good)
    (here / "junit.xml").write_text("<testsuites/>")
    assert cli("render", "audit", "--output", ".", "--format", "markdown").returncode == 0
    assert cli("render", "audit", "--output", ".", "--format", "html").returncode == 0
    assert (here / "junit.xml").read_text() == "<testsuites/>"


def test_the_folder_of_an_audit_is_rendered(cli: Cli, good: str, here: Path) -> None:
    cli("run", "--predictions", good, "--format", "junit")
    done = cli("render", "audit", "--format", "markdown")
    assert done.stdout == "audit/summary.md\n"
    (here / "empty").mkdir()
    said = cli("render", "empty").stderr
    assert said.endswith("auditor: empty: holds no audit.json; auditor run writes one\n")


@pytest.mark.parametrize("command", [("render", "b0"), ("diff", "b0", "b0/audit")])
def test_a_folder_that_has_its_audit_further_down_is_told_where(
    cli: Cli, good: str, command: tuple[str, ...]
) -> None:
    assert cli("run", "--predictions", good, "--output", "b0/audit").returncode == 0
    done = cli(*command)
    assert done.returncode == 2
    assert done.stderr.endswith("auditor: b0: holds no audit.json; name b0/audit, which does\n")
    named = [argument.replace("b0/audit", "b0") + "/audit" for argument in command[1:]]
    assert cli(command[0], *named).returncode == 0


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


def fail_all(audit: dict[str, Any]) -> None:
    for check in audit["checks"]:
        check["status"] = "fail"


def put_cell(*cell: int) -> Callable[[dict[str, Any]], None]:
    return lambda audit: audit["exhibits"]["confusion"]["cells"].append(cell)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (fail_all, "it says accepted, but its checks make it rejected"),
        (lambda audit: audit.update(checks=[]), "but its checks make it undecided"),
        (lambda audit: audit.update(verdict="undecided"), "but its checks make it accepted"),
        (lambda audit: audit["checks"].append(audit["checks"][0]), "is there twice"),
        (put_cell(2, 0, 1), "(2, 0, 1) is no cell of these classes"),
        (put_cell(0, -1, 1), "(0, -1, 1) is no cell of these classes"),
        (put_cell(0, 1, 0), "(0, 1, 0) is no cell of these classes"),
    ],
)
def test_an_audit_that_contradicts_itself_is_not_rendered(
    cli: Cli, good: str, here: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    """Its digest is right: whoever edits it can compute that."""
    cli("run", "--predictions", good)
    path = here / "audit/audit.json"
    audit = json.loads(path.read_text())
    edit(audit)
    rest = {key: value for key, value in audit.items() if key != "digest"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False)
    path.write_text(json.dumps(audit | {"digest": hashlib.sha256(text.encode()).hexdigest()}))
    done = cli("render", "audit", "--output", "again")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not (here / "again").exists()


def test_saved_predictions_of_data_at_hand_are_judged_again(
    cli: Cli, here: Path, image_folder: Callable[..., Path]
) -> None:
    """No image was looked at for them, so none can be asked for again."""
    image_folder("test", {"a": 30, "b": 30})
    rows = [f"{c}/{n:04}.png,{c},{c}" for c in "ab" for n in range(30)]
    (here / "p.csv").write_text("\n".join(["image,label,predicted", *rows]) + "\n")
    done = [cli("run", "--predictions", "p.csv", "--test", "test") for _ in range(2)]
    assert [each.returncode for each in done] == [0, 0], done[1].stderr
    assert done[0].stdout == done[1].stdout


def test_check_judges_nothing_in_the_name_of_other_predictions(
    cli: Cli, here: Path, good: str, fraud: str, write: Callable[[str, str], Path]
) -> None:
    write("auditor.toml", f'[predictions]\ntest = "{good}"\n')
    assert cli("run").returncode == 0
    config = write("auditor.toml", f'[predictions]\ntest = "{fraud}"\n')
    done = cli("check")
    assert done.returncode == 2
    said = f"{config.name}:2: [predictions] test: {fraud} is not what the stored evidence was made"
    assert said in " ".join(done.stderr.split())
    (here / fraud).unlink()
    assert "is not what the stored" in cli("check").stderr  # by where it is named to be
    write("auditor.toml", f'[predictions]\ntest = "elsewhere/{good}"\n')
    assert cli("check").returncode == 2
    write("auditor.toml", f'[predictions]\ntest = "{good}"\n')
    (here / good).unlink()
    assert cli("check").returncode == 0


def test_check_judges_nothing_in_the_name_of_other_weights(
    cli: Cli, here: Path, image_folder: Callable[..., Path], write: Callable[[str, str], Path]
) -> None:
    import timm
    from safetensors.torch import save_file

    image_folder("test", {"a": 4, "b": 4})
    for name in ("one", "other"):
        model = timm.create_model("test_efficientnet", num_classes=2)
        save_file(model.state_dict(), here / f"{name}.safetensors")
    candidate = '[candidate]\nmodel = "test_efficientnet"\ncheckpoint = "{}.safetensors"\n'
    rest = '[data]\ntest = "test"\n[engine]\ndevice = "cpu"\n'
    write("auditor.toml", candidate.format("one") + rest)
    ran, checked = cli("run"), cli("check")
    assert (checked.returncode, checked.stdout) == (ran.returncode, ran.stdout)
    write("auditor.toml", candidate.format("other") + rest)
    done = cli("check")
    assert done.returncode == 2
    said = "auditor.toml:3: [candidate] checkpoint: other.safetensors is not what the stored"
    assert said in " ".join(done.stderr.split())
    (here / "other.safetensors").unlink()
    assert cli("check").returncode == 2
    (here / "one.safetensors").rename(here / "other.safetensors")
    assert cli("check").returncode == ran.returncode  # known by what is in it


def test_a_class_that_stored_predictions_do_not_know_is_an_error(
    cli: Cli, here: Path, good: str
) -> None:
    cli("run", "--predictions", good)
    file, manifest = (here / "audit/evidence" / name for name in ("test.parquet", "manifest.json"))
    table = pq.read_table(file)
    names = pa.array(["zebra", None, *table["predicted"].to_pylist()[2:]], pa.string())
    place = table.column_names.index("predicted")
    pq.write_table(table.set_column(place, "predicted", names), file)
    content = json.loads(manifest.read_text())
    content["evidence"]["test"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))
    done = cli("check")
    assert done.returncode == 2
    assert "hold a predicted that is no class of theirs" in " ".join(done.stderr.split())


def test_check_knows_files_by_what_is_in_them(
    cli: Cli, here: Path, good: str, write: Callable[[str, str], Path]
) -> None:
    """Another name of a file, or a split that nobody asks for, makes no other subject."""
    text = (here / good).read_text()
    write("train.csv", text.replace("cat-", "train-").replace("dog-", "train-dog-"))
    write("val.csv", text)
    config = '[predictions]\ntest = "{}"\ntrain = "{}"\n'
    write("auditor.toml", config.format(good, "train.csv"))
    ran = cli("run")
    (here / "train.csv").rename(here / "training.csv")
    (here / good).rename(here / "other.csv")
    write("auditor.toml", config.format("other.csv", "training.csv"))
    assert cli("check").returncode == ran.returncode
    write("auditor.toml", config.format("other.csv", "training.csv") + 'validation = "val.csv"\n')
    assert cli("check").returncode == ran.returncode


STRICT = """
[predictions]
test = "good.csv"
{}
[output]
directory = "out"
"""


@pytest.mark.parametrize(
    ("rules", "table"),
    [
        ("[checks.top1-accuracy]\nlevel = 'block'\nmin_accuracy = 0.99", "[checks]"),
        ("[policy]\npreset = 'pull-request'", "[policy]"),
        ("[deployment]\nprevalence = {cat = 0.9, dog = 0.1}", "[deployment]"),
        ("[overlap]\ngroups = ['patient']", "[overlap]"),
    ],
)
def test_check_replaces_no_audit_by_one_of_other_rules_unsaid(
    cli: Cli, good: str, here: Path, rules: str, table: str
) -> None:
    del good
    (here / "strict.toml").write_text(STRICT.format(rules))
    first = cli("run", "strict.toml")
    record = (here / "out/audit.json").read_bytes()
    done = cli("check", "--output", "out")
    assert done.returncode == 2
    assert f"out/audit.json: was judged by strict.toml, whose {table} this command" in done.stderr
    assert "name the file: auditor check strict.toml" in done.stderr
    (here / "auditor.toml").write_text(STRICT.format(""))
    assert cli("check", "--output", "out").returncode == 2, "a file that merely lies here"
    assert (here / "out/audit.json").read_bytes() == record
    assert cli("check", "strict.toml").returncode == first.returncode
    assert cli("check", "auditor.toml").returncode == 0, "a file that is named"
    assert cli("check").returncode == 0
    (here / "auditor.toml").write_text(STRICT.format(rules))
    assert cli("check").returncode == first.returncode, "the same file, edited since"


@pytest.mark.parametrize("flags", [(), ("--predictions", "p.csv")], ids=["file", "flags"])
def test_check_judges_no_audit_by_the_file_of_another_project_unsaid(
    cli: Cli, here: Path, fraud: str, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    lax = "[checks.rare-class-recall]\nlevel = 'off'\n[checks.accuracy-paradox]\nlevel = 'off'\n"
    mine, other = here / "mine", here / "other"
    for folder, text in ((mine, '[predictions]\ntest = "p.csv"\n'), (other, lax)):
        folder.mkdir()
        (folder / "auditor.toml").write_text(text)
    (here / fraud).rename(mine / "p.csv")
    monkeypatch.chdir(mine)
    assert cli("run", *flags).returncode == 1
    record = (mine / "audit/audit.json").read_bytes()
    monkeypatch.chdir(other)
    for output in ("../mine/audit", str(mine / "audit")):
        done = cli("check", "--output", output)
        assert done.returncode == 2
        assert (
            "was judged by another auditor.toml, with other [checks]; name the" in done.stderr
            or flags
        )
        assert (mine / "audit/audit.json").read_bytes() == record
    (here / "auditor.toml").write_text(lax)  # above both: of neither
    monkeypatch.chdir(here)
    assert cli("check", "--output", "mine/audit").returncode == 2
    mine = mine.rename(here / "checked out anew")
    (mine / "auditor.toml").write_text(f'[predictions]\ntest = "p.csv"\n{lax}')
    monkeypatch.chdir(mine)
    assert cli("check").returncode != 2, "the same file, edited since, and elsewhere"
    assert cli("check", "--output", "audit").returncode != 2
    monkeypatch.chdir(other)
    assert cli("check", "auditor.toml", "--output", f"{mine}/audit").returncode != 2, "it is named"


def test_check_replaces_an_audit_of_no_other_rules(cli: Cli, good: str, here: Path) -> None:
    del good
    (here / "plain.toml").write_text(STRICT.format("[overlap]\nviews = true"))
    assert cli("run", "plain.toml").returncode == 0
    assert cli("check", "--output", "out").returncode == 0
    assert cli("check", "--output", "out", "--policy", "pull-request").returncode == 0
    done = cli("check", "--output", "out")
    assert done.returncode == 2
    assert "other [policy] (auditor check --policy pull-request --output out); give" in done.stderr
    assert cli("check", "--output", "out", "--policy", "sign-off").returncode == 0
    (here / "out/audit.json").write_text("harmed")
    assert cli("check", "--output", "out").returncode == 0
