from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from auditor.check import Status
from auditor.checks.group_overlap import GroupOverlap
from auditor.config import load_config
from auditor.data.manifest import read_manifest
from auditor.data.samples import Samples
from auditor.errors import InputError
from auditor.evidence.groups import (
    GroupColumn,
    GroupColumns,
    Groups,
    SharedGroup,
    group_counts,
)
from auditor.record import Audit
from auditor.runner import judge

Run = Callable[..., Audit]


def _groups(*shared: SharedGroup, unnamed: int = 0) -> Groups:
    return Groups((GroupColumn("patient", 20, 20, 39, unnamed),), shared)


def test_no_group_in_both_passes() -> None:
    outcome = GroupOverlap().run(_groups())
    assert outcome.status is Status.PASS
    assert outcome.summary == "No patient is in both splits."


@pytest.mark.parametrize(
    ("groups", "images", "said"), [(100, 1000, "1,000"), (100, 200, "200"), (100, 199, "")]
)
def test_several_test_images_a_group_are_said_to_be_no_independent_draws(
    groups: int, images: int, said: str
) -> None:
    alone = GroupColumn("image", images, 20, images, 0)
    outcome = GroupOverlap().run(Groups((alone, GroupColumn("patient", groups, 20, images, 0)), ()))
    assert outcome.status is Status.PASS
    more = f" {said} test images are of 100 groups (patient): other checks take images as "
    more += "independent, so that their intervals are too narrow."
    assert outcome.summary == f"No image, patient is in both splits.{more if said else ''}"


def test_a_group_in_both_fails_and_is_named() -> None:
    outcome = GroupOverlap().run(_groups(SharedGroup("patient", "P1", 3, 7)))
    assert outcome.status is Status.FAIL
    (failed,) = [f for f in outcome.findings if f.status is Status.FAIL]
    assert (failed.subject, failed.observed, failed.n) == ("patient: P1", 3, 3)
    assert "7 training images" in failed.note


def test_an_image_that_names_no_group_may_belong_to_any() -> None:
    outcome = GroupOverlap().run(_groups(unnamed=1))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.findings[0].observed == 20
    assert "1 image names no patient" in outcome.summary


@pytest.mark.parametrize(("unnamed", "groups"), [(1, 20), (2, None), (218, None)])
def test_groups_of_few_images_are_no_figure_of_all(unnamed: int, groups: int | None) -> None:
    """One in twenty of the 39 that name one would be 1.95."""
    assert GroupOverlap().run(_groups(unnamed=unnamed)).findings[0].observed == groups


@pytest.mark.parametrize("counts", [(0, 0, 0, 9), (3, 0, 9, 0), (0, 3, 0, 0)])
def test_a_split_that_names_no_group_shows_nothing(counts: tuple[int, int, int, int]) -> None:
    empty = Groups((GroupColumn("patient", *counts),), ())
    outcome = GroupOverlap().run(empty)
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.findings[0].observed is None


def test_one_group_is_one_and_images_are_counted_right() -> None:
    assert GroupOverlap().run(_groups(SharedGroup("patient", "P1", 1, 7))).summary == (
        "1 group (patient) has images in both splits; first: patient P1 with 1 test image and "
        "7 training images."
    )


def _counts(tmp_path: Path, test: Sequence[str], train: Sequence[str]) -> Groups:
    def listed(name: str, patients: Sequence[str]) -> Samples:
        rows = [f"{n}.png,{'ab'[n % 2]},{patient}" for n, patient in enumerate(patients)]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(["image,label,patient", *rows]) + "\n", encoding="utf-8")
        return read_manifest(path)

    return group_counts(GroupColumns(("patient",)), listed("test", test), listed("train", train))


@pytest.mark.parametrize(
    ("test", "train", "status"),
    [
        (["17", "18"], ["17.0", "19.0"], Status.FAIL),
        (["17.0", "18."], ["18", "19"], Status.FAIL),
        (["17.0", ""], ["17", "19"], Status.FAIL),
        (["17", "18"], ["19.0", "20.0"], Status.PASS),
        (["1.5", "2.5"], ["1.6", "2"], Status.PASS),
        (["1.5", "2.0"], ["1.6", "2"], Status.INCONCLUSIVE),
        (["17.0", "ext-1"], ["17", "18"], Status.INCONCLUSIVE),
        (["17", "18"], ["18.00", "ext-1"], Status.INCONCLUSIVE),
        (["170", "ext-1"], ["17", "18"], Status.PASS),
        (["P1\u200b", "P2"], ["P1", "P3"], Status.INCONCLUSIVE),
        (["\u200b", "P2"], ["P1", "P3"], Status.INCONCLUSIVE),
        (["v1.0", "v2"], ["v1", "v3"], Status.PASS),
        (["nan", "P1"], ["P2", "P3"], Status.INCONCLUSIVE),
        (["P1", "P2"], ["NA", "P3"], Status.INCONCLUSIVE),
        (["P1", "None"], ["P4", "P3"], Status.INCONCLUSIVE),
        (["P1", "null"], ["P4", "null"], Status.INCONCLUSIVE),
        (["#N/A", "P1"], ["P4", "P3"], Status.INCONCLUSIVE),
        (["P1", "P2"], ["unknown", "P3"], Status.INCONCLUSIVE),
        (["-", "P1"], ["P4", "-"], Status.INCONCLUSIVE),
        (["?", "P1"], ["P4", "P3"], Status.INCONCLUSIVE),
        (["Nancy", "Nora"], ["Noah", "Nina"], Status.PASS),
        (["unknown-7", "P-1"], ["P-2", "unknown-8"], Status.PASS),
        (["p17", "P18"], ["P17", "P19"], Status.INCONCLUSIVE),
        (["017", "018"], ["17", "19"], Status.INCONCLUSIVE),
        (["P007", "P008"], ["p7", "p9"], Status.INCONCLUSIVE),
        (["P100", "P20"], ["P10", "P2"], Status.PASS),
        (["P0", "P00"], ["P1", "P2"], Status.PASS),
    ],
)
def test_a_group_is_found_however_its_name_is_written(
    tmp_path: Path, test: Sequence[str], train: Sequence[str], status: Status
) -> None:
    outcome = GroupOverlap().run(_counts(tmp_path, test, train))
    assert outcome.status is status
    assert (status is Status.PASS) == outcome.summary.startswith("No patient is in both")


def test_names_that_are_alike_are_said_with_both_spellings(tmp_path: Path) -> None:
    outcome = GroupOverlap().run(_counts(tmp_path, ["p017", "P2"], ["P17", "P3"]))
    assert "p017 in the test set, P17 in training" in outcome.summary
    assert "1 group of the test set (patient) is called like one" in outcome.summary


def test_names_that_look_alike_are_alike(tmp_path: Path) -> None:
    """macOS writes an accent as a sign of its own, most databases do not."""
    outcome = GroupOverlap().run(_counts(tmp_path, ["Zoe\u0308", "P2"], ["Zo\u00eb", "P3"]))
    assert outcome.status is Status.INCONCLUSIVE
    assert "1 group of the test set (patient) is called like one" in outcome.summary


@pytest.fixture
def manifest(image_folder: Callable[..., Path]) -> Callable[..., Path]:
    """Write a split of 60 + 60 images with a manifest that names the patients in turn."""

    def make(name: str, patients: Sequence[str], column: str = "patient") -> Path:
        folder = image_folder(name, {"cat": 60, "dog": 60})
        images = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))
        rows = [f"{i},{i[:3]},{patients[n % len(patients)]}" for n, i in enumerate(images)]
        path = folder / "list.csv"
        path.write_text("\n".join([f"image,label,{column}", *rows]) + "\n", encoding="utf-8")
        return path

    return make


def _tables(module: str, **more: Any) -> dict[str, Any]:
    return {"candidate": {"module": f"{module}:two", "input_size": 16}, **more}


def test_a_patient_in_both_splits_rejects_the_audit(
    run: Run, manifest: Callable[..., Path], module: Callable[..., str]
) -> None:
    data = {"train": manifest("train", ["P1", "P2"]), "test": manifest("test", ["P2 ", "P3"])}
    audit = run(**_tables(module(), data=data, overlap={"groups": ["patient"]}))
    failed = [f for f in audit.check("group-overlap").findings if f.status is Status.FAIL]
    assert [(f.subject, f.observed) for f in failed] == [("patient: P2", 60)]
    assert audit.verdict == "rejected"
    assert audit.exhibits.overlap is not None
    assert [row.group for row in audit.exhibits.overlap.groups] == ["P2"]


def test_the_clean_twin_is_accepted(
    run: Run, manifest: Callable[..., Path], module: Callable[..., str]
) -> None:
    data = {"train": manifest("train", ["P1", "P2"]), "test": manifest("test", ["P3", "P4"])}
    audit = run(**_tables(module(), data=data, overlap={"groups": ["patient"]}))
    assert audit.check("group-overlap").status is Status.PASS
    assert audit.verdict == "accepted"


def test_a_column_that_is_not_there_names_the_line(
    run: Run,
    manifest: Callable[..., Path],
    module: Callable[..., str],
    write: Callable[[str, str], Path],
) -> None:
    train, test = manifest("train", ["P1"]), manifest("test", ["P2"], column="subject")
    config = write(
        "auditor.toml",
        f'[candidate]\nmodule = "{module()}:two"\ninput_size = 16\n'
        f'[data]\ntrain = "{train}"\ntest = "{test}"\n\n[overlap]\ngroups = ["patient"]\n',
    )
    with pytest.raises(InputError, match=r'auditor\.toml:9: .*list\.csv has no column "patient"'):
        run(config)


def test_folders_name_no_groups(
    run: Run, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    data = {name: image_folder(name, {"cat": 3, "dog": 3}) for name in ("train", "test")}
    with pytest.raises(InputError, match='no column "patient"'):
        run(**_tables(module(), data=data, overlap={"groups": ["patient"]}))


def test_without_named_columns_it_is_skipped(
    run: Run, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    audit = run(**_tables(module(), data={"test": image_folder("test", {"cat": 3, "dog": 3})}))
    result = audit.check("group-overlap")
    assert result.status is Status.SKIP
    assert result.level == "advise"
    assert "[overlap] groups" in result.summary


def test_groups_that_were_not_gathered_are_not_judged(
    run: Run, manifest: Callable[..., Path], module: Callable[..., str], tmp_path: Path
) -> None:
    data = {"train": manifest("train", ["P1", "P2"]), "test": manifest("test", ["P3", "P4"])}
    tables = _tables(module(), data=data)
    run(**tables, overlap={"groups": ["patient"]})
    later = {**tables, "overlap": {"groups": ["label"]}, "output": {"directory": tmp_path / "out"}}
    audit = judge(*load_config(None, later), gathering=False).audit
    assert audit.check("group-overlap").status is Status.ERROR
    assert audit.verdict == "undecided"
