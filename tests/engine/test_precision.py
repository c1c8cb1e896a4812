"""float32 is float32 while a model runs, whatever its module told torch, and only so long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.engine.precision import reproducible
from auditor.engine.timing import Subject, time_models
from auditor.progress import Progress
from auditor.store import Store

SWITCHES: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "products high": lambda: torch.set_float32_matmul_precision("high"),
    "products medium": lambda: torch.set_float32_matmul_precision("medium"),
    "old, convolutions off": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
}
NEW = {
    "new, all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "new, convolutions exact": lambda: setattr(_conv(), "fp32_precision", "ieee"),
    "new, cuDNN": lambda: setattr(torch.backends.cudnn, "fp32_precision", "tf32"),
    "new, products": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
}
SWITCHES |= NEW if hasattr(torch.backends.cudnn, "conv") else {}


def _conv() -> Any:
    return torch.backends.cudnn.conv  # type: ignore[attr-defined]


def state() -> dict[str, str]:
    """Return what torch's switches say; the old ones may refuse to."""
    reads: dict[str, Callable[[], object]] = {
        "products": torch.get_float32_matmul_precision,
        "products in TF32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "convolutions in TF32": lambda: torch.backends.cudnn.allow_tf32,
        "enabled": lambda: torch.backends.cudnn.enabled,
        "by a race": lambda: torch.backends.cudnn.benchmark,
        "deterministic": lambda: torch.backends.cudnn.deterministic,
    }
    if hasattr(torch.backends.cudnn, "conv"):
        reads["new products"] = lambda: torch.backends.cuda.matmul.fp32_precision
        reads["new convolutions"] = lambda: _conv().fp32_precision
    return {name: _said(read) for name, read in reads.items()}


def _said(read: Callable[[], object]) -> str:
    try:
        return str(read())
    except RuntimeError as error:
        return str(error).splitlines()[0]


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = state()
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    if hasattr(torch.backends.cudnn, "conv"):
        for place in (torch.backends, torch.backends.cudnn, torch.backends.cuda.matmul):
            setattr(place, "fp32_precision", "none")  # noqa: B010 - mypy knows none of them
    assert state() == before


class Noting(nn.Module):
    """Notes what torch's switches say while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.seen = nn.Linear(3, 2), list[dict[str, str]]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(state())
        logits: Tensor = self.last(x.mean((2, 3)))
        return logits


def noting() -> Noting:
    return Noting()


def require_full(seen: list[dict[str, str]]) -> None:
    assert seen
    for said in seen:
        assert said["products in TF32"] == said["convolutions in TF32"] == "False"
        assert said["products"] == "highest"
        assert (said["by a race"], said["deterministic"]) == ("False", "True")


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_pass_computes_in_full_whatever_a_module_told_torch(
    image_folder: Callable[..., Path], tmp_path: Path, switch: str
) -> None:
    samples = read_folder(image_folder("test", {"a": 9, "b": 8}))
    table = CandidateTable(module=f"{__name__}:noting", input_size=12)
    engine = EngineTable(device="cpu", backend="torch")
    candidate = Candidate(table, engine, ClassList(("a", "b"), "given"), None)
    inference = Inference(candidate, samples)
    model: Any = candidate.loaded.model
    model.seen.clear()
    SWITCHES[switch]()
    before = state()
    observing = {"test": Observing("key", inference)}
    assert not observe_samples(samples, observing, Store(tmp_path), Progress())
    assert state() == before
    require_full(model.seen)


@pytest.mark.parametrize("switch", ["nothing", "products high"])
def test_what_is_timed_is_what_is_judged(switch: str) -> None:
    model = Noting()
    SWITCHES[switch]()
    time_models({"candidate": Subject(model, (3, 8, 8))}, 2, 0.01)
    require_full(model.seen)


def test_threads_that_cross_leave_what_the_user_set() -> None:
    """Else the last to leave would put back what the first had set."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.deterministic
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.deterministic = False
    try:
        one, other = reproducible(), reproducible()
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "highest"
        assert torch.backends.cudnn.deterministic
        other.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "high"
        assert not torch.backends.cudnn.deterministic
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.deterministic = before[1]
