from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from auditor.check import Status
from auditor.demo import run_demo, story
from auditor.demo.digits import CLASSES, RARE, write_digits
from auditor.demo.kept import STAMP, make_once
from auditor.errors import InputError
from auditor.progress import Progress
from auditor.record import Audit


class Run(NamedTuple):
    directory: Path
    status: int
    told: str

    def audit(self, candidate: str) -> Audit:
        return Audit.read(self.directory / candidate / "audit" / "audit.json")


def demo(directory: Path) -> Run:
    paragraphs: list[str] = []
    status = run_demo(directory, Progress(), paragraphs.append)
    return Run(directory, status, "\n".join(paragraphs))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return demo(tmp_path_factory.mktemp("work") / "audit-demo")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("digits")
    write_digits(directory)
    return directory


def images(folder: Path) -> dict[str, int]:
    return {name: len(list((folder / name).iterdir())) for name in CLASSES}


def statuses(audit: Audit) -> dict[str, Status]:
    return {check.id: check.status for check in audit.checks if check.level == "block"}


@pytest.mark.slow
def test_the_careless_candidate_is_rejected_for_each_planted_reason(run: Run) -> None:
    audit = run.audit("careless")
    failed = {id for id, status in statuses(audit).items() if status is Status.FAIL}
    assert audit.verdict == "rejected"
    assert failed >= {"accuracy-paradox", "rare-class-recall", "split-overlap", "overfitting"}


@pytest.mark.slow
def test_every_leaked_image_is_found(run: Run) -> None:
    overlap = run.audit("careless").exhibits.overlap
    assert overlap is not None
    assert overlap.test_images == 12 * (len(CLASSES) - 1)


@pytest.mark.slow
def test_the_list_that_the_report_names_is_beside_it(run: Run) -> None:
    audit = run.directory / "careless" / "audit"
    assert "<code>overlap.csv</code>" in (audit / "report.html").read_text(encoding="utf-8")
    with (audit / "overlap.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    overlap = run.audit("careless").exhibits.overlap
    assert overlap is not None
    assert {pair["test_image"] for pair in pairs} >= {p.test_image for p in overlap.pairs}
    assert len(pairs) == overlap.total_pairs


@pytest.mark.slow
def test_the_careful_candidate_is_accepted_on_every_blocking_check(run: Run) -> None:
    audit = run.audit("careful")
    assert audit.verdict == "accepted"
    passed = {id for id, status in statuses(audit).items() if status is Status.PASS}
    assert passed >= {
        "accuracy-paradox",
        "efficiency",
        "overfitting",
        "rare-class-recall",
        "split-overlap",
        "top1-accuracy",
        "unreadable-images",
    }


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["careless", "careful"])
def test_no_threshold_is_bent(run: Run, candidate: str) -> None:
    config = (run.directory / candidate / "auditor.toml").read_text()
    assert config.count("[checks.") == config.count("[checks.efficiency]") == 1
    assert "[policy]" not in config
    assert "[[waivers]]" not in config


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["careless", "careful"])
def test_the_training_log_is_read_as_timm_writes_it(run: Run, candidate: str) -> None:
    with (run.directory / candidate / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"epoch", "train_loss", "eval_loss", "eval_top1"} <= set(rows[0])
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert run.audit(candidate).exhibits.training is not None


@pytest.mark.slow
def test_the_story_tells_both_verdicts_and_where_the_reports_are(run: Run) -> None:
    assert run.status == 0
    for candidate in ("careless", "careful"):
        audit = run.audit(candidate)
        report = run.directory / candidate / "audit" / "report.html"
        assert report.is_file()
        assert str(report) in run.told
        told = " ".join(run.told.split())
        assert f"{candidate}: {audit.verdict.upper()}. {audit.summary}" in told
        for check in audit.checks:
            if check.level == "block":
                assert f"{check.status.upper()} {check.id} {check.summary}" in told


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_is_quick(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "train", None)
    started = time.process_time()
    again = demo(run.directory)
    assert time.process_time() - started < 20  # of work, however busy the machine is
    assert again == run


@pytest.mark.slow
def test_other_verdicts_than_intended_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "_INTENDED", dict.fromkeys(story._INTENDED, "accepted"))
    again = demo(run.directory)
    assert again.status == 3
    assert "careless: REJECTED" in again.told
    assert "not what the demo means to show: careless accepted" in again.told


def test_the_rare_class_is_rare_for_both_and_tested_enough(digits: Path) -> None:
    for author in ("careless", "careful"):
        counts = images(digits / author / "train")
        assert {n for n in CLASSES if counts[n] * len(CLASSES) < 0.5 * sum(counts.values())} == {
            RARE
        }
    assert images(digits / "test")[RARE] >= 30


def test_the_digits_are_the_same_every_time(digits: Path, tmp_path: Path) -> None:
    write_digits(tmp_path)
    assert content(digits) == content(tmp_path)


def test_only_the_careless_author_trains_on_test_files(digits: Path) -> None:
    test = set(content(digits / "test").values())
    careless = set(content(digits / "careless" / "train").values())
    careful = set(content(digits / "careful" / "train").values())
    assert len(test & careless) == 6 * (len(CLASSES) - 1)
    assert not test & careful


def content(directory: Path) -> dict[Path, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory): path.read_bytes() for path in files}


@pytest.fixture
def filler(tmp_path: Path) -> Callable[[], None]:
    def fill() -> None:
        (tmp_path / "made" / "file").touch(exist_ok=False)

    return fill


def test_a_folder_is_made_once_an_edition(tmp_path: Path, filler: Callable[[], None]) -> None:
    made = tmp_path / "made"
    assert make_once(made, "first", filler)
    assert not make_once(made, "first", filler)
    (made / "leftover").touch()
    assert make_once(made, "second", filler)
    assert {path.name for path in made.iterdir()} == {"file", STAMP}


def test_an_interrupted_folder_is_made_again(tmp_path: Path, filler: Callable[[], None]) -> None:
    def interrupted() -> None:
        filler()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(tmp_path / "made", "first", interrupted)
    assert make_once(tmp_path / "made", "first", filler)


def test_a_folder_of_the_users_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").touch()
    with pytest.raises(InputError, match="choose another --output"):
        demo(tmp_path)
    assert (tmp_path / "data" / "mine.txt").exists()
