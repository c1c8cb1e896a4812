"""What is shipped: the package list, the wheel, and no path of the machine it was made on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """Every file that is or would be committed."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        check=True,
        text=True,
    )
    paths = [repository / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy."""
    pytest.importorskip("setuptools", reason="the wheel is built with this environment's")
    copy = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("auditor", "checks", "templates"):
        shutil.copytree(repository / name, copy / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def _packages(repository: Path) -> set[str]:
    folders = {p.parent for p in (repository / "auditor").rglob("*.py")}
    names = {".".join(folder.relative_to(repository).parts) for folder in folders}
    return names | {"auditor.checks", "auditor.templates"}


def test_the_package_list_equals_the_tree(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(_packages(repository))


def test_the_links_lead_to_the_folders_at_the_top(repository: Path) -> None:
    for name in ("checks", "templates"):
        assert (repository / "auditor" / name).is_symlink()
        assert (repository / "auditor" / name).resolve() == repository / name


@pytest.mark.slow
def test_the_wheel_holds_one_import_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"auditor"}


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(
    wheel: zipfile.ZipFile, repository: Path
) -> None:
    wanted = {"auditor/py.typed"}
    for folder, package in (("auditor", "auditor"), ("checks", "auditor/checks")):
        for path in (repository / folder).rglob("*.py"):
            wanted.add(f"{package}/{path.relative_to(repository / folder).as_posix()}")
    for path in [*(repository / "templates").iterdir()]:
        if path.suffix in (".py", ".j2", ".css"):
            wanted.add(f"auditor/templates/{path.name}")
    for path in (repository / "auditor").rglob("*.csv"):
        wanted.add(path.relative_to(repository).as_posix())
    assert {"auditor/templates/style.css", "auditor/models/efficientnet_reference.csv"} <= wanted
    assert wanted <= set(wheel.namelist())


@pytest.mark.slow
def test_the_wheel_has_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (entries,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "auditor = auditor.__main__:main" in wheel.read(entries).decode()
    assert any(name.endswith("LICENSE") for name in wheel.namelist())


def test_no_file_names_a_folder_of_one_machine(tracked: list[Path], repository: Path) -> None:
    place = re.compile(rb"(?<![\w.:/-])/(home|root|work|Users)/\w")
    found = [
        f"{path.relative_to(repository)}: {match[0].decode()}"
        for path in tracked
        if (match := place.search(path.read_bytes()))
    ]
    assert found == []


def test_no_test_folder_is_a_package(repository: Path) -> None:
    assert list((repository / "tests").rglob("__init__.py")) == []
