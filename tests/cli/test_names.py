"""Names that are no text: what is said of them, and that nothing else goes wrong."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Cli = Callable[..., CompletedProcess[str]]
Folder = Callable[..., Path]

BAD = os.fsdecode(b"bad\xff.png")


@pytest.fixture
def images(image_folder: Folder) -> Path:
    image_folder("other", {"cat": 2, "dog": 2})
    return image_folder("images", {"cat": 2, "dog": 2})


def refused(done: CompletedProcess[str], said: str) -> None:
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"auditor: {said}: the name is not UTF-8")
    assert "rename it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "duplicates images --output out",
        "sign images --output out/s.parquet",
        "overlap images other --output out",
        "overlap other images --output out",
    ],
)
def test_a_file_whose_name_is_not_utf_8_is_named(
    cli: Cli, here: Path, images: Path, words: str
) -> None:
    shutil.copy(images / "cat" / "0000.png", images / "cat" / BAD)
    refused(cli(*words.split()), r"images: cat/bad\xff.png")
    assert not (here / "out").exists()


def test_an_audit_names_it_too(cli: Cli, images: Path, module: Callable[..., str]) -> None:
    shutil.copy(images / "cat" / "0000.png", images / "cat" / BAD)
    done = cli("run", "--module", f"{module()}:two", "--device", "cpu", "--test", "images")
    refused(done, r"images: cat/bad\xff.png")


def test_so_is_a_class_without_images(cli: Cli, images: Path, module: Callable[..., str]) -> None:
    (images / BAD).mkdir()
    done = cli("run", "--module", f"{module()}:two", "--device", "cpu", "--test", "images")
    refused(done, r"images: bad\xff.png")


def test_so_are_a_folder_and_a_member_of_a_tar(cli: Cli, here: Path, images: Path) -> None:
    folder = os.fsdecode(b"caf\xe9")
    shutil.copytree(images, here / folder)
    refused(cli("duplicates", folder), r"caf\xe9")
    with tarfile.open(here / "images.tar", "w") as tar:
        tar.add(images / "cat" / "0000.png", f"cat/{BAD}")
    refused(cli("duplicates", "images.tar"), r"images.tar: cat/bad\xff.png")


def test_where_the_images_lie_may_be_called_anything(
    cli: Cli, here: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths are all that is written."""
    above = here / os.fsdecode(b"caf\xe9")
    above.mkdir()
    shutil.copy(images / "cat" / "0000.png", images / "dog" / "é 猫.png")
    images.rename(above / "images")
    monkeypatch.chdir(above)
    done = cli("duplicates", "images")
    assert done.returncode == 1, done.stderr
    text = (above / "duplicates" / "duplicates.csv").read_text(encoding="utf-8")
    assert "dog/é 猫.png,same-bytes" in text
    assert cli("sign", "images").returncode == 0


@pytest.mark.parametrize("flag", ["predictions", "output", "baseline"])
def test_a_path_that_no_report_could_name_is_refused_before_the_work(
    cli: Cli, good: str, here: Path, flag: str
) -> None:
    flags = {"predictions": good, flag: os.fsdecode(b"caf\xe9/x")}
    done = cli("run", *(word for name, value in flags.items() for word in (f"--{name}", value)))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert r"caf\xe9/x: the name is not UTF-8; rename it" in done.stderr
    assert not (here / "audit").exists()
