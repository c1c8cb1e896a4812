from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.check import Outcome, Status
from auditor.checks.baseline_regression import BaselineRegression
from auditor.checks.cheaper_inference import CheaperInference
from auditor.evidence.baseline import Baseline
from auditor.evidence.cheaper import CheaperDtype
from auditor.evidence.counts import counts
from auditor.evidence.predictions import Predictions
from auditor.record import Audit
from auditor.render.html import html_report

BF16 = CheaperDtype("bfloat16")
ROUNDED = """
class Rounded(ByColour):
    def __init__(self, far):
        super().__init__(2)
        self.mix.bias.data.fill_(far)


def far_away():
    return Rounded(10_000.0)


def beyond():
    return Rounded(1e6)


class Overflowing(ByColour):
    def forward(self, x):
        return super().forward(x) * 30_000 * 30_000 / 30_000 / 30_000


def overflowing():
    return Overflowing(2)
"""


def predicted(right: int, wrong: int, **options: Any) -> Predictions:
    """So many images of each class, right and wrong."""
    label = [*["a"] * right, *["a"] * wrong, *["b"] * right, *["b"] * wrong]
    said = [*["a"] * right, *["b"] * wrong, *["b"] * right, *["a"] * wrong]
    return Predictions.of(label, said, classes=["a", "b", "c"], **options)


def flipped(of: Predictions, lost: int, won: int, label: int | None = None) -> Predictions:
    """The same predictions with some turned wrong and some turned right."""
    said, ours = of.predicted.copy(), True if label is None else of.label == label
    for rows, n, name in ((of.correct & ours, lost, 2), (~of.correct, won, None)):
        chosen = np.flatnonzero(rows)[:n]
        said[chosen] = of.label[chosen] if name is None else name
    return Predictions(of.classes, of.images, of.label, said)


def judged(test: Predictions, cheaper: Predictions, **options: Any) -> Outcome:
    return CheaperInference(**options).run(BF16, test, cheaper, counts(test, None, None))


def test_the_same_predictions_pass() -> None:
    test = predicted(900, 100)
    outcome = judged(test, test)
    assert outcome.status is Status.PASS
    assert "bfloat16 would do as well: 0 of 2,000 predictions change" in outcome.summary


def test_a_flip_here_and_there_passes() -> None:
    test = predicted(900, 100)
    outcome = judged(test, flipped(test, 4, 4))
    assert outcome.status is Status.PASS
    assert "8 of 2,000 predictions change, 4 lost and 4 won" in outcome.summary


def test_many_lost_fail() -> None:
    test = predicted(900, 100)
    outcome = judged(test, flipped(test, 60, 2))
    assert outcome.status is Status.FAIL
    assert "would do worse" in outcome.summary
    allowed = judged(test, flipped(test, 60, 2), margin=0.05, class_margin=0.2)
    assert allowed.status is Status.PASS
    assert "bfloat16 would do worse, within the 5 points allowed: 62 of " in allowed.summary


def test_a_class_that_pays_for_the_others_fails() -> None:
    test = predicted(900, 100)
    outcome = judged(test, flipped(test, 90, 90, label=1))
    assert outcome.status is Status.FAIL
    assert "bfloat16 would do worse: " in outcome.summary
    assert "; b fell by 9.00 points; better: a." in outcome.summary


def test_a_small_class_that_dies_is_not_passed_over() -> None:
    """Four of four tumours are lost: too few to be significant, too many to do as well."""
    label = ["healthy"] * 5500 + ["tumour"] * 4
    test = Predictions.of(label, label)
    outcome = judged(test, Predictions.of(label, ["healthy"] * 5504, classes=test.classes))
    assert outcome.status is Status.INCONCLUSIVE
    assert "not settled whether by chance lower: tumour (100.00 points)" in outcome.summary
    assert "bfloat16 may or may not do as well" in outcome.summary


def test_rare_classes_of_few_images_that_are_lost_fail_together() -> None:
    rare = [f"r{i:02}" for i in range(20) for _ in range(4)]
    label = ["healthy"] * 20_000 + rare
    test = Predictions.of(label, label)
    outcome = judged(test, Predictions.of(label, ["healthy"] * 20_080, classes=test.classes))
    assert outcome.status is Status.FAIL
    assert "; all rare classes together fell by 100.00 points; not settled" in outcome.summary


def test_a_class_that_is_lower_by_itself_alone_is_named() -> None:
    """Of 30 images 14 are lost and 3 won; in 39 other classes it is the other way round."""
    names = [f"c{i:02}" for i in range(40)]
    label = [name for name in names for _ in range(30)]
    few, many = (["no"] * wrong + ["yes"] * (30 - wrong) for wrong in (3, 14))
    before, after = few + many[::-1] * 39, many[::-1] + few * 39

    def said(right: list[str]) -> Predictions:
        predicted = [x if r == "yes" else "none" for x, r in zip(label, right, strict=True)]
        return Predictions.of(label, predicted, classes=[*names, "none"])

    outcome = judged(said(before), said(after))
    assert outcome.status is Status.PASS
    assert outcome.summary.endswith("; perhaps lower: c00 (36.67 points).")


def test_few_images_are_inconclusive_with_the_number_that_would_do() -> None:
    test = predicted(30, 3)
    outcome = judged(test, test)
    assert outcome.status is Status.INCONCLUSIVE
    assert "more images at this rate would settle it" in outcome.findings[0].note


@pytest.mark.parametrize("confidence", [0.9, 0.99])
@pytest.mark.parametrize(("lost", "won"), [(4, 4), (60, 2), (12, 0), (1, 0)])
def test_the_accuracy_is_judged_as_beside_a_baseline(
    old_audit: Audit, lost: int, won: int, confidence: float
) -> None:
    test = predicted(900, 100)
    cheaper = flipped(test, lost, won)
    regression = BaselineRegression(confidence=confidence)
    images = counts(test, None, None)
    expected = regression.run(cheaper, Baseline(old_audit, test), images).findings[0]
    assert judged(test, cheaper, confidence=confidence).findings[0] == expected


def test_images_are_matched_by_name() -> None:
    test = predicted(900, 100)
    order = np.random.default_rng(0).permutation(len(test))
    images = tuple(test.images[row] for row in order)
    cheaper = Predictions(test.classes, images, test.label[order], test.predicted[order])
    assert "0 of 2,000" in judged(test, cheaper).summary
    some = test.where(np.arange(len(test)) % 2 == 0)  # the view without overlapping images
    assert "0 of 1,000" in judged(some, cheaper).summary


def test_images_missing_on_one_side_do_not_compare() -> None:
    test = predicted(900, 100)
    some = test.where(np.arange(len(test)) > 0)
    for before, after in ((test, some), (test.where(np.zeros(len(test), bool)), some)):
        outcome = judged(before, after)
        assert outcome.status is Status.INCONCLUSIVE
        assert "not comparable" in outcome.summary


@pytest.fixture
def audited(
    image_folder: Callable[..., Path], module: Callable[..., str], run: Any, tmp_path: Path
) -> Any:
    """Audit a model of the written module, asking for a cheaper dtype; nothing is reused."""
    test, name = image_folder("test", {"red": 40, "blue": 40}), module(ROUNDED)

    def audited(function: str, cheaper: str | None = "bfloat16") -> Any:
        candidate = {"module": f"{name}:{function}", "input_size": 16, "classes": ["red", "blue"]}
        output = {"directory": tmp_path / f"{function}-{cheaper}"}
        engine = {"cheaper": cheaper}
        return run(candidate=candidate, data={"test": test}, engine=engine, output=output)

    return audited


def test_unless_asked_for_it_is_skipped(audited: Any) -> None:
    result = audited("two", None)
    assert result.check("cheaper-inference").status is Status.SKIP
    assert "[engine] cheaper" in result.check("cheaper-inference").summary
    assert result.exhibits.cheaper is None


def test_one_pass_sees_both_and_opens_no_file_more(
    audited: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    real = Image.open

    def counting(file: Any, *rest: Any, **options: Any) -> Any:
        opened.append(file)
        return real(file, *rest, **options)

    monkeypatch.setattr(Image, "open", counting)
    audited("two", None)
    alone = len(opened)
    exhibit = audited("two").exhibits.cheaper
    assert len(opened) == 2 * alone > 0
    assert (exhibit.candidate, exhibit.changed) == ("bfloat16", 0)


def test_logits_that_rounding_makes_equal_fail(audited: Any) -> None:
    """They differ by a few, ten thousand away from zero, where bfloat16 knows multiples of 64."""
    result = audited("far_away")
    check = result.check("cheaper-inference")
    assert result.exhibits.metrics[0].value == 1.0
    assert check.status is Status.FAIL
    exhibit = result.exhibits.cheaper
    assert exhibit.overall.lost == 40
    assert "in bfloat16 beside itself in float32" in html_report(result)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("beyond", r"mix\.bias has values that float16 cannot hold"),
        ("overflowing", r"NaN or infinite .*\[engine\] cheaper \(float16\)"),
    ],
)
def test_what_overflows_is_an_error_of_the_check_alone(audited: Any, model: str, said: str) -> None:
    result = audited(model, "float16")
    check = result.check("cheaper-inference")
    assert check.status is Status.ERROR
    assert re.search(said, check.summary)
    assert result.check("top1-accuracy").status is not Status.ERROR


def test_the_audit_itself_stays_in_float32(audited: Any) -> None:
    plain, beside = audited("two", None), audited("two")
    assert plain.provenance.dtype == beside.provenance.dtype == "float32"
    assert plain.exhibits.metrics == beside.exhibits.metrics


def test_saved_predictions_cannot_be_run(saved: Callable[..., Path], run: Any) -> None:
    path = saved({"a": {"a": 9}, "b": {"b": 9}})
    result = run(predictions={"test": path}, engine={"cheaper": "bfloat16"})
    assert result.check("cheaper-inference").status is Status.SKIP
