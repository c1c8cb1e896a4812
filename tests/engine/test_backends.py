"""A backend is used where it predicts what torch predicts, and chosen by rule."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from auditor.config import CandidateTable, EngineTable
from auditor.engine.backends.choosing import PAYS_FROM, chosen_backends, what_decides
from auditor.engine.backends.exporting import ValueDependent, export
from auditor.engine.backends.sizes import FixedSizes
from auditor.engine.candidate import Candidate
from auditor.engine.forward import Forward, cpu_batch
from auditor.errors import InputError

CPU = torch.device("cpu")
SIZE = (3, 64, 64)
MANY = PAYS_FROM // (64 * 64)
GRAPHS = ["onnxruntime", "openvino"]
TITLES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def network() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=5).eval()


def pictures(n: int) -> Tensor:
    return torch.randn(n, *SIZE, generator=torch.Generator().manual_seed(1))


class Pooled(nn.Module):
    """A convolution, pooled, and whatever else is done to its scores."""

    def __init__(self, and_then: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.and_then = nn.Conv2d(3, 4, 3), and_then

    def forward(self, x: Tensor) -> Tensor:
        return self.and_then(x, self.conv(x).mean((2, 3)))


@pytest.mark.parametrize("backend", GRAPHS)
def test_gives_torchs_logits_whatever_the_batch(backend: str) -> None:
    model = network()
    forward = Forward(model, CPU, "float32", SIZE, backend=backend)
    batch = pictures(70)  # of which 64 are run at once, as far as there are as many
    forward.settle(batch)
    assert f"{TITLES[backend]} {importlib.metadata.version(backend)}, logits with" in str(forward)
    with torch.inference_mode():
        found, expected = forward.model(batch), model(batch)
        pieces = torch.cat([forward.model(batch[a:b]) for a, b in ((0, 1), (1, 65), (65, 70))])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pieces, expected, rtol=1e-4, atol=1e-5)
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext", "test_mambaout"])
def test_runs_what_is_no_efficientnet(name: str) -> None:
    model = timm.create_model(name).eval()
    forward = Forward(model, CPU, "float32", (3, 160, 160), backend="onnxruntime")
    assert str(forward).startswith("ONNX Runtime")


@given(st.integers(1, 40), st.sets(st.integers(1, 9), min_size=1))
@settings(deadline=None)
def test_batches_are_cut_into_sizes_that_are_taken(n: int, sizes: set[int]) -> None:
    ran: list[int] = []

    def make(size: int) -> Callable[[Tensor], Tensor]:
        def run(batch: Tensor) -> Tensor:
            assert len(batch) == size
            ran.append(size)
            return batch.sum((1, 2, 3))[:, None]

        return run

    module = FixedSizes(make, tuple(sorted(sizes, reverse=True)))
    batch = torch.arange(n * 12.0).reshape(n, 3, 2, 2)
    assert torch.equal(module(batch), batch.sum((1, 2, 3))[:, None])
    assert set(ran) <= sizes
    assert sum(ran) - n < min(sizes)


@given(st.integers(0, 70), st.sampled_from([(1,), (49, 1), (8, 1), (4, 1), (9, 5, 2)]))
@settings(deadline=None)
def test_so_many_images_as_are_cut_into_every_size(least: int, sizes: tuple[int, ...]) -> None:
    ran = set[int]()

    def make(size: int) -> Callable[[Tensor], Tensor]:
        ran.add(size)
        return lambda batch: batch.sum((1, 2, 3))[:, None]

    module = FixedSizes(make, sizes)
    images = module.images_for_all(least)
    assert least <= images <= max(least, sum(sizes)) + sum(sizes)
    module(torch.zeros(images, 3, 1, 1))
    assert ran == {*sizes}


@pytest.mark.parametrize("size", [64, 160, 224])
@pytest.mark.parametrize("backend", GRAPHS)
def test_a_graph_that_takes_one_image_and_no_batch_stays_with_torch(
    backend: str, size: int
) -> None:
    """What is recorded of two images meets a single one as well, and no other number."""
    model = Pooled(lambda x, y: y + torch.zeros(len(x), 4))
    forward = Forward(model, CPU, "float32", (3, size, size), backend=backend)
    assert forward.model is model
    assert str(forward).endswith(": it did not run")


@pytest.mark.parametrize("fixed", [1, 49])
def test_few_real_images_are_tried_on_every_graph(
    monkeypatch: pytest.MonkeyPatch, fixed: int
) -> None:
    """One of which is wrong where they are bright, which those that are drawn are not."""
    from auditor.engine.backends import onnx_runtime

    model, session = network(), onnx_runtime._session

    def wrong(graph: bytes, images: int) -> Callable[[Tensor], Tensor]:
        run = session(graph, images)
        return lambda x: run(x) * (-1 if images == fixed and x.max() > 100 else 1)

    monkeypatch.setattr(onnx_runtime, "_session", wrong)
    forward = Forward(model, CPU, "float32", SIZE, backend="onnxruntime")
    assert str(forward).startswith("ONNX Runtime")
    forward.settle(pictures(3) + 200)
    assert str(forward).startswith("torch")


@pytest.mark.parametrize("backend", GRAPHS)
def test_a_model_that_decides_by_values_stays_with_torch(backend: str) -> None:
    model = Pooled(lambda x, y: y if x.max() > 100 else -y)
    forward = Forward(model, CPU, "float32", SIZE, backend=backend)
    assert forward.model is model
    assert str(forward).startswith(f"torch, channels_last; not {TITLES[backend]}")
    assert str(forward).endswith("what it computes depends on values")
    with pytest.raises(ValueDependent):
        export(model, SIZE)


def test_one_that_asks_for_shapes_does_not() -> None:
    model = Pooled(lambda x, y: y if x.shape[-1] > 10 and len(x) > 0 else -y)
    assert "ONNX Runtime" in str(Forward(model, CPU, "float32", SIZE, backend="onnxruntime"))


def test_one_that_disagrees_stays_with_torch() -> None:
    """A graph holds what was drawn once; the model draws anew."""
    model = Pooled(lambda x, y: y + torch.randint(0, 100, y.shape))
    forward = Forward(model, CPU, "float32", SIZE, backend="onnxruntime")
    assert forward.model is model
    assert "; not ONNX Runtime" in str(forward)


def test_one_that_disagrees_on_real_images_alone_stays_with_torch() -> None:
    def seen_as_numpy(x: Tensor, y: Tensor) -> Tensor:
        return -y if x.detach().numpy().max() > 100 else y

    model = Pooled(seen_as_numpy)
    forward = Forward(model, CPU, "float32", SIZE, backend="onnxruntime")
    assert str(forward).startswith("ONNX Runtime")
    forward.settle(pictures(4) + 200)
    assert forward.model is model
    assert str(forward).startswith("torch, channels_last; not ONNX Runtime")
    assert "it changed logits by" in str(forward)


def test_what_no_graph_can_hold_stays_with_torch() -> None:
    model = Pooled(lambda x, y: torch.linalg.svd(y[:, :, None] * y[:, None])[1])
    forward = Forward(model, CPU, "float32", SIZE, backend="onnxruntime")
    assert forward.model is model
    assert "; not ONNX Runtime" in str(forward)


def test_refused_the_batch_norms_are_still_folded() -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.layers(x)
            z: Tensor = torch.linalg.qr(y[:, None])[1][:, 0] + y
            return z

    forward = Forward(Deciding(), CPU, "float32", SIZE, backend="onnxruntime")
    assert "13 of 13 BatchNorms folded" in str(forward)
    assert "; not ONNX Runtime" in str(forward)


@pytest.mark.parametrize(
    ("dtype", "tapped", "reason"),
    [("bfloat16", False, "float32 alone"), ("float32", True, "which torch alone gives")],
)
def test_says_why_another_backend_does_not_run(dtype: str, tapped: bool, reason: str) -> None:
    asked = Forward(network(), CPU, dtype, SIZE, backend="onnxruntime", tapped=tapped)
    assert str(asked).startswith("torch, channels_last")
    assert reason in str(asked)
    auto = Forward(network(), CPU, dtype, SIZE, images=MANY + 1, tapped=tapped)
    assert str(auto).startswith("torch, channels_last")
    assert reason not in str(auto)


def test_auto_is_for_jobs_that_pay_for_it() -> None:
    assert str(Forward(network(), CPU, "float32", SIZE, images=100)).startswith("torch")
    assert not str(Forward(network(), CPU, "float32", SIZE, images=MANY + 1)).startswith("torch")
    assert chosen_backends("auto", 499, (3, 224, 224)) == ()
    assert chosen_backends("auto", 500, (3, 224, 224))
    assert chosen_backends("torch", 10**9, (3, 224, 224)) == ()


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretend that a package is not installed."""

    def lacking(absent: str) -> None:
        real = importlib.metadata.version

        def version(package: str) -> str:
            if package == absent:
                raise importlib.metadata.PackageNotFoundError(package)
            return real(package)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return lacking


def test_auto_takes_what_is_installed(lacking: Callable[[str], None]) -> None:
    assert str(Forward(network(), CPU, "float32", SIZE, images=MANY + 1)).startswith("OpenVINO")
    lacking("openvino")
    assert str(Forward(network(), CPU, "float32", SIZE, images=MANY + 1)).startswith("ONNX Runtime")
    lacking("onnx")
    assert str(Forward(network(), CPU, "float32", SIZE, images=MANY + 1)).startswith("torch")


def test_what_is_asked_for_and_not_installed_is_named(lacking: Callable[[str], None]) -> None:
    lacking("openvino")
    with pytest.raises(InputError, match=r'"openvino" needs openvino.*"auditor\[openvino\]"'):
        Forward(network(), CPU, "float32", SIZE, backend="openvino")


def test_the_evidences_key_knows_what_decides(lacking: Callable[[str], None]) -> None:
    def identity(backend: Any = "auto") -> str:
        table = CandidateTable(model="test_vit")
        return Candidate(table, EngineTable(backend=backend), None, None).identity

    auto, torch_alone, asked = identity(), identity("torch"), identity("onnxruntime")
    assert len({auto, torch_alone, asked}) == 3
    lacking("openvino")
    assert identity() != auto
    assert (identity("torch"), identity("onnxruntime")) == (torch_alone, asked)


def test_what_decides_is_known_without_torch() -> None:
    code = (
        "import sys; from auditor.engine.backends.choosing import what_decides; "
        "what_decides('auto'); sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert what_decides("torch") == ("torch",)


def test_batches_fit_the_caches() -> None:
    assert [cpu_batch((3, side, side)) for side in (32, 112, 224, 600)] == [64, 16, 4, 4]


@pytest.mark.slow
def test_compiled_where_it_is_asked_for() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1))
    model.append(nn.Flatten())
    forward = Forward(model, CPU, "float32", SIZE, backend="inductor")
    assert str(forward).startswith(
        f"torch.compile (inductor), torch {importlib.metadata.version('torch')}"
    )
    with torch.inference_mode():
        torch.testing.assert_close(forward.model(pictures(5)), model(pictures(5)))


def test_an_audit_predicts_the_same_by_any_backend(
    image_folder: Callable[..., Path], module: Callable[..., str], run: Any, tmp_path: Path
) -> None:
    from auditor.evidence.predictions import Predictions
    from auditor.store import Store

    test = image_folder("test", {"red": 20, "blue": 20})
    name = module(
        "import timm, torch\n\n\ndef network():\n    torch.manual_seed(0)\n"
        "    return timm.create_model('test_efficientnet', num_classes=2)\n"
    )
    candidate = {"module": f"{name}:network", "input_size": 32, "classes": ["red", "blue"]}
    found: dict[str, Any] = {}
    for backend in ("torch", *GRAPHS):
        directory = tmp_path / backend
        engine, output = {"backend": backend}, {"directory": directory}
        audit = run(candidate=candidate, data={"test": test}, engine=engine, output=output)
        assert audit.provenance.forward.startswith(TITLES.get(backend, "torch"))
        table = Store(directory / "evidence").load("test")
        assert table is not None
        found[backend] = Predictions.from_table(table)
    for backend in GRAPHS:
        assert found[backend].predicted.tolist() == found["torch"].predicted.tolist()
        np.testing.assert_allclose(
            found[backend].probabilities, found["torch"].probabilities, rtol=1e-4, atol=1e-5
        )
