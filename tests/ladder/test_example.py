from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_example_trains_audits_and_compares(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(repository / "examples" / "ladder" / "climb.py"))
    assert len(example["PHIS"]) >= 3
    status = example["climb"](tmp_path, phis=(-14, -13), epochs=1, seconds=0.05)
    told = capsys.readouterr().out
    assert status == 0
    assert "2 rungs on the same 721 test images" in told
    ladder = json.loads((tmp_path / "ladder" / "ladder.json").read_text(encoding="utf-8"))
    assert [rung["name"] for rung in ladder["rungs"]] == ["φ = −14", "φ = −13"]
    assert ladder["rare"] == ["seven"]
    assert ladder["steps"][0]["macs_ratio"] > 1
    assert all(rung["latency"] and rung["gap"] is not None for rung in ladder["rungs"])
    assert (tmp_path / "phi-14" / "audit" / "report.html").exists()
