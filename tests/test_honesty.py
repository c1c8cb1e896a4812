"""Ways by which an audit could once be accepted without having earned it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.config import load_config
from auditor.errors import InputError
from auditor.record import Audit
from auditor.runner import judge

Run = Callable[..., Audit]
Make = Callable[..., Path]


def test_evidence_of_two_test_sets_is_not_judged_as_one(
    run: Run, module: Callable[..., str], image_folder: Make, tmp_path: Path
) -> None:
    classes = {"cat": 60, "dog": 60}
    train, clean = image_folder("train", classes), image_folder("clean", classes)
    leaky = tmp_path / "leaky"
    shutil.copytree(clean, leaky)
    for path in list((train / "cat").iterdir())[:40]:
        shutil.copy(path, leaky / "cat" / path.name)
    candidate = {"module": f"{module()}:two", "input_size": 16}
    off = {name: {"level": "off"} for name in ("split-overlap", "overfitting")}
    run(data={"train": train, "test": clean}, candidate=candidate)
    run(data={"train": train, "test": leaky}, candidate=candidate, checks=off)
    config, source = load_config(
        None,
        {
            "data": {"train": train, "test": leaky},
            "candidate": candidate,
            "output": {"directory": tmp_path / "out"},
        },
    )
    audit = judge(config, source, gathering=False).audit
    assert audit.check("split-overlap").status == "error"
    assert "other test_samples" in audit.check("split-overlap").summary
    assert audit.verdict == "undecided"


def test_growing_the_training_data_leaves_stored_evidence_of_one_audit(
    run: Run, module: Callable[..., str], image_folder: Make, tmp_path: Path
) -> None:
    train = image_folder("train", {"cat": 60, "dog": 60})
    test = image_folder("test", {"cat": 60, "dog": 60})
    candidate = {"module": f"{module()}:two", "input_size": 16}
    run(data={"train": train, "test": test}, candidate=candidate)
    shutil.copy(train / "cat" / "0000.png", train / "cat" / "more.png")
    again = run(data={"train": train, "test": test}, candidate=candidate)
    config, source = load_config(None, {"output": {"directory": tmp_path / "out"}})
    judged = judge(config, source, gathering=False).audit
    assert [r.status for r in judged.checks] == [r.status for r in again.checks]


def test_copies_within_the_test_set_do_not_make_few_pictures_many(
    run: Run, module: Callable[..., str], image_folder: Make
) -> None:
    test = image_folder("test", {"cat": 3, "dog": 3})
    for path in list(test.rglob("*.png")):
        for k in range(20):
            shutil.copy(path, path.with_stem(f"{path.stem}-{k}"))
    audit = run(data={"test": test}, candidate={"module": f"{module()}:two", "input_size": 16})
    assert audit.check("split-overlap").status == "fail"
    assert "120 of 126 images repeat another one" in audit.check("split-overlap").summary
    assert audit.verdict == "rejected"


def test_passes_that_say_nothing_of_the_candidate_do_not_accept_it(
    run: Run, module: Callable[..., str], image_folder: Make
) -> None:
    audit = run(
        data={"test": image_folder("test", {"cat": 2, "dog": 2})},
        candidate={"module": f"{module()}:two", "input_size": 16},
        policy={"preset": "pull-request"},
    )
    assert audit.check("unreadable-images").status == "pass"
    assert audit.verdict == "undecided"


def test_one_file_as_training_and_test_predictions_is_refused(run: Run, saved: Make) -> None:
    path = saved({"a": {"a": 100}, "b": {"b": 100}})
    with pytest.raises(InputError, match="the same predictions are given"):
        run(predictions={"test": path, "train": path})


@pytest.mark.parametrize("split", ["train", "validation"])
def test_one_file_under_two_names_is_refused(
    run: Run, saved: Make, tmp_path: Path, split: str
) -> None:
    path = saved({"a": {"a": 100}, "b": {"b": 100}})
    (tmp_path / "linked.csv").symlink_to(path)
    with pytest.raises(InputError, match=f"linked.csv: the same predictions .* {split} out"):
        run(predictions={"test": path, split: tmp_path / "linked.csv"})


@pytest.mark.parametrize("split", ["train", "validation"])
def test_two_splits_of_which_all_is_right_may_look_the_same(
    run: Run, saved: Make, tmp_path: Path, split: str
) -> None:
    path = saved({"a": {"a": 100}, "b": {"b": 100}})
    shutil.copy(path, tmp_path / "other.csv")
    audit = run(predictions={"test": path, split: tmp_path / "other.csv"})
    assert audit.check("top1-accuracy").status == "pass"
    assert audit.check("overfitting").status == ("pass" if split == "train" else "skip")


def test_a_copy_of_predictions_that_are_not_all_right_is_no_other_split(
    run: Run, saved: Make, tmp_path: Path
) -> None:
    path = saved({"a": {"a": 90, "b": 10}, "b": {"b": 90, "a": 10}})
    shutil.copy(path, tmp_path / "other.csv")
    audit = run(predictions={"test": path, "train": tmp_path / "other.csv"})
    assert audit.check("overfitting").status == "error"


@pytest.mark.parametrize("lost", ["test", "train"])
def test_a_file_of_predictions_that_is_not_there_is_named(
    run: Run, saved: Make, tmp_path: Path, lost: str
) -> None:
    given = {"test": saved({"a": {"a": 100}, "b": {"b": 100}}), "train": tmp_path / "other.csv"}
    shutil.copy(given["test"], given["train"])
    with pytest.raises(InputError, match=r"lost\.csv"):
        run(predictions={**given, lost: tmp_path / "lost.csv"})


def test_saved_test_predictions_do_not_meet_a_model_on_the_training_images(
    run: Run, module: Callable[..., str], image_folder: Make, saved: Make
) -> None:
    audit = run(
        predictions={"test": saved({"cat": {"cat": 100}, "dog": {"dog": 100}})},
        data={"train": image_folder("train", {"cat": 60, "dog": 60})},
        candidate={"module": f"{module()}:two", "input_size": 16},
    )
    assert audit.check("overfitting").status == "error"
    assert audit.verdict == "undecided"


def test_an_image_of_a_format_that_cannot_be_read_is_counted(
    run: Run, module: Callable[..., str], image_folder: Make
) -> None:
    test = image_folder("test", {"cat": 60, "dog": 60})
    for k in range(60):
        (test / "dog" / f"{k}.heic").write_bytes(b"not read")
    audit = run(data={"test": test}, candidate={"module": f"{module()}:two", "input_size": 16})
    assert audit.data.test.images == 180
    assert audit.check("unreadable-images").status == "fail"


def test_test_files_that_were_left_out_may_be_those_that_it_misses(
    run: Run, module: Callable[..., str], image_folder: Make
) -> None:
    test = image_folder("test", {"cat": 60, "dog": 60})
    for name in ("README.md", "cat/.DS_Store", "cat/Thumbs.db", "dog/0000.json", "labels.csv"):
        (test / name).touch()
    tables = {"data": {"test": test}, "candidate": {"module": f"{module()}:two", "input_size": 16}}
    clean = run(**tables)
    assert clean.check("unreadable-images").status == "pass"
    (test / "cat" / "0000.png").rename(test / "cat" / "0000.bak")
    for policy in ("sign-off", "pull-request"):
        audit = run(**tables, policy={"preset": policy})
        assert (audit.verdict, audit.check("unreadable-images").status) == (
            "undecided",
            "inconclusive",
        )


def test_training_files_that_were_left_out_may_be_the_test_set(
    run: Run, image_folder: Make, tmp_path: Path
) -> None:
    train = image_folder("train", {"cat": 40, "dog": 40})
    test = image_folder("test", {"cat": 40, "dog": 40})
    images = [path.relative_to(test).as_posix() for path in sorted(test.rglob("*.png"))]
    rows = [f"{image},{image[:3]},{image[:3]}" for image in images]
    saved = tmp_path / "saved.csv"
    saved.write_text("\n".join(["image,label,predicted", *rows]))
    tables = {"data": {"train": train, "test": test}, "predictions": {"test": saved}}
    clean = run(**tables)
    assert (clean.verdict, clean.check("split-overlap").status) == ("accepted", "pass")
    for image in images:
        shutil.copy(test / image, (train / image).with_name(f"t{image[4:8]}"))
    for name in ("loose.png", "loose"):
        (train / name).write_bytes((test / images[0]).read_bytes())
    leaky = run(**tables)
    said = "82 training files could not be compared, lacking an image's suffix or a class folder"
    assert (leaky.verdict, leaky.check("split-overlap").status) == ("undecided", "inconclusive")
    assert said in leaky.check("split-overlap").summary
    shown = leaky.exhibits.overlap
    assert shown is not None
    assert any(said in note for note in shown.notes)
    for image in images:
        (train / image).with_name(f"t{image[4:8]}").rename(train / image[:3] / f"t{image[4:8]}.png")
    for name in ("loose.png", "loose"):
        (train / name).unlink()
    assert run(**tables).check("split-overlap").status == "fail"
