"""Audits of the real predictions beside the project, where there are any."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.check import Status
from auditor.record import Audit

pytestmark = pytest.mark.shared_data
STATED = {
    "cifar10_wrn_28_10": 0.9593,
    "cifar10_densenet_BC_100_12": 0.9554,
    "cifar10_vgg16_keras": 0.9359,
    "cifar10_resnet_basic_110": 0.9346,
    "cifar10_resnet_basic_32": 0.9252,
    "cifar10_random_features_256k_no_aug": 0.8420,
    "cifar10_probabilities": 0.9294,
    "cifar10.1_wrn_28_10": 0.9015,
    "cifar10.1_densenet_BC_100_12": 0.8790,
    "cifar10.1_vgg16_keras": 0.8560,
    "cifar10.1_resnet_basic_110": 0.8540,
    "cifar10.1_resnet_basic_32": 0.8520,
    "cifar10.1_random_features_256k_no_aug": 0.7045,
}


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    path = repository.parent / "shared" / "data"
    if not (path / "predictions").is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return path


def test_every_file_is_known(folder: Path) -> None:
    assert {path.stem for path in (folder / "predictions").glob("*.csv")} == set(STATED)


def test_the_figures_are_those_of_its_readme(folder: Path) -> None:
    said = {
        float(f"0{x}") for x in re.findall(r"\| (\.\d{4}) ", (folder / "README.md").read_text())
    }
    assert set(STATED.values()) == said


@pytest.mark.parametrize(("name", "accuracy"), STATED.items())
def test_accuracies_are_those_stated(
    folder: Path, run: Callable[..., Audit], name: str, accuracy: float
) -> None:
    audit = run(predictions={"test": folder / "predictions" / f"{name}.csv"})
    finding = audit.check("top1-accuracy").findings[0]
    assert finding.observed == pytest.approx(accuracy, abs=5e-5)
    assert finding.n == (2_000 if "10.1" in name else 10_000)
    assert finding.status is (Status.FAIL if accuracy < 0.8 else Status.PASS)
    assert len(audit.data.classes) == 10
    assert audit.check("rare-class-recall").status is Status.SKIP


def test_a_model_without_a_dead_class_is_accepted(folder: Path, run: Callable[..., Audit]) -> None:
    path = folder / "predictions" / "cifar10_wrn_28_10.csv"
    audit = run(predictions={"test": path})
    assert audit.verdict == "accepted"


def test_the_same_model_blind_for_one_class_is_rejected(
    folder: Path, run: Callable[..., Audit], write: Callable[[str, str], Path]
) -> None:
    text = (folder / "predictions" / "cifar10_wrn_28_10.csv").read_text()
    blind = write("blind.csv", text.replace(",cat\n", ",dog\n"))
    audit = run(predictions={"test": blind}, candidate={"classes": _classes(text)})
    assert audit.verdict == "rejected"
    assert audit.check("top1-accuracy").status is Status.PASS
    assert audit.check("accuracy-paradox").status is Status.FAIL


def _classes(text: str) -> list[str]:
    return sorted({line.split(",")[1] for line in text.splitlines()[1:]})
