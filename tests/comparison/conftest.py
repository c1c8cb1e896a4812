from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from auditor.comparison import Comparison, compare
from auditor.evidence.baseline import Baseline
from auditor.evidence.predictions import Predictions
from auditor.record import Audit

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="session")
def said() -> Callable[..., Predictions]:
    """What a model said of images of cats, dogs and owls."""

    def said(label: Sequence[str], predicted: Sequence[str], **names: Any) -> Predictions:
        return Predictions.of(label, predicted, **({"classes": CLASSES} | names))

    return said


@pytest.fixture(scope="session")
def compared(old_audit: Audit) -> Callable[[Predictions, Predictions], Comparison]:
    """Compare what the baseline and the candidate said."""

    def compared(before: Predictions, after: Predictions) -> Comparison:
        return compare(after, Baseline(old_audit, before))

    return compared


@pytest.fixture(scope="session")
def flipped(
    said: Callable[..., Predictions], compared: Callable[..., Comparison]
) -> Callable[[int, int, int], Comparison]:
    """Compare two models on n images of cats: one had ``lost`` of them alone, the other ``won``."""

    def flipped(n: int, lost: int, won: int) -> Comparison:
        rest = n - lost - won
        before = ["cat"] * lost + ["dog"] * won + ["cat"] * rest
        after = ["dog"] * lost + ["cat"] * won + ["cat"] * rest
        return compared(said(["cat"] * n, before), said(["cat"] * n, after))

    return flipped
