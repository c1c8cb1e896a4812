"""What blocks is judged without the test images that overlap training, and that decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor import leak_free
from auditor.check import Check, Finding, Outcome, Status
from auditor.checks.cheaper_inference import CheaperInference
from auditor.checks.efficiency import Efficiency
from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.baseline import Baseline
from auditor.evidence.complexity import Complexity
from auditor.evidence.overlap import Overlap, OverlapPair
from auditor.evidence.own_audits import OwnAudits
from auditor.evidence.predictions import Predictions
from auditor.graph import Graph
from auditor.outcomes import run_check
from auditor.progress import Progress
from auditor.provider import Provider, derive, find_providers, gather
from auditor.record import Audit, CheckResult
from auditor.render.html import html_report
from auditor.render.markdown import markdown
from auditor.settling import what_would_settle
from auditor.standalone.signing import sign_images
from auditor.store import Store

Run = Callable[..., Audit]
Folder = Callable[..., Path]


@pytest.fixture
def leaky(image_folder: Folder, module: Callable[..., str]) -> dict[str, Any]:
    """A test set of 100 copies of training images, and 60 new images of which half are wrong."""
    train = image_folder("train", {"cat": 60, "dog": 60})
    test = image_folder("test", {"cat": 15, "dog": 15}, seed=1)
    swapped = image_folder("swapped", {"dog": 15, "cat": 15}, seed=2)  # colours of the other
    for name in ("cat", "dog"):
        for k in range(15):
            shutil.copy(swapped / name / f"{k:04}.png", test / name / f"swapped-{k:04}.png")
        for k in range(50):
            shutil.copy(train / name / f"{k:04}.png", test / name / f"copy-{k:04}.png")
    data = {"train": train, "test": test}
    return {"data": data, "candidate": {"module": f"{module()}:two", "input_size": 16}}


def test_the_leak_free_view_decides_and_says_so_first(run: Run, leaky: dict[str, Any]) -> None:
    audit = run(**leaky, checks={"top1-accuracy": {"min_accuracy": 0.7}})
    result = audit.check("top1-accuracy")
    assert result.status is Status.FAIL
    assert result.summary.startswith("Without the 100 overlapping test images: ")
    assert result.summary.endswith("; with them it would pass.")
    assert [(f.observed, f.n) for f in result.findings] == [(0.5, 60)]
    leak = result.leak_free
    assert leak is not None
    assert (leak.left_out, leak.decides) == (100, True)
    assert (leak.status, leak.status_with_overlap) == (Status.FAIL, Status.PASS)
    assert "81.2% of 160" in leak.summary_with_overlap
    assert audit.summary.startswith("Judged without the 100 overlapping test images; with them ")
    assert "top1-accuracy would pass" in audit.summary


def test_a_failure_is_not_undone_by_copying_it_into_training(
    run: Run, image_folder: Folder, module: Callable[..., str]
) -> None:
    """24 of 60 cats are missed; without copies of those in training all are recognised."""
    train = image_folder("train", {"cat": 60, "dog": 60})
    test = image_folder("test", {"cat": 36, "dog": 60}, seed=1)
    swapped = image_folder("swapped", {"cat": 1, "dog": 24}, seed=2)
    for k in range(24):
        shutil.copy(swapped / "dog" / f"{k:04}.png", test / "cat" / f"missed-{k:04}.png")
        shutil.copy(swapped / "dog" / f"{k:04}.png", train / "cat" / f"missed-{k:04}.png")
    audit = run(
        data={"train": train, "test": test},
        candidate={"module": f"{module()}:two", "input_size": 16},
        checks={"rare-class-recall": {"classes": ["cat"]}},
    )
    result = audit.check("rare-class-recall")
    assert result.leak_free is not None
    assert result.leak_free.left_out == 24
    assert (result.status, result.leak_free.status) == (Status.FAIL, Status.PASS)
    assert "cat is recognised in 60% of 60 test images" in result.summary
    assert "Without the 24 overlapping test images:" in html_report(audit)


def test_it_is_told_in_the_reports(run: Run, leaky: dict[str, Any], tmp_path: Path) -> None:
    audit = run(**leaky, checks={"top1-accuracy": {"min_accuracy": 0.7}})
    said = "Without the 100 overlapping test images: "
    assert said in markdown(audit)
    page = html_report(audit)
    assert page.count(said) >= 3
    assert "With the 100 overlapping test images:" in page
    audit.write(tmp_path / "audit.json")
    assert Audit.read(tmp_path / "audit.json") == audit


def test_the_report_shows_the_threshold_that_was_judged(
    run: Run, leaky: dict[str, Any], image_folder: Folder
) -> None:
    leaky["data"]["validation"] = image_folder("validation", {"cat": 40, "dog": 40}, seed=3)
    options = {"critical": "cat", "min_recall": 0.6, "level": "block"}
    audit = run(**leaky, checks={"operating-point": options})
    result, shown = audit.check("operating-point"), audit.exhibits.operating
    assert result.leak_free is not None
    assert result.leak_free.decides
    assert shown is not None
    threshold = next(f for f in result.findings if f.subject == "threshold")
    assert shown.threshold == threshold.observed
    assert "81.2% of 80 test images of cat" in result.leak_free.summary_with_overlap
    assert shown.recall == result.findings[0].observed == 0.5
    assert shown.recall_interval == result.findings[0].interval
    section = html_report(audit).partition('id="operating"')[2].partition("</section>")[0]
    assert "Judged without the 100 test images with a copy" in section
    assert "Included:" not in section


def test_where_nothing_changes_both_are_shown(run: Run, leaky: dict[str, Any]) -> None:
    audit = run(**leaky, checks={"top1-accuracy": {"min_accuracy": 0.95}})
    result = audit.check("top1-accuracy")
    assert result.status is Status.FAIL
    assert result.findings[0].n == 160
    assert result.leak_free is not None
    assert not result.leak_free.decides
    assert "50.0% of 60" in result.leak_free.summary
    assert "Without the 100 overlapping test images:" in html_report(audit)


def test_where_neither_settles_it_what_would_is_counted_without_the_overlap(
    run: Run, leaky: dict[str, Any]
) -> None:
    """More images do not overlap: at 50% of them they never bring what 70% of all would."""
    for name in ("cat", "dog"):
        for k in range(20, 50):
            (leaky["data"]["test"] / name / f"copy-{k:04}.png").unlink()
    options = {"min_accuracy": 0.65, "confidence": 0.999}
    audit = run(**leaky, checks={"top1-accuracy": options})
    result = audit.check("top1-accuracy")
    assert result.status is Status.INCONCLUSIVE
    assert result.summary.startswith("Without the 40 overlapping test images: Bad: 50.0% of 60 ")
    assert "with them" not in result.summary
    (finding,) = result.findings
    assert finding.note == what_would_settle(30, 60, 0.65, 0.999)
    assert result.leak_free is not None
    assert (result.leak_free.decides, result.leak_free.shown) == (False, True)
    assert "top1-accuracy would" not in audit.summary
    assert "With the 40 overlapping test images:" in html_report(audit)


def test_only_what_blocks_on_the_predictions_is_judged_twice(
    run: Run, leaky: dict[str, Any]
) -> None:
    audit = run(**leaky)
    twice = {result.id for result in audit.checks if result.leak_free}
    assert {"top1-accuracy", "accuracy-paradox", "rare-class-recall"} <= twice
    assert twice.isdisjoint(
        {"split-overlap", "overfitting", "unreadable-images", "precision-recall-gap"}
    )


def test_without_an_overlap_nothing_is_judged_twice(
    run: Run, image_folder: Folder, module: Callable[..., str]
) -> None:
    classes = {"cat": 20, "dog": 20}
    data = {"train": image_folder("train", classes), "test": image_folder("test", classes)}
    audit = run(data=data, candidate={"module": f"{module()}:two", "input_size": 16})
    assert not any(result.leak_free for result in audit.checks)
    assert not audit.summary.startswith("Judged without")


def test_a_test_set_that_is_all_leaked_shows_nothing(
    run: Run, image_folder: Folder, module: Callable[..., str]
) -> None:
    train = image_folder("train", {"cat": 60, "dog": 60})
    shutil.copytree(train, train.parent / "test")
    data = {"train": train, "test": train.parent / "test"}
    audit = run(data=data, candidate={"module": f"{module()}:two", "input_size": 16})
    assert audit.check("top1-accuracy").status is Status.INCONCLUSIVE
    assert audit.check("top1-accuracy").summary.startswith("Without the 120 overlapping")
    assert audit.check("unreadable-images").status is Status.PASS


def _result(status: Status) -> CheckResult:
    return CheckResult(id="c", version=1, title="t", level="block", status=status, summary="Said.")


@pytest.mark.parametrize(
    ("everything", "clean", "counts"),
    [
        ("pass", "pass", "pass"),
        ("pass", "fail", "fail"),
        ("pass", "inconclusive", "inconclusive"),
        ("pass", "error", "error"),
        ("pass", "skip", "inconclusive"),
        ("fail", "pass", "fail"),
        ("fail", "inconclusive", "fail"),
        ("fail", "skip", "fail"),
        ("inconclusive", "pass", "inconclusive"),
        ("inconclusive", "inconclusive", "inconclusive"),
        ("inconclusive", "skip", "inconclusive"),
        ("error", "pass", "error"),
        ("skip", "fail", "fail"),
        ("skip", "skip", "skip"),
    ],
)
def test_the_clean_status_counts_but_is_no_excuse(everything: str, clean: str, counts: str) -> None:
    found = leak_free.decided(_result(Status(everything)), _result(Status(clean)), 3)
    assert found.status == counts
    assert found.leak_free is not None
    assert found.leak_free.decides is (counts != everything)
    assert ("overlapping" in found.summary) is found.leak_free.shown
    assert found.leak_free.shown is (counts != everything or everything == clean == "inconclusive")


def _found(**statuses: str) -> CheckResult:
    """A result with the recall of each class, or another figure that is named behind it."""
    findings = []
    for key, status in statuses.items():
        name, _, metric = key.partition(" ")
        told = {"subject": name, "metric": metric or "recall", "status": status}
        findings.append(Finding.model_validate({**told, "observed": 0.5, "n": 9}))
    outcome = Outcome.of(findings, "Said.")
    return _result(outcome.status).model_copy(update={"findings": outcome.findings})


@pytest.mark.parametrize(
    ("everything", "clean", "failing", "open_"),
    [
        ({"a": "fail", "b": "pass"}, {"a": "fail", "b": "fail"}, {"a", "b"}, set()),
        ({"a": "fail", "b": "pass"}, {"a": "fail", "b": "inconclusive"}, {"a"}, {"b"}),
        ({"a": "fail", "b": "pass"}, {"a": "inconclusive", "b": "pass"}, {"a"}, set()),
        ({"a": "pass", "b": "inconclusive"}, {"a": "fail"}, {"a"}, {"b"}),
        ({"a": "inconclusive", "b": "pass"}, {"a": "pass", "b": "fail"}, {"b"}, {"a"}),
        ({"a": "fail", "b": "inconclusive"}, {"a": "fail", "b": "fail"}, {"a", "b"}, {"b"}),
    ],
)
def test_what_either_view_found_amiss_has_to_be_waived(
    everything: dict[str, str], clean: dict[str, str], failing: set[str], open_: set[str]
) -> None:
    found = leak_free.decided(_found(**everything), _found(**clean), 3)
    assert found.status is Status.FAIL
    said = [(f.subject, f.status) for f in found.findings]
    assert {subject for subject, status in said if status is Status.FAIL} == failing
    assert {subject for subject, status in said if status is Status.INCONCLUSIVE} == open_
    assert all("overlapping" in f.note for f in found.findings[len(everything) :])


def test_what_is_rare_stays_rare_without_the_overlap(
    run: Run, image_folder: Folder, module: Callable[..., str], tmp_path: Path
) -> None:
    """Else a class that fails would be forgotten once copies of the others are left out."""
    train = image_folder("train", {"cat": 170, "dog": 5})
    test = image_folder("test", {"cat": 10, "dog": 0}, seed=1)
    for k in range(160):
        shutil.copy(train / "cat" / f"{k:04}.png", test / "cat" / f"copy-{k:04}.png")
    swapped = image_folder("swapped", {"cat": 20}, seed=2)
    for k in range(20):
        shutil.copy(swapped / "cat" / f"{k:04}.png", test / "dog" / f"{k:04}.png")
    signed = tmp_path / "train.signatures.parquet"
    sign_images(train, signed)
    audit = run(
        data={"train": signed, "test": test},
        candidate={"module": f"{module()}:two", "input_size": 16},
    )
    result = audit.check("rare-class-recall")
    assert result.leak_free is not None
    assert result.leak_free.left_out == 160
    assert result.leak_free.status is Status.FAIL
    assert [f.subject for f in result.findings] == ["dog"]


class TestGraph:
    def make(self, tmp_path: Path, *functions: Any) -> Graph:
        providers: dict[str, Provider] = {f.__name__: f.__provider__ for f in functions}
        store = Store(tmp_path / "evidence")
        return Graph(Config(), providers, store, tuple(providers), Progress())

    def test_what_is_derived_follows_and_the_rest_stays(self, tmp_path: Path) -> None:
        @derive
        def base() -> int:
            return 1

        @derive
        def other() -> int:
            return 10

        @derive
        def double(base: int) -> int:
            return 2 * base

        @derive
        def both(double: int, other: int) -> int:
            return double + other

        @derive
        def missing(base: int) -> int:
            if base < 5:
                raise Unavailable("too low")
            return base

        graph = self.make(tmp_path, base, other, double, both, missing)
        assert graph.get("both") == 12
        assert graph.get("missing", required=False) is None
        assert graph.derived_from("base") == {"double", "both", "missing"}
        view = graph.replacing("base", 5)
        assert (view.get("base"), view.get("double"), view.get("both")) == (5, 10, 20)
        assert view.get("missing") == 5
        assert graph.get("both") == 12
        assert graph.get("missing", required=False) is None

    def test_what_is_stored_stays(self, tmp_path: Path) -> None:
        from auditor.data.classes import ClassList
        from auditor.evidence.counts import TrainCounts

        @derive
        def base() -> ClassList:
            return ClassList(("a",), "before")

        @gather(TrainCounts)
        def kept(base: ClassList) -> TrainCounts:
            return TrainCounts({"a": 1}, base.order)

        @derive
        def above(kept: TrainCounts) -> str:
            return kept.source

        graph = self.make(tmp_path, base, kept, above)
        assert graph.get("above") == "before"
        assert graph.derived_from("base") == frozenset()
        assert graph.replacing("base", ClassList(("a",), "after")).get("above") == "before"


def test_a_check_that_asks_for_the_overlap_sees_to_it_itself(tmp_path: Path) -> None:
    class Asks(Check):
        """Asks for both."""

        id, title, level = "asks", "It asks", "block"

        def run(self, test: Predictions, overlap: Overlap | None) -> Outcome:
            return Outcome.of([Finding.fact("a", "b", 0, 0, unit="images")], "")

    class Leaves(Check):
        """Asks for the predictions alone."""

        id, title, level = "leaves", "It leaves it", "block"

        def run(self, test: Predictions) -> Outcome:
            return Outcome.of([Finding.fact("a", "b", 0, 0, unit="images")], "")

    graph = Graph(Config(), {}, Store(tmp_path), ["test"], Progress())
    assert not leak_free.rests_on_predictions(Asks(), "block", graph)
    assert leak_free.rests_on_predictions(Leaves(), "block", graph)
    assert not leak_free.rests_on_predictions(Leaves(), "advise", graph)


@pytest.mark.parametrize("check", [Efficiency(), CheaperInference()])
def test_what_judges_a_cost_by_the_predictions_rests_on_them(tmp_path: Path, check: Check) -> None:
    graph = Graph(Config(), {}, Store(tmp_path), ["test"], Progress())
    assert leak_free.rests_on_predictions(check, "block", graph)


def _own(result: CheckResult) -> Finding:
    return next(f for f in result.findings if f.subject == "own small")


def test_a_model_of_ones_own_is_compared_without_the_same_images(
    tmp_path: Path, old_audit: Audit
) -> None:
    """Each has 300 of 400 right; of the 300 that nobody trained on, 200 and the cheaper one 290."""
    label = ["a", "b"] * 200
    wrong = ["b", "a"] * 200
    learnt = Predictions.of(label, label[:300] + wrong[300:])
    small = Predictions.of(label, label[:10] + wrong[10:100] + label[100:390] + wrong[390:])
    info = old_audit.candidate.model_copy(update={"name": "small", "macs": 52})
    own = Baseline(old_audit.model_copy(update={"candidate": info}), small)
    graph = Graph(Config(), find_providers(), Store(tmp_path), Efficiency().needs(), Progress())
    graph = graph.replacing("test", learnt).replacing("own_audits", OwnAudits((own,)))
    graph = graph.replacing("complexity", Complexity(1, 100, 1, (3, 8, 8)))
    view = leak_free.view_without(graph, frozenset(learnt.images[:100]))
    found = [_own(run_check(Efficiency(), "block", "block", each)) for each in (graph, view)]
    assert [(f.status, f.n) for f in found] == [(Status.INCONCLUSIVE, 400), (Status.FAIL, 300)]


def test_models_of_ones_own_are_compared_without_the_same_images_wherever_those_lay(
    tmp_path: Path, old_audit: Audit
) -> None:
    label = ["a", "b"] * 200
    small = Predictions.of(label, label[:390] + label[391:] + label[:1])
    images = tuple(f"data/test/{image}" for image in small.images)
    own = Baseline(old_audit, replace(small, images=images), overlapping=frozenset(images[:3]))
    graph = Graph(Config(), {}, Store(tmp_path), ["test", "baseline", "own_audits"], Progress())
    graph = graph.replacing("test", small).replacing("own_audits", OwnAudits((own,)))
    graph = graph.replacing("baseline", own)
    view = leak_free.view_without(graph, frozenset(small.images[:100]))
    for left in (view.get("baseline"), *view.get("own_audits").audits):
        assert left.predictions.images == small.images[100:]
        assert left.overlapping == frozenset(small.images[:3])


def test_images_without_a_prediction_are_not_counted(tmp_path: Path) -> None:
    pair = OverlapPair("nowhere", "t", "same-bytes", 0, 1.0, "a", "a")
    graph = Graph(Config(), {}, Store(tmp_path), ["test", "overlap"], Progress())
    view = graph.replacing("test", Predictions.of(["a"], ["b"]))
    view = view.replacing("overlap", Overlap((pair,), (), 1, {}, 1))
    assert leak_free.overlapping(view) == frozenset()


def test_the_baseline_is_compared_without_the_same_images(
    run: Run, leaky: dict[str, Any], tmp_path: Path
) -> None:
    first = run(**leaky, output={"directory": tmp_path / "before"})
    first.write(tmp_path / "before" / "audit.json")
    baseline = {"audit": tmp_path / "before" / "audit.json"}
    result = run(**leaky, baseline=baseline).check("baseline-regression")
    assert result.status is Status.PASS
    assert result.leak_free is not None
    assert result.leak_free.status is Status.PASS
