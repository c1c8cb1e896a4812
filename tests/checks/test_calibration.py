from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import html5lib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from auditor.check import Status
from auditor.checks.calibration import Calibration
from auditor.errors import Unavailable
from auditor.evidence.calibration import Calibration as Bins
from auditor.evidence.predictions import Predictions
from auditor.record import Audit
from auditor.render.calibration_plot import draw_calibration
from auditor.render.html import html_report
from auditor.wording import plural

Floats = NDArray[np.float64]


def _test(sure: Floats, right: NDArray[np.bool_]) -> Predictions:
    """Two classes; the first is named, with the given confidence."""
    n = len(sure)
    scores = np.stack([sure, 1 - sure], axis=1).astype(np.float32)
    label = np.where(right, 0, 1)
    images = tuple(f"{i}.jpg" for i in range(n))
    return Predictions(("a", "b"), images, label, np.zeros(n, np.int64), probabilities=scores)


def _model(n: int, too_sure: float, seed: int = 0) -> Predictions:
    """Right as often as it says, less ``too_sure``."""
    random = np.random.default_rng(seed)
    sure = random.uniform(0.55, 1.0, n)
    return _test(sure, random.random(n) < sure - too_sure)


def test_a_model_that_is_too_sure_fails() -> None:
    outcome = Calibration().run(Bins.of(_model(3000, 0.15)))
    assert outcome.status is Status.FAIL
    assert outcome.findings[0].observed == pytest.approx(0.15, abs=0.02)
    assert "points in a bin on average (at most 5 allowed)" in outcome.summary


def test_its_clean_twin_passes() -> None:
    assert Calibration().run(Bins.of(_model(3000, 0.0))).status is Status.PASS


def test_a_model_that_is_not_sure_enough_fails() -> None:
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 0.7, 3000)
    outcome = Calibration().run(Bins.of(_test(sure, random.random(3000) < 0.98)))
    assert outcome.status is Status.FAIL


@pytest.mark.parametrize("n", [1, 5, 100])
def test_too_few_images_are_inconclusive_and_say_how_many_would_do(n: int) -> None:
    outcome = Calibration().run(Bins.of(_model(n, 0.0)))
    assert outcome.status is Status.INCONCLUSIVE
    assert "more images" in outcome.findings[0].note or "no number" in outcome.findings[0].note
    assert f"which {plural(n, 'image')} cannot settle" in outcome.summary


def test_as_many_images_as_it_says_settle_it() -> None:
    finding = Calibration(max_ece=0.02).run(Bins.of(_model(2000, 0.05))).findings[0]
    assert finding.status is Status.INCONCLUSIVE
    more = int(finding.note.split()[1].replace(",", ""))
    bins = Bins.of(_model(2000, 0.05)).bins
    grown = bins._replace(
        images=bins.images * (2000 + more) // 2000, right=bins.right * (2000 + more) // 2000
    )
    interval = grown.interval()
    assert interval is not None
    assert interval.low > 0.018


@pytest.mark.parametrize("n", [30, 60])
def test_as_many_images_as_it_says_settle_it_where_the_bound_is_cut_at_0(n: int) -> None:
    """As many copies of the same images, so that the error stays; to a tenth of the limit."""
    bins = Bins.of(_model(n, 0.08, seed=2))
    finding = Calibration().run(bins).findings[0]
    assert finding.status is Status.INCONCLUSIVE
    assert finding.interval is not None
    assert finding.interval[0] == 0
    more = int(finding.note.split()[1].replace(",", ""))
    copies = -(-(n + more) // n)
    grown = Bins(
        bins.bins._replace(images=bins.bins.images * copies, right=bins.bins.right * copies)
    )
    interval = grown.bins.interval()
    assert interval is not None
    assert interval.low > 0.045


def _total(bins: Bins) -> int:
    """Images there are and those that are said to be needed."""
    (note, *_) = [f.note for f in Calibration().run(bins).findings]
    return bins.n + int(note.split()[1].replace(",", ""))


@pytest.mark.parametrize("n", [20, 30, 45])
def test_bounds_of_bins_that_are_all_right_shrink_with_the_number(n: int) -> None:
    """59 images do in one bin: 0.95 to the 59th is the first power below 5%."""
    assert _total(Bins.of(_test(np.ones(n), np.ones(n, bool)))) == 59


@pytest.mark.parametrize("n", [100, 300, 500])
def test_what_noise_makes_of_the_error_is_not_foreseen_of_more_images(n: int) -> None:
    """Perfectly calibrated: of models with as many images as are said, about half are settled."""
    random = np.random.default_rng(n)

    def bins(size: int) -> Bins:
        sure = np.maximum(random.beta(9, 1, size), 0.51)
        return Bins.of(_test(sure, random.random(size) < sure))

    few = [bins(n) for _ in range(60)]
    total = int(
        np.median([_total(b) for b in few if "about" in Calibration().run(b).findings[0].note])
    )
    settled = [Calibration().run(bins(total)).status is not Status.INCONCLUSIVE for _ in range(60)]
    assert 0.2 < np.mean(settled) < 0.9


@pytest.mark.parametrize(
    ("confidence", "n", "status"),
    [
        (0.95, 37, Status.INCONCLUSIVE),
        (0.95, 58, Status.INCONCLUSIVE),
        (0.95, 59, Status.PASS),
        (0.99, 89, Status.INCONCLUSIVE),
        (0.99, 90, Status.PASS),
    ],
)
def test_a_candidate_that_is_always_sure_needs_59_images_all_right(
    confidence: float, n: int, status: Status
) -> None:
    """0.95 to the 59th is the first power below 5%, to the 90th the first below 1%."""
    test = _test(np.ones(n), np.ones(n, bool))
    assert Calibration(confidence=confidence).run(Bins.of(test)).status is status


def test_no_image_is_inconclusive() -> None:
    nothing = _test(np.zeros(0), np.zeros(0, bool))
    outcome = Calibration().run(Bins.of(nothing))
    assert outcome.status is Status.INCONCLUSIVE
    assert outcome.findings[0].n == 0


def test_without_probabilities_there_is_no_evidence() -> None:
    with pytest.raises(Unavailable, match="prob_CLASS") as caught:
        Bins.of(Predictions.of(["a"], ["b"]))
    assert caught.value.status == "skip"


@pytest.mark.parametrize("n", [40, 1000, 5000])
def test_bins_are_those_of_scikit_learn(n: int) -> None:
    random = np.random.default_rng(n)
    sure = random.uniform(0.5, 1.0, n).astype(np.float32).astype(np.float64)
    right = random.random(n) < sure
    bins = Bins.of(_test(sure, right)).bins
    share, mean = calibration_curve(right, sure, n_bins=15, strategy="quantile")
    assert bins.right / bins.images == pytest.approx(share)
    assert bins.probability == pytest.approx(mean)
    assert int(bins.images.sum()) == n


def test_images_of_one_confidence_stay_together() -> None:
    sure = np.repeat([0.5, 0.75, 1.0], [400, 100, 500])
    bins = Bins.of(_test(sure, np.ones(1000, bool))).bins
    assert bins.images.tolist() == [400, 100, 500]
    assert bins.error == pytest.approx(0.225)


def test_the_confidence_is_that_of_the_class_that_was_named() -> None:
    test = Predictions(
        ("a", "b"),
        ("x",),
        np.array([0]),
        np.array([1]),  # by a threshold of its own, not by the largest probability
        probabilities=np.array([[0.7, 0.3]], np.float32),
    )
    assert Bins.of(test).confidence == pytest.approx(0.3)


@pytest.fixture
def scored(write: Callable[[str, str], Path]) -> Callable[[Predictions], Path]:
    """Saved predictions with probabilities."""

    def make(test: Predictions) -> Path:
        assert test.probabilities is not None
        rows = zip(test.images, test.label, test.predicted, test.probabilities, strict=True)
        lines = [f"{i},{'ab'[a]},{'ab'[b]},{p[0]:.6f},{p[1]:.6f}" for i, a, b, p in rows]
        return write("p.csv", "\n".join(["image,label,predicted,prob_a,prob_b", *lines]) + "\n")

    return make


def test_from_saved_predictions_to_the_report(
    run: Callable[..., Audit], scored: Callable[[Predictions], Path]
) -> None:
    audit = run(predictions={"test": scored(_model(1200, 0.15))})
    assert audit.check("calibration").status is Status.FAIL
    assert audit.check("calibration").level == "advise"
    shown = audit.exhibits.calibration
    assert shown is not None
    assert sum(b.images for b in shown.bins) == 1200
    page = html_report(audit)
    html5lib.HTMLParser(strict=True).parse(page)
    assert 'id="calibration"' in page
    picture = draw_calibration(shown)
    assert picture.alt.startswith("Reliability diagram, expected calibration error 13.")
    assert picture.alt in page
    assert picture.alt.count(" right at ") == len(shown.bins)


def test_saved_predictions_without_probabilities_are_skipped(
    run: Callable[..., Audit], saved: Callable[..., Path]
) -> None:
    audit = run(predictions={"test": saved({"a": {"a": 30}, "b": {"b": 30}})})
    assert audit.check("calibration").status is Status.SKIP
    assert "prob_CLASS" in audit.check("calibration").summary
    assert audit.exhibits.calibration is None


def test_where_it_blocks_probabilities_that_lack_are_an_error(
    run: Callable[..., Audit], saved: Callable[..., Path]
) -> None:
    predictions = {"test": saved({"a": {"a": 300}, "b": {"b": 300}})}
    assert run(predictions=predictions).verdict == "accepted"
    audit = run(predictions=predictions, checks={"calibration": {"level": "block"}})
    assert audit.check("calibration").status is Status.ERROR
    assert "prob_CLASS" in audit.check("calibration").summary
    assert audit.verdict == "undecided"
    assert audit.exhibits.calibration is None
