"""Groups are counted anew where a column of the manifest has another name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from auditor.check import Status
from auditor.overlap.standalone import compare


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
