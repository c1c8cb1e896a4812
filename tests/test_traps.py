"""Findings on which some tool that people use today passes a model: none is accepted here.

Each goes the whole way, from saved predictions or pictures to the verdict, the exit status and what
a CI server reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from auditor.check import Status
from auditor.errors import InputError
from auditor.record import Audit
from auditor.render.junit import junit

Run = Callable[..., Audit]
Saved = Callable[..., Path]
Table = Mapping[str, Mapping[str, int]]
PRESETS = pytest.mark.parametrize("preset", ["sign-off", "pull-request"])
GOOD: Table = {f"c{i}": {f"c{i}": 100} for i in range(10)}
DEAD: Table = {**GOOD, "c9": {"c0": 100}}
PLUG_IN = """
from auditor import Check, Finding, Outcome


class Planted(Check):
    id = "planted"
    title = "A check that somebody wrote"
    level = "block"

    def run(self, test):
        {body}
"""


def _ci(audit: Audit) -> dict[str, int]:
    """What a CI server counts."""
    suite = ElementTree.fromstring(junit(audit)).find("testsuite")
    assert suite is not None
    counted = {name: int(suite.attrib[name]) for name in ("failures", "errors", "skipped")}
    elements = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    assert counted == {name: len(suite.findall(f".//{tag}")) for name, tag in elements.items()}
    return counted


@pytest.fixture
def judge(run: Run, saved: Saved) -> Run:
    """Audit saved predictions, given as label → predicted → images."""

    def judge(table: Table, **tables: Any) -> Audit:
        return run(predictions={"test": saved(table)}, **tables)

    return judge


def test_the_clean_twin_is_accepted(judge: Run) -> None:
    audit = judge(GOOD)
    assert (audit.verdict, audit.exit_status) == ("accepted", 0)
    assert _ci(audit)["failures"] == _ci(audit)["errors"] == 0


@PRESETS
@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "-float('inf')"])
def test_a_metric_that_is_no_number(
    judge: Run, plug_in: Callable[..., str], value: str, preset: str
) -> None:
    finding = f'Finding.judged("c0", "recall", {value}, (0.9, 1.0), 0.8, n=10)'
    source = PLUG_IN.format(body=f'return Outcome.of([{finding}], "all is well")')
    plug_in(source, checks={"planted": "{}:Planted"})
    audit = judge(GOOD, policy={"preset": preset})
    assert audit.check("planted").status is Status.ERROR
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert _ci(audit)["errors"] == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", ""])
def test_a_probability_that_is_no_number(
    run: Run, write: Callable[[str, str], Path], value: str
) -> None:
    path = write("p.csv", f"image,label,prob_a,prob_b\nw,b,0.5,0.5\nx,a,{value},1\n")
    with pytest.raises(InputError, match=r"p\.csv:3: "):
        run(predictions={"test": path})


@PRESETS
def test_a_class_that_the_test_set_lacks(judge: Run, preset: str) -> None:
    classes = {"classes": [*GOOD, "ghost"]}
    audit = judge(GOOD, candidate=classes, policy={"preset": preset})
    row = next(row for row in audit.exhibits.per_class if row.name == "ghost")
    assert (row.recall, row.precision, row.f1) == (None, None, None)
    named = [f for c in audit.checks for f in c.findings if f.subject == "ghost"]
    assert named
    assert {f.status for f in named} == {Status.INCONCLUSIVE}
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert sum(_ci(audit)[kind] for kind in ("failures", "errors")) >= 1


def test_a_class_that_the_test_set_lacks_beside_one_that_is_rare(judge: Run) -> None:
    """The recall of one says nothing of the other's; with an image of its own it is noted."""
    rare = {**GOOD, "lynx": {"lynx": 5}}
    tables = {"candidate": {"classes": [*rare, "ghost"]}, "policy": {"preset": "pull-request"}}
    audit = judge(rare, **tables)
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert "left something unmeasured: accuracy-paradox, rare-class-recall" in audit.summary
    assert _ci(audit)["failures"] == 2
    noted = judge({**rare, "ghost": {"ghost": 1}}, **tables)
    assert (noted.verdict, noted.exit_status) == ("accepted", 0)
    assert "not settled, noted: rare-class-recall" in noted.summary


@PRESETS
def test_one_class_named_always_on_a_test_set_of_that_class(
    run: Run, saved: Saved, preset: str
) -> None:
    """All is right, and as it would be by chance: what is shown beside that proves nothing."""
    train = saved({"a": {"a": 300}, "b": {"a": 300}}, "train.csv")
    given = {"train": train, "test": saved({"a": {"a": 300}})}
    audit = run(predictions=given, policy={"preset": preset})
    assert audit.check("top1-accuracy").status is Status.PASS
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert sum(_ci(audit)[kind] for kind in ("failures", "errors")) >= 1


@pytest.mark.parametrize("unread", [1, 2, 3, 38, 40])
def test_training_images_that_cannot_be_read(
    run: Run,
    module: Callable[..., str],
    image_folder: Callable[..., Path],
    unread: int,
) -> None:
    """One in twenty is noted in a pull request; where it is more, too little was compared."""
    train = image_folder("train", {"cat": 20, "dog": 20})
    for path in sorted(train.rglob("*.png"))[:unread]:
        path.write_bytes(b"no picture")
    audit = run(
        data={"train": train, "test": image_folder("test", {"cat": 60, "dog": 60})},
        candidate={"module": f"{module()}:two", "input_size": 16},
        policy={"preset": "pull-request"},
        checks={"overfitting": {"level": "off"}},
    )
    result = audit.check("split-overlap")
    assert result.status is Status.INCONCLUSIVE
    many = unread > 2
    assert audit.verdict == ("undecided" if many else "accepted")
    assert ("left something unmeasured: split-overlap" in audit.summary) is many
    open_ = [f for f in result.findings if f.status is Status.INCONCLUSIVE]
    assert {f.observed for f in open_} == ({None} if many else {0.0})


@pytest.mark.parametrize(("critical", "verdict"), [(0, "undecided"), (2, "accepted")])
def test_a_critical_class_that_the_test_set_lacks(
    run: Run, write: Callable[[str, str], Path], critical: int, verdict: str
) -> None:
    """That no other image is flagged does not show that an image of the class would be."""

    def split(name: str, images: dict[str, int]) -> Path:
        rows = [
            f"{name}-{label}{k},{label},{label == 'a':d},{label == 'b':d}"
            for label, n in images.items()
            for k in range(n)
        ]
        return write(f"{name}.csv", "\n".join(["image,label,prob_a,prob_b", *rows]) + "\n")

    validation = split("validation", {"a": 300, "b": 99})
    asked = {"operating-point": {"level": "block", "critical": "b"}}
    others = {id: {"level": "off"} for id in ("accuracy-paradox", "rare-class-recall")}
    audit = run(
        predictions={"test": split("test", {"a": 300, "b": critical}), "validation": validation},
        checks={**asked, **others},
        policy={"preset": "pull-request"},
    )
    assert audit.check("operating-point").status is Status.INCONCLUSIVE
    assert audit.verdict == verdict
    assert "operating-point" in audit.summary


@pytest.mark.parametrize("n", [1, 2, 5, 13])
def test_recall_of_one_on_a_handful_of_images(judge: Run, n: int) -> None:
    rare = {"rare-class-recall": {"classes": ["rare"], "min_recall": 0.8}}
    audit = judge({**GOOD, "rare": {"rare": n}}, checks=rare)
    finding = audit.check("rare-class-recall").findings[0]
    assert (finding.observed, finding.n, finding.status) == (1.0, n, Status.INCONCLUSIVE)
    assert finding.interval is not None
    assert finding.interval[0] == pytest.approx(0.05 ** (1 / n))  # not a bootstrap's [1, 1]
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert judge({**GOOD, "rare": {"rare": 14}}, checks=rare).verdict == "accepted"


@PRESETS
@pytest.mark.parametrize(
    "body", ["raise RuntimeError('boom')", "raise SystemExit(0)", "return None", "return True"]
)
def test_a_check_that_crashes(
    judge: Run, plug_in: Callable[..., str], body: str, preset: str
) -> None:
    plug_in(PLUG_IN.format(body=body), checks={"planted": "{}:Planted"})
    audit = judge(GOOD, policy={"preset": preset})
    assert audit.check("planted").status is Status.ERROR
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert _ci(audit)["errors"] == 1


@PRESETS
def test_one_class_of_ten_that_dies(judge: Run, preset: str) -> None:
    named = {"rare-class-recall": {"classes": ["c9"]}}
    audit = judge(DEAD, checks=named, policy={"preset": preset})
    assert audit.check("top1-accuracy").status is Status.PASS  # 90% of the images are right
    assert (audit.verdict, audit.exit_status) == ("rejected", 1)
    assert _ci(audit)["failures"] >= 1


@PRESETS
def test_one_class_of_ten_that_dies_since_the_baseline(
    run: Run, write: Callable[[str, str], Path], tmp_path: Path, preset: str
) -> None:
    rows = [(f"{label}-{k:03}", label) for label in GOOD for k in range(100)]
    for name, dead in (("old", "none"), ("new", "c9")):
        said = [f"{image},{label},{'c0' if label == dead else label}" for image, label in rows]
        write(f"{name}.csv", "\n".join(["image,label,predicted", *said]))
    before = {"directory": tmp_path / "old"}
    run(predictions={"test": tmp_path / "old.csv"}, output=before).write(
        tmp_path / "old" / "audit.json"
    )
    audit = run(
        predictions={"test": tmp_path / "new.csv"},
        baseline={"audit": tmp_path / "old"},
        policy={"preset": preset},
    )
    result = audit.check("baseline-regression")
    fallen = [f for f in result.findings if f.status is Status.FAIL]
    assert {f.subject for f in fallen} == {"test", "c9"}
    assert (audit.verdict, audit.exit_status) == ("rejected", 1)


@PRESETS
@pytest.mark.parametrize("level", ["off", "advise"])
def test_no_check_that_blocks(judge: Run, preset: str, level: str) -> None:
    every = {result.id: {"level": level} for result in judge(GOOD).checks}
    audit = judge(GOOD, checks=every, policy={"preset": preset})
    assert (audit.verdict, audit.exit_status) == ("undecided", 3)
    assert _ci(audit)["errors"] == 1  # the verdict itself: nothing was shown


@PRESETS
def test_ci_counts_a_failure_as_one(judge: Run, preset: str) -> None:
    audit = judge({"ok": {"ok": 970}, "rare": {"ok": 30}}, policy={"preset": preset})
    failed = [r.id for r in audit.checks if r.status is Status.FAIL and r.level == "block"]
    assert failed
    assert _ci(audit)["failures"] >= len(failed)
    assert (audit.verdict, audit.exit_status) == ("rejected", 1)
