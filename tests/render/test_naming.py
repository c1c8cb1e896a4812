"""Names that are cut to fit are told apart as the whole names are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditor.naming import one_line, short_names

ROSES = tuple(
    f"Plantae Tracheophyta Magnoliopsida Rosales Rosaceae {kind} flowering adult specimen in field"
    for kind in ("Rosa canina", "Rosa rubiginosa", "Rubus caesius", "Rubus idaeus")
)
NAMES = st.lists(
    st.one_of(
        st.text("ab… #0\u200b\n", max_size=40),
        st.tuples(st.text("ab ", max_size=30), st.text("cd", max_size=3)).map("x".join),
        st.sampled_from([*ROSES, *(rose[:40] for rose in ROSES)]),
    ),
    max_size=30,
)


@given(NAMES, st.sampled_from([8, 14, 18, 28, 64]))
@example(["aaaa…aaa", "a" * 20, "b" * 20, "aaaa…aaa #1"], 8)
@example(["x\u200b", "x‹U+200B›"], 8)
def test_distinct_names_stay_distinct(names: list[str], most: int) -> None:
    shown = short_names(names, most)
    assert list(shown) == list(dict.fromkeys(names))
    assert len(set(shown.values())) == len(shown)
    for name, short in shown.items():
        assert len(short) <= most or " #" in short
        if len(name) <= most and one_line(name) == name:
            assert short == name  # what fits is not touched


@given(NAMES)
def test_a_name_that_comes_again_counts_once(names: list[str]) -> None:
    assert short_names([*names, *names], 18) == short_names(names, 18)


@pytest.mark.parametrize("most", [28, 64])
def test_the_part_that_differs_is_kept(most: int) -> None:
    shown = short_names(ROSES, most)
    told = [shown[rose] for rose in ROSES]
    assert all("#" not in short for short in told)
    for short, part in zip(told, ("can", "rub", "cae", "ida"), strict=True):
        assert part in short
    # With or without the others.
    for pair in itertools.combinations(ROSES, 2):
        assert len(set(short_names(pair, most).values())) == 2


def test_a_difference_near_the_end_is_kept() -> None:
    names = [f"{'field photograph ' * 8}{i:04}.jpg of the set" for i in (17, 18)]
    assert all(str(i) in short for i, short in enumerate(short_names(names, 40).values(), 17))


def test_what_nothing_tells_apart_has_its_place() -> None:
    names = ["cat", "a\u200bb" + "c" * 40, "a‹U+200B›b" + "c" * 40]
    assert list(short_names(names, 18).values()) == [
        "cat",
        "a‹U+200…ccccccc #1",
        "a‹U+200…ccccccc #2",
    ]
