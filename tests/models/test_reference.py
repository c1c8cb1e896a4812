from __future__ import annotations

from itertools import pairwise

import pytest

from auditor.models.reference import (
    efficientnet_reference,
    frontier_reference,
    published_efficientnets,
)


def test_eight_models_from_small_to_large() -> None:
    models = efficientnet_reference()
    assert [model.name for model in models] == [f"EfficientNet-B{n}" for n in range(8)]
    assert list(models) == sorted(models, key=lambda model: model.macs)


def test_the_papers_figures() -> None:
    first, *_, last = efficientnet_reference()
    assert (first.top1, first.top5, first.resolution) == (77.1, 93.3, 224)
    assert (last.top1, last.width, last.depth) == (84.3, 2.0, 3.1)
    assert first.macs == 385_814_752
    assert first.activations == 6_750_000
    assert "1905.11946" in first.source


def test_the_lower_of_the_two_accuracies_counts() -> None:
    for place, model in zip(published_efficientnets(), efficientnet_reference(), strict=True):
        assert place.top1 == min(model.top1, model.top1_timm) / 100
        assert place.top1 == pytest.approx(model.top1 / 100, abs=0.003)


def test_timms_re_evaluation_is_of_the_same_models() -> None:
    models = zip(frontier_reference("re-evaluation"), efficientnet_reference(), strict=True)
    for timms, model in models:
        assert (timms.macs, timms.parameters) == (model.macs, model.parameters)
        assert timms.top1 == model.top1_timm
        assert timms.resolution == model.resolution


def test_the_frontier_is_one() -> None:
    models = frontier_reference()
    assert 20 < len(models) < 60
    assert all(a.macs < b.macs for a, b in pairwise(models))
    top1 = [model.top1 for model in sorted(models, key=lambda model: model.gmacs)]
    assert sum(b <= a for a, b in pairwise(top1)) <= 1


def test_counts_by_fvcores_rule_are_those_published() -> None:
    for model in (*frontier_reference(), *frontier_reference("re-evaluation")):
        assert round(model.macs_fvcore / 1e9, 2) == pytest.approx(model.gmacs, abs=1e-9), model.name
