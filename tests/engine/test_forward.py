"""What is run predicts what the model predicts, and says how it ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import auditor
from auditor.engine.forward import Forward
from auditor.evidence.predictions import Predictions
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.store import Store

CPU = torch.device("cpu")
SIZE = (3, 16, 16)
NETWORKS = """
import time

import torch
from torch import fx, nn


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )
    for norm in (model[1], model[4]):
        norm.running_mean.uniform_(-0.3, 0.3)
        norm.running_var.uniform_(0.5, 1.5)
    return model


class Unfoldable(nn.Module):
    \"\"\"The same, with control flow on a value.\"\"\"

    def __init__(self):
        super().__init__()
        self.layers = network()

    def forward(self, x):
        return self.layers(x) if x.isfinite().all() else self.layers(x)


class SlowToTrace(Unfoldable):
    \"\"\"Gives threads the time to prepare images meanwhile.\"\"\"

    def forward(self, x):
        if isinstance(x, fx.Proxy):
            time.sleep(0.3)
        return self.layers(x)
"""


class Wrapped(nn.Module):
    """A network whose BatchNorm does something else than its class says."""

    def __init__(self, instead: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        setattr(self.bn, "forward", instead)  # noqa: B010 - as patches of a model's parts do

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y.mean((2, 3))


class Standardised(nn.Conv2d):
    """A convolution that does not use its weight as stored."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(input, weight, self.bias)


def pictures(n: int = 4, offset: float = 0.0) -> Tensor:
    return torch.randn(n, *SIZE, generator=torch.Generator().manual_seed(1)) + offset


def test_a_timm_model_runs_folded_and_stays_as_it_is() -> None:
    model = timm.create_model("test_efficientnet", num_classes=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward = Forward(model, CPU, "float32", (3, 64, 64))
    batch = torch.rand(3, 3, 64, 64)
    forward.settle(batch)
    assert "13 of 13 BatchNorms folded, logits within 1e-" in str(forward)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in forward.model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.inference_mode():
        torch.testing.assert_close(forward.model(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_a_convolution_that_is_not_known_is_not_folded() -> None:
    layers = [nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), Standardised(4, 4, 3), nn.BatchNorm2d(4)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    forward = Forward(model, CPU, "float32", SIZE)
    assert "1 of 2 BatchNorms folded" in str(forward)
    with torch.inference_mode():
        torch.testing.assert_close(forward.model(pictures()), model(pictures()))


def test_a_folded_model_that_disagrees_is_not_used() -> None:
    model = Wrapped(lambda x: 2 * x + x.flip(1))
    forward = Forward(model, CPU, "float32", SIZE)
    assert forward.model is model
    assert "BatchNorms not folded: it changed logits by" in str(forward)


def test_one_that_disagrees_on_real_images_alone_is_not_used() -> None:
    """Drawn pictures stay small; what is beyond is cut off, which the folded one does not do."""
    model = Wrapped(lambda x: (x / (1 + 1e-5) ** 0.5).clamp(max=20.0))
    forward = Forward(model, CPU, "float32", SIZE)
    assert forward.model is not model
    forward.settle(pictures())
    assert forward.model is not model
    other = Forward(model, CPU, "float32", SIZE)
    other.settle(pictures(offset=200.0))
    assert other.model is model
    assert "BatchNorms not folded" in str(other)


def test_other_dtypes_run_as_they_are() -> None:
    forward = Forward(timm.create_model("test_efficientnet"), CPU, "bfloat16", (3, 64, 64))
    assert str(forward) == "torch, channels_last"


@pytest.fixture
def audited(
    image_folder: Callable[..., Path], module: Callable[..., str], run: Any, tmp_path: Path
) -> Callable[..., tuple[Audit, Predictions]]:
    """Audit a network of the written module on pictures larger than its input."""
    test, name = image_folder("test", {"red": 40, "blue": 40}), module(NETWORKS)

    def audited(function: str = "network", **engine: Any) -> tuple[Audit, Predictions]:
        candidate: Mapping[str, Any] = {
            "module": f"{name}:{function}",
            "input_size": 12,
            "classes": ["red", "blue"],
        }
        directory = tmp_path / "-".join([function, *map(str, engine.values())])
        output = {"directory": directory}
        audit = run(candidate=candidate, data={"test": test}, engine=engine, output=output)
        table = Store(directory / "evidence").load("test")
        assert table is not None
        return audit, Predictions.from_table(table)

    return audited


def test_an_audit_predicts_the_same_folded_and_plain(audited: Any) -> None:
    (folded, a), (plain, b) = audited("network"), audited("Unfoldable")
    assert "2 of 2 BatchNorms folded" in folded.provenance.forward
    assert "0 of 2 BatchNorms folded" in plain.provenance.forward
    assert a.predicted.tolist() == b.predicted.tolist()
    torch.testing.assert_close(
        torch.tensor(a.probabilities), torch.tensor(b.probabilities), rtol=1e-5, atol=1e-6
    )
    assert "2 of 2 BatchNorms folded" in html_report(folded)


def test_no_image_is_lost_while_a_model_is_traced(audited: Any) -> None:
    audit, predictions = audited("SlowToTrace", workers=4)
    assert audit.data.test.unreadable == ()
    assert len(predictions) == 80


def test_the_reference_is_timms_transform_from_end_to_end(
    audited: Any, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    audit, found = audited("network", preprocessing="reference")
    expected = by_hand(tmp_path, found.images)
    torch.testing.assert_close(torch.tensor(found.probabilities), expected, rtol=1e-5, atol=1e-6)
    assert audit.provenance.transform == "reference"
    assert "as timm does (reference)" in html_report(audit)


def by_hand(folder: Path, images: tuple[str, ...]) -> Tensor:
    """Probabilities from timm's transform and the network itself."""
    from PIL import Image
    from timm.data.transforms_factory import create_transform

    written = next((folder / "modules").glob("*.py"))
    names: dict[str, Any] = {}
    exec(written.read_text(), names)
    steps: Any = create_transform(12, interpolation="bicubic", crop_pct=0.875)
    opened = [Image.open(folder / "test" / image).convert("RGB") for image in images]
    with torch.inference_mode():
        logits: Tensor = names["network"]().eval()(torch.stack([steps(each) for each in opened]))
    return logits.softmax(1)


def test_the_fast_way_is_the_default_and_close_to_the_reference(audited: Any) -> None:
    (fast, a), (_, b) = audited("network"), audited("network", preprocessing="reference")
    assert fast.provenance.transform == "fast"
    assert "on 8-bit tensors (fast)" in html_report(fast)
    assert a.predicted.tolist() == b.predicted.tolist()
    assert abs(a.probabilities - b.probabilities).max() < 0.01


def test_where_there_is_no_fast_way_the_reference_ran(
    image_folder: Callable[..., Path], module: Callable[..., str], run: Any
) -> None:
    candidate = {
        "module": f"{module(NETWORKS)}:network",
        "input_size": 12,
        "interpolation": "lanczos",
        "classes": ["red", "blue"],
    }
    audit = run(candidate=candidate, data={"test": image_folder("test", {"red": 8, "blue": 8})})
    assert audit.provenance.transform == "reference"


def test_either_way_is_evidence_of_its_own(audited: Any, tmp_path: Path) -> None:
    """Evidence that was gathered one way is not reused for the other."""
    audited("network")
    (tmp_path / "network").rename(tmp_path / "network-reference")
    audit, _ = audited("network", preprocessing="reference")
    assert audit.provenance.transform == "reference"


def test_a_misspelt_way_is_named(write: Callable[[str, str], Path]) -> None:
    path = write("auditor.toml", '[engine]\npreprocessing = "quick"\n')
    with pytest.raises(auditor.errors.InputError, match=r'engine.preprocessing.*"quick"'):
        auditor.audit(path)
