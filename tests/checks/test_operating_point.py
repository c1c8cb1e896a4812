from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, betabinom, binom, binomtest
from sklearn.metrics import precision_score, recall_score

from auditor import stats
from auditor.check import Finding, Outcome, Status
from auditor.checks.operating_point import OperatingPoint
from auditor.errors import InputError, OptionError
from auditor.evidence.predictions import Predictions
from auditor.operating import Scores, choose_threshold, curve
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.render.operating_plot import draw_operating

CHECK = OperatingPoint(critical="fraud", min_recall=0.9)


def _split(fraud: int, normal: int, apart: float = 2.0, seed: int = 0) -> Predictions:
    """Fraud scores higher than normal, by ``apart`` standard deviations."""
    random = np.random.default_rng(seed)
    label = np.repeat([0, 1], [fraud, normal])
    logit = random.normal(np.where(label == 0, apart, 0.0) - 4, 1.0)
    score = 1 / (1 + np.exp(-logit))
    scores = np.stack([score, 1 - score], axis=1).astype(np.float32)
    images = tuple(f"{seed}-{i}.jpg" for i in range(len(label)))
    return Predictions(
        ("fraud", "normal"), images, label, scores.argmax(axis=1), probabilities=scores
    )


def _finding(outcome: Outcome, subject: str, metric: str) -> Finding:
    return next(f for f in outcome.findings if (f.subject, f.metric) == (subject, metric))


def _measured(finding: Finding) -> tuple[float | None, tuple[float, float] | None]:
    assert finding.interval is not None
    return finding.observed, finding.interval


def test_a_threshold_that_was_promised_and_holds_passes() -> None:
    test, validation = _split(600, 4000), _split(150, 2000, seed=1)
    outcome = CHECK.run(test, validation)
    assert outcome.status is Status.PASS
    threshold = _finding(outcome, "threshold", "probability of fraud").observed
    assert threshold is not None
    flagged = test.probabilities[:, 0] >= threshold  # type: ignore[index]
    truth = test.label == 0
    assert outcome.findings[0].observed == pytest.approx(recall_score(truth, flagged))
    precision = _finding(outcome, "at the threshold", "precision").observed
    assert precision == pytest.approx(precision_score(truth, flagged))
    alarms = _finding(outcome, "at the threshold", "false alarms among other images")
    assert alarms.observed == pytest.approx(flagged[~truth].mean())
    assert alarms.interval is not None
    assert f"{1e4 * flagged[~truth].mean():,.0f} false alarms in 10,000" in outcome.summary


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_recall_and_false_alarms_are_bounded_with_the_users_confidence(confidence: float) -> None:
    check = CHECK.model_copy(update={"confidence": confidence})
    for finding in check.run(_split(600, 4000), _split(150, 2000, seed=1)).findings[:2]:
        (share, interval), n = _measured(finding), finding.n or 0
        counted = binomtest(round((share or 0) * n), n)
        assert interval == pytest.approx(counted.proportion_ci(2 * confidence - 1, "exact"))


def test_at_the_largest_probability_it_is_missed() -> None:
    """Why a threshold is wanted: the planted detector never says fraud by itself."""
    outcome = CHECK.run(_split(600, 4000), _split(150, 2000, seed=1))
    recall = _finding(outcome, "where it is the largest", "recall").observed
    assert recall is not None
    assert recall < 0.1


def test_a_test_set_that_is_harder_than_validation_fails() -> None:
    outcome = CHECK.run(_split(600, 4000, apart=1.0), _split(150, 2000, apart=3.0, seed=1))
    assert outcome.status is Status.FAIL
    assert "at least 90% wanted" in outcome.summary


def test_few_test_images_are_inconclusive() -> None:
    outcome = CHECK.run(_split(20, 400), _split(150, 2000, seed=1))
    assert outcome.status is Status.INCONCLUSIVE
    assert "more" in outcome.findings[0].note


@pytest.mark.parametrize("fraud", [0, 1, 28])
def test_few_validation_images_show_no_threshold(fraud: int) -> None:
    outcome = CHECK.run(_split(600, 4000), _split(fraud, 400, seed=1))
    assert outcome.status is Status.INCONCLUSIVE
    assert f"the {fraud} validation images of fraud cannot show a recall of 90%" in outcome.summary
    assert "at least 29" in outcome.summary


@pytest.mark.parametrize(
    ("fraud", "said"),
    [
        (150, "chosen on 550 validation images (2 more cannot be read),"),
        (10, "more if some are missed; 2 validation images cannot be read."),
    ],
)
def test_validation_images_that_cannot_be_read_are_counted(fraud: int, said: str) -> None:
    validation = _split(fraud, 400, seed=1)
    lacking = replace(validation, unreadable={"a.jpg": "truncated", "b.jpg": "truncated"})
    assert said in CHECK.run(_split(600, 4000), lacking).summary
    assert "cannot be read" not in CHECK.run(_split(600, 4000), validation).summary


@pytest.mark.parametrize("others", [400, 0])
def test_no_test_image_of_the_class_is_inconclusive(others: int) -> None:
    outcome = CHECK.run(_split(0, others), _split(150, 400, seed=1))
    assert outcome.status is Status.INCONCLUSIVE
    assert "it has no test image" in outcome.summary


def test_without_a_critical_class_it_is_skipped() -> None:
    outcome = OperatingPoint().run(_split(5, 5), None)
    assert outcome.status is Status.SKIP
    assert "no critical class" in outcome.summary


def test_without_validation_a_class_that_was_named_is_not_settled() -> None:
    outcome = CHECK.run(_split(600, 4000), None)
    assert outcome.status is Status.INCONCLUSIVE
    assert "[data] validation or [predictions] validation" in outcome.summary
    assert "never chosen on the test set" in outcome.summary


def test_predictions_that_were_given_without_probabilities_are_an_error() -> None:
    given, bare = _split(50, 50), replace(_split(50, 50, seed=1), probabilities=None)
    for test, validation, split in ((given, bare, "validation"), (bare, given, "test")):
        outcome = CHECK.run(test, validation)
        assert outcome.status is Status.ERROR
        assert f"{split} predictions without probabilities" in outcome.summary
        assert "prob_CLASS" in outcome.summary


def _said(fraud: int, normal: int, found: float, of_fraud: float, of_normal: float) -> Predictions:
    """A share of the fraud gets 0.99, the rest one probability, and all normal images one."""
    score = np.r_[np.full(fraud, of_fraud), np.full(normal, of_normal)].astype(np.float32)
    score[: round(found * fraud)] = 0.99
    label = np.repeat([0, 1], [fraud, normal])
    images = tuple(f"{i}.jpg" for i in range(len(label)))
    scores = np.stack([score, 1 - score], axis=1)
    return Predictions(("fraud", "normal"), images, label, (score < 0.5) * 1, probabilities=scores)


def _elsewhere(split: Predictions) -> Predictions:
    """Call the images otherwise, as those of another split are called."""
    return replace(split, images=tuple(f"validation-{image}" for image in split.images))


@pytest.mark.parametrize("said", [(0.8, 0.0, 0.0), (0.0, 0.5, 0.5)], ids=["latent", "constant"])
def test_a_threshold_that_flags_everything_fails(said: tuple[float, float, float]) -> None:
    outcome = CHECK.run(_said(200, 1800, *said), _elsewhere(_said(200, 1800, *said)))
    assert outcome.status is Status.FAIL
    assert outcome.findings[0].status is Status.PASS
    assert "no fewer than flagging 90% of all at random gives" in outcome.summary


def test_its_twin_that_scores_the_rest_above_normal_passes() -> None:
    twin = _said(200, 1800, 0.8, 0.1, 0.0)
    outcome = CHECK.run(twin, _elsewhere(twin))
    assert outcome.status is Status.PASS
    assert "at 0 false alarms in 10,000 other images." in outcome.summary


def test_candidates_without_skill_do_not_pass_more_often_than_they_may() -> None:
    """Scores that say nothing of the class: recall and false alarms are one rate."""
    passed = 0
    for seed in range(200):
        test, validation = _split(300, 300, 0.0, 2 * seed), _split(300, 300, 0.0, 2 * seed + 1)
        passed += OperatingPoint(critical="fraud", min_recall=0.8).run(test, validation).status is (
            Status.PASS
        )
    assert passed <= binom.ppf(0.999, 200, 0.05)


def test_few_other_images_cannot_show_that_it_tells_them_apart() -> None:
    outcome = CHECK.run(_said(200, 1, 1, 0, 0.0), _said(200, 1800, 1, 0, 0.0))
    assert outcome.status is Status.INCONCLUSIVE
    assert "perhaps no fewer" in outcome.summary


def test_without_other_images_false_alarms_are_not_known() -> None:
    outcome = CHECK.run(_split(600, 0), _split(150, 2000, seed=1))
    assert outcome.status is Status.INCONCLUSIVE
    assert "is not known: there is no other test image" in outcome.summary
    assert "0 false alarms" not in outcome.summary


def test_an_unknown_class_has_a_suggestion() -> None:
    with pytest.raises(OptionError, match=r'"fruad" is not a class.*did you mean "fraud"'):
        OperatingPoint(critical="fruad").run(_split(5, 5), None)


def test_validation_of_other_classes_is_an_error() -> None:
    other = replace(_split(50, 50, seed=1), classes=("scam", "normal"))
    outcome = CHECK.run(_split(50, 50), other)
    assert outcome.status is Status.ERROR
    assert 'know no class "fraud"' in outcome.summary


def test_the_classes_of_the_splits_may_stand_in_another_order() -> None:
    validation = _split(150, 2000, seed=1)
    assert validation.probabilities is not None
    turned = replace(
        validation,
        classes=("normal", "fraud"),
        label=1 - validation.label,
        predicted=1 - validation.predicted,
        probabilities=validation.probabilities[:, ::-1],
    )
    test = _split(600, 4000)
    assert CHECK.run(test, turned) == CHECK.run(test, validation)


def test_the_threshold_keeps_its_promise_at_the_nominal_rate() -> None:
    """Of 500 thresholds chosen on 60 images, 5% may reach less than the wanted recall."""
    short, new = 0, Scores.of(_split(20_000, 1, seed=9999), "fraud")
    for seed in range(500):
        scores = Scores.of(_split(60, 1, seed=seed), "fraud")
        threshold = choose_threshold(scores, 20_000, 0.8, 0.95)
        assert threshold is not None
        short += new.flagged(threshold.probability).hits < 16_000
    assert short <= binom.ppf(0.999, 500, 0.05)


@pytest.mark.parametrize(("of_validation", "of_test"), [(100, 100), (300, 300), (300, 60)])
def test_an_honest_candidate_passes_about_as_often_as_the_confidence(
    of_validation: int, of_test: int
) -> None:
    passed = 0
    for seed in range(100):
        test = _split(of_test, 2 * of_test, 3.0, 2 * seed)
        validation = _split(of_validation, 2 * of_validation, 3.0, 2 * seed + 1)
        passed += CHECK.run(test, validation).status is Status.PASS
    assert passed >= binom.ppf(0.001, 100, 0.95)


@given(
    of_validation=st.integers(1, 400),
    of_test=st.integers(0, 400),
    min_recall=st.sampled_from([0.5, 0.8, 0.9, 0.97]),
)
def test_the_threshold_is_the_highest_that_can_be_expected_to_show_the_recall(
    of_validation: int, of_test: int, min_recall: float
) -> None:
    """Hits at the k-th surest of n are beta-binomial (k, n - k + 1), whatever the distribution."""
    scores = Scores(np.linspace(1, 0.5, of_validation), np.ones(of_validation, bool))
    found = choose_threshold(scores, of_test, min_recall, 0.95)
    ranks = np.arange(1, of_validation + 1)
    surely = np.asarray(beta.ppf(0.05, ranks, of_validation - ranks + 1))
    if surely[-1] < min_recall:
        assert found is None
        return
    assert found is not None
    k = 1 + int(np.argmin(np.abs(scores.probability - found.probability)))
    least = 1 + int(np.argmax(surely >= min_recall))
    low = [stats.proportion_interval(h, of_test, 0.95).low for h in range(of_test + 1)]
    if low[-1] < min_recall:
        assert (k, found.chance) == (least, 0.0)
        return

    def chance(k: int) -> float:
        return float(
            betabinom.sf(
                np.argmax(np.array(low) >= min_recall) - 1, of_test, k, of_validation - k + 1
            )
        )

    assert found.chance == pytest.approx(chance(k), abs=1e-9)
    assert k == of_validation or found.chance >= 0.95
    assert k == least or chance(k - 1) < 0.95


def test_the_test_images_are_no_validation_images() -> None:
    test = _split(600, 4000)
    outcome = CHECK.run(test, replace(test, about={"source": "a copy"}))
    assert outcome.status is Status.ERROR
    assert "4,600 of the 4,600 test images are validation images, too" in outcome.summary


def test_few_validation_images_tell_how_likely_the_test_images_were_to_show_it() -> None:
    """All of 29 images must be found, and any of 29 + 40 is as likely to be the least sure."""
    outcome = CHECK.run(_split(29, 4000), _split(40, 2000, seed=1))
    assert "29 test images of fraud like them show the recall with a probability of 58.0%" in (
        _finding(outcome, "threshold", "probability of fraud").note
    )


def test_the_curve_goes_down_in_recall_and_is_thinned() -> None:
    points = curve(Scores.of(_split(150, 2000), "fraud"))
    assert 50 < len(points) <= 100
    recalls = [p.recall for p in points]
    assert recalls == sorted(set(recalls), reverse=True)
    assert recalls[0] == 1.0
    assert max(np.diff(recalls[::-1])) < 0.03
    assert curve(Scores.of(_split(0, 20), "fraud")) == ()


@pytest.fixture
def scored(write: Callable[[str, str], Path]) -> Callable[[str, Predictions], Path]:
    """Saved predictions with probabilities."""

    def make(name: str, test: Predictions) -> Path:
        assert test.probabilities is not None
        names = test.classes
        rows = zip(test.images, test.label, test.predicted, test.probabilities, strict=True)
        lines = [f"{i},{names[a]},{names[b]},{p[0]:.7f},{p[1]:.7f}" for i, a, b, p in rows]
        head = f"image,label,predicted,prob_{names[0]},prob_{names[1]}"
        return write(name, "\n".join([head, *lines]) + "\n")

    return make


def test_from_saved_predictions_to_the_report(
    run: Callable[..., Audit], scored: Callable[..., Path]
) -> None:
    predictions = {
        "test": scored("test.csv", _split(600, 4000)),
        "validation": scored("validation.csv", _split(150, 2000, seed=1)),
    }
    audit = run(predictions=predictions, checks={"operating-point": {"critical": "fraud"}})
    assert audit.check("operating-point").status is Status.PASS
    assert audit.data.validation is not None
    assert audit.data.validation.source.endswith("validation.csv")
    assert (audit.data.validation.images, audit.data.validation.predicted) == (2150, 2150)
    shown = audit.exhibits.operating
    assert shown is not None
    findings = audit.check("operating-point").findings
    outcome = Outcome.of(findings, "as it is")
    threshold, alarms = (
        _finding(outcome, *about)
        for about in (
            ("threshold", "probability of fraud"),
            ("at the threshold", "false alarms among other images"),
        )
    )
    precision = _finding(outcome, "at the threshold", "precision")
    assert shown.threshold == threshold.observed
    assert (shown.recall, shown.recall_interval) == _measured(outcome.findings[0])
    assert (shown.precision, shown.precision_interval) == _measured(precision)
    assert (shown.false_alarms, shown.false_alarms_interval) == _measured(alarms)
    page = html_report(audit)
    html5lib.HTMLParser(strict=True).parse(page)
    assert 'id="operating"' in page
    picture = draw_operating(shown)
    assert picture.alt in page
    assert "on test images recall 9" in picture.alt
    assert run(predictions=predictions).exhibits.operating is None


@pytest.mark.parametrize("level", ["block", "advise"])
def test_a_blocking_check_without_probabilities_leaves_the_audit_undecided(
    run: Callable[..., Audit], scored: Callable[..., Path], write: Callable[..., Path], level: str
) -> None:
    rows = [f"v{i},{name},{name}" for i, name in enumerate(["fraud", "normal"] * 50)]
    bare = write("bare.csv", "\n".join(["image,label,predicted", *rows]) + "\n")
    # At the largest probability the fraud is missed, which other checks judge.
    off = {key: {"level": "off"} for key in ("accuracy-paradox", "rare-class-recall")}
    critical = {"operating-point": {"critical": "fraud", "level": level}}
    predictions = {"test": scored("test.csv", _split(600, 4000, 8.0)), "validation": bare}
    audit = run(predictions=predictions, checks={**off, **critical})
    assert audit.check("operating-point").status is Status.ERROR
    assert audit.verdict == ("undecided" if level == "block" else "accepted")


def test_a_model_is_run_on_the_validation_images(
    run: Callable[..., Audit], image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    data = {
        "test": image_folder("test", {"cat": 40, "dog": 40}),
        "validation": image_folder("validation", {"cat": 40, "dog": 40}),
    }
    (data["validation"] / "cat" / "broken.png").write_bytes(b"no image")
    candidate = {"module": f"{module()}:two", "input_size": 16}
    critical = {"operating-point": {"critical": "cat"}}
    audit = run(data=data, candidate=candidate, checks=critical)
    assert audit.check("operating-point").status is Status.PASS
    assert "validation" in audit.provenance.evidence
    split = audit.data.validation
    assert split is not None
    assert (split.images, split.predicted) == (81, 80)
    assert [lost.image for lost in split.unreadable] == ["cat/broken.png"]


def test_the_test_set_is_no_validation_split(
    run: Callable[..., Audit],
    scored: Callable[..., Path],
    image_folder: Callable[..., Path],
    module: Callable[..., str],
) -> None:
    critical: dict[str, Any] = {"operating-point": {"critical": "fraud"}}
    test = scored("test.csv", _split(60, 400))
    with pytest.raises(InputError, match="cannot be judged on it"):
        run(predictions={"test": test, "validation": test}, checks=critical)
    images = image_folder("test", {"cat": 2, "dog": 2})
    with pytest.raises(InputError, match="cannot be judged on it"):
        run(data={"test": images, "validation": images}, candidate={"module": f"{module()}:two"})


def test_an_unknown_class_is_named_with_its_line(
    run: Callable[..., Audit], scored: Callable[..., Path], write: Callable[[str, str], Path]
) -> None:
    scored("p.csv", _split(60, 400))
    text = '[predictions]\ntest = "p.csv"\n[checks.operating-point]\ncritical = "fruad"\n'
    with pytest.raises(InputError, match=r'auditor\.toml:4: "fruad" is not a class'):
        run(write("auditor.toml", text))
