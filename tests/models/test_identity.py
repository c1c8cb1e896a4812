from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from auditor.models.identity import installed_version


def test_a_version_is_that_of_the_package() -> None:
    assert installed_version("numpy") == importlib.metadata.version("numpy")
    assert installed_version("no-such-package") is None


def test_onnx_runtime_for_gpus_is_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "onnxruntime_gpu-9.8.7.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 9.8.7\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert installed_version("onnxruntime") == "9.8.7"
