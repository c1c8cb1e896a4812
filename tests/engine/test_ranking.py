"""The five best classes, found without sorting."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auditor.engine.ranking import first_classes, ranked

SCORES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
    elements=st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 2.0**-149, 0.25])),
)


@given(SCORES)
def test_they_are_those_of_a_stable_sort(
    scores: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert first_classes(torch.from_numpy(scores)).tolist() == expected.tolist()


def test_many_classes() -> None:
    scores = np.random.default_rng(0).random((3, 21_000), np.float32).round(3)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert first_classes(torch.from_numpy(scores)).tolist() == expected.tolist()


def test_what_is_kept_of_half_precision_is_a_float32_softmax() -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    found = ranked(logits, torch.tensor([0, 8, 3, 3]), probabilities=True)
    expected = logits.float().softmax(1)
    assert torch.equal(found["probabilities"], expected)
    assert found["true_probability"].tolist() == [
        expected[n, k] for n, k in enumerate([0, 8, 3, 3])
    ]
    assert found["finite"].all()


def test_all_probabilities_are_kept_only_where_they_are_wanted() -> None:
    logits = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    found = ranked(logits, torch.tensor([0, 1]), probabilities=False)
    assert "probabilities" not in found
    assert found["finite"].tolist() == [False, True]


def test_what_float32_cannot_hold_is_not_finite() -> None:
    logits = torch.tensor([[1e50, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = ranked(logits, torch.tensor([0, 0]), probabilities=True)
    assert found["finite"].tolist() == [False, True]
