"""Groups are counted anew where a column of the manifest has another name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.check import Status
from auditor.record import Audit
from auditor.standalone.searching import compare
from auditor.standalone.signing import sign_images


def test_a_corrected_header_is_another_question(
    image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    def listed(split: str, header: str) -> Path:
        images = sorted((tmp_path / split).rglob("*.png"))
        rows = [
            f"{split}/{p.parent.name}/{p.name},{split}{n},P{n % 3}" for n, p in enumerate(images)
        ]
        path = tmp_path / f"{split}.csv"
        path.write_text("\n".join([f"image,{header}", *rows]) + "\n", encoding="utf-8")
        return path

    def status(header: str, directory: str) -> Status:
        train, test = (listed(split, header) for split in ("train", "test"))
        settings = {"groups": ("patient",)}
        return compare(train, test, tmp_path / directory, settings=settings).report.status

    for seed, split in enumerate(("train", "test")):
        image_folder(split, {"a": 4, "b": 4}, seed=seed)
    assert status("patient,scanner", "out") is Status.PASS
    assert status("scanner,patient", "out") is Status.FAIL
    assert status("scanner,patient", "fresh") is Status.FAIL


@pytest.mark.parametrize("first", [1, 15_000_000_000, 2**53 - 20])
@pytest.mark.parametrize("shared", [False, True])
def test_a_group_is_the_same_where_a_gap_makes_its_column_floating(
    image_folder: Callable[..., Path], tmp_path: Path, first: int, shared: bool
) -> None:
    """As pandas writes numbers of patients of which one is missing."""
    for seed, split in enumerate(("train", "test")):
        image_folder(split, {"a": 4, "b": 4}, seed=seed)
        images = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.glob(f"{split}/*/*"))
        start = first if shared else first + 10 * seed
        patients = list[float | None](range(start, start + len(images)))
        if split == "test":
            patients = [None, *map(float, range(start + 1, start + len(images)))]
        pq.write_table(pa.table({"image": images, "p": patients}), tmp_path / f"{split}.parquet")
    train, test = (tmp_path / f"{split}.parquet" for split in ("train", "test"))
    report = compare(train, test, tmp_path / "out", settings={"groups": ("p",)}).report
    assert (report.status is Status.FAIL) == shared, report.summary


@pytest.mark.parametrize("given", [False, True])
def test_groups_that_were_asked_for_and_are_nowhere_named_leave_it_undecided(
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    run: Callable[..., Audit],
    tmp_path: Path,
    given: bool,
) -> None:
    """Signatures of training images name none; no training data name none either."""
    image_folder("test", {"red": 40, "blue": 40})
    rows = [f"test/{label}/{n:04}.png,{label},P{n}" for label in ("red", "blue") for n in range(40)]
    manifest = tmp_path / "test.csv"
    manifest.write_text("\n".join(["image,label,patient", *rows]) + "\n", encoding="utf-8")
    data = {"test": manifest}
    if given:
        train = image_folder("train", {"red": 40, "blue": 40}, seed=1)
        data["train"] = tmp_path / "train.parquet"
        sign_images(train, data["train"])
    candidate = {"module": f"{module()}:two", "classes": ["red", "blue"], "input_size": 16}
    audit = run(candidate=candidate, data=data, overlap={"groups": ["patient"]})
    result = next(result for result in audit.checks if result.id == "group-overlap")
    assert (result.level, result.status) == ("block", Status.ERROR)
    assert "no manifest of the training data that names them" in result.summary
    assert audit.verdict == "undecided"
