"""Timing, from the configuration to the record, on models that take next to no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import auditor
from auditor.check import Status
from auditor.config import load_config
from auditor.errors import InputError
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.runner import run_audit

PARAMETERLESS = """
class Bare(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))[:, :2]


def bare():
    return Bare()
"""


@pytest.fixture
def audited(
    tmp_path: Path, image_folder: Callable[..., Path], module: Callable[..., str], run: Any
) -> Callable[..., Audit]:
    """Audit a tiny model, timing little; more tables as given."""
    test, name = image_folder("test", {"red": 6, "blue": 6}), module(PARAMETERLESS)

    def audited(**tables: Any) -> Audit:
        candidate = {"module": f"{name}:two", "input_size": 16}
        for table in tables.values():
            if table.get("module"):
                table["module"] = f"{name}:{table['module']}"
        given = {"candidate": candidate, "data": {"test": test}, "engine": {"batch_size": 4}}
        result: Audit = run(**{**given, **tables})
        return result

    return audited


BRIEF = {"seconds": 0.05}


def _evidence(tmp_path: Path) -> Path:
    return tmp_path / "out" / "evidence" / "latency.parquet"


def test_nothing_is_timed_unless_asked_for(audited: Callable[..., Audit], tmp_path: Path) -> None:
    result = audited()
    check = result.check("latency")
    assert (check.status, check.level) == (Status.SKIP, "advise")
    assert "max_p50" in check.summary
    assert "[baseline] model" in check.summary
    assert result.exhibits.latency is None
    assert not _evidence(tmp_path).exists()


def test_every_repeat_is_kept(audited: Callable[..., Audit], tmp_path: Path) -> None:
    baseline = {"module": "two", "input_size": 24, "name": "before"}
    result = audited(baseline=baseline, latency=BRIEF)
    table = pq.read_table(_evidence(tmp_path))
    seen = set(zip(table["batch"].to_pylist(), table["model"].to_pylist(), strict=True))
    assert seen == {(n, role) for n in (1, 4) for role in ("candidate", "baseline", "twin")}
    exhibit = result.exhibits.latency
    assert exhibit is not None
    assert sum(row.repeats for row in exhibit.rows) * 3 == 2 * table.num_rows
    assert {row.name for row in exhibit.rows if row.role == "baseline"} == {"before"}
    assert exhibit.hardware["dtype"] == "float32"
    assert all(row.p50.value > 0 for row in exhibit.rows)


def test_a_baseline_model_is_enough_to_block(audited: Callable[..., Audit]) -> None:
    check = audited(baseline={"module": "two", "input_size": 16}, latency=BRIEF).check("latency")
    assert check.level == "block"
    assert any("baseline" in f.subject and f.limit == 1.1 for f in check.findings)


def test_a_budget_alone_is_enough_to_time(audited: Callable[..., Audit]) -> None:
    result = audited(checks={"latency": {"max_p50": "1000 s"}}, latency=BRIEF)
    check = result.check("latency")
    assert (check.status, check.level) == (Status.PASS, "block")
    missing = next(f for f in check.findings if f.subject == "baseline")
    assert missing.status is Status.SKIP
    assert "no baseline model was given" in missing.note


def test_asked_for_without_a_budget_it_is_shown(audited: Callable[..., Audit]) -> None:
    result = audited(latency=BRIEF)
    assert result.check("latency").status is Status.SKIP
    assert result.exhibits.latency is not None


def test_switched_off_it_is_not_timed(audited: Callable[..., Audit], tmp_path: Path) -> None:
    audited(checks={"latency": {"level": "off", "max_p50": "1 s"}}, latency=BRIEF)
    assert not _evidence(tmp_path).exists()


def test_it_is_measured_once_and_judged_again_without_the_model(
    audited: Callable[..., Audit], tmp_path: Path
) -> None:
    tables = {"latency": BRIEF, "checks": {"latency": {"max_p50": "1000 s"}}}
    first = audited(**tables)
    again = audited(**{**tables, "checks": {"latency": {"max_p50": "1 us"}}})
    assert first.provenance.evidence["latency"] == again.provenance.evidence["latency"]
    assert again.check("latency").status is not Status.PASS
    config = load_config(None, {**tables, "output": {"directory": tmp_path / "out"}})[0]
    judged = run_audit(config, gathering=False)
    assert judged.check("latency").status is Status.PASS
    assert judged.exhibits.latency == first.exhibits.latency


def test_longer_is_measured_anew(audited: Callable[..., Audit]) -> None:
    first, second = (audited(latency={"seconds": s}) for s in (0.05, 0.06))
    assert first.provenance.evidence["latency"] != second.provenance.evidence["latency"]


def test_a_model_without_parameters_is_timed(audited: Callable[..., Audit]) -> None:
    result = audited(baseline={"module": "bare", "input_size": 16}, latency=BRIEF)
    assert result.check("latency").status is not Status.ERROR


def test_a_baseline_model_that_is_not_there(audited: Callable[..., Audit], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.pth cannot be read"):
        audited(baseline={"checkpoint": tmp_path / "absent.pth"})
    assert not (tmp_path / "out" / "evidence" / "test.parquet").exists()


def test_a_device_that_is_not_there(audited: Callable[..., Audit]) -> None:
    with pytest.raises(InputError, match='no device "cuda:77"'):
        audited(engine={"device": "cuda:77"}, latency=BRIEF)


def test_a_bare_number_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "auditor.toml"
    text = '[predictions]\ntest = "p.csv"\n\n[checks.latency]\nmax_p99 = 20\n'
    file.write_text(text, encoding="utf-8")
    with pytest.raises(
        InputError, match=r"auditor.toml:5: checks.latency.max_p99: give a time with its unit"
    ):
        auditor.audit(file)


def test_saved_predictions_cannot_be_timed(saved: Callable[..., Path], run: Any) -> None:
    path = saved({"a": {"a": 9}, "b": {"b": 9}})
    demanded = run(predictions={"test": path}, checks={"latency": {"max_p50": "1 s"}})
    check = demanded.check("latency")
    assert (check.status, check.level) == (Status.INCONCLUSIVE, "block")
    assert "no budget was judged: no model was given" in check.summary
    assert demanded.verdict != "accepted"
    assert run(predictions={"test": path}).check("latency").status is Status.SKIP


def test_saved_predictions_keep_no_budget_of_cost(saved: Callable[..., Path], run: Any) -> None:
    path = saved({"a": {"a": 9}, "b": {"b": 9}})
    demanded = run(predictions={"test": path}, checks={"efficiency": {"max_macs": "1 K"}})
    check = demanded.check("efficiency")
    assert (check.status, check.level) == (Status.INCONCLUSIVE, "block")
    assert demanded.verdict != "accepted"
    assert run(predictions={"test": path}).check("efficiency").status is Status.SKIP


def test_a_cost_is_counted_in_another_dtype_too(audited: Callable[..., Audit]) -> None:
    tables = {"checks": {"efficiency": {"max_macs": "1 G"}}}
    half, full = (audited(engine={"dtype": t}, **tables) for t in ("bfloat16", "float32"))
    assert half.check("efficiency").status is Status.PASS
    assert half.candidate.macs == full.candidate.macs


def test_the_report_shows_it(audited: Callable[..., Audit]) -> None:
    name = "<b>before</b>"
    baseline = {"module": "two", "input_size": 16, "name": name}
    page = html_report(audited(baseline=baseline, latency=BRIEF))
    section = page[page.index('<section id="latency"') : page.index('<section id="findings"')]
    assert "&lt;b&gt;before" in section
    assert name not in page
    assert "to itself, batches of 4, processor time" in section
    assert "1 thread" in section or "threads" in section
