"""``auditor gather`` and ``auditor merge``: evidence from one machine or many, and its verdict."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

Cli = Callable[..., CompletedProcess[str]]

TOML = """
[candidate]
module = "{}"
input_size = 16

[data]
train = "{}train"
test = "{}test"

[checks.latency]
level = "off"
"""


class Project:
    """A folder with a model, its data, and a count of the images that the model saw."""

    def __init__(self, here: Path, cli: Cli, model: str, looked: Callable[[], int]) -> None:
        self.here, self.cli, self.model, self.looked = here, cli, model, looked
        self.write()

    def write(self, data: str = "") -> None:
        (self.here / "auditor.toml").write_text(TOML.format(self.model, data, data))

    def shards(self, n: int, *folders: str) -> list[str]:
        """Gather shards into folders of their own, or those given; return them."""
        into = folders or [f"part{number}" for number in range(1, n + 1)]
        for number, folder in enumerate(into, 1):
            done = self.cli("gather", "--shard", f"{number}/{n}", "--output", folder)
            assert done.returncode == 0, done.stderr
            assert f"gathered shard {number}/{n} of " in done.stdout
        return [*dict.fromkeys(into)]

    def verdict(self, folder: str) -> list[tuple[str, str, str]]:
        """Return what the checks of an audit say."""
        audit = json.loads((self.here / folder / "audit.json").read_text())
        return [(check["id"], check["status"], check["summary"]) for check in audit["checks"]]

    def packages(self) -> dict[str, str]:
        """Return the versions that the audit names."""
        audit = json.loads((self.here / "audit" / "audit.json").read_text())
        found: dict[str, str] = audit["provenance"]["packages"]
        return found

    def digests(self, folder: str) -> dict[str, str]:
        path = self.here / folder / "evidence" / "manifest.json"
        stored = json.loads(path.read_text())["evidence"]
        return {name: entry["sha256"] for name, entry in stored.items() if "sha256" in entry}


@pytest.fixture
def project(
    cli: Cli,
    here: Path,
    image_folder: Callable[..., Path],
    counted: str,
    looked: Callable[[], int],
) -> Project:
    image_folder("test", {"a": 12, "b": 12})
    image_folder("train", {"a": 14, "b": 14}, seed=1)
    return Project(here, cli, counted, looked)


SHARED = ("test", "train", "test_signatures", "train_signatures", "test_properties")


def test_gathering_and_checking_is_running(project: Project, cli: Cli, here: Path) -> None:
    ran = cli("run", "--output", "ran")
    assert project.looked() == 24 + 28
    done = cli("gather", "--output", "there")
    assert (done.returncode, project.looked()) == (0, 24 + 28)
    assert done.stdout.startswith("gathered ")
    assert {path.name for path in (here / "there").iterdir()} == {"evidence"}
    for folder in ("train", "test", "modules"):
        shutil.rmtree(here / folder)
    checked = cli("check", "--output", "there")
    assert checked.returncode == ran.returncode
    assert project.verdict("there") == project.verdict("ran")


@pytest.mark.parametrize("n", [1, 3])
def test_shards_are_merged_to_what_one_machine_gathers(project: Project, cli: Cli, n: int) -> None:
    ran = cli("run", "--output", "ran")
    project.looked()
    folders = project.shards(n)
    assert project.looked() == 24 + 28
    done = cli("merge", *folders)
    assert done.returncode == 0, done.stderr
    assert "test: 24 images\n" in done.stdout
    whole, merged = project.digests("ran"), project.digests("audit")
    assert {name: merged[name] for name in SHARED} == {name: whole[name] for name in SHARED}
    assert cli("run").returncode == ran.returncode
    assert project.looked() == 0
    assert project.verdict("audit") == project.verdict("ran")


def test_shards_may_go_into_one_folder(project: Project, cli: Cli, here: Path) -> None:
    project.shards(2, "audit", "audit")
    project.looked()
    assert cli("merge", "audit").returncode == 0
    assert [*here.glob("audit/evidence/*.parts")] == []
    assert cli("run").returncode in (0, 3)
    assert project.looked() == 0


def test_a_copy_of_the_data_with_other_times_is_the_same_data(
    project: Project, cli: Cli, here: Path
) -> None:
    """On a machine with other threads, too: nothing is gathered again."""
    for split in ("train", "test"):
        shutil.copytree(here / split, here / "copy" / split, copy_function=shutil.copy)
    folders = project.shards(2, "part1")
    project.write("copy/")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    assert cli("gather", "--shard", "2/2", "--output", "part2").returncode == 0
    torch.set_num_threads(threads)
    project.write()
    assert cli("merge", *folders, "part2").returncode == 0
    project.looked()
    ran = cli("run")
    assert (ran.returncode in (0, 3), project.looked()) == (True, 0)
    assert cli("run", "--output", "fresh").returncode == ran.returncode
    assert project.verdict("audit") == project.verdict("fresh")


def test_another_decoder_looks_at_everything_again(
    project: Project, cli: Cli, here: Path, install: Callable[[str, str], None]
) -> None:
    """Until then the audit names the decoder that the evidence was made with."""
    assert cli("run").returncode in (0, 3)
    before = project.packages()
    install("pillow", "0.1")
    install("scipy", "0.1")
    project.looked()
    assert cli("check").returncode in (0, 3)
    assert project.packages() == {**before, "scipy": "0.1"}
    digests = project.digests("audit")
    assert cli("run").returncode in (0, 3)
    assert project.looked() == 24 + 28
    assert project.packages() == {**before, "scipy": "0.1", "pillow": "0.1"}
    now = project.digests("audit")
    assert {name for name in SHARED if now[name] != digests[name]} == {*SHARED}


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["part1"], "1 of 2 shards missing: 2/2; `auditor gather --shard 2/2`"),
        (["part1", "part2", "part1"], "shard 1/2 in part1 is in part1 too; name one of them"),
        (["part1", "part2", "none"], "none: no such folder; name what `auditor gather --shard`"),
        (["part1", "other"], "shard 2/2 in other was gathered from other data than shard 1/2"),
        (["part1", "third"], "shard 3/3 in third was gathered in another number of shards"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    project: Project, cli: Cli, here: Path, folders: list[str], said: str
) -> None:
    project.shards(2)
    assert cli("gather", "--shard", "3/3", "--output", "third").returncode == 0
    (here / "test" / "a" / "0003.png").unlink()
    assert cli("gather", "--shard", "2/2", "--output", "other").returncode == 0
    done = cli("merge", *folders)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (here / "audit").exists()


def test_a_harmed_part_and_a_harmed_description_are_named(
    project: Project, cli: Cli, here: Path
) -> None:
    folders = project.shards(2)
    for pattern, said in (
        ("test.parts/*/*.parquet", "shard 2/2 in part2: part 0 of test is missing or harmed; run"),
        ("test.parts/*/*.json", "share-2-of-2.json: harmed; gather that shard again"),
    ):
        (path,) = (here / "part2" / "evidence").glob(pattern)
        path.write_bytes(path.read_bytes()[:-20])
        done = cli("merge", *folders)
        assert (done.returncode, (here / "audit").exists()) == (2, False)
        assert said in done.stderr
    assert cli("gather", "--shard", "2/2", "--output", "part2").returncode == 0
    assert cli("merge", *folders).returncode == 0


@pytest.mark.parametrize(
    ("crash", "said"),
    [("RuntimeError('no licence')", "no licence"), ("SystemExit(1)", "test failed: SystemExit: 1")],
)
def test_a_model_that_does_not_load_is_said(
    project: Project, cli: Cli, module: Callable[..., str], crash: str, said: str
) -> None:
    broken = ("--module", f"{module(f'def broken(): raise {crash}')}:broken")
    for flags in ((), ("--shard", "1/2")):
        done = cli("gather", *broken, *flags)
        assert done.returncode == 2
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_shard_that_is_gathered_again_takes_the_place_of_what_it_was(
    project: Project, cli: Cli, here: Path
) -> None:
    folders = project.shards(2)
    (here / "test" / "a" / "0003.png").rename(here / "test" / "b" / "corrected.png")
    project.shards(2)
    done = cli("merge", *folders)
    assert done.returncode == 0, done.stderr
    ran, merged = cli("run", "--output", "ran"), cli("run")
    assert merged.returncode == ran.returncode
    assert project.verdict("audit") == project.verdict("ran")


@pytest.mark.parametrize("text", ["0/2", "3/2", "two", "1/0"])
def test_what_is_no_share_is_refused(project: Project, cli: Cli, text: str) -> None:
    done = cli("gather", "--shard", text)
    assert done.returncode == 2
    assert done.stderr == (
        f"auditor: --shard {text}: not a share; the second of eight is written 2/8\n"
    )


def test_nothing_to_gather_is_answered_with_what_to_say(cli: Cli) -> None:
    done = cli("gather")
    assert done.returncode == 2
    assert "auditor gather --checkpoint" in done.stderr
    assert cli("merge").returncode == 2


def test_the_examples_of_the_help_are_true(project: Project, cli: Cli) -> None:
    """Word for word, but for what is said on the right."""
    lines = [
        re.split(r" {2,}", line.strip())[0]
        for command in ("gather", "merge")
        for line in cli(command, "--help").stdout.splitlines()
        if re.match(r"  auditor (gather|merge|run)", line)
    ]
    assert "auditor gather --shard 1/2 --output part1" in lines
    assert "auditor merge part1 part2 && auditor run" in lines
    for line in lines[:3]:
        for words in line.split(" && "):
            assert cli(*words.split()[1:]).returncode in ((0, 3) if "run" in words else (0,))


def test_a_shard_without_images_says_so(project: Project, cli: Cli) -> None:
    done = cli("gather", "--shard", "1/2", "--output", "part1")
    said = " ".join(done.stderr.split())
    assert "no image of test falls to shard 1/2: its 24 images make 1 part of 512" in said
    assert project.looked() == 0
    assert "falls to shard" not in cli("gather", "--shard", "2/2", "--output", "part2").stderr
