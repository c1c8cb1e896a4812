from __future__ import annotations

from auditor.models.reference import efficientnet_reference


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
