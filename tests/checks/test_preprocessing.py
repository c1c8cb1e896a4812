from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from auditor.check import Status
from auditor.checks.preprocessing import Preprocessing
from auditor.evidence.predictions import Predictions
from auditor.models.preprocessing import resolve, side_by_side
from auditor.record import Audit

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def _told(name: str, args: dict[str, object], said: dict[str, object]) -> Predictions:
    model = timm.create_model(name, num_classes=2)
    told = side_by_side(resolve(model, args, said), model)
    return replace(Predictions.of(["a"], ["b"]), about={"candidate": {}, "preprocessing": told})


def test_imagenets_mean_for_advprop_weights_fails() -> None:
    outcome = Preprocessing().run(_told("tf_efficientnet_b0.ap_in1k", {}, {**IMAGENET}))
    assert outcome.status is Status.FAIL
    failed = {f.subject: f.note for f in outcome.findings if f.status is Status.FAIL}
    assert failed.keys() == {"preprocessing", "mean", "std"}
    assert failed["mean"].startswith("(0.485, 0.456, 0.406) used, (0.5, 0.5, 0.5) is its own")
    assert "AdvProp" in failed["std"]
    assert "mean (0.485" in outcome.summary


@pytest.mark.parametrize("name", ["tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0.in1k"])
def test_the_models_own_passes(name: str) -> None:
    outcome = Preprocessing().run(_told(name, {}, {}))
    assert outcome.status is Status.PASS
    assert outcome.summary == "The preprocessing is the model's own."


def test_what_was_trained_with_is_shown_and_not_judged() -> None:
    args = {"img_size": 96, "mean": [0.4, 0.4, 0.4]}
    outcome = Preprocessing().run(_told("tf_efficientnet_b0.in1k", args, {}))
    assert outcome.status is Status.PASS
    shown = {f.subject for f in outcome.findings if f.status is Status.SKIP}
    assert shown == {"input_size", "mean"}
    assert "training run, which changed input_size, mean" in outcome.summary


def test_what_the_user_says_is_judged_though_the_training_run_said_something() -> None:
    outcome = Preprocessing().run(
        _told("tf_efficientnet_b0.in1k", {"mean": [0.4] * 3, "crop_pct": 1.0}, {"mean": (0.3,) * 3})
    )
    assert outcome.status is Status.FAIL
    assert "mean (0.3" in outcome.summary
    assert "crop_pct" not in outcome.summary


def test_what_the_weights_were_trained_with_is_the_measure() -> None:
    """Of a checkpoint trained with 0.5, ImageNet's mean is the mistake, whatever its model had."""
    args = {"mean": [0.5] * 3, "std": [0.5] * 3, "img_size": 64}
    said = {**IMAGENET, "input_size": 160}
    planted = Preprocessing().run(_told("tf_efficientnet_b0.in1k", args, {**said}))
    assert planted.status is Status.FAIL
    notes = {f.subject: f.note for f in planted.findings if f.status is Status.FAIL}
    assert notes.keys() == {"preprocessing", "mean", "std", "input_size"}
    assert notes["mean"].startswith("(0.485, 0.456, 0.406) used, (0.5, 0.5, 0.5) is the training ")
    repeated = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": 64}
    clean = Preprocessing().run(_told("tf_efficientnet_b0.in1k", args, {**repeated}))
    assert clean.status is Status.PASS
    assert "training run, which changed" in clean.summary


@pytest.mark.parametrize("bad", [{"interpolation": "random"}, {"mean": "0.5 0.5 0.5"}])
def test_an_argument_that_says_nothing_takes_none_of_the_others(bad: dict[str, object]) -> None:
    said: dict[str, object] = {"interpolation": "bicubic", **IMAGENET}
    outcome = Preprocessing().run(_told("tf_efficientnet_b0.in1k", {"img_size": 64, **bad}, said))
    assert outcome.status is Status.PASS
    assert "training run, which changed input_size" in outcome.summary
    other = _told("tf_efficientnet_b0.in1k", {"img_size": 64, **bad}, {**said, "input_size": 224})
    notes = {f.subject: f.note for f in Preprocessing().run(other).findings}
    assert "(3, 64, 64) is the training run's" in notes["input_size"]


def test_the_published_test_size_is_none_of_weights_that_were_trained_otherwise() -> None:
    name = "efficientnet_b2.ra_in1k"  # 256, and 288 for testing
    for said, size, status in (
        ("img_size", 64, Status.FAIL),
        ("img_size", 256, Status.PASS),
        ("in_chans", 3, Status.PASS),
    ):
        outcome = Preprocessing().run(_told(name, {said: size}, {"input_size": 288}))
        assert outcome.status is status, said


def test_what_float32_stores_otherwise_is_the_same() -> None:
    stored = torch.tensor(IMAGENET["mean"]).tolist()
    assert tuple(stored) != IMAGENET["mean"]
    told = _told("tf_efficientnet_b0.in1k", {}, {"mean": tuple(stored)})
    assert Preprocessing().run(told).summary == "The preprocessing is the model's own."


def test_the_size_recommended_for_testing_is_its_own_too() -> None:
    name = "efficientnet_b2.ra_in1k"
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    assert config.test_input_size == (3, 288, 288)
    outcome = Preprocessing().run(_told(name, {}, {"input_size": 288, "crop_pct": 1.0}))
    assert outcome.status is Status.PASS


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({}, "saved elsewhere"),
        ({"candidate": {}}, "`auditor run`"),
        ({"candidate": {}, "preprocessing": {"own": None}}, "names no preprocessing"),
    ],
)
def test_what_is_not_known_is_skipped(about: dict[str, Any], reason: str) -> None:
    outcome = Preprocessing().run(replace(Predictions.of(["a"], ["b"]), about=about))
    assert outcome.status is Status.SKIP
    assert reason in outcome.summary


def test_no_image_changes_nothing() -> None:
    told = _told("tf_efficientnet_b0.in1k", {}, {})
    assert Preprocessing().run(told.without(frozenset(told.images))).status is Status.PASS


def test_from_a_configuration_to_the_finding(
    run: Callable[..., Audit], image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=2)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "model.pth")
    data = {"test": image_folder("test", {"cat": 2, "dog": 2})}
    candidate = {"model": "test_efficientnet", "checkpoint": tmp_path / "model.pth"}
    kept = run(data=data, candidate=candidate)
    assert kept.check("preprocessing").status is Status.PASS
    audit = run(data=data, candidate={**candidate, "mean": (0.1, 0.2, 0.3)})
    result = audit.check("preprocessing")
    assert result.status is Status.FAIL
    assert "mean (0.1, 0.2, 0.3) used" in result.summary
    assert result.level == "advise"


def test_a_module_of_ones_own_is_skipped(
    run: Callable[..., Audit], image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    data = {"test": image_folder("test", {"cat": 2, "dog": 2})}
    audit = run(data=data, candidate={"module": f"{module()}:two", "input_size": 16})
    assert audit.check("preprocessing").status is Status.SKIP
