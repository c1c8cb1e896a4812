"""What an overlap means, and what the report shows of it, against counting by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from auditor.evidence.groups import GroupColumn, Groups, SharedGroup
from auditor.evidence.overlap import COMPARED_WITHIN, Overlap, OverlapPair
from auditor.evidence.predictions import Predictions
from auditor.overlap.clusters import clusters, repeated
from auditor.overlap.contamination import contaminated, inflation, most_telling, without
from auditor.overlap.exhibit import show_overlap
from auditor.overlap.result import Threshold
from auditor.overlap.splits import Kind, SplitSignatures


def pair(
    left: str, right: str, kind: Kind = "same-bytes", labels: tuple[str, str] = ("a", "a")
) -> OverlapPair:
    return OverlapPair(left, right, kind, 0, 0.9, *labels)


def make(*pairs: OverlapPair, signed: int = 100, near: Threshold | None = None) -> Overlap:
    return Overlap(pairs, (), signed, {}, 100, near=near, classes={"a": 60, "b": 40})


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=15))
def test_clusters_are_what_can_be_reached(edges: list[tuple[int, int]]) -> None:
    edges = [(a, b) for a, b in edges if a != b]
    reached = {node: {node} for edge in edges for node in edge}
    for _ in range(13):
        for a, b in edges:
            reached[a] |= reached[b]
            reached[b] |= reached[a]
    expected = {frozenset(f"{n:02}" for n in nodes) for nodes in reached.values()}
    found = clusters(pair(f"{a:02}", f"{b:02}") for a, b in edges)
    assert {frozenset(images) for images in found} == expected
    assert len(found) == len(expected)
    assert all(images == sorted(images) for images in found)


def test_pairs_that_nobody_looked_at_tie_nothing_together() -> None:
    """Where others of the same set were looked at."""
    unseen = pair("b", "c", "near-duplicate")._replace(verified=False)
    assert clusters([pair("a", "b", "near-duplicate"), unseen]) == [["a", "b"]]


def test_where_no_pixels_were_compared_all_that_was_found_ties_together() -> None:
    unseen = [pair(a, b, "near-duplicate")._replace(verified=False) for a, b in ("bc", "de")]
    assert clusters([pair("a", "b"), *unseen]) == [["a", "b", "c"], ["d", "e"]]
    overlap = Overlap((), (pair("a", "b"), *unseen), 10, {}, 10, within_train=(pair("x", "y"),))
    assert overlap.repeats_test == (3, 3, False)
    assert overlap.repeats_train == (1, 2, True)


def test_what_is_repeated_keeps_its_signatures() -> None:
    split = SplitSignatures(
        list("abcd"),
        list("wxyz"),
        [b"1", b"2", b"1", b"3"],
        [b"p", b"q", b"p", b"q"],
        np.arange(4, dtype=np.uint64),
        np.arange(4, dtype=np.float32),
        np.zeros((4, 256), np.int8),
    )
    assert repeated(split).images == list("abcd")
    alone = repeated(split._replace(pixels_digest=[b"p", b"q", b"p", b"r"]))
    assert (alone.images, alone.labels) == (list("ac"), list("wy"))
    assert alone.phash.tolist() == [0, 2]
    assert COMPARED_WITHIN >= 50_000


def test_an_estimate_that_is_not_known_takes_nothing_off() -> None:
    near = [pair(str(n), "t", "near-duplicate") for n in range(9)]
    count = contaminated(make(*near, near=Threshold(0.5, "fallback")))
    assert (count.flagged, count.strangers, count.share) == (9, None, 0.09)
    assert count.interval == (0.09, 0.09)
    assert "is not known" in count.said


def test_what_has_no_estimate_leaves_the_estimate_of_the_rest() -> None:
    near = [pair(str(n), "t", "near-duplicate") for n in range(50)]
    turned = [pair(f"t{n}", "t", "transformed") for n in range(2)]
    limit = Threshold(0.47, "decoys", 50, 0, 0.02, 0.06)
    count = contaminated(make(*near, *turned, near=limit))
    assert (count.flagged, count.unknown, count.strangers) == (52, 2, 1.0)
    assert count.share == pytest.approx(0.51)
    assert count.interval == pytest.approx(
        ((52 - poisson.ppf(0.95, 1)) / 100, (52 - poisson.ppf(0.05, 1)) / 100)
    )
    assert "of the other 50, 1.0 are estimated to be strangers; of 2 more" in count.said


def test_exact_copies_are_never_taken_off() -> None:
    count = contaminated(make(pair("x", "t"), near=Threshold(0.5, "decoys", 9, 9, 1.0)))
    assert count.interval == (0.01, 0.01)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_each_bound_holds_with_the_confidence_by_itself(confidence: float) -> None:
    near = [pair(f"{n:02}", "t", "near-duplicate") for n in range(90)]
    count = contaminated(make(*near, near=Threshold(0.5, "decoys", 90, 9, 0.1)), confidence)
    assert count.interval == pytest.approx(
        tuple((90 - poisson.ppf(level, 9)) / 100 for level in (confidence, 1 - confidence))
    )


@pytest.mark.parametrize("sure", ["same-pixels", "transformed"])
def test_more_strangers_than_near_duplicates_take_off_no_sure_copy(sure: Kind) -> None:
    """Of one near-duplicate half a stranger is estimated, and two are not ruled out."""
    found = (pair("x", "t", sure), pair("y", "t", "near-duplicate"))
    count = contaminated(make(*found, near=Threshold(0.5, "decoys", 2, 0, 0.5)))
    assert poisson.ppf(0.95, 0.5) == 2
    assert count.interval == (0.01, 0.02)


def test_with_and_without_is_the_accuracy_of_either_part(
    predictions: Callable[..., Predictions],
) -> None:
    test = predictions({"a": {"a": 6, "b": 4}, "b": {"b": 5}, "c": {"a": 1}})
    held = frozenset((*test.images[:4], test.images[-1]))
    clean = test.without(held)
    rows = {row.name: row for row in without(test, held)}
    assert rows["all"].everything == pytest.approx(test.correct.mean())
    assert rows["all"].clean == pytest.approx(clean.correct.mean())
    lift = rows["all"].inflation
    assert lift is not None
    assert lift.points == pytest.approx(test.correct.mean() - clean.correct.mean())
    assert lift.interval.low < lift.points < lift.interval.high
    assert (rows["a"].everything, rows["a"].clean) == pytest.approx((0.6, 2 / 6))
    assert (rows["b"].overlapping, rows["b"].inflation) == (0, None)
    assert (rows["c"].clean, rows["c"].inflation) == (None, None)


@pytest.mark.parametrize("held", [0, 10])
def test_nothing_or_all_overlapping_has_no_inflation(
    predictions: Callable[..., Predictions], held: int
) -> None:
    test = predictions({"a": {"a": 6, "b": 4}})
    assert inflation(test, frozenset(test.images[:held])) is None


def test_conflicts_and_the_least_certain_stand_first() -> None:
    pairs = [
        pair("1", "t"),
        pair("2", "t", "near-duplicate"),
        pair("3", "t", "transformed"),
        pair("4", "t", labels=("a", "b")),
        pair("2", "u", "near-duplicate"),
        pair("5", "t", "near-duplicate")._replace(similarity=0.6),
    ]
    assert [p.test_image for p in most_telling(pairs)] == ["4", "3", "5", "2", "1"]


def test_a_conflict_is_shown_before_a_stronger_copy_of_the_same_label() -> None:
    pairs = [pair("1", "t"), pair("1", "u", "near-duplicate", ("a", "b"))]
    assert most_telling(pairs) == pairs[1:]
    assert show_overlap(make(*pairs)).conflicts == 1


def test_what_is_shown(predictions: Callable[..., Predictions]) -> None:
    test = predictions({"a": {"a": 60}, "b": {"b": 20, "a": 20}})
    pairs = [
        pair(test.images[0], "t"),
        pair(test.images[1], "u", "near-duplicate"),
        pair(test.images[60], "v", "near-duplicate", ("b", "a")),
    ]
    near = Threshold(0.47, "decoys", 200, 4, 0.02, 0.045, "flips are the decoys")
    groups = Groups((GroupColumn("patient", 1, 1, 1, 0),), (SharedGroup("patient", "P", 1, 2),))
    shown = show_overlap(make(*pairs, near=near), test, groups, rare=frozenset("b"))
    assert (shown.test_images, shown.conflicts, shown.total_groups) == (3, 1, 1)
    assert [(row.kind, row.test_images) for row in shown.tiers] == [
        ("same-bytes", 1),
        ("same-pixels", 0),
        ("near-duplicate", 2),
    ]
    assert shown.tiers[2].method == (
        "A score of 0.47 and above counts: 200 pictures match so well, and 4 decoys (the same "
        "pictures mirrored or turned, which meet strangers alone). With one decoy added for "
        "caution, 2.0% of the matches are estimated to be strangers, at most 4.5% at 95% "
        "confidence. Flips are the decoys."
    )
    everything, *classes = shown.classes
    assert (everything.name, everything.images, everything.overlapping) == ("all", 100, 3)
    assert [(row.name, row.overlapping, row.rare) for row in classes] == [
        ("b", 1, True),
        ("a", 2, False),
    ]
    assert classes[0].accuracy == 0.5
    assert classes[0].clean == pytest.approx(19 / 39)


def test_a_class_may_be_called_all() -> None:
    shown = show_overlap(make(pair("x", "t", labels=("all", "all"))))
    assert [(row.name, row.images) for row in shown.classes] == [("all", 100), ("all", 1)]
