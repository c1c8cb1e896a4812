"""Where the module that ``auditor.toml`` names is sought: beside the file, then where one is."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Cli = Callable[..., CompletedProcess[str]]
Written = Callable[..., str]

RIGHT = """
import torch
from torch import nn

from {helper} import sign


class Net(nn.Module):
    def forward(self, x):
        means = x.mean(dim=(2, 3))
        return {sign} * sign() * torch.stack([means[:, 0], means[:, 2]], dim=1)


def build():
    return Net()
"""
_SERIAL = itertools.count()


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module of which there are several; what was imported is forgotten."""
    name = f"net_of_a_folder_{next(_SERIAL)}"
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    for each in (name, f"{name}_helper"):
        sys.modules.pop(each, None)


@pytest.fixture
def written(here: Path, name: str, image_folder: Callable[..., Path]) -> Written:
    """Write an ``auditor.toml`` into a folder, and a module with its helper where it is wanted."""
    image_folder("test", {"a": 40, "b": 40})

    def write(folder: str, sign: int | None = None, helper: int | None = None) -> str:
        place = here / folder
        place.mkdir(exist_ok=True)
        if sign is not None:
            source = RIGHT.format(helper=f"{name}_helper", sign=sign)
            (place / f"{name}.py").write_text(source)
        if helper is not None:
            (place / f"{name}_helper.py").write_text(f"def sign():\n    return {helper}\n")
        (place / "auditor.toml").write_text(
            f'[candidate]\nmodule = "{name}:build"\ninput_size = 16\n'
            f"[data]\ntest = '{here / 'test'}'\n[engine]\ndevice = \"cpu\"\n"
        )
        return f"{folder}/auditor.toml"

    return write


def _audit(folder: Path) -> tuple[float, str | None]:
    audit = json.loads((folder / "audit" / "audit.json").read_text())
    accuracy = next(each for each in audit["checks"] if each["id"] == "top1-accuracy")
    return accuracy["findings"][0]["observed"], audit["candidate"]["module"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_folder_of_the_file_comes_first(
    cli: Cli,
    here: Path,
    written: Written,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: bool,
) -> None:
    """A copy of it in the working directory is another module."""
    written(".", sign=-1, helper=1)
    written("sub", sign=1, helper=1)
    if elsewhere:
        (here / "elsewhere").mkdir()
        monkeypatch.chdir(here / "elsewhere")
    cli("run", str(here / "sub"))
    assert _audit(here / "sub") == (1.0, f"{name}.py")
    assert cli("check", str(here / "sub")).returncode != 2
    (here / f"{name}.py").write_text("x = 1\n")
    assert cli("check", str(here / "sub")).returncode != 2
    (here / "sub" / f"{name}.py").write_text("x = 1\n")
    assert "(it held something else then)" in " ".join(
        cli("check", str(here / "sub")).stderr.split()
    )


def test_then_comes_the_working_directory(
    cli: Cli, here: Path, written: Written, name: str
) -> None:
    written(".", sign=1, helper=1)
    cli("run", written("sub"))
    assert _audit(here / "sub") == (1.0, f"../{name}.py")


def test_a_flag_means_the_working_directory(
    cli: Cli, here: Path, written: Written, name: str
) -> None:
    written(".", sign=-1, helper=1)
    file = written("sub", sign=1, helper=1)
    cli("run", file, "--module", f"{name}:build")
    assert _audit(here / "sub") == (0.0, f"{name}.py")


@pytest.mark.parametrize(
    ("own", "helped"), [(1, 1), (None, 1), (None, None)], ids=["module", "helper", "nothing"]
)
def test_the_module_of_another_audit_of_this_process_is_not_taken_for_it(
    cli: Cli, here: Path, written: Written, name: str, own: int | None, helped: int | None
) -> None:
    cli("run", written("one", sign=1, helper=1))
    assert _audit(here / "one")[0] == 1.0
    other = written("other", sign=own, helper=helped)
    if own is None and helped is not None:  # a module of another name is helped by one of the same
        source = (here / "one" / f"{name}.py").read_text()
        (here / "other" / f"{name}_more.py").write_text(source)
        file = here / other
        file.write_text(file.read_text().replace(f"{name}:build", f"{name}_more:build"))
    done = cli("run", other)
    sys.modules.pop(f"{name}_more", None)
    said = "".join(done.stderr.split())
    assert not (here / "other" / "audit" / "audit.json").exists()
    if helped is None:
        assert f'The module of "{name}:build" is not found'.replace(" ", "") in said
    else:
        which = name if own else f"{name}_helper"
        assert f"{which}wasimportedfrom{here}/one/{which}.pybythisprocess" in said
        assert f"nowmeans{here}/other/{which}.py;giveoneofthemanothername" in said
    cli("run", "one")
    assert _audit(here / "one")[0] == 1.0


GUARDED = """
import sys
if {vendor!r} not in sys.path:
    sys.path.insert(0, {vendor!r})
"""


def _vendored(here: Path, name: str, source: str) -> None:
    """Have the module of "one" take its helper from a folder of another name."""
    vendor = here / "one" / "vendor"
    vendor.mkdir()
    (here / "one" / f"{name}_helper.py").rename(vendor / f"{name}_helper.py")
    (here / "one" / f"{name}_helper.py").write_text("def sign():\n    return -1\n")
    module = here / "one" / f"{name}.py"
    module.write_text(source.format(vendor=str(vendor), module=module.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        GUARDED + "{module}",
        "import sys\nsys.path.insert(0, {vendor!r})\n{module}\nsys.path.remove({vendor!r})\n",
    ],
    ids=["first", "for a while"],
)
def test_a_module_may_seek_its_helpers_elsewhere_first(
    cli: Cli, here: Path, written: Written, name: str, source: str
) -> None:
    file = written("one", sign=1, helper=1)
    _vendored(here, name, source)
    for _ in range(2):  # the second time between those of another folder
        cli("run", file)
        assert _audit(here / "one")[0] == 1.0
        cli("run", written("other"))


def test_a_process_that_is_told_where_to_seek_seeks_in_that_order(
    cli: Cli, here: Path, written: Written, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one on another node of a cluster: the module finds what it put first there already."""
    file = written("one", sign=1, helper=1)
    _vendored(here, name, GUARDED + "{module}")
    told = [str(here / "one" / "vendor"), str(here / "one"), str(here)]
    monkeypatch.setattr(sys, "path", [*told, *sys.path])
    cli("run", file)
    assert _audit(here / "one")[0] == 1.0
