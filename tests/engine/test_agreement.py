"""How far two sets of logits are apart, image by image."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditor.engine.agreement import change_of

logits = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3)


@given(st.lists(st.tuples(logits, logits), min_size=1, max_size=5))
def test_it_is_the_largest_change_by_the_spread_of_its_image(
    rows: list[tuple[list[float], list[float]]],
) -> None:
    found, plain = (torch.tensor([row[k] for row in rows]) for k in (0, 1))
    shares = []
    for ours, theirs in rows:
        spread = max(theirs) - min(theirs)
        change = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        shares.append(change / max(spread, 1e-30) if change else 0.0)
    assert change_of(found, plain) == pytest.approx(max(shares), rel=1e-5)


def test_equal_logits_of_one_image_say_nothing_against_the_others() -> None:
    plain = torch.tensor([[2.0, 2.0], [1.0, 3.0]])
    assert change_of(plain, plain) == 0
    assert change_of(plain + torch.tensor([[0.0], [0.5]]), plain) == 0.25
    assert change_of(plain + torch.tensor([[0.5], [0.0]]), plain) > 1e20


def test_not_a_number_is_no_agreement() -> None:
    plain = torch.tensor([[1.0, 3.0], [2.0, 4.0]])
    broken = torch.tensor([[1.0, math.nan], [2.0, 4.0]])
    assert math.isnan(change_of(broken, plain))
    assert math.isnan(change_of(plain, broken))
