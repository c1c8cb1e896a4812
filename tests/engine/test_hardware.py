"""What this process may use of a machine, and which of its GPUs is asked for its state."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from auditor.config import EngineTable
from auditor.engine import hardware
from auditor.engine.hardware import describe_hardware, describe_state, usable_cores, workers_of

CPU = torch.device("cpu")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixteen processors, and control groups that limit nothing yet."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(hardware, "_GROUPS", tmp_path)
    return tmp_path


def test_other_processors_are_not_counted(groups: Path) -> None:
    del groups
    assert usable_cores() == 16
    assert describe_hardware(CPU, "float32")["cores"] == "16"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 16), ("400000 100000", 4), ("150000 100000", 2), ("1000 100000", 1), ("", 16)],
)
def test_a_quota_counts_as_the_processors_that_it_keeps_busy(
    groups: Path, quota: str, cores: int
) -> None:
    (groups / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores() == cores


@pytest.mark.parametrize(
    ("said", "workers"),
    [({}, 16), ({"preprocessing": "device"}, 12), ({"workers": 5, "preprocessing": "device"}, 5)],
)
def test_there_is_a_worker_a_core_but_where_a_gpu_decodes(
    groups: Path, said: dict[str, Any], workers: int
) -> None:
    del groups
    assert workers_of(EngineTable(**said)) == workers


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (3, 3), (4, 3), (8, 6)])
def test_few_cores_all_have_a_worker(
    groups: Path, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    del groups
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert workers_of(EngineTable(preprocessing="device")) == workers


def test_a_gpu_is_asked_for_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process is shown some GPUs, torch's first may be the driver's third."""
    tool, device = tmp_path / "nvidia-smi", torch.device("cuda:0")
    tool.write_text('#!/bin/sh\necho "$1"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    def asked(facts: object) -> list[str]:
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
        return [text for name, text in describe_state(device).items() if "GPU" in name]

    assert asked(SimpleNamespace(uuid="6e4f-3")) == ["--id=GPU-6e4f-3"]
    assert asked(SimpleNamespace()) == ["--id=0"]
    tool.write_text("#!/bin/sh\necho no such device\nexit 6\n")
    assert asked(SimpleNamespace()) == []
