"""From a configuration to an audit, with a tiny model on small pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from auditor.check import Status
from auditor.config import load_config
from auditor.errors import InputError
from auditor.record import SCHEMA_VERSION, Audit
from auditor.runner import judge

PRESETS = ("sign-off", "pull-request")
Run = Callable[..., Audit]
Folder = Callable[..., Path]
ONE_OUTPUT = """

def one():
    return ByColour(1)
"""
NOT_A_NUMBER = """

class Failing(ByColour):
    def forward(self, x):
        logits = super().forward(x)
        return logits.masked_fill(x.mean(dim=(1, 2, 3), keepdim=True)[:, :, 0, 0] > -1.9, {value})


def failing():
    return Failing(2)
"""
CRASHING = """
from auditor import Check


class Crashing(Check):
    id = "crashing"
    title = "This check does not crash"
    level = "{level}"

    def run(self, test):
        {body}
"""


@pytest.fixture
def model(module: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """A candidate that tells red, blue and green pictures apart."""

    def make(function: str = "two", more: str = "", **candidate: Any) -> dict[str, Any]:
        return {"module": f"{module(more)}:{function}", "input_size": 16, **candidate}

    return make


Model = Callable[..., dict[str, Any]]


@pytest.fixture
def good(image_folder: Folder, model: Model) -> dict[str, Any]:
    """A candidate that is right about everything, and enough data to show it."""
    classes = {"cat": 60, "dog": 60}
    data = {"train": image_folder("train", classes), "test": image_folder("test", classes)}
    return {"data": data, "candidate": model()}


def _statuses(audit: Audit) -> dict[str, str]:
    return {result.id: str(result.status) for result in audit.checks}


class TestWholeAudit:
    def test_a_good_candidate_is_accepted(self, run: Run, good: dict[str, Any]) -> None:
        audit = run(**good)
        assert audit.verdict == "accepted"
        assert audit.exit_status == 0
        expected = {
            "accuracy-paradox": "pass",
            "efficiency": "skip",
            "overfitting": "pass",
            "precision-recall-gap": "pass",
            "rare-class-recall": "skip",
            "split-overlap": "pass",
            "top1-accuracy": "pass",
            "unreadable-images": "pass",
        }
        assert expected.items() <= _statuses(audit).items()
        assert set(_statuses(audit).values()) == {"pass", "skip"}
        assert audit.data.classes == ("cat", "dog")
        assert audit.data.test.images == audit.data.test.predicted == 120
        assert audit.candidate.parameters == 8
        accuracy = audit.exhibits.metrics[0]
        assert accuracy.interval == audit.check("top1-accuracy").findings[0].interval

    def test_swapped_classes_are_rejected(self, run: Run, good: dict[str, Any]) -> None:
        good["candidate"]["classes"] = ["dog", "cat"]
        audit = run(**good)
        assert audit.verdict == "rejected"
        assert audit.exit_status == 1
        assert audit.check("top1-accuracy").findings[0].observed == 0.0

    def test_a_leaked_image_is_rejected_and_named(self, run: Run, good: dict[str, Any]) -> None:
        leak = good["data"]["test"] / "cat" / "0007.png"
        (good["data"]["train"] / "cat" / "copy.png").write_bytes(leak.read_bytes())
        audit = run(**good)
        assert audit.verdict == "rejected"
        failed = [f for f in audit.check("split-overlap").findings if f.status is Status.FAIL]
        assert [f.subject for f in failed] == ["cat/0007.png"]
        assert audit.exhibits.overlap is not None
        assert audit.exhibits.overlap.pairs[0].train_image == "cat/copy.png"

    def test_a_waiver_for_the_leak(self, run: Run, good: dict[str, Any]) -> None:
        leak = good["data"]["test"] / "cat" / "0007.png"
        (good["data"]["train"] / "cat" / "copy.png").write_bytes(leak.read_bytes())
        waiver = {"check": "split-overlap", "subject": "cat/0007.png", "reason": "known"}
        active = run(**good, waivers=[{**waiver, "expires": "2999-01-01"}])
        assert active.verdict == "accepted"
        assert active.check("split-overlap").status is Status.FAIL
        assert active.policy.waivers[0].state == "active"
        expired = run(**good, waivers=[{**waiver, "expires": "2020-01-01"}])
        assert expired.verdict == "rejected"
        assert expired.policy.waivers[0].state == "expired"

    @pytest.mark.parametrize(
        ("max_macs", "verdict", "waived"), [("1 G", "accepted", True), ("1 MAC", "rejected", False)]
    )
    def test_a_waiver_of_one_cost_accepts_no_other(
        self, run: Run, good: dict[str, Any], max_macs: str, verdict: str, waived: bool
    ) -> None:
        of_one = {"check": "efficiency", "subject": "candidate", "metric": "parameters"}
        audit = run(
            **good,
            checks={"efficiency": {"max_parameters": 7, "max_macs": max_macs}},
            waivers=[{**of_one, "reason": "agreed", "expires": "2999-01-01"}],
        )
        result = audit.check("efficiency")
        assert (audit.verdict, result.waived) == (verdict, waived)
        assert result.waived_findings == {"candidate": ("parameters",)}
        assert audit.policy.waivers[0].state == "active"
        assert Audit.model_validate_json(audit.to_json()) == audit

    def test_without_training_data_what_needs_it_is_skipped(
        self, run: Run, good: dict[str, Any]
    ) -> None:
        del good["data"]["train"]
        audit = run(**good)
        statuses = _statuses(audit)
        assert statuses["overfitting"] == statuses["split-overlap"] == "skip"
        assert "[data] train" in audit.check("overfitting").summary
        assert "overfitting" in audit.summary
        assert audit.data.train is None

    def test_two_runs_differ_in_provenance_alone(
        self, run: Run, good: dict[str, Any], tmp_path: Path
    ) -> None:
        first = run(**good)
        second = run(**good)
        third = run(**good, output={"directory": tmp_path / "other"})
        whole = [a.model_dump(exclude={"provenance", "digest"}) for a in (first, second, third)]
        assert whole[0] == whole[1] == whole[2]
        assert first.provenance.evidence == second.provenance.evidence
        assert first.provenance.evidence == third.provenance.evidence

    def test_everything_off_is_undecided(self, run: Run, good: dict[str, Any]) -> None:
        off = {result.id: {"level": "off"} for result in run(**good).checks}
        for preset in PRESETS:
            audit = run(**good, checks=off, policy={"preset": preset})
            assert audit.verdict == "undecided"
            assert audit.exit_status == 3
            assert set(_statuses(audit).values()) == {"skip"}

    def test_gates_that_are_switched_off_and_changed_limits_are_on_record(
        self, run: Run, good: dict[str, Any]
    ) -> None:
        off = {"rare-class-recall": {"level": "off"}, "accuracy-paradox": {"missed_below": 0.1}}
        audit = run(**good, checks=off)
        assert audit.summary.endswith("; switched off here: rare-class-recall.")
        assert audit.check("rare-class-recall").own_level == "block"
        changed = {check.id: check.defaults for check in audit.checks if check.defaults}
        assert changed == {"accuracy-paradox": {"missed_below": 0.5}}

    def test_everything_advising_is_undecided(self, run: Run, good: dict[str, Any]) -> None:
        advise = {result.id: {"level": "advise"} for result in run(**good).checks}
        assert run(**good, checks=advise).verdict == "undecided"


class TestImages:
    @pytest.mark.parametrize(
        ("content", "reason"), [(b"", "empty file"), (b"no picture", "not an image")]
    )
    def test_an_unreadable_image_is_counted_listed_and_fails(
        self, run: Run, good: dict[str, Any], content: bytes, reason: str
    ) -> None:
        (good["data"]["test"] / "cat" / "0003.png").write_bytes(content)
        audit = run(**good)
        assert audit.verdict == "rejected"
        assert audit.data.test.images == 120
        assert audit.data.test.predicted == 119
        (lost,) = audit.data.test.unreadable
        assert lost.image == "cat/0003.png"
        assert reason in lost.reason
        assert audit.check("unreadable-images").findings[0].observed == pytest.approx(1 / 120)

    def test_a_truncated_image_is_not_half_read(self, run: Run, good: dict[str, Any]) -> None:
        path = good["data"]["test"] / "dog" / "0001.png"
        path.write_bytes(path.read_bytes()[:300])
        (lost,) = run(**good).data.test.unreadable
        assert lost.image == "dog/0001.png"
        assert "truncated" in lost.reason

    def test_a_missing_image_of_a_manifest(
        self, run: Run, good: dict[str, Any], write: Callable[[str, str], Path]
    ) -> None:
        rows = [f"test/{c}/{k:04}.png,{c}" for c in ("cat", "dog") for k in range(60)]
        good["data"]["test"] = write(
            "test.csv", "\n".join(["image,label", *rows, "test/gone.png,cat"])
        )
        audit = run(**good)
        assert audit.verdict == "rejected"
        (lost,) = audit.data.test.unreadable
        assert (lost.image, lost.reason) == ("test/gone.png", "no such file or directory")

    def test_a_share_may_be_accepted(self, run: Run, good: dict[str, Any]) -> None:
        (good["data"]["test"] / "cat" / "0003.png").write_bytes(b"")
        audit = run(**good, checks={"unreadable-images": {"max_share": 0.01}})
        assert audit.verdict == "accepted"
        assert len(audit.data.test.unreadable) == 1

    @pytest.mark.parametrize("preset", PRESETS)
    def test_no_readable_test_image(
        self, run: Run, image_folder: Folder, model: Model, preset: str
    ) -> None:
        test = image_folder("test", {"cat": 2, "dog": 2})
        for path in test.rglob("*.png"):
            path.write_bytes(b"")
        audit = run(data={"test": test}, candidate=model(), policy={"preset": preset})
        assert audit.verdict == "rejected"
        statuses = _statuses(audit)
        assert statuses["top1-accuracy"] == statuses["accuracy-paradox"] == "inconclusive"
        assert len(audit.data.test.unreadable) == 4
        assert audit.exhibits.metrics[0].value is None
        assert audit.exhibits.metrics[0].interval is None

    def test_training_images_that_nobody_read_are_not_clean(
        self, run: Run, good: dict[str, Any]
    ) -> None:
        test, train = good["data"]["test"], good["data"]["train"]
        for path in sorted(test.rglob("*.png"))[1:]:
            copy = train / path.relative_to(test)
            copy.write_bytes(path.read_bytes()[:-40])
        audit = run(**good)
        assert audit.check("split-overlap").status is Status.INCONCLUSIVE
        assert "119 training images could not be read" in audit.check("split-overlap").summary
        assert audit.verdict == "undecided"

    @pytest.mark.parametrize("preset", PRESETS)
    def test_no_readable_training_image_shows_nothing(
        self, run: Run, good: dict[str, Any], preset: str
    ) -> None:
        for path in good["data"]["train"].rglob("*.png"):
            path.write_bytes(b"")
        audit = run(**good, policy={"preset": preset})
        assert audit.check("split-overlap").status is Status.INCONCLUSIVE
        assert audit.check("overfitting").status is Status.INCONCLUSIVE
        if preset == "sign-off":
            assert audit.verdict == "undecided"


class TestAManifestAwayFromItsImages:
    """It says where they were looked for, to whoever looks; its labels may be read anywhere."""

    @pytest.fixture
    def listed(self, good: dict[str, Any], tmp_path: Path) -> Callable[[str], Path]:
        """Move the list of a split away from its images."""

        def move(split: str) -> Path:
            folder = good["data"][split]
            images = [path.relative_to(tmp_path) for path in sorted(folder.rglob("*.png"))]
            lines = [f"{image},{image.parent.name}" for image in images]
            path = tmp_path / "lists" / f"{split}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(["image,label", *lines]))
            return path

        return move

    def test_no_test_image_is_there(
        self, run: Run, good: dict[str, Any], listed: Callable[[str], Path]
    ) -> None:
        good["data"]["test"] = listed("test")
        said = r"test.csv: none of its [\d,]+ images is there; the first was looked for at .*lists/"
        with pytest.raises(InputError, match=f"{said}test/cat/0000.png; paths are relative to the"):
            run(**good)

    def test_no_training_image_is_there(
        self, run: Run, good: dict[str, Any], listed: Callable[[str], Path]
    ) -> None:
        good["data"]["train"] = listed("train")
        audit = run(**good)
        assert audit.check("overfitting").status is Status.ERROR
        assert "paths are relative to the manifest" in audit.check("overfitting").summary
        assert audit.check("top1-accuracy").status is Status.PASS

    def test_labels_alone_are_read_anywhere(
        self, run: Run, listed: Callable[[str], Path], tmp_path: Path
    ) -> None:
        test = listed("test")
        rows = test.read_text().splitlines()
        lines = [f"{rows[0]},predicted", *(f"{row},{row.split(',')[1]}" for row in rows[1:])]
        (tmp_path / "saved.csv").write_text("\n".join(lines))
        audit = run(data={"test": test}, predictions={"test": tmp_path / "saved.csv"})
        assert audit.check("top1-accuracy").status is Status.PASS


class TestInputThatIsWrong:
    def test_a_model_that_does_not_load_is_tried_once(
        self, run: Run, good: dict[str, Any], model: Model, tmp_path: Path
    ) -> None:
        tried = tmp_path / "tried"
        broken = f"""

def broken():
    with open({str(tried)!r}, "a") as file:
        file.write("once ")
    raise ValueError("no weights here")
"""
        good["candidate"] = model("broken", broken)
        with pytest.raises(InputError, match="broken failed: ValueError: no weights here"):
            run(**good)
        assert tried.read_text() == "once "

    @pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "-float('inf')"])
    def test_outputs_that_are_no_numbers_name_the_image(
        self, run: Run, good: dict[str, Any], model: Model, value: str
    ) -> None:
        good["candidate"] = model("failing", NOT_A_NUMBER.format(value=value))
        with pytest.raises(InputError, match=r"NaN or infinite outputs for .* first cat/0000\.png"):
            run(**good)

    def test_a_label_unknown_to_the_model(
        self, run: Run, good: dict[str, Any], image_folder: Folder
    ) -> None:
        good["candidate"]["classes"] = ["cat", "dog"]
        good["data"]["test"] = image_folder("other", {"cat": 2, "dgo": 2})
        with pytest.raises(InputError, match=r'"dgo" is not a class .*did you mean "dog"'):
            run(**good)

    @pytest.mark.parametrize("classes", [["cat", "dog", "fox"], ["cat", "dog", "fox", "owl"]])
    def test_more_names_than_outputs(
        self, run: Run, good: dict[str, Any], classes: list[str]
    ) -> None:
        good["candidate"]["classes"] = classes
        with pytest.raises(InputError, match=r"one logit for each of the|outputs"):
            run(**good)

    def test_more_outputs_than_folders(self, run: Run, good: dict[str, Any], model: Model) -> None:
        good["candidate"] = model("three")
        with pytest.raises(
            InputError, match=r"3 outputs, the data has 2 classes \(cat, dog\); give \[candidate\]"
        ):
            run(**good)

    @pytest.mark.parametrize(
        ("empty", "said"),
        [
            (["x"], r"3 classes \(cat, dog, x\), of which x holds no image; give"),
            ([*"vwxyz"], r"7 classes \(cat, dog, v, w, x and 2 more\), of which v, w, x and 2"),
        ],
    )
    def test_folders_that_hold_no_image_are_named(
        self, run: Run, good: dict[str, Any], empty: list[str], said: str
    ) -> None:
        for name in empty:
            (good["data"]["train"] / name).mkdir()
        with pytest.raises(InputError, match=f"2 outputs, the data has {said}"):
            run(**good)

    @pytest.mark.parametrize("preset", PRESETS)
    def test_one_class_is_no_classifier(
        self, run: Run, image_folder: Folder, model: Model, preset: str
    ) -> None:
        data = {"test": image_folder("test", {"cat": 100})}
        with pytest.raises(InputError, match="one class"):
            run(data=data, candidate=model("one", ONE_OUTPUT), policy={"preset": preset})

    @pytest.mark.parametrize("make", ["nothing", "empty", "no-images"])
    def test_an_empty_split(
        self, run: Run, good: dict[str, Any], tmp_path: Path, make: str
    ) -> None:
        empty = tmp_path / "empty"
        if make != "nothing":
            empty.mkdir()
        if make == "no-images":
            (empty / "cat").mkdir()
        for split in ("test", "train"):
            with pytest.raises(InputError, match="empty"):
                run(candidate=good["candidate"], data={**good["data"], split: empty})

    def test_no_model_and_no_predictions(self, run: Run, good: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=r"no model was given .*\[candidate\]"):
            run(data=good["data"])

    def test_without_a_model_no_image_is_looked_at(
        self, run: Run, good: dict[str, Any], tmp_path: Path
    ) -> None:
        nowhere = {"test": tmp_path / "nowhere"}  # which is said where it is looked at
        with pytest.raises(InputError, match="no model was given"):
            run(data=nowhere)
        with pytest.raises(InputError, match="no such folder"):
            run(data=nowhere, candidate=good["candidate"])

    def test_nothing_at_all(self, run: Run) -> None:
        with pytest.raises(InputError, match="nothing to judge"):
            run()

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("raise SystemExit(0)", "SystemExit"),
            ("def two():\n    raise SystemExit(0)", "SystemExit"),
            ("def two():\n    raise ValueError('no weights')", "ValueError: no weights"),
            ("def two():\n    return 5", "int"),
            ("def tow():\n    pass", 'did you mean "tow"'),
        ],
    )
    def test_a_model_of_ones_own_that_fails(
        self, run: Run, good: dict[str, Any], module: Callable[..., str], source: str, said: str
    ) -> None:
        good["candidate"]["module"] = f"{module(source, by_colour=False)}:two"
        with pytest.raises(InputError, match=said):
            run(**good)

    def test_a_forward_that_crashes(self, run: Run, good: dict[str, Any], model: Model) -> None:
        source = (
            "\n\nclass Off(ByColour):\n    def forward(self, x):\n        raise KeyError('x')\n"
        )
        good["candidate"] = model("off", source + "\n\ndef off():\n    return Off(2)\n")
        with pytest.raises(InputError):
            run(**good)


class TestCrashes:
    @pytest.mark.parametrize("preset", PRESETS)
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("raise RuntimeError('boom')", "RuntimeError: boom"),
            ("raise SystemExit(0)", "SystemExit: 0"),
            ("return None", "NoneType, not an Outcome"),
            ("return True", "bool, not an Outcome"),
            ("return 1 / 0", "ZeroDivisionError"),
            (r"raise OSError('caf\udce9.png')", r"OSError: caf\udce9.png"),
        ],
    )
    def test_a_crashed_check_leaves_it_undecided(
        self,
        run: Run,
        saved: Callable[..., Path],
        plug_in: Callable[..., str],
        body: str,
        said: str,
        preset: str,
    ) -> None:
        plug_in(CRASHING.format(level="block", body=body), checks={"crashing": "{}:Crashing"})
        table = {"a": {"a": 100}, "b": {"b": 100}}
        audit = run(predictions={"test": saved(table)}, policy={"preset": preset})
        assert audit.check("crashing").status is Status.ERROR
        assert said in audit.check("crashing").summary
        assert audit.verdict == "undecided"

    def test_a_crashed_advisor_is_shown(
        self, run: Run, saved: Callable[..., Path], plug_in: Callable[..., str]
    ) -> None:
        source = CRASHING.format(level="advise", body="raise RuntimeError('boom')")
        plug_in(source, checks={"crashing": "{}:Crashing"})
        audit = run(predictions={"test": saved({"a": {"a": 100}, "b": {"b": 100}})})
        assert audit.check("crashing").status is Status.ERROR
        assert audit.verdict == "accepted"


class TestTrapsOfThePeers:
    """Each of these passes, silently, in some tool that people use today."""

    @pytest.fixture
    def judge(self, run: Run, saved: Callable[..., Path]) -> Run:
        def judge(matrix: Mapping[str, Mapping[str, int]], **tables: Any) -> Audit:
            return run(predictions={"test": saved(matrix)}, **tables)

        return judge

    @pytest.mark.parametrize("preset", PRESETS)
    def test_a_class_without_recall(self, judge: Run, preset: str) -> None:
        classes = {"classes": ["a", "b", "ghost"]}
        tables: dict[str, Any] = {"candidate": classes, "policy": {"preset": preset}}
        audit = judge({"a": {"a": 100}, "b": {"b": 100}}, **tables)
        row = next(r for r in audit.exhibits.per_class if r.name == "ghost")
        assert (row.recall, row.recall_interval, row.precision, row.f1) == (None, None, None, None)
        assert audit.check("accuracy-paradox").status is Status.INCONCLUSIVE
        assert audit.check("rare-class-recall").status is Status.INCONCLUSIVE
        assert audit.verdict == "undecided"

    def test_recall_of_one_on_one_image(self, judge: Run) -> None:
        audit = judge({"a": {"a": 300}, "rare": {"rare": 1}})
        assert audit.check("rare-class-recall").status is Status.INCONCLUSIVE
        assert audit.verdict == "undecided"

    def test_one_image(self, judge: Run) -> None:
        audit = judge({"a": {"a": 1}}, candidate={"classes": ["a", "b"]})
        assert "pass" not in _statuses(audit).values()
        assert audit.verdict == "undecided"

    @pytest.mark.parametrize("n", [1, 5, 10, 25, 200])
    def test_a_dead_class_among_ten(self, judge: Run, saved: Callable[..., Path], n: int) -> None:
        table = {f"c{i}": {f"c{i}": 200} for i in range(9)} | {"c9": {"c0": n}}
        training = saved({f"c{i}": {f"c{i}": 200} for i in range(10)}, "train.csv")
        audit = judge(table)
        assert audit.verdict != "accepted"
        trained = judge(table, data={"train": training})
        rare = trained.check("rare-class-recall").status
        assert (rare is Status.SKIP) == (n == 200), "of 1,800 others half a share is 95"
        assert rare is not Status.PASS
        found = trained.check("accuracy-paradox").status
        assert found is (Status.FAIL if n >= 10 else Status.INCONCLUSIVE)

    def test_always_the_common_class(self, judge: Run) -> None:
        for preset in PRESETS:
            audit = judge({"ok": {"ok": 970}, "rare": {"ok": 30}}, policy={"preset": preset})
            assert audit.verdict == "rejected"

    def test_probabilities_that_are_no_numbers(
        self, run: Run, write: Callable[[str, str], Path]
    ) -> None:
        path = write("p.csv", "image,label,prob_a,prob_b\nx,a,nan,nan\ny,b,0,1\n")
        with pytest.raises(InputError, match=r"p\.csv:2: a probability is missing, NaN"):
            run(predictions={"test": path})


class TestDocument:
    @pytest.fixture
    def audit(self, run: Run, saved: Callable[..., Path]) -> Audit:
        return run(predictions={"test": saved({"a": {"a": 90, "b": 10}, "b": {"b": 95, "a": 5}})})

    def test_it_returns(self, audit: Audit, tmp_path: Path) -> None:
        audit.write(tmp_path / "audit.json")
        assert Audit.read(tmp_path / "audit.json") == audit
        assert [p.name for p in tmp_path.glob("audit*")] == ["audit.json"]

    def test_it_is_sorted_and_holds_no_nan(self, audit: Audit) -> None:
        def refuse(name: str) -> None:
            raise AssertionError(name)

        text = audit.to_json()
        content = json.loads(text, parse_constant=refuse)
        assert text.endswith("}\n")
        assert list(content) == sorted(content)
        assert content == audit.model_dump(mode="json")

    def test_every_finding_has_a_line_of_its_own(self, audit: Audit) -> None:
        lines = [line.strip().rstrip(",") for line in audit.to_json().splitlines()]
        for finding in audit.check("rare-class-recall").findings:
            assert json.dumps(finding.model_dump(mode="json"), sort_keys=True) in lines

    def test_it_names_its_parts(self, audit: Audit) -> None:
        content = json.loads(audit.to_json())
        assert content["schema_version"] == SCHEMA_VERSION
        assert set(content) >= {
            "verdict",
            "summary",
            "candidate",
            "data",
            "policy",
            "checks",
            "provenance",
            "digest",
        }

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"verdict": "accepted"', '"verdict": "rejected"'),
            ('"status": "skip"', '"status": "pass"'),
            ('"observed": 0.925', '"observed": 0.99'),
            ('"digest": "', '"digest": "0'),
        ],
    )
    def test_an_edited_one_is_refused(
        self, audit: Audit, tmp_path: Path, old: str, new: str
    ) -> None:
        text = audit.to_json()
        assert old in text
        edited = text.replace(old, new, 1)
        if old.startswith('"digest'):
            edited = text.replace(audit.digest, "0" * 64)
        (tmp_path / "audit.json").write_text(edited)
        with pytest.raises(InputError, match=r"edited after the audit|passes only on findings"):
            Audit.read(tmp_path / "audit.json")

    def test_what_is_said_twice_is_refused(self, audit: Audit, tmp_path: Path) -> None:
        """People and other readers may take the first, the digest is of the last."""
        text = audit.to_json().replace("{", '{"verdict": "rejected",', 1)
        (tmp_path / "audit.json").write_text(text)
        with pytest.raises(InputError, match=r'"verdict" is there twice'):
            Audit.read(tmp_path / "audit.json")

    def test_a_field_of_a_later_version_is_named(self, audit: Audit, tmp_path: Path) -> None:
        text = audit.to_json().replace("{", '{"carbon": 3,', 1)
        (tmp_path / "audit.json").write_text(text)
        with pytest.raises(InputError, match=r"carbon is not known here: .* newer Auditor"):
            Audit.read(tmp_path / "audit.json")

    def test_without_a_digest_it_is_refused(self, audit: Audit, tmp_path: Path) -> None:
        (tmp_path / "audit.json").write_text(audit.to_json().replace(audit.digest, ""))
        with pytest.raises(InputError, match="edited after the audit"):
            Audit.read(tmp_path / "audit.json")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is not JSON"),
            ("[]", "it has no schema_version"),
            ('{"schema_version": 99}', "schema version 99, .*; update Auditor"),
            ('{"schema_version": 1}', "schema version 1, .*; audit again with this version"),
            ('{"schema_version": 2.0}', "schema version 2.0, .*; audit again with this version"),
            ('{"schema_version": true}', "schema version True"),
            (f'{{"schema_version": {SCHEMA_VERSION}}}', "is it an audit.json"),
            ('{"seconds": 1' + "0" * 400 + "}", "number of 401 digits"),
            ('{"verdict": NaN}', "is not JSON"),
            ('{"summary": "\\ud800"}', "is not JSON: .*surrogates"),
            ('{"seconds": 1e400}', "is not JSON"),
            ('{"checks": ' + "[" * 100_000, "is not JSON"),
            ('{"schema_version": 1, "schema_version": 1}', '"schema_version" is there twice'),
        ],
    )
    def test_what_is_no_audit(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "audit.json").write_text(text)
        with pytest.raises(InputError, match=said):
            Audit.read(tmp_path / "audit.json")

    def test_a_baseline_that_was_edited_ends_it(
        self, run: Run, audit: Audit, tmp_path: Path, good: dict[str, Any]
    ) -> None:
        path = tmp_path / "old.json"
        path.write_text(audit.to_json().replace('"accepted"', '"rejected"', 1))
        with pytest.raises(InputError, match="edited after the audit"):
            run(**good, baseline={"audit": path})

    def test_an_unknown_check_is_a_key_error(self, audit: Audit) -> None:
        with pytest.raises(KeyError):
            audit.check("nothing")


def test_two_audits_of_one_folder_leave_the_files_of_one(
    saved: Callable[..., Path], tmp_path: Path
) -> None:
    """A rejected audit beside another's green JUnit would open a gate."""
    predictions = saved({"a": {"a": 90, "b": 10}, "b": {"b": 100}})
    both = []
    for least in (0.8, 0.99):
        tables = {
            "predictions": {"test": predictions},
            "checks": {"top1-accuracy": {"min_accuracy": least}},
            "output": {"directory": tmp_path / "out"},
        }
        both.append(judge(load_config(None, tables)[0]))
    for _ in range(4):
        with ThreadPoolExecutor(2) as pool:
            for written in [pool.submit(each.write) for each in both]:
                written.result()
        audit = Audit.read(tmp_path / "out" / "audit.json")
        for name in ("report.html", "junit.xml"):
            assert audit.digest
            assert audit.digest in (tmp_path / "out" / name).read_text()
