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
from auditor.config.tables import CandidateTable
from auditor.engine.candidate import Candidate
from auditor.engine.hardware import different
from auditor.errors import InputError
from auditor.evidence.latency import timing_plan
from auditor.models.onnx import only_cpu
from auditor.record import Audit
from auditor.render.html import html_report
from auditor.runner import judge

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
    judged = judge(config, gathering=False).audit
    assert judged.check("latency").status is Status.PASS
    assert judged.exhibits.latency == first.exhibits.latency


def test_longer_is_measured_anew(audited: Callable[..., Audit]) -> None:
    first, second = (audited(latency={"seconds": s}) for s in (0.05, 0.06))
    assert first.provenance.evidence["latency"] != second.provenance.evidence["latency"]


def test_a_model_without_parameters_is_timed(audited: Callable[..., Audit]) -> None:
    result = audited(baseline={"module": "bare", "input_size": 16}, latency=BRIEF)
    assert result.check("latency").status is not Status.ERROR


def test_a_baseline_model_may_have_known_other_classes(audited: Callable[..., Audit]) -> None:
    tables = {"baseline": {"module": "three", "input_size": 16}, "latency": BRIEF}
    names = {"classes": ["blue", "red"]}
    result = audited(candidate={"module": "two", "input_size": 16} | names, **tables)
    assert any("baseline" in f.subject and f.observed for f in result.check("latency").findings)
    with pytest.raises(InputError, match="three has 3 outputs, but 2 classes are given"):
        audited(candidate={"module": "three", "input_size": 16} | names, **tables)


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


@pytest.mark.parametrize("backend", ["inductor", "openvino"])
def test_times_of_torch_settle_nothing_about_another_backend(
    audited: Callable[..., Audit], backend: str
) -> None:
    tables: dict[str, Any] = {
        "baseline": {"module": "two", "input_size": 16},
        "checks": {"latency": {"max_p50": "1000 s"}},
        "latency": BRIEF,
    }
    check = audited(engine={"backend": backend, "batch_size": 4}, **tables).check("latency")
    assert check.status is Status.INCONCLUSIVE
    assert "timed in torch, not in" in check.summary
    judged = [f for f in check.findings if f.limit is not None and f.status is not Status.SKIP]
    assert {f.status for f in judged} == {Status.INCONCLUSIVE}
    for asked in ("torch", "auto"):
        engine = {"backend": asked, "batch_size": 4}
        found = audited(engine=engine, checks=tables["checks"], latency=BRIEF)
        assert found.check("latency").status is Status.PASS
        assert "in torch" in found.check("latency").summary


def test_a_graph_is_timed_where_it_runs_and_says_so(
    audited: Callable[..., Audit], tmp_path: Path
) -> None:
    path = _identity_graph(tmp_path / "two.onnx")
    budget = {"checks": {"latency": {"max_p50": "1000 s"}}, "latency": BRIEF}
    graph = audited(
        candidate={"model": str(path)}, engine={"backend": "onnxruntime", "batch_size": 4}, **budget
    )
    module = audited(**budget)
    assert graph.check("latency").status is Status.PASS
    assert graph.exhibits.latency is not None
    assert module.exhibits.latency is not None
    named = [each.exhibits.latency.hardware for each in (graph, module)]  # type: ignore[union-attr]
    assert named[0]["backend"].startswith("ONNX Runtime")
    assert named[1]["backend"].startswith("torch, eager")
    assert [text.partition(" ")[0] for text in different(*named)] == ["backend"]
    again = audited(candidate={"model": str(path)}, baseline={"module": "two"}, latency=BRIEF)
    assert any("torch, eager" in f.subject for f in again.check("latency").findings)


def _identity_graph(path: Path) -> Path:
    """Write a graph that gives the means of the first two channels."""
    import onnx
    from onnx import TensorProto, helper

    def value(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    first = helper.make_tensor("first", TensorProto.INT64, [2], [0, 1])
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gather", ["f", "first"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes, "g", [value("images", ["n", 3, 16, 16])], [value("scores", ["n", 2])], [first]
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path


def test_the_report_shows_it(audited: Callable[..., Audit]) -> None:
    name = "<b>before</b>"
    baseline = {"module": "two", "input_size": 16, "name": name}
    page = html_report(audited(baseline=baseline, latency=BRIEF))
    section = page[page.index('<section id="latency"') : page.index('<section id="findings"')]
    assert "&lt;b&gt;before" in section
    assert name not in page
    assert "to itself, batches of 4, processor time" in section
    assert "1 thread" in section or "threads" in section


def test_a_graph_that_only_the_cpu_can_run_is_timed_there(tmp_path: Path) -> None:
    path = _identity_graph(tmp_path / "two.onnx")
    config = load_config(None, {"latency": BRIEF, "candidate": {"model": str(path)}})[0]
    graph = Candidate(config.candidate, config.engine, None, None)
    network = Candidate(CandidateTable(model="resnet18"), config.engine, None, None)
    assert timing_plan(config, network, None).device == "auto"
    for models in ((graph, None), (network, graph)):
        assert timing_plan(config, *models).device == ("cpu" if only_cpu() else "auto")
