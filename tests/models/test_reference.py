from __future__ import annotations

from itertools import pairwise

import pytest

from auditor.efficiency.published import published_efficientnets
from auditor.models.reference import (
    SOURCE,
    efficientnet_reference,
    frontier_reference,
)
from tests.references import published

IMAGENET = published("imagenet_reference.csv")


def test_eight_models_from_small_to_large() -> None:
    models = efficientnet_reference()
    assert [model.name for model in models] == [f"EfficientNet-B{n}" for n in range(8)]
    assert list(models) == sorted(models, key=lambda model: model.macs)


def test_the_papers_figures() -> None:
    first, *_, last = efficientnet_reference()
    assert (first.top1, first.resolution) == (77.1, 224)
    assert (last.top1, last.width, last.depth) == (84.3, 2.0, 3.1)
    assert first.macs == 385_814_752
    assert "1905.11946" in SOURCE


def test_the_lower_of_the_two_accuracies_counts() -> None:
    for place, model in zip(published_efficientnets(), efficientnet_reference(), strict=True):
        assert place.top1 == min(model.top1, model.top1_timm) / 100
        assert place.top1 == pytest.approx(model.top1 / 100, abs=0.003)


def test_timms_re_evaluation_is_of_the_same_models() -> None:
    timms = [row for row in IMAGENET if row["role"] == "re-evaluation"]
    for row, model in zip(timms, efficientnet_reference(), strict=True):
        assert (int(row["macs"]), int(row["parameters"])) == (model.macs, model.parameters)
        assert float(row["top1"]) == model.top1_timm
        assert int(row["resolution"]) == model.resolution


def test_the_frontier_is_one() -> None:
    models = frontier_reference()
    assert 20 < len(models) < 60
    assert all(a.macs < b.macs for a, b in pairwise(models))
    timms = [row for row in IMAGENET if row["role"] == "frontier"]
    assert len(timms) == len(models)
    top1 = [float(r["top1"]) for r in sorted(timms, key=lambda r: float(r["timm_gmacs"]))]
    assert sum(b <= a for a, b in pairwise(top1)) <= 1


def test_counts_by_fvcores_rule_are_those_published() -> None:
    for row in IMAGENET:
        ours, timms = int(row["macs_fvcore"]) / 1e9, float(row["timm_gmacs"])
        assert round(ours, 2) == pytest.approx(timms, abs=1e-9), row["model"]
