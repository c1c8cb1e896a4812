from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import html5lib
import pytest

Cli = Callable[..., CompletedProcess[str]]
Saved = Callable[..., Path]
OLD = {"cat": {"cat": 290, "dog": 10}, "dog": {"dog": 300}}
NEW = {"cat": {"cat": 290, "dog": 10}, "dog": {"dog": 250, "cat": 50}}


@pytest.fixture
def old(cli: Cli, saved: Saved) -> str:
    cli("run", "--predictions", saved(OLD, "old.csv").name, "--output", "old")
    return "old"


@pytest.fixture
def new(cli: Cli, saved: Saved) -> str:
    text = saved(OLD, "new.csv").read_text()
    for k in range(50):
        text = text.replace(f"dog-dog-{k:05},dog,dog", f"dog-dog-{k:05},dog,cat")
    Path("new.csv").write_text(text)
    cli("run", "--predictions", "new.csv", "--output", "new", "--policy", "pull-request")
    return "new"


def test_it_tells_what_changed(cli: Cli, old: str, new: str) -> None:
    done = cli("diff", old, f"{new}/audit.json")
    assert done.returncode == 0
    assert done.stdout.startswith("old.csv → new.csv: accepted → accepted\n")
    assert "Accuracy 98.33% → 90.00%: −8.33 points [" in done.stdout
    assert "50 lost, 0 won, 50 predicted differently; McNemar p = 1.78e-15 exact" in done.stdout
    assert "dog: 100.0% → 83.3%, −16.7 points" in done.stdout
    assert "Lost, the first 20 of 50" in done.stdout
    assert "  dog-dog-00000: dog → cat\n" in done.stdout
    assert "Won" not in done.stdout
    assert 'policy.preset: not set → "pull-request"' in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_an_audit_and_itself(cli: Cli, old: str) -> None:
    done = cli("diff", old, old)
    assert done.returncode == 0
    assert "0 lost, 0 won, 0 predicted differently" in done.stdout
    assert "Checks" not in done.stdout
    assert "Configuration" not in done.stdout


def test_it_tells_by_what_else_the_model_ran(
    cli: Cli, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    image_folder("images", {"cat": 4, "dog": 4})
    both = ("--module", f"{module()}:two", "--device", "cpu", "--test", "images")
    cli("run", *both, "--output", "fast")
    Path("auditor.toml").write_text('[engine]\npreprocessing = "reference"\nbatch_size = 2\n')
    cli("run", "auditor.toml", *both, "--output", "reference")
    done = cli("diff", "fast", "reference")
    assert 'engine.preprocessing: not set → "reference"' in done.stdout
    assert '(ran) transform: "fast" → "reference"' in done.stdout
    assert "batch_size" not in done.stdout


def test_it_writes_a_page_and_a_document(cli: Cli, old: str, new: str) -> None:
    done = cli("diff", old, new, "--output", "out")
    assert "  out/diff.html\n  out/diff.json" in done.stdout
    document = json.loads(Path("out/diff.json").read_text())
    assert document["comparison"]["overall"]["lost"] == 50
    assert len(document["comparison"]["lost"]) == 20
    page = Path("out/diff.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<script" not in page
    assert "−8.33 points" in page
    assert "50 images; the first 20 are shown" in page
    assert "dog-dog-00019" in page
    assert "<img" not in page
    assert "No thumbnails: the test images are not at hand" in page
    assert "No thumbnails" not in done.stdout  # of predictions alone there are none to look for
    assert "folder in which" not in page


def test_without_a_class_that_could_be_significant_there_is_no_correction(
    cli: Cli, old: str
) -> None:
    text = Path("old.csv").read_text().replace("dog-dog-00000,dog,dog", "dog-dog-00000,dog,cat")
    Path("third.csv").write_text(text)
    cli("run", "--predictions", "third.csv", "--output", "third")
    cli("diff", old, "third", "--output", "out")
    page = Path("out/diff.html").read_text()
    assert "over 0 classes" not in page
    assert "test; none can be significant on so few images" in page


def test_the_other_way_round_it_is_an_improvement(cli: Cli, old: str, new: str) -> None:
    done = cli("diff", new, old)
    assert "Accuracy 90.00% → 98.33%: +8.33 points [" in done.stdout
    assert "0 lost, 50 won" in done.stdout
    assert "Worst classes" not in done.stdout
    assert "Won, the first 20 of 50" in done.stdout
    assert "  dog-dog-00000: cat → dog\n" in done.stdout
    done = cli("run", "--predictions", "old.csv", "--baseline", new, "--output", "third")
    assert done.returncode == 0
    digest = json.loads(Path(new, "audit.json").read_text())["digest"]
    baseline = f"the baseline (new.csv, audit {digest[:12]} of 20"
    said = " ".join(done.stdout.split())
    assert f"Better than {baseline}" in said
    assert "): accuracy 90.00% → 98.33%" in said


def test_test_sets_without_a_common_image_are_two_samples(cli: Cli, old: str, saved: Saved) -> None:
    text = saved({"cat": {"cat": 90}, "dog": {"dog": 60, "cat": 30}}, "c.csv").read_text()
    Path("c.csv").write_text(text.replace("\ncat-", "\nother-cat-").replace("\ndog-", "\nother-"))
    cli("run", "--predictions", "c.csv", "--output", "c")
    said = " ".join(cli("diff", old, "c", "--output", "out").stdout.split())
    assert "on different images (600 and 180), which may be all of it" in said
    assert "dog: 100.0% → 66.7%" in said
    assert "lost" not in said
    page = Path("out/diff.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "exact test, corrected by Holm over 2 classes" in page
    assert "Fisher" in page
    assert "McNemar" not in page


def test_the_report_shows_it_too(cli: Cli, old: str, new: str) -> None:
    done = cli("run", "--predictions", "new.csv", "--baseline", old, "--output", "third")
    assert done.returncode == 1
    page = Path("third/report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert '<a href="#baseline">Baseline</a>' in page
    assert "which only the baseline had right" in page


def test_names_are_hostile(cli: Cli, write: Callable[[str, str], Path]) -> None:
    name = "<script>alert(1)</script>"
    rows = [f"{i},{name if i % 2 else 'b'}" for i in range(40)]
    for side, said in (("x", name), ("y", "b")):
        text = "\n".join(["image,label,predicted", *(f"<img src={r},{said}" for r in rows)])
        write(f"{side}.csv", text)
        cli("run", "--predictions", f"{side}.csv", "--output", side)
    write("x/classes.txt", "")
    done = cli("diff", "x", "y", "--output", "out")
    assert done.returncode == 0
    page = Path("out/diff.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<script" not in page
    assert "<img src=1" not in page


def test_flipped_images_are_shown_where_they_still_are(
    cli: Cli, here: Path, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    image_folder("test", {"a": 12, "b": 12})
    source = (
        "\n\ndef wrong():\n    model = two()\n    model.mix.weight.data *= -1\n    return model\n"
    )
    name = module(source)
    for side in ("two", "wrong"):
        toml = (
            f'[candidate]\nmodule = "{name}:{side}"\ninput_size = 16\n'
            f'[data]\ntest = "test"\n[output]\ndirectory = "{side}"\n'
        )
        (here / f"{side}.toml").write_text(toml)
        cli("run", f"{side}.toml")
    cli("diff", "two", "wrong", "--output", "out")
    assert Path("out/diff.html").read_text().count("data:image/jpeg") == 20
    assert "no thumbnail" not in Path("out/diff.html").read_text()
    kept = (here / "test" / "b" / "0000.png").read_bytes()
    (here / "test" / "b" / "0000.png").write_bytes((here / "test/a/0000.png").read_bytes())
    done = cli("diff", "two", "wrong", "--output", "out")
    assert "No thumbnail of 1 image, which has changed since the audit." in done.stdout
    page = Path("out/diff.html").read_text()
    assert page.count("data:image/jpeg") == 19
    assert "No thumbnail of 1 image, changed since the audit." in page
    html5lib.HTMLParser(strict=True).parse(page)
    (here / "test" / "b" / "0000.png").write_bytes(kept)
    (here / "test" / "a" / "0000.png").unlink()
    done = cli("diff", "two", "wrong", "--output", "out")
    assert "changed since" not in done.stdout
    assert Path("out/diff.html").read_text().count("data:image/jpeg") == 19
    assert Path("out/diff.html").read_text().count("no thumbnail") == 1
    (here / "test").rename(here / "elsewhere")
    done = cli("diff", "two", "wrong", "--output", "out")
    assert "<img" not in Path("out/diff.html").read_text()
    said, _, written = done.stdout.partition("\nWritten\n")
    assert "No thumbnails: the candidate's test images are not at hand." in " ".join(said.split())
    assert written.split() == ["out/diff.html", "out/diff.json"]


def test_of_saved_predictions_too(
    cli: Cli, here: Path, image_folder: Callable[..., Path], write: Callable[[str, str], Path]
) -> None:
    image_folder("test", {"a": 12, "b": 12})
    rows = [f"{label}/{k:04}.png,{label}" for label in "ab" for k in range(12)]
    for side, wrong in (("x", 0), ("y", 5)):
        said = [f"{row},{'b' if i < wrong else row[-1]}" for i, row in enumerate(rows)]
        write(f"{side}.csv", "\n".join(["image,label,predicted", *said]))
        cli("run", "--predictions", f"{side}.csv", "--test", "test", "--output", side)
    done = cli("diff", "x", "y", "--output", "out")
    assert "  a/0000.png: a → b\n" in done.stdout
    assert Path("out/diff.html").read_text().count("data:image/jpeg") == 5


def test_other_images_at_the_place_of_those_audited_are_not_shown(
    cli: Cli, here: Path, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    """A relative path to them is another folder where `auditor diff` runs elsewhere."""
    image_folder("test", {"a": 12, "b": 12})
    source = (
        "\n\ndef never():\n    model = two()\n    model.mix.weight.data *= -1\n    return model\n"
    )
    name, off = module(source), '[checks.split-overlap]\nlevel = "off"\n'
    for side in ("two", "never"):
        toml = (
            f'[candidate]\nmodule = "{name}:{side}"\ninput_size = 16\n[data]\ntest = "test"\n{off}'
        )
        (here / f"{side}.toml").write_text(toml)
        cli("run", f"{side}.toml", "--output", side)
    (here / "test").rename(here / "then")
    image_folder("test", {"a": 12, "b": 12}, seed=1)
    done = cli("diff", "two", "never", "--output", "out")
    assert "No thumbnail of 20 images, which have changed since the audit." in done.stdout
    assert "<img" not in Path("out/diff.html").read_text()
    assert "not at hand" not in done.stdout + Path("out/diff.html").read_text()


@pytest.fixture
def beside_training(
    cli: Cli, image_folder: Callable[..., Path], write: Callable[[str, str], Path]
) -> Callable[..., None]:
    """Audit a model that is wrong on so many images of a, beside training with copies of some."""

    def audited(side: str, wrong: range, copies: int, *, look: bool = True) -> None:
        train = image_folder(f"train-{side}", {"a": 12, "b": 12})
        for k in range(copies):
            shutil.copy(f"test/a/{k:04}.png", train / "a" / f"copy-{k}.png")
        names = [f"{label}/{k:04}.png" for label in "ab" for k in range(12)]
        said = [
            f"{name},{name[0]},{'b' if i in wrong else name[0]}" for i, name in enumerate(names)
        ]
        write(f"{side}.csv", "\n".join(["image,label,predicted", *said]))
        data = ("--test", "test", *(("--train", train.name) if look else ()))
        cli("run", "--predictions", f"{side}.csv", *data, "--output", side)

    image_folder("test", {"a": 12, "b": 12})
    return audited


@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")])
def test_images_that_training_holds_are_left_out(
    cli: Cli, beside_training: Callable[..., None], order: tuple[str, str]
) -> None:
    """The candidate knows by heart what the baseline had wrong; either audit may have found it."""
    beside_training("x", range(4), 0, look=False)
    beside_training("y", range(8, 10), 4)
    done = cli("diff", *order, "--output", "out")
    said = " ".join(done.stdout.split())
    after = "100.00% → 90.00%: −10.00" if order == ("x", "y") else "90.00% → 100.00%: +10.00"
    assert f"Accuracy {after} points [" in said
    assert "on the same 20 images Left out: 4 test images with a copy in the training data" in said
    page = Path("out/diff.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "Left out: 4 test images with a copy in the training data of either audit." in page
    assert json.loads(Path("out/diff.json").read_text())["left_out"] == 4


def test_where_training_holds_none_all_are_compared(
    cli: Cli, beside_training: Callable[..., None]
) -> None:
    beside_training("x", range(4), 0, look=False)
    beside_training("y", range(8, 10), 0)
    done = cli("diff", "x", "y", "--output", "out")
    assert "on the same 24 images" in " ".join(done.stdout.split())
    assert "Left out" not in done.stdout + Path("out/diff.html").read_text()
    assert json.loads(Path("out/diff.json").read_text())["left_out"] == 0


def test_where_training_holds_all_nothing_is_compared(
    cli: Cli, beside_training: Callable[..., None]
) -> None:
    beside_training("x", range(4), 0)
    beside_training("y", range(8, 10), 4)
    shutil.copytree("test", "train-z")
    cli("run", "--predictions", "y.csv", "--test", "test", "--train", "train-z", "--output", "z")
    done = cli("diff", "x", "z")
    assert done.returncode == 3
    assert "? Not comparable: all 24 test images overlap the training data" in done.stdout


@pytest.mark.parametrize("copies", [0, 4])
def test_the_report_says_how_many_of_what_it_compares_training_holds(
    cli: Cli, beside_training: Callable[..., None], copies: int
) -> None:
    beside_training("x", range(4), 0)
    beside_training("y", range(8, 10), copies)
    given = ("--predictions", "y.csv", "--test", "test", "--train", "train-y", "--baseline", "x")
    cli("run", *given, "--output", "z")
    page = Path("z/report.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    section = page.partition('<section id="baseline"')[2].partition("</section>")[0]
    assert "The candidate beside the baseline" in section
    said = "Included: 4 test images with a copy in the training data" in section
    assert said is bool(copies)


def test_what_is_not_comparable_is_named(cli: Cli, old: str, saved: Saved) -> None:
    cli(
        "run",
        "--predictions",
        saved({"cat": {"cat": 9}, "fox": {"fox": 9}}, "c.csv").name,
        "--output",
        "c",
    )
    done = cli("diff", old, "c", "--output", "out")
    assert done.returncode == 3
    assert '? Not comparable: other classes than the baseline: without "dog", with "fox"' in (
        done.stdout
    )
    assert "gone: dog" in done.stdout
    assert "new: fox" in done.stdout
    html5lib.HTMLParser(strict=True).parse(Path("out/diff.html").read_text())
    assert "Not comparable:" in Path("out/diff.html").read_text()
    assert json.loads(Path("out/diff.json").read_text())["comparison"] is None


@pytest.mark.parametrize("side", ["old", "new"])
def test_evidence_that_was_exchanged_is_not_compared(
    cli: Cli, old: str, new: str, side: str
) -> None:
    other = {"old": "new", "new": "old"}[side]
    content = Path(other, "evidence/test.parquet").read_bytes()
    Path(side, "evidence/test.parquet").write_bytes(content)
    done = cli("diff", old, new)
    assert done.returncode == 3
    assert "its digest is not the one in" in " ".join(done.stdout.split())


def test_an_audit_that_was_judged_again_without_a_file_is_of_the_same(
    cli: Cli, old: str, new: str
) -> None:
    shutil.copytree(old, "again")
    for _ in range(2):
        assert cli("check", "--output", "again").returncode == 0
        assert "Configuration" not in cli("diff", old, "again").stdout
    shutil.copy(Path(new, "audit.json"), "again")
    assert cli("check", "--output", "again", "--policy", "pull-request").returncode == 0
    assert 'predictions.test: "old.csv" → not set' in cli("diff", old, "again").stdout


def _regained(audit: dict[str, Any]) -> dict[str, Any]:
    """A record whose digest is right again: what another version of Auditor would have written."""
    content = {key: value for key, value in audit.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return content | {"digest": hashlib.sha256(text.encode()).hexdigest()}


def test_a_check_of_another_version_is_not_comparable(cli: Cli, old: str) -> None:
    path = Path("old/audit.json")
    audit = json.loads(path.read_text())
    for check in audit["checks"]:
        check["version"] += 6 * (check["id"] in ("baseline-regression", "top1-accuracy"))
    path.write_text(json.dumps(_regained(audit)))
    done = cli("run", "--predictions", "old.csv", "--baseline", old, "--output", "again")
    assert done.returncode == 3
    said = " ".join(done.stdout.split())
    assert "not comparable with the baseline (old.csv, audit " in said
    assert "): the baseline was audited with baseline-regression version 12" in said
    done = cli("diff", old, "again")
    assert "top1-accuracy: pass → pass (not comparable: version 7, now 1)" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (("cat-cat-00007,cat,cat\n", ""), "share only 599 of 600 images: 1 missing"),
        (("cat-cat-00007,cat,", "cat-cat-00007,dog,"), "other labels than in the baseline for 1"),
        ((",dog", ",fox"), 'other classes than the baseline: without "dog", with "fox"'),
    ],
)
def test_an_audit_with_such_a_baseline_is_undecided(
    cli: Cli, old: str, text: tuple[str, str], said: str
) -> None:
    path = Path("old.csv")
    path.write_text(path.read_text().replace(*text))
    done = cli("run", "--predictions", "old.csv", "--baseline", old, "--output", "again")
    assert done.returncode == 3
    assert f"): {said}" in " ".join(done.stdout.replace("the test sets ", "").split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda audit: audit.update(summary="All is well."), "edited after the audit"),
        (lambda audit: audit.update(schema_version=7), "schema version 7, but this Auditor reads"),
        (lambda audit: audit.clear(), "it has no schema_version"),
    ],
)
def test_a_record_that_cannot_be_trusted_ends_both_commands(
    cli: Cli, old: str, new: str, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    path = Path("old/audit.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    audit = ("run", "--predictions", "new.csv", "--baseline", old, "--output", "third")
    for done in (cli("diff", old, new), cli(*audit)):
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("auditor: old/audit.json: ")
        assert said in done.stderr
    assert not Path("third/audit.json").exists()


def test_what_is_not_there_is_bad_input(cli: Cli, old: str) -> None:
    audit = ("run", "--predictions", "old.csv", "--baseline", "nothing", "--output", "third")
    for done in (cli("diff", "nothing", old), cli("diff", old, "nothing"), cli(*audit)):
        assert done.returncode == 2
        assert "auditor: nothing: cannot be read: No such file or directory" in done.stderr
    assert cli("diff", old).returncode == 2
