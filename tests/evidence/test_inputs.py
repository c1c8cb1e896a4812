"""What the user pointed at: which tables name a model."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.config import Config
from auditor.errors import Unavailable
from auditor.evidence.inputs import candidate


@pytest.mark.parametrize(
    "said",
    [{"model": "resnet18"}, {"phi": 0.0}, {"width": 0.8}, {"depth": 1.2}],
    ids=lambda said: next(iter(said)),
)
def test_one_key_names_a_model(said: dict[str, Any]) -> None:
    given = Config.model_validate({"candidate": said})
    assert candidate(given, None, None, None).table == given.candidate


@pytest.mark.parametrize("said", [{}, {"name": "ours"}, {"resolution": 240}])
def test_the_others_name_none(said: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="no model was given"):
        candidate(Config.model_validate({"candidate": said}), None, None, None)
