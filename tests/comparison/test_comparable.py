from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from auditor.comparison import Comparison, NotComparable, compare
from auditor.comparison.comparable import require_version
from auditor.evidence.baseline import Baseline
from auditor.evidence.predictions import Predictions
from auditor.record import Audit

Run = Callable[..., Audit]
Said = Callable[..., Predictions]
Saved = Callable[..., Path]
Refused = Callable[[Predictions, Predictions], str]


@pytest.fixture
def refused(compared: Callable[[Predictions, Predictions], Comparison]) -> Refused:
    """Why what the baseline and the candidate said does not compare."""

    def refused(before: Predictions, after: Predictions) -> str:
        with pytest.raises(NotComparable) as reason:
            compared(before, after)
        return str(reason.value)

    return refused


@pytest.mark.parametrize(
    ("classes", "which"),
    [
        (("cat", "dog", "fox"), 'without "fox", with "owl"'),
        (("cat", "dog", "owl", "fox"), 'without "fox"'),
        (("cat", "dog"), 'with "owl"'),
    ],
)
def test_other_classes(said: Said, refused: Refused, classes: tuple[str, ...], which: str) -> None:
    reason = refused(said(["cat"], ["cat"], classes=classes), said(["cat"], ["cat"]))
    assert reason == f"other classes than the baseline: {which}"


def test_a_missing_image(said: Said, refused: Refused) -> None:
    before = said(["cat"] * 2, ["cat"] * 2, images=["a.jpg", "b.jpg"])
    reason = refused(before, said(["cat"], ["cat"], images=["a.jpg"]))
    assert reason == (
        'the test sets share only 1 of 2 images: 1 missing ("b.jpg"); audit the baseline '
        "again on this test set"
    )


def test_a_new_image(said: Said, refused: Refused) -> None:
    after = said(["cat"] * 2, ["cat"] * 2, images=["a.jpg", "b.jpg"])
    reason = refused(said(["cat"], ["cat"], images=["a.jpg"]), after)
    assert reason == (
        'the test sets share only 1 of 2 images: 1 new ("b.jpg"); audit the baseline again '
        "on this test set"
    )


def test_many_missing_and_new_images(said: Said, refused: Refused) -> None:
    before = said(["cat"] * 6, ["cat"] * 6, images=list("abcdef"))
    reason = refused(before, said(["cat"] * 2, ["cat"] * 2, images=["a", "g"]))
    assert 'only 1 of 7 images: 5 missing ("b", "c", "d" and 2 more), 1 new ("g");' in reason


def test_another_label(said: Said, refused: Refused) -> None:
    reason = refused(said(["cat"], ["cat"]), said(["dog"], ["cat"]))
    assert reason == (
        "other labels than in the baseline for 1 of 1 images, such as image-000000: "
        '"cat" there, "dog" here'
    )


class TestPictures:
    """Images of one name, known again by the digests of file and pixels."""

    BEFORE: Mapping[str, tuple[bytes, bytes]] = {"a": (b"file", b"pixels"), "b": (b"1", b"2")}

    @pytest.mark.parametrize("after", [(b"file", b"pixels"), (b"saved again", b"pixels")])
    def test_the_same(self, said: Said, old_audit: Audit, after: tuple[bytes, bytes]) -> None:
        two = said(["cat"] * 2, ["cat"] * 2, images=["a", "b"])
        baseline = Baseline(old_audit, two, pictures=self.BEFORE)
        assert compare(two, baseline, pictures={**self.BEFORE, "a": after}).paired

    def test_a_replaced_one(self, said: Said, old_audit: Audit) -> None:
        two = said(["cat"] * 2, ["cat"] * 2, images=["a", "b"])
        baseline = Baseline(old_audit, two, pictures=self.BEFORE)
        with pytest.raises(NotComparable) as reason:
            compare(two, baseline, pictures={**self.BEFORE, "a": (b"other", b"others")})
        assert str(reason.value) == (
            'other pictures under the same names for 1 of 2 images, such as "a"; audit the '
            "baseline again on these"
        )


def test_nothing_to_compare(said: Said, refused: Refused) -> None:
    assert "no predictions" in refused(said([], []), said(["cat"], ["cat"]))


def test_a_class_with_images_on_one_side_only(said: Said, refused: Refused) -> None:
    after = said(["dog"], ["dog"], images=["other.jpg"])
    reason = refused(said(["cat"], ["cat"]), after)
    assert reason == 'only one of the two test sets has images of "cat", "dog"'


def test_missing_predictions(said: Said, old_audit: Audit) -> None:
    with pytest.raises(NotComparable, match="gone"):
        compare(said(["cat"], ["cat"]), Baseline(old_audit, None, "gone"))


def test_another_version_of_the_check(run: Run, saved: Saved) -> None:
    audit = run(predictions={"test": saved({"a": {"a": 5, "b": 1}, "b": {"b": 5}})})
    now = audit.check("baseline-regression").version
    require_version(audit, "baseline-regression", now)
    this = f"baseline-regression version {now}, this is version {now + 1}"
    with pytest.raises(NotComparable, match=this):
        require_version(audit, "baseline-regression", now + 1)
