"""An audit with a baseline, from its configuration to its verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from auditor.check import Status
from auditor.cli.verdict import verdict
from auditor.errors import InputError
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.render.junit import junit
from auditor.render.markdown import markdown

Run = Callable[..., Audit]
Saved = Callable[..., Path]
Folder = Callable[..., Path]
Given = dict[str, Any]
GOOD = {"cat": {"cat": 970, "dog": 30}, "dog": {"dog": 980, "cat": 20}}
MODELS = """

def unsure():
    model = two()
    model.mix.weight.data /= 9
    return model


def surer():
    model = two()
    model.mix.weight.data *= 2
    return model


def never_right():
    model = two()
    model.mix.weight.data *= -1
    return model
"""


@pytest.fixture
def kept(run: Run) -> Run:
    """Audit into a folder, as a baseline for later."""

    def kept(directory: Path, **tables: Any) -> Audit:
        audit = run(output={"directory": directory}, **tables)
        audit.write(directory / "audit.json")
        return audit

    return kept


@pytest.fixture
def given(image_folder: Folder, module: Callable[..., str]) -> Given:
    """A candidate that is right about all of its test images."""
    return {
        "candidate": {"module": f"{module(MODELS)}:unsure", "input_size": 16},
        "data": {"test": image_folder("test", {"a": 40, "b": 40})},
    }


@pytest.mark.parametrize(
    ("sure", "shift", "status"),
    [
        (0.7, 0.0, "pass"),
        (0.7, 0.0005, "pass"),  # another device
        (0.7, 0.05, "inconclusive"),
        (0.9992, 0.0, "inconclusive"),  # any two models that are sure of everything
        (0.9992, 0.0007, "inconclusive"),
    ],
)
def test_the_same_labels_with_other_probabilities_are_another_model(
    run: Run,
    kept: Run,
    write: Callable[[str, str], Path],
    tmp_path: Path,
    sure: float,
    shift: float,
    status: str,
) -> None:
    def rows(p: float) -> list[str]:
        both = f"{p:.4f},{1 - p:.4f}", f"{1 - p:.4f},{p:.4f}"
        return [f"{i},{'ab'[i % 2]},{both[i % 2]}" for i in range(40)]

    head = "image,label,prob_a,prob_b"
    old, new = (
        write(f"{name}.csv", "\n".join([head, *rows(p)]))
        for name, p in (("old", sure), ("new", sure + shift))
    )
    kept(tmp_path / "old", predictions={"test": old})
    audit = run(predictions={"test": new}, baseline={"audit": tmp_path / "old"})
    assert audit.check("baseline-regression").status == status


def test_an_identical_candidate_passes(run: Run, kept: Run, saved: Saved, tmp_path: Path) -> None:
    given = {"test": saved(GOOD)}
    kept(tmp_path / "old", predictions=given)
    audit = run(predictions=given, baseline={"audit": tmp_path / "old"})
    result = audit.check("baseline-regression")
    assert (result.status, result.level) == (Status.PASS, "block")
    shown = audit.exhibits.baseline
    assert shown is not None
    assert (shown.changed, shown.overall.lost, shown.overall.won) == (0, 0, 0)


def test_every_format_tells_which_of_two_baselines_of_one_name(
    run: Run, kept: Run, write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Saved predictions are called as their file is, the candidate's too."""
    rows = [f"{i},{'ab'[i % 2]},{'ab'[i % 2]}" for i in range(200)]
    saved = write("test.csv", "\n".join(["image,label,predicted", *rows]) + "\n")
    old = kept(tmp_path / "old", predictions={"test": saved})
    audit = run(predictions={"test": saved}, baseline={"audit": tmp_path / "old"})
    shown = audit.exhibits.baseline
    assert shown is not None
    assert (shown.baseline, shown.candidate) == ("test.csv", "test.csv")
    assert (shown.digest, shown.created) == (old.digest, old.provenance.created)
    which = f"audit {old.digest[:12]} of"
    told = f"by the baseline (test.csv, {which} {old.provenance.created[:10]})"
    assert told in audit.check("baseline-regression").summary
    page, terminal = html_report(audit), " ".join(verdict(audit, []).split())
    for text in (page, terminal, junit(audit), markdown(audit)):
        assert told in text
    assert f"test.csv</bdi>, {which} {old.provenance.created[8:10].lstrip('0')} " in page


@pytest.mark.parametrize(
    ("other", "status"), [("two", Status.PASS), ("surer", Status.INCONCLUSIVE)]
)
def test_a_model_that_is_sure_of_everything_is_known_by_its_weights(
    run: Run, kept: Run, given: Given, tmp_path: Path, other: str, status: Status
) -> None:
    given["candidate"]["module"] = given["candidate"]["module"].replace("unsure", "two")
    kept(tmp_path / "old", **given)
    given["candidate"]["module"] = given["candidate"]["module"].replace("two", other)
    audit = run(baseline={"audit": tmp_path / "old"}, **given)
    result = audit.check("baseline-regression")
    assert result.status is status
    assert result.summary.startswith("Every one of 80 images is predicted as by ")


@pytest.mark.parametrize("given", ["a", "a/audit.json", "a/../a", "alias", "links"])
def test_an_audit_never_replaces_its_own_baseline(
    kept: Run, saved: Saved, tmp_path: Path, given: str
) -> None:
    """Else a rejected candidate, run again, would be held to itself."""
    path = saved(GOOD)
    before = kept(tmp_path / "a", predictions={"test": path})
    path.write_text(path.read_text().replace("cat-cat-00001,cat,cat", "cat-cat-00001,cat,dog"))
    (tmp_path / "alias").symlink_to("a")
    (tmp_path / "links").mkdir()
    for name in ("audit.json", "evidence"):
        (tmp_path / "links" / name).symlink_to(f"../a/{name}")
    with pytest.raises(InputError, match=r"lies where this audit is written to.*--output"):
        kept(tmp_path / "a", predictions={"test": path}, baseline={"audit": tmp_path / given})
    assert Audit.read(tmp_path / "a" / "audit.json") == before


def test_without_evidence_nothing_is_compared(
    run: Run, kept: Run, saved: Saved, tmp_path: Path
) -> None:
    given = {"test": saved(GOOD)}
    kept(tmp_path / "old", predictions=given)
    (tmp_path / "old" / "evidence" / "test.parquet").unlink()
    for preset in ("sign-off", "pull-request"):
        audit = run(
            predictions=given, baseline={"audit": tmp_path / "old"}, policy={"preset": preset}
        )
        result = audit.check("baseline-regression")
        assert result.status is Status.INCONCLUSIVE
        assert result.summary.startswith("not comparable with the baseline (")
        assert audit.verdict == "undecided"
        assert audit.exhibits.baseline is None


@pytest.mark.parametrize(
    ("preset", "verdict"), [("sign-off", "undecided"), ("pull-request", "accepted")]
)
def test_who_bears_the_burden_of_proof(
    run: Run, kept: Run, saved: Saved, tmp_path: Path, preset: str, verdict: str
) -> None:
    path = saved({"cat": {"cat": 190, "dog": 10}, "dog": {"dog": 200}})
    kept(tmp_path / "old", predictions={"test": path})
    path.write_text(path.read_text().replace("cat-cat-00001,cat,cat", "cat-cat-00001,cat,dog"))
    audit = run(
        predictions={"test": path},
        baseline={"audit": tmp_path / "old"},
        policy={"preset": preset},
    )
    assert audit.check("baseline-regression").status is Status.INCONCLUSIVE
    assert audit.verdict == verdict


def test_rare_classes_that_fell_together_are_no_matter_of_doubt(
    run: Run, kept: Run, saved: Saved, tmp_path: Path
) -> None:
    rare = {f"r{i:02}": {f"r{i:02}": 4} for i in range(25)}
    path = saved({"cat": {"cat": 4880, "dog": 120}, "dog": {"dog": 5000}, **rare})
    kept(tmp_path / "old", predictions={"test": path})
    text = path.read_text().replace(",cat,dog", ",cat,cat")
    path.write_text(re.sub(r",(r\d\d),\1", r",\1,cat", text))
    audit = run(
        predictions={"test": path},
        baseline={"audit": tmp_path / "old"},
        policy={"preset": "pull-request"},
    )
    result = audit.check("baseline-regression")
    assert [f.subject for f in result.findings if f.status is Status.FAIL] == ["all rare classes"]
    assert "baseline-regression" in audit.summary


def test_without_a_baseline_it_is_skipped(run: Run, kept: Run, saved: Saved) -> None:
    result = run(predictions={"test": saved(GOOD)}).check("baseline-regression")
    assert (result.status, result.level) == (Status.SKIP, "advise")


def test_the_leak_is_left_out_of_both(
    run: Run, kept: Run, given: Given, image_folder: Folder, tmp_path: Path
) -> None:
    train, test = image_folder("train", {"a": 40, "b": 40}), given["data"]["test"]
    (test / "a" / "0000.png").write_bytes((train / "a" / "0000.png").read_bytes())
    given["data"]["train"] = train
    kept(tmp_path / "old", **given)
    audit = run(baseline={"audit": tmp_path / "old"}, **given)
    result = audit.check("baseline-regression")
    assert result.status is Status.PASS
    assert result.leak_free is not None
    assert result.leak_free.status is Status.PASS


def test_flipped_images_have_thumbnails(run: Run, kept: Run, given: Given, tmp_path: Path) -> None:
    kept(tmp_path / "old", **given)
    given["candidate"]["module"] = given["candidate"]["module"].replace("unsure", "never_right")
    audit = run(baseline={"audit": tmp_path / "old"}, **given)
    shown = audit.exhibits.baseline
    assert shown is not None
    assert (shown.overall.lost, len(shown.lost)) == (80, 20)
    assert all((flip.thumbnail or "").startswith("data:image/jpeg") for flip in shown.lost)
    assert audit.check("baseline-regression").status is Status.FAIL


def test_a_picture_replaced_under_its_name_is_noticed(
    run: Run, kept: Run, given: Given, tmp_path: Path
) -> None:
    kept(tmp_path / "old", **given)
    replaced = given["data"]["test"] / "a" / "0003.png"
    Image.new("RGB", (16, 16), (210, 30, 35)).save(replaced)
    audit = run(baseline={"audit": tmp_path / "old"}, **given)
    result = audit.check("baseline-regression")
    assert result.status is Status.INCONCLUSIVE
    assert 'other pictures under the same names for 1 of 80 images, such as "a/0003.png"' in (
        result.summary
    )
    assert audit.exhibits.baseline is None


def test_a_picture_saved_again_without_loss_is_the_same(
    run: Run, kept: Run, given: Given, tmp_path: Path
) -> None:
    kept(tmp_path / "old", **given)
    again = given["data"]["test"] / "a" / "0003.png"
    before = again.read_bytes()
    Image.open(again).save(again, compress_level=1)
    assert again.read_bytes() != before
    audit = run(baseline={"audit": tmp_path / "old"}, **given)
    assert audit.check("baseline-regression").status is Status.PASS


def test_a_model_to_time_beside_no_model_is_refused(run: Run, saved: Saved) -> None:
    """Told to compare times, an audit of saved predictions must not be accepted without."""
    with pytest.raises(InputError, match=r"\[baseline\] model is timed beside the candidate"):
        run(predictions={"test": saved(GOOD)}, baseline={"model": "resnet18"})
