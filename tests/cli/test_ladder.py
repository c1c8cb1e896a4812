from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import html5lib
import pytest

from auditor.check import LEAST_CONFIDENCE, MOST_CONFIDENCE
from auditor.cli.ladder import _CONFIDENCE

Cli = Callable[..., CompletedProcess[str]]
Write = Callable[[str, str], Path]
SIZES = """

class Sized(nn.Module):
    def __init__(self, width, wrong):
        super().__init__()
        torch.manual_seed(0)  # else each time it is made it is another model
        self.colour, self.wide = two(), nn.Linear(3, width)
        self.wrong = wrong

    def forward(self, x):
        out = self.colour(x) + 0 * self.wide(x.mean(dim=(2, 3))).sum(1, keepdim=True)
        return -out if self.wrong else out


def small():
    return Sized(4, True)


def big():
    return Sized(64, False)
"""


def csv(right: float, n: int = 2000, labels: str = "ab") -> str:
    """Saved predictions, right on the first share of the images."""
    names = [labels[k % 2] for k in range(n)]
    said = [x if k < right * n else labels[(k + 1) % 2] for k, x in enumerate(names)]
    rows = [f"{k},{a},{b}" for k, (a, b) in enumerate(zip(names, said, strict=True))]
    return "\n".join(["image,label,predicted", *rows]) + "\n"


@pytest.fixture
def audited(cli: Cli, write: Write) -> Callable[..., list[str]]:
    """Audit saved predictions; return the folders."""

    def make(**texts: str) -> list[str]:
        for name, text in texts.items():
            write(f"{name}.csv", text)
            cli("run", "--predictions", f"{name}.csv", "--output", name)
        return [*texts]

    return make


def test_finished_audits_are_compared(cli: Cli, audited: Callable[..., list[str]]) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9), b2=csv(0.9005))
    done = cli("ladder", folders[0], f"{folders[1]}/audit.json", folders[2])
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "3 rungs on the same 2,000 test images, 2 classes; in the order given" in said
    assert "b1.csv +10.0 [+8.9, +11.2] ✓ pays" in said
    assert "✗ Scaling stops paying at b2.csv: over b1.csv it gains +0.1 points [" in said
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "MACs" not in done.stdout  # nothing is known of them, so no column is


def test_options(cli: Cli, audited: Callable[..., list[str]]) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.82))
    assert "✓ pays" in cli("ladder", *folders).stdout
    assert "? not shown" in cli("ladder", *folders, "--min-gain", "2").stdout
    assert "✗ does not pay" in cli("ladder", *folders, "--min-gain", "5").stdout
    assert "? not shown" in cli("ladder", *folders, "--min-gain", "1.5").stdout
    eased = cli("ladder", *folders, "--min-gain", "1.5", "--confidence", "0.8")
    assert "✓ pays" in eased.stdout
    for bad in (("--min-gain", "-1"), ("--confidence", "1"), ("--confidence", "0.5")):
        assert cli("ladder", *folders, *bad).returncode == 2


@pytest.mark.parametrize("confidence", ["0.79", "0.9991"])
def test_a_confidence_that_settles_nothing_or_anything_is_refused(
    cli: Cli, audited: Callable[..., list[str]], confidence: str
) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9), b2=csv(0.95))
    done = cli("ladder", *folders, "--confidence", confidence)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert f"'--confidence': {confidence} is not in the range 0.8<=x<=0.999." in said


@pytest.mark.parametrize(("confidence", "said"), [("0.999", "99.9%"), ("0.9989", "99.89%")])
def test_a_confidence_is_never_rounded_to_certainty(
    cli: Cli, audited: Callable[..., list[str]], confidence: str, said: str
) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9), b2=csv(0.99))
    done = cli("ladder", *folders, "--confidence", confidence, "--output", "out")
    told = " ".join(done.stdout.split())
    assert f"Brackets hold {said} bounds" in told
    assert f"more than 0.5 points at {said} confidence" in told
    assert Path("out/ladder.html").read_text().count(said) == 3


def test_the_border_is_that_of_the_checks() -> None:
    assert (LEAST_CONFIDENCE, MOST_CONFIDENCE) == _CONFIDENCE


def test_it_writes_a_page_and_a_document(cli: Cli, audited: Callable[..., list[str]]) -> None:
    done = cli("ladder", *audited(b0=csv(0.8), b1=csv(0.9)), "--output", "out")
    assert "  out/ladder.html\n  out/ladder.json" in done.stdout
    html5lib.HTMLParser(strict=True).parse(Path("out/ladder.html").read_text())
    document = json.loads(Path("out/ladder.json").read_text())
    assert document["steps"][0]["state"] == "pays"
    assert [rung["path"] for rung in document["rungs"]] == ["b0", "b1"]


def test_a_rung_that_does_not_match_is_three(cli: Cli, audited: Callable[..., list[str]]) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9), less=csv(0.9, n=1500))
    done = cli("ladder", *folders, "--output", "out")
    assert done.returncode == 3
    assert "✓ pays" in done.stdout
    assert "Not compared\n  less.csv (less): it was audited on other test images (500 missing" in (
        done.stdout
    )
    done = cli("ladder", "b0", "less")
    assert done.returncode == 3
    assert "Not comparable: fewer than two rungs" in done.stdout


def test_evidence_that_was_exchanged_or_is_away(
    cli: Cli, audited: Callable[..., list[str]]
) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9), b2=csv(0.95), b3=csv(0.97))
    shutil.copy("b0/evidence/test.parquet", "b1/evidence/test.parquet")
    Path("b2/evidence/test.parquet").unlink()
    done = cli("ladder", *folders)
    said = " ".join(done.stdout.split())
    assert done.returncode == 3
    assert "b1/evidence/test.parquet: its digest is not the one in audit.json" in said
    assert "b2/evidence/test.parquet: cannot be read" in said
    assert "2 rungs on the same" in said


def _edited(folder: str) -> None:
    path = Path(folder, "audit.json")
    path.write_text(path.read_text().replace("b0.csv", "b9.csv"))


def test_bad_input_is_two_and_says_what_next(cli: Cli, audited: Callable[..., list[str]]) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9))
    Path("empty").mkdir()
    complaints: Mapping[tuple[str, ...], str] = {
        (): "auditor ladder b0/auditor.toml b1/auditor.toml",
        ("b0",): "a ladder has at least two rungs",
        ("b0", "nowhere"): "nowhere does not exist; give the folder of an audit",
        ("b0", "empty"): "empty holds neither an audit.json nor an auditor.toml",
        ("b0", "b1", "b0/audit.json"): "b0/audit.json is the same audit as b0; give every rung",
        ("b0", "b1.csv"): "b1.csv: is not JSON",
    }
    for arguments, complaint in complaints.items():
        done = cli("ladder", *arguments)
        assert done.returncode == 2, arguments
        assert complaint in " ".join(done.stderr.split()), arguments
    _edited("b0")
    assert "edited after the audit" in cli("ladder", *folders).stderr


@pytest.fixture
def family(
    here: Path, write: Write, image_folder: Callable[..., Path], module: Callable[..., str]
) -> str:
    """Two models of a module's own, the bigger one right, each with its auditor.toml."""
    image_folder("test", {"a": 40, "b": 40})
    name = module(SIZES)
    for size in ("small", "big"):
        write(
            f"{size}/auditor.toml",
            f'[candidate]\nname = "{size}"\nmodule = "{name}:{size}"\ninput_size = 16\n'
            '[data]\ntest = "../test"\n',
        )
    return name


@pytest.mark.usefixtures("family")
def test_configurations_are_audited_once_and_compared(cli: Cli) -> None:
    done = cli("ladder", "big/auditor.toml", "small")
    assert done.returncode == 0, done.stderr
    assert "rung 1 of 2: big/auditor.toml" in done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["small", "0.0%", "0.0%", "a", "0.0%", "of", "40"] in lines
    assert any(line[:2] == ["big", "+100.0"] and line[-1] == "pays" for line in lines)
    assert "by multiply–adds (MACs)" in " ".join(done.stdout.split())
    for size in ("small", "big"):
        assert Path(size, "audit/audit.json").exists()
        assert Path(size, "audit/report.html").exists()
    before = Path("big/audit/evidence/test.parquet").stat().st_mtime_ns
    again = cli("ladder", "big/auditor.toml", "small/audit")
    assert again.stdout == done.stdout
    assert Path("big/audit/evidence/test.parquet").stat().st_mtime_ns == before
    assert "looking at" not in again.stderr


@pytest.mark.usefixtures("family")
def test_two_files_that_write_to_one_place_are_refused_before_any_work(
    cli: Cli, write: Write
) -> None:
    text = Path("big/auditor.toml").read_text().replace('"big"', '"big again"')
    write("big/again.toml", text)
    done = cli("ladder", "big/auditor.toml", "big/again.toml")
    assert done.returncode == 2
    assert "both write their audit to big/audit" in done.stderr
    assert not Path("big/audit").exists()


def test_rungs_of_one_name_are_told_apart(cli: Cli, audited: Callable[..., list[str]]) -> None:
    audited(b0=csv(0.8))
    Path("b0").rename("first")
    audited(b0=csv(0.9))
    said = cli("ladder", "first", "b0").stdout
    assert "b0.csv (first)" in said
    assert "b0.csv (b0)" in said


def test_the_page_needs_no_torch(
    cli: Cli,
    audited: Callable[..., list[str]],
    process: Callable[..., CompletedProcess[str]],
    without_torch: Mapping[str, str],
) -> None:
    folders = audited(b0=csv(0.8), b1=csv(0.9))
    done = process("ladder", *folders, "--output", "out", **without_torch)
    assert done.returncode == 0, done.stderr
    assert Path("out/ladder.html").exists()


@pytest.mark.parametrize("words", [("--min-gain", "nan"), ("--confidence", "nan")])
def test_what_is_no_number_is_refused(cli: Cli, words: tuple[str, str]) -> None:
    done = cli("ladder", "a", "b", *words)
    assert done.returncode == 2
    assert "nan" in done.stderr
