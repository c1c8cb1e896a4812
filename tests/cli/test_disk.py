"""A disk that is full, and places that cannot be written: what is said, and what is kept."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from auditor.engine.shards import PART
from auditor.provider import BATCH

Done = CompletedProcess[str]

N = 1100
"""Images: two parts and a bit."""
TOML = """
[candidate]
module = "{}"
input_size = 8

[data]
test = "test"

[engine]
backend = "torch"
batch_size = 64

[output]
directory = "{}"
"""


@contextmanager
def files_of(most: int | None) -> Iterator[None]:
    """Let files have so many bytes at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if most is None else most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Project:
    """A folder with a model and its test images."""

    def __init__(
        self, here: Path, cli: Callable[..., Done], model: str, looked: Callable[[], int]
    ) -> None:
        self.here, self.cli, self.model, self.looked = here, cli, model, looked
        self.output = here / "audit"

    def gather(self, most: int | None = None) -> Done:
        """Gather, where files may have so many bytes at most."""
        (self.here / "auditor.toml").write_text(TOML.format(self.model, self.output))
        with files_of(most):
            return self.cli("gather")

    def files(self, pattern: str) -> list[Path]:
        return sorted((self.output / "evidence").glob(pattern))


@pytest.fixture
def project(
    here: Path, cli: Callable[..., Done], counted: str, looked: Callable[[], int]
) -> Project:
    random = np.random.default_rng(0)
    for label in "ab":
        (here / "test" / label).mkdir(parents=True)
        for n, pixels in enumerate(random.integers(0, 256, (N // 2, 8, 8, 3), np.uint8)):
            Image.fromarray(pixels).save(here / "test" / label / f"{n}.bmp")
    return Project(here, cli, counted, looked)


def refused(done: Done, place: str) -> None:
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("auditor: ")
    assert place in last
    assert "cannot be written" in last
    assert "Traceback" not in done.stderr


def test_what_was_seen_is_kept_where_the_whole_cannot_be_written(project: Project) -> None:
    assert project.gather().returncode == 0
    assert project.looked() == N
    stored = {path.name: path.stat().st_size for path in project.files("*.parquet")}
    largest = max(stored, key=stored.__getitem__)
    project.output = project.here / "again"
    refused(project.gather(stored[largest] - 1), f"again/evidence/{largest}: ")
    assert project.looked() == N
    assert project.files("*.parts/*/*.parquet")
    assert not project.files("**/*.partial")
    assert project.gather().returncode == 0
    assert project.looked() == 0
    assert {path.name: path.stat().st_size for path in project.files("*.parquet")} == stored
    assert not project.files("*.parts")


@pytest.mark.parametrize("most", [0, 3000])
def test_nothing_is_looked_at_in_vain(project: Project, most: int) -> None:
    refused(project.gather(most), "audit")
    assert project.looked() <= PART + 4 * BATCH  # the part is stored beside what comes next
    assert project.gather().returncode == 0


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """A disk that holds less than the evidence; left out where none can be mounted."""
    folder = project.here / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_the_rest_is_gathered_once_there_is_room(
    project: Project, small_disk: Path
) -> None:
    project.output = small_disk / "audit"
    refused(project.gather(), "disk/audit")
    first = project.looked()
    assert project.files("*.parts/*/*.parquet")
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert project.gather().returncode == 0
    assert project.looked() < N <= first + N
    assert not project.files("*.parts")


@pytest.mark.parametrize("place", ["audit", "audit/evidence", "audit/evidence/test.parts"])
def test_a_file_in_the_place_of_a_folder_is_named(project: Project, place: str) -> None:
    file = project.here / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("not a folder")
    refused(project.gather(), place)
    assert project.looked() == 0
    file.unlink()
    assert project.gather().returncode == 0


@pytest.mark.parametrize("name", ["audit.json", "report.html"])
def test_a_report_that_does_not_fit_is_named_and_no_piece_of_it_is_left(
    cli: Callable[..., Done], good: str, here: Path, name: str
) -> None:
    auditing = ("run", "--predictions", good, "--output", "out")
    cli(*auditing)
    whole = (here / "out" / name).read_bytes()
    with files_of(len(whole) * 9 // 10):
        refused(cli(*auditing), f"out/{name}: ")
    assert [path.name for path in (here / "out").glob(f"{name}*")] == [name] * (
        name == "audit.json"  # of the earlier audit; its reports went before
    )
    assert not [*here.rglob("*.partial")]


@pytest.mark.parametrize("command", ["diff", "ladder", "overlap"])
def test_every_command_writes_its_reports_whole_or_not_at_all(
    cli: Callable[..., Done], good: str, here: Path, command: str
) -> None:
    for audit in ("one", "two"):
        cli("run", "--predictions", good, "--output", audit)
    sources = ("x", "y") if command == "overlap" else ("one", "two")
    for folder in ("x", "y"):
        (here / folder).mkdir()
        Image.new("RGB", (32, 32), (9, 9, 90)).save(here / folder / f"{folder}.png")
    cli(command, *sources, "--output", "out")
    page = here / "out" / f"{command}.html"
    before = page.read_bytes()
    with files_of(len(before) // 2):
        refused(cli(command, *sources, "--output", "out"), f"out/{command}.html: ")
    assert page.read_bytes() == before
    assert not [*here.rglob("*.partial")]
