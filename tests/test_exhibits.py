"""What the report shows beside the checks is what the checks judged, bounds included."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.record import Audit

Interval = tuple[float, float] | None

LEVELS = pytest.mark.parametrize("confidence", [0.95, 0.999])


def judged(audit: Audit, check: str) -> dict[tuple[str, str], Interval]:
    """Return the first of each subject's intervals in each metric."""
    findings = audit.check(check).findings
    return {(f.subject, f.metric): f.interval for f in reversed(findings)}


@pytest.fixture
def scored(write: Callable[[str, str], Path]) -> Path:
    """300 saved predictions of two classes, the second rare, with probabilities."""
    random = np.random.default_rng(0)
    lines = ["image,label,predicted,prob_a,prob_b"]
    for n in range(300):
        label = "b" if n < 60 else "a"
        p = random.uniform(0.55, 0.99)
        predicted = label if random.random() < 0.8 else "ab".replace(label, "")
        a = p if predicted == "a" else 1 - p
        lines.append(f"{n:03}.png,{label},{predicted},{a:.6f},{1 - a:.6f}")
    return write("scored.csv", "\n".join(lines) + "\n")


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("probabilities", "hits"),
    [
        ("1 0 0 0 0 0 0", 0),
        ("0.4 0.1 0.1 0.1 0.1 0.1 0.1", 0),
        ("0.4 0.2 0.1 0.1 0.1 0.06 0.04", 1),
        ("0.4 0.2 0.1 0.1 0.1 0.1 0", 0),
    ],
)
def test_ties_are_no_hits_among_the_first_five(
    run: Callable[..., Audit],
    write: Callable[[str, str], Path],
    probabilities: str,
    hits: int,
    *,
    backwards: bool,
) -> None:
    """Whatever the order of the columns: the label is b, a tied one of seven in most cases."""
    columns = list(zip("acbdefg", probabilities.split(), strict=True))
    columns = columns[::-1] if backwards else columns
    heads = ",".join(f"prob_{name}" for name, _ in columns)
    given = ",".join(value for _, value in columns)
    rows = f"1.png,b,a,{given}\n2.png,a,a,{given}\n"
    saved = write("saved.csv", f"image,label,predicted,{heads}\n{rows}")
    metrics = {row.name: row.value for row in run(predictions={"test": saved}).exhibits.metrics}
    assert metrics["top-5 accuracy"] == (hits + 1) / 2


@LEVELS
@pytest.mark.parametrize("method", ["exact", "wilson"])
def test_bounds_are_those_of_the_checks(
    run: Callable[..., Audit], scored: Path, confidence: float, method: str
) -> None:
    how: dict[str, Any] = {"confidence": confidence}
    both = {**how, "interval": method}
    checks = {
        "top1-accuracy": both,
        "accuracy-paradox": how,
        "rare-class-recall": both | {"classes": ["b"]},
        "precision-recall-gap": both,
        "calibration": how,
    }
    deployment = {"prevalence": {"a": 0.9, "b": 0.1}}
    audit = run(predictions={"test": scored}, checks=checks, deployment=deployment)
    shown = audit.exhibits
    metrics = {row.name: row.interval for row in shown.metrics}
    assert metrics["top-1 accuracy"] == judged(audit, "top1-accuracy")["test", "top-1 accuracy"]
    paradox = judged(audit, "accuracy-paradox")
    assert metrics["balanced accuracy"] == paradox["test", "balanced accuracy"]
    assert metrics["macro-F1"] == paradox["test", "macro-F1"]
    assert metrics["MCC"] == paradox["test", "Matthews correlation"]
    rows = {row.name: row for row in shown.per_class}
    assert rows["b"].recall_interval == judged(audit, "rare-class-recall")["b", "recall"]
    gap = judged(audit, "precision-recall-gap")
    assert {name: row.precision_interval for name, row in rows.items()} == {
        name: gap[name, "precision"] for name in "ab"
    }
    assert shown.calibration is not None
    error = judged(audit, "calibration")["test", "expected calibration error"]
    assert shown.calibration.interval == error
    assert shown.deployment is not None
    assert shown.deployment.metrics[0].interval == paradox["production", "expected accuracy"]


@LEVELS
def test_the_overlap_is_bounded_as_its_check_does(
    run: Callable[..., Audit], image_folder: Callable[..., Path], confidence: float
) -> None:
    data = {name: image_folder(name, {"a": 20, "b": 20}) for name in ("train", "test")}
    for n in range(5):
        shutil.copy(data["train"] / f"a/{n:04}.png", data["test"] / f"a/copy-{n}.png")
    audit = run(
        data=data,
        predictions={"test": _saved(data["test"])},
        checks={"split-overlap": {"confidence": confidence}},
    )
    shown = audit.exhibits.overlap
    assert shown is not None
    told = judged(audit, "split-overlap")["test", "accuracy inflation by overlapping images"]
    assert told is not None
    assert shown.classes[0].interval == told


@pytest.mark.parametrize(
    ("options", "rare"),
    [
        ({}, {"c"}),
        ({"rarity": 0.01}, set()),
        ({"classes": ["b"]}, {"b"}),
        ({"classes": ["b"], "per_class": {"a": 0.5}}, {"a", "b"}),
        ({"per_class": {"b": 0.5}}, {"b", "c"}),
    ],
)
def test_rare_is_what_the_check_treats_as_rare(
    run: Callable[..., Audit],
    image_folder: Callable[..., Path],
    options: dict[str, Any],
    rare: set[str],
) -> None:
    sizes = {"a": 18, "b": 18, "c": 4}
    data = {name: image_folder(name, sizes) for name in ("train", "test")}
    for name in "abc":  # only of classes with a copy the overlap has a row
        shutil.copy(data["train"] / name / "0000.png", data["test"] / name / "copy.png")
    audit = run(
        data=data,
        predictions={"test": _saved(data["test"])},
        checks={"rare-class-recall": options},
    )
    findings = audit.check("rare-class-recall").findings
    judged = {finding.subject for finding in findings if finding.limit is not None}
    assert judged == rare
    shown = audit.exhibits
    assert {row.name for row in shown.per_class if row.rare} == rare
    assert shown.overlap is not None
    assert {row.name for row in shown.overlap.classes if row.rare} == rare


def _saved(folder: Path) -> Path:
    """Predict a for all images, of which half are."""
    images = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    lines = [f"{image},{image[0]},a" for image in images]
    saved = folder.parent / "saved.csv"
    saved.write_text("\n".join(["image,label,predicted", *lines]) + "\n")
    return saved


@pytest.mark.parametrize("swapped", [0, 20])
def test_probabilities_that_are_not_what_was_predicted_by_are_told(
    run: Callable[..., Audit], scored: Path, write: Callable[[str, str], Path], swapped: int
) -> None:
    head, *lines = scored.read_text().splitlines()
    for n in range(swapped):
        *cells, a, b = lines[n].split(",")
        lines[n] = ",".join([*cells, b, a])
    saved = write("swapped.csv", "\n".join([head, *lines]) + "\n")
    audit = run(predictions={"test": saved})
    notes = audit.candidate.notes
    said = [note for note in notes if note.startswith("In 20 of 300 test images")]
    assert len(said) == (1 if swapped else 0)
    assert all("calibration by the probability of the class that was predicted" in s for s in said)
    there = audit.check("calibration").findings[0].note
    assert ("in 20 images another class than the predicted one" in there) == bool(swapped)
    assert bool(notes) == bool(swapped)
