"""The examples do what their pages say."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.check import Finding, Status
from auditor.errors import InputError
from auditor.record import Audit
from auditor.registry import find_checks

PRESETS = ["sign-off", "pull-request"]
Run = Callable[..., Audit]


@pytest.fixture
def example(run: Run, repository: Path, tmp_path: Path) -> Run:
    """Audit an example, writing nothing beside it."""

    def audit(name: str, **tables: Any) -> Audit:
        folder = repository / "examples" / name
        config = folder / "auditor.toml"
        tables["output"] = {"directory": tmp_path / "out"}
        if "predictions" in tables:
            tables["predictions"] = {"test": folder / tables["predictions"]}
        return run(config if config.exists() else None, **tables)

    return audit


def _finding(audit: Audit, check: str, subject: str, metric: str) -> Finding:
    found = audit.check(check).findings
    return next(f for f in found if (f.subject, f.metric) == (subject, metric))


def test_the_script_writes_what_is_there(repository: Path, tmp_path: Path) -> None:
    made = runpy.run_path(str(repository / "examples" / "make_examples.py"))
    made["main"](tmp_path)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv"))
    kept = sorted((repository / "examples").rglob("*.csv"))
    assert written == [path.relative_to(repository / "examples") for path in kept]
    for path in written:
        there = repository / "examples" / path
        assert (tmp_path / path).read_bytes() == there.read_bytes()


def test_every_example_has_a_short_page(repository: Path) -> None:
    for folder in (repository / "examples").iterdir():
        if folder.is_dir() and not folder.name.startswith((".", "__")):
            page = (folder / "README.md").read_text(encoding="utf-8")
            assert page.startswith("# ")
            assert len(page.splitlines()) <= 8, folder.name


class TestCatDog:
    @pytest.fixture
    def audit(self, example: Run) -> Audit:
        return example("cat-dog", predictions="predictions.csv")

    def test_figures(self, audit: Audit) -> None:
        check = "precision-recall-gap"
        assert _finding(audit, check, "cat", "precision").observed == pytest.approx(90 / 95)
        assert _finding(audit, check, "cat", "recall").observed == pytest.approx(0.900)
        accuracy = _finding(audit, "top1-accuracy", "test", "top-1 accuracy")
        assert accuracy.observed == pytest.approx(0.925)
        assert accuracy.interval == pytest.approx((0.8868, 0.9530), abs=1e-3)
        assert set(audit.exhibits.confusion.cells if audit.exhibits.confusion else ()) == {
            (0, 0, 90),
            (0, 1, 10),
            (1, 0, 5),
            (1, 1, 95),
        }

    def test_verdict(self, audit: Audit) -> None:
        assert audit.verdict == "accepted"
        assert audit.check("split-overlap").status is Status.SKIP
        assert "split-overlap" in audit.summary


class TestFraud:
    @pytest.mark.parametrize("preset", PRESETS)
    def test_both_presets_reject_it(self, example: Run, preset: str) -> None:
        audit = example("fraud", policy={"preset": preset})
        assert audit.verdict == "rejected"
        assert audit.exit_status == 1
        assert {"accuracy-paradox", "rare-class-recall"} <= {
            r.id for r in audit.checks if r.status is Status.FAIL
        }
        assert "accuracy-paradox" in audit.summary

    def test_a_manager_reads_why(self, example: Run) -> None:
        audit = example("fraud")
        said = audit.check("accuracy-paradox").summary
        assert said.startswith("Accuracy is 98.0%, but only 12% of fraud is recognised")
        assert audit.check("rare-class-recall").summary == (
            "fraud is recognised in 12% of 100 test images (at least 85% required)."
        )

    def test_accuracy_alone_would_have_passed(self, example: Run) -> None:
        result = example("fraud").check("top1-accuracy")
        assert result.status is Status.PASS
        assert result.findings[0].observed == pytest.approx(0.98)

    @pytest.mark.parametrize("preset", PRESETS)
    def test_it_is_rejected_without_any_configuration(
        self, run: Run, repository: Path, preset: str
    ) -> None:
        test = repository / "examples" / "fraud" / "predictions.csv"
        assert run(predictions={"test": test}, policy={"preset": preset}).verdict == "rejected"


class TestCameraTrap:
    ANIMALS = ("deer", "boar", "fox", "lynx")

    def _rates(self, audit: Audit, metric: str) -> list[float]:
        found = [_finding(audit, "precision-recall-gap", a, metric).observed for a in self.ANIMALS]
        return [value for value in found if value is not None]

    def test_the_eager_threshold_finds_the_animals(self, example: Run) -> None:
        audit = example("camera-trap")
        assert audit.verdict == "accepted"
        assert audit.check("rare-class-recall").status is Status.PASS
        assert min(self._rates(audit, "recall")) > 0.85
        assert audit.check("precision-recall-gap").status is Status.FAIL
        assert _finding(audit, "precision-recall-gap", "lynx", "precision").status is Status.FAIL

    @pytest.mark.parametrize("preset", PRESETS)
    def test_the_cautious_threshold_misses_them(self, example: Run, preset: str) -> None:
        audit = example("camera-trap", predictions="cautious.csv", policy={"preset": preset})
        assert audit.verdict == "rejected"
        assert audit.check("rare-class-recall").status is Status.FAIL

    def test_one_is_bought_with_the_other(self, example: Run) -> None:
        eager, cautious = (
            example("camera-trap", predictions=f"{n}.csv") for n in ("eager", "cautious")
        )
        assert min(self._rates(eager, "recall")) > max(self._rates(cautious, "recall"))
        pairs = zip(
            self._rates(eager, "precision"), self._rates(cautious, "precision"), strict=True
        )
        assert all(a < b for a, b in pairs)


@pytest.mark.slow
class TestThirdPartyCheck:
    @pytest.fixture
    def installed(self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Install it as pip does, into a folder of the test's own."""
        pytest.importorskip("setuptools", reason="the example is built with this environment's")
        pytest.importorskip("pip", reason="the example is installed with this environment's")
        source, target = tmp_path / "source", tmp_path / "site"
        shutil.copytree(repository / "examples" / "third-party-check", source)
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        command += ["--no-index", "--disable-pip-version-check", "--target", str(target)]
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        monkeypatch.syspath_prepend(target)
        monkeypatch.delitem(sys.modules, "enough_images", raising=False)

    @pytest.mark.usefixtures("installed")
    def test_it_takes_part(self, example: Run) -> None:
        audit = example("cat-dog", predictions="predictions.csv")
        assert audit.check("enough-images").status is Status.PASS
        assert audit.verdict == "accepted"
        strict = example(
            "cat-dog", predictions="predictions.csv", checks={"enough-images": {"least": 101}}
        )
        assert strict.verdict == "rejected"
        said = strict.check("enough-images").summary
        assert said == "Fewer than 101 test images: cat (100), dog (100)."
        assert strict.check("enough-images").documentation.startswith("Every class has test images")

    @pytest.mark.usefixtures("installed")
    def test_its_pass_alone_accepts_no_model(self, example: Run) -> None:
        """It counts images, which shows nothing of the candidate."""
        others = {name: {"level": "off"} for name in find_checks().checks}
        checks = {**others, "enough-images": {"level": "block"}}
        audit = example("cat-dog", predictions="predictions.csv", checks=checks)
        assert audit.check("enough-images").status is Status.PASS
        assert audit.verdict == "undecided"

    @pytest.mark.usefixtures("installed")
    def test_its_options_are_checked_too(self, example: Run) -> None:
        with pytest.raises(InputError, match=r'"leest" .*did you mean "least"'):
            example(
                "cat-dog", predictions="predictions.csv", checks={"enough-images": {"leest": 1}}
            )

    def test_it_is_gone_afterwards(self, example: Run) -> None:
        with pytest.raises(KeyError):
            example("cat-dog", predictions="predictions.csv").check("enough-images")
