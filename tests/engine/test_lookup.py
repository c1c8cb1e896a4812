"""Rows are found by name, whatever the order and whatever the hashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.engine.lookup import Rows


class Same(str):
    """A name whose hash is that of every other."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7


@given(st.lists(st.text(), min_size=1, unique=True), st.randoms(), st.sampled_from([str, Same]))
def test_every_name_is_found(names: list[str], random: object, kind: type[str]) -> None:
    made = [kind(name) for name in names]
    order = list(range(len(made)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert Rows(made).find([made[k] for k in order]).tolist() == order


def test_one_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in"):
        Rows(("a", "b")).find(["c"])
