from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from auditor.check import Status
from auditor.evidence import scenes as module_of_scenes
from auditor.evidence.scenes import ScenePair, Scenes, nearest
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.store import Store

Run = Callable[..., Audit]

CONV = """
import torch
from torch import nn


class Pooled(nn.Module):
    # What the last layer sees is the mean colour: two pictures of one colour are one scene.
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.fc.weight.data = 9 * torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
        self.fc.bias.data.zero_()

    def forward(self, x):
        return self.fc(x.mean(dim=(2, 3)))


class NoLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(9.0))

    def forward(self, x):
        return self.scale * x.mean(dim=(2, 3))[:, :2]


def pooled():
    return Pooled()


def no_linear():
    return NoLinear()
"""


@pytest.mark.parametrize("cells", [7, 1 << 20])
def test_nearest_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(module_of_scenes, "_CELLS", cells)
    random = np.random.default_rng(0)
    test, train = random.normal(size=(30, 8)), random.normal(size=(50, 8))
    rows, cosines = nearest(test, train)
    search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(train)
    distance, expected = search.kneighbors(test)
    assert rows.tolist() == expected.ravel().tolist()
    np.testing.assert_allclose(cosines, 1 - distance.ravel(), atol=1e-5)


def test_features_of_zeros_are_like_nothing() -> None:
    assert nearest(np.zeros((2, 4)), np.ones((3, 4)))[1].tolist() == [0.0, 0.0]


def test_it_returns_from_the_store(tmp_path: Path) -> None:
    pair = ScenePair("a.png", "b.png", 0.5, "x", "y")
    scenes = Scenes((pair,), 3, 4, {"test/a.png": b"\xff\x00", "train/b.png": b"\xd8"})
    store = Store(tmp_path)
    store.save("scenes", "k", scenes.to_table(), {})
    table = Store(tmp_path).load("scenes", "k")
    assert table is not None
    assert Scenes.from_table(table) == scenes


def test_features_of_a_timm_model_are_those_before_its_logits() -> None:
    import timm
    import torch

    from auditor.engine.features import FeatureTap

    model: Any = timm.create_model("test_efficientnet", num_classes=5).eval()
    images = torch.rand(3, 3, 64, 64)
    tap = FeatureTap(model)
    with torch.inference_mode():
        model(images)
        expected = model.forward_head(model.forward_features(images), pre_logits=True)
    seen = tap.take(3)
    assert seen is not None
    assert seen.dtype == torch.float16
    np.testing.assert_allclose(seen.numpy(), expected.numpy(), atol=2e-3)
    assert tap.take(3) is None


@pytest.fixture
def tables(image_folder: Callable[..., Path], module: Callable[..., str]) -> dict[str, Any]:
    classes = {"cat": 60, "dog": 60}
    data = {"train": image_folder("train", classes), "test": image_folder("test", classes)}
    name = module(CONV, by_colour=False)
    return {"data": data, "candidate": {"module": f"{name}:pooled", "input_size": 16}}


def test_similar_scenes_are_shown_and_not_judged(run: Run, tables: dict[str, Any]) -> None:
    audit = run(**tables, overlap={"features": True})
    shown = audit.exhibits.overlap
    assert shown is not None
    assert len(shown.scenes) == 24
    assert all(row.test_label == row.train_label for row in shown.scenes)
    assert all(row.test_thumbnail and row.train_thumbnail for row in shown.scenes)
    similar = [row.similarity for row in shown.scenes]
    assert similar == sorted(similar, reverse=True)
    assert similar[0] > 0.999
    result = audit.check("split-overlap")
    assert result.status is Status.PASS
    assert [f.status for f in result.findings if "scene" in f.metric] == [Status.SKIP]
    assert "Similar scenes" in html_report(audit)
    assert shown.test_images == 0


def test_they_are_not_gathered_unless_asked_for(run: Run, tables: dict[str, Any]) -> None:
    audit = run(**tables)
    assert audit.exhibits.overlap is not None
    assert audit.exhibits.overlap.scenes == ()
    assert "scenes" not in audit.provenance.evidence


def test_a_model_without_a_linear_layer_says_so(run: Run, tables: dict[str, Any]) -> None:
    tables["candidate"]["module"] = tables["candidate"]["module"].replace("pooled", "no_linear")
    audit = run(**tables, overlap={"features": True})
    result = audit.check("split-overlap")
    assert result.status is Status.PASS
    assert any("no last linear layer" in finding.note for finding in result.findings)
