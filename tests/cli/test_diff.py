from __future__ import annotations

import json
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
    assert done.stdout.startswith("old.csv → new.csv\n")
    assert "Accuracy 98.33% → 90.00%: −8.33 pp [" in done.stdout
    assert "50 lost, 0 won, 50 predicted differently; McNemar p = 1.78e-15 exact" in done.stdout
    assert "dog: 100.0% → 83.3%, −16.7 pp" in done.stdout
    assert "Lost, the first 20 of 50" in done.stdout
    assert "  dog-dog-00000: dog; dog → cat" in done.stdout
    assert "Won" not in done.stdout
    assert 'policy.preset: not set → "pull-request"' in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_an_audit_and_itself(cli: Cli, old: str) -> None:
    done = cli("diff", old, old)
    assert done.returncode == 0
    assert "0 lost, 0 won, 0 predicted differently" in done.stdout
    assert "Checks" not in done.stdout
    assert "Configuration" not in done.stdout


def test_it_writes_a_page_and_a_document(cli: Cli, old: str, new: str) -> None:
    done = cli("diff", old, new, "--output", "out")
    assert "  out/diff.html\n  out/diff.json" in done.stdout
    document = json.loads(Path("out/diff.json").read_text())
    assert document["comparison"]["overall"]["lost"] == 50
    assert len(document["comparison"]["lost"]) == 20
    page = Path("out/diff.html").read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<script" not in page
    assert "−8.33 pp" in page
    assert "no thumbnail" in page


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
    (here / "test" / "a" / "0000.png").unlink()
    cli("diff", "two", "wrong", "--output", "out")
    assert Path("out/diff.html").read_text().count("data:image/jpeg") == 19


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


def _edited(change: Callable[[dict[str, Any]], Any]) -> None:
    path = Path("old/audit.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_bad_input_is_two(cli: Cli, old: str, new: str) -> None:
    assert cli("diff", "nothing", new).returncode == 2
    assert cli("diff", old).returncode == 2
    _edited(lambda audit: audit.update(summary="All is well."))
    done = cli("diff", old, new)
    assert done.returncode == 2
    assert "edited after the audit" in done.stderr
    _edited(lambda audit: audit.update(schema_version=7))
    assert "schema version 7" in cli("diff", old, new).stderr
